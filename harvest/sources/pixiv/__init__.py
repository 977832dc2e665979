"""Pixiv: results in `source`, calls in `api`, login in `login`."""

from harvest.sources.pixiv.source import Pixiv

__all__ = ["Pixiv"]
