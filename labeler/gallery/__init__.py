"""The gallery: every class with its faces, as a page to look through."""
