"""Whether every order reached Meta, what is missing, why, what it costs, and until when it can
still be saved. Pure functions of tables and a clock: what to do about a gap is decided elsewhere.
"""
