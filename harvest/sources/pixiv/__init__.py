"""Pixiv: `source` is what it finds, `api` how it is asked, `login` how an account is got."""

from harvest.sources.pixiv.source import Pixiv

__all__ = ["Pixiv"]
