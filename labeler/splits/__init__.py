"""Splitting a dataset by groups: specification, allocation, plan."""
