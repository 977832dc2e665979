"""Google: `source` is what it finds, `browser` how it is asked, `page` how its pages are read."""

from harvest.sources.google.source import Google

__all__ = ["Google"]
