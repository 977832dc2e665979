# Part of Gleanset. (gleanset/start.py looks for this line.)
"""Decisions, splits and exports: the labeler's core, without a window."""
