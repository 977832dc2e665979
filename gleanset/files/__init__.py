"""Files on disk: atomic writes, the content-addressed store, downloads, names."""
