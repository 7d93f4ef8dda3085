"""What is usual for an hour of this shop, and which hours are not."""
