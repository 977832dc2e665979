"""Training methods; `fit_method` in `training.py` finds them by name."""
