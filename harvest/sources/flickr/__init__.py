"""Flickr: results in `source`, calls and login in `api`."""

from harvest.sources.flickr.source import Flickr

__all__ = ["Flickr"]
