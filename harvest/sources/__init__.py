"""Image search sites by name: those of `harvest/source_names.py`, and those of plugins."""

from __future__ import annotations

from functools import cache
from pkgutil import resolve_name
from typing import Any

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import load_plugin, plugin_names
from harvest.source_names import SOURCES
from harvest.sources.base import Endpoint, Option, Pages, Query, Source, changed


def load_source(name: str) -> Source:
    """Return the source called `name`. Raises `UsageError` that names the nearest one."""
    if name in SOURCES:
        return _own(name)
    if source := load_plugin("sources", name, check_source_class):
        return source
    if name == "gallery_dl":
        raise UsageError(
            "gallery_dl is not a source any more", "use: gallery-dl -j URL | harvest urls -"
        )
    names = [*SOURCES, *plugin_names("sources", SOURCES)]
    hint = did_you_mean(name, names, "Did you mean {}? ")
    raise UsageError(f"There is no source called {name!r}.", f"{hint}Known: {', '.join(names)}.")


@cache
def _own(name: str) -> Source:
    source: Source = resolve_name(SOURCES[name])()
    return source


def check_source_class(name: str, brought: Any) -> Source:
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
    "Endpoint",
    "Option",
    "Pages",
    "Query",
    "Source",
    "changed",
    "check_source_class",
    "load_source",
]
