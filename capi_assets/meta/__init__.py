"""What Meta's Conversions API says: match keys, click ids, events, limits, errors.

Knows nothing of Dagster, of files, or of where orders come from, and imports nothing of ours but
its own rooms.
"""
