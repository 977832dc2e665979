"""Training data: samples by split, folds, pixels, and the files of runs."""
