"""Google: results in `source`, the browser in `browser`, parsing in `page`."""

from harvest.sources.google.source import Google

__all__ = ["Google"]
