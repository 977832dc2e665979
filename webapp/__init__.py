# Part of Gleanset. (gleanset/start.py looks for this line.)
"""The page that recognizes the classes in an image, and its REST API."""
