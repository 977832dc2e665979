"""Sorting samples into classes: sessions that a window, a command and a test drive alike."""
