"""`demo`, `drill` and `ui`: a stage of its own, a made-up shop, and rehearsed time."""
