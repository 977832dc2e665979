"""Parallel execution over many items, and locks of stages."""
