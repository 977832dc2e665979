"""What a training learns from: samples by split, folds, pixels, and which run holds what."""
