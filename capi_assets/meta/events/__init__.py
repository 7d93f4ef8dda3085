"""Server events: what an order must carry, and the exact JSON that is sent for it."""
