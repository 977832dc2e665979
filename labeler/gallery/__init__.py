"""The gallery: every class with its faces and a map of likeness, as a page to look through."""
