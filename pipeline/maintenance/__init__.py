"""Maintenance of a dataset: verify, gc, merge."""
