"""Bytes on disk: atomic writes and the store in which a file is known by its hash."""
