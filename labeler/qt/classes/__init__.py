"""The classes: the list at the left, their keys, their table of numbers."""
