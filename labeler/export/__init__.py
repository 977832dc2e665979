"""Exporting the labelled samples of a dataset, in the formats other tools read."""
