"""Generators of bundled files: the drawn sample, and the face detector trained on drawn scenes."""
