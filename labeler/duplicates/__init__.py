"""Duplicates: found by exact searches over hashes, confirmed on the pixels, the best one kept."""
