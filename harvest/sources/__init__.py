"""Every site we know, registered by hand: one file or package and one line here for each."""

from __future__ import annotations

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from harvest.sources.base import Option, Pages, Query, Source
from harvest.sources.bing import Bing
from harvest.sources.flickr import Flickr
from harvest.sources.gallery_dl import GalleryDl
from harvest.sources.google import Google
from harvest.sources.pixiv import Pixiv

SOURCES: tuple[Source, ...] = (
    Bing(),
    Flickr(),
    GalleryDl(),
    Google(),
    Pixiv(),
)


def source_named(name: str) -> Source:
    """Return the source called `name`. Raises `UsageError` that names the nearest one."""
    known = {source.name: source for source in SOURCES}
    if name in known:
        return known[name]
    hint = did_you_mean(name, known, "Did you mean {}? ")
    raise UsageError(f"There is no source called {name!r}.", f"{hint}Known: {', '.join(known)}.")


__all__ = ["SOURCES", "Option", "Pages", "Query", "Source", "source_named"]
