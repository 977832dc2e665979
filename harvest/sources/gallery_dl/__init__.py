"""gallery-dl: `source` is what it finds, `extraction` runs it, `records` has it in our words."""

from harvest.sources.gallery_dl.source import GalleryDl

__all__ = ["GalleryDl"]
