"""Splitting moments into parts: what is wished for, where each goes, how close that comes."""
