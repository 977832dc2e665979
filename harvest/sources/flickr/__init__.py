"""Flickr: `source` is what it finds, `api` how it is asked, `login` how its key is kept."""

from harvest.sources.flickr.source import Flickr

__all__ = ["Flickr"]
