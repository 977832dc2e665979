# Part of Gleanset. (gleanset/start.py looks for this line.)
"""Getting images in: folders, URL lists, search keywords, video frames."""
