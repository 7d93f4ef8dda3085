"""From files and SQL models to `visits` and `orders`: read, cast, judge, normalise, hash.

What is refused leaves here as quarantine with its reasons; raw contact data leaves here never.
"""
