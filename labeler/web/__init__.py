"""Class pages in the browser: one dataset, several people, without Qt."""
