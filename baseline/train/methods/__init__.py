"""Training methods, one module each; `registry.py` has the table."""
