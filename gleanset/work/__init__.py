"""Running one function over many items, and one stage at a time."""
