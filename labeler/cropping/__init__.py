"""Boxes that a person draws, moves and removes."""
