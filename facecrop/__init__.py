# Part of Gleanset. (gleanset/start.py looks for this line.)
"""Detection of faces in images, and cropping them as samples."""
