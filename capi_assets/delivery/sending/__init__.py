"""Sends events: requests, concurrency, retries, and what follows from each response."""
