"""The page that recognizes the classes in an image, and its REST API."""
