"""The methods of training: one module each, all called alike, in one table (`fit.py`)."""
