"""Decisions, splits and exports: the labeler's core, without a window."""
