"""The sample shop: days of visits and orders of made-up people, with outages on request."""
