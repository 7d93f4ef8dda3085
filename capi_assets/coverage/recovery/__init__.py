"""Which hours are materialized again without being asked, and when."""
