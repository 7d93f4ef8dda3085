"""What the command line does, one command's work per file; `cli.py` only names the options."""
