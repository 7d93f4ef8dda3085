"""`capi-assets explain`: an order's whole life."""
