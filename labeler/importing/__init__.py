"""Importing labelled images: class folders, files of other tools, exports with moved images."""
