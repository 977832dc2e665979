"""Draws the sample that comes along: characters, pictures, a clip, and what its site answers."""
