"""Splitting a dataset by moments: the specification, the allocation, the plan."""
