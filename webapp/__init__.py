"""The page that says who is in a picture, and the REST API behind it."""
