"""Quality flags: numbers that tell which samples to look at first. Nothing is decided by them."""
