"""Erasure of one person: find their rows, remove them, and search for what is left."""
