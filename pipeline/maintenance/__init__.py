"""Keeping a dataset in order: verify, forget, gc, merge."""
