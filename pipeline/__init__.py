# Part of Gleanset. (gleanset/start.py looks for this line.)
"""The `gleanset` command: the one room that calls every stage."""
