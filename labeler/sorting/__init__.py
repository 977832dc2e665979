"""Sorting samples into classes: sessions without Qt, for windows, commands and tests."""
