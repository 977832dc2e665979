"""Methods of training, the loop that they share, and trials of settings under folds."""
