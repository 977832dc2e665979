"""Every site we know, registered by hand: one file or package and one line here for each.

Sites that another package knows are asked for by their names.
"""

from __future__ import annotations

from typing import Any

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import load_plugin, plugin_names
from harvest.sources.base import Endpoint, Option, Pages, Query, Source, changed
from harvest.sources.bing import Bing
from harvest.sources.flickr import Flickr
from harvest.sources.google import Google
from harvest.sources.pixiv import Pixiv

SOURCES: tuple[Source, ...] = (
    Bing(),
    Flickr(),
    Google(),
    Pixiv(),
)


def source_named(name: str) -> Source:
    """Return the source called `name`. Raises `UsageError` that names the nearest one."""
    known = {source.name: source for source in SOURCES}
    if source := known.get(name) or load_plugin("sources", name, checked_source):
        return source
    if name == "gallery_dl":
        raise UsageError(
            "gallery_dl is not a source any more", "use: gallery-dl -j URL | harvest urls -"
        )
    names = [*known, *plugin_names("sources", known)]
    hint = did_you_mean(name, names, "Did you mean {}? ")
    raise UsageError(f"There is no source called {name!r}.", f"{hint}Known: {', '.join(names)}.")


def checked_source(name: str, brought: Any) -> Source:
    """Return the source that another package's class makes. Raises `TypeError` where it is none."""
    if not (isinstance(brought, type) and issubclass(brought, Source)):
        raise TypeError("it is no class that inherits from harvest.sources.Source")
    source = brought()
    if getattr(source, "name", None) != name:
        raise TypeError(f"its name is {getattr(source, 'name', None)!r}, and not that")
    if not isinstance(getattr(source, "example", None), str):
        raise TypeError("it has no example, a word that it finds pictures for")
    options = getattr(source, "options", None)
    if not (isinstance(options, tuple) and all(isinstance(one, Option) for one in options)):
        raise TypeError("its options are no tuple of Option")
    return source


__all__ = [
    "SOURCES",
    "Endpoint",
    "Option",
    "Pages",
    "Query",
    "Source",
    "changed",
    "checked_source",
    "source_named",
]
