"""Backbones and image features."""
