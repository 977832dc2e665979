"""Registry of export formats, built-in and from plugins."""

from typing import Any, get_args

from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import list_plugin_names, load_plugin
from labeler.export.formats.base import ExportFormat, ImageLayout
from labeler.export.formats.builtin import FORMATS

__all__ = [
    "FORMATS",
    "ExportFormat",
    "check_plugin_format",
    "find_format",
    "get_format",
]


def get_format(name: str) -> ExportFormat:
    """Return a built-in format or one of a plugin. Raises `UsageError`."""
    if form := FORMATS.get(name) or load_plugin("exports", name, check_plugin_format):
        return form
    names = [*FORMATS, *list_plugin_names("exports", FORMATS)]
    hint = did_you_mean(name, names, "Did you mean {}? ")
    raise UsageError(
        f"there is no format called {name!r}",
        f"{hint}use one of: {', '.join(names)}",
    )


def find_format(name: object) -> ExportFormat | None:
    """Return the format named in a marker; None if it is missing or not installed."""
    try:
        return get_format(str(name))
    except UsageError:
        return None


def check_plugin_format(name: str, plugin: Any) -> ExportFormat:
    """Return a plugin's format. Raises `TypeError` if it is not valid."""
    if not isinstance(plugin, ExportFormat):
        raise TypeError("it is not a labeler.export.formats.ExportFormat")
    if plugin.layout not in get_args(ImageLayout):
        raise TypeError(f"its layout is {plugin.layout!r}, not {get_args(ImageLayout)}")
    is_sharded = plugin.layout == "shards"
    if is_sharded != (plugin.open_shard is not None) or (
        is_sharded and plugin.write is not None
    ):
        raise TypeError("open_shard is for shards, and write for all other formats")
    return plugin
