"""Boxes that a person draws, moves and takes away."""
