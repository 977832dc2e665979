"""Image search sites by name: those in `harvest/source_names.py` and those of plugins."""

from pkgutil import resolve_name
from typing import Any

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import list_plugin_names, load_plugin
from harvest.source_names import SOURCES
from harvest.sources.base import Endpoint, Option, Pages, Query, Source, changed_error


def load_source(name: str) -> Source:
    """Return the source with this name. Raises `UsageError` that suggests the nearest one."""
    if name in SOURCES:
        builtin: Source = resolve_name(SOURCES[name])()
        return builtin
    if source := load_plugin("sources", name, check_source_class):
        return source
    names = [*SOURCES, *list_plugin_names("sources", SOURCES)]
    guess = did_you_mean(name, names, "did you mean {}? ")
    raise UsageError(
        f"unknown source: {name}", f"{guess}use one of: {', '.join(names)}"
    )


def check_source_class(name: str, source_class: Any) -> Source:
    """Return an instance of a plugin's source class. Raises `TypeError` for an invalid one."""
    if not (isinstance(source_class, type) and issubclass(source_class, Source)):
        raise TypeError("it is not a subclass of harvest.sources.Source")
    source = source_class()
    if getattr(source, "name", None) != name:
        raise TypeError(f"its name is {getattr(source, 'name', None)!r}")
    if not isinstance(getattr(source, "example", None), str):
        raise TypeError("it has no example, a word for which it finds images")

    options = getattr(source, "options", None)
    if not (
        isinstance(options, tuple)
        and all(isinstance(option, Option) for option in options)
    ):
        raise TypeError("its options are not a tuple of Option")
    return source


__all__ = [
    "Endpoint",
    "Option",
    "Pages",
    "Query",
    "Source",
    "changed_error",
    "check_source_class",
    "load_source",
]
