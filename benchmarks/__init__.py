"""How fast and how large: events and matching, beside others that do the same. See README.md."""
