"""Gallery pages with the faces of each class."""
