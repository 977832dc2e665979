"""Backbones, and the features that they make of pictures."""
