"""The five hourly assets from visits and orders to `attribution_health`, with their checks."""
