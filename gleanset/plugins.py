"""Plugins: sources, detectors, presets and export formats of other packages, by entry points.

The entry point groups are `gleanset.sources` and so on (docs/extending.md). A package is imported
only when its plugin is requested by name; errors of a plugin name its package.
"""

import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from typing import Any, NamedTuple, TypeVar

from gleanset.errors import Changed, GleansetError, UsageError
from gleanset.terminal import describe_error

T = TypeVar("T")
log = logging.getLogger("gleanset.plugins")

# Names that have another meaning in options and files.
RESERVED_NAMES = {
    "sources": ("archive", "dropped", "folder", "import", "urls", "video", "web"),
    "detectors": ("auto", "hand", "hub"),
    "presets": ("auto",),
    "exports": (),
}
NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_loaded: dict[tuple[str, str], str] = {}


class Plugin(NamedTuple):
    """A plugin; `made_by` is its package and version, `entry` its `EntryPoint`."""

    kind: str
    name: str
    made_by: str
    entry: Any


def list_plugins(kind: str, reserved: Iterable[str]) -> list[Plugin]:
    """List plugins of a kind, except `reserved` names, without importing them."""
    own = {*reserved, *RESERVED_NAMES[kind]}
    return [
        plugin
        for plugin in find_plugins()
        if plugin.kind == kind and plugin.name not in own
    ]


def list_plugin_names(kind: str, reserved: Iterable[str]) -> list[str]:
    """List the names of `list_plugins`."""
    return [plugin.name for plugin in list_plugins(kind, reserved)]


def get_plugin_package(kind: str, name: str) -> str:
    """Return package and version of a loaded plugin; '' for Gleanset's."""
    return _loaded.get((kind, name), "")


def load_plugin(kind: str, name: str, check: Callable[[str, Any], T]) -> T | None:
    """Load a plugin and return `check(name, object)`. Raises `UsageError` with its package."""
    plugins = [plugin for plugin in list_plugins(kind, ()) if plugin.name == name]
    return _load(plugins[0], check) if plugins else None


def try_plugins(
    kind: str, reserved: Iterable[str], check: Callable[[str, Any], T]
) -> Iterator[tuple[Plugin, T | None, UsageError | None]]:
    """Load all plugins of a kind; yield each with object or error."""
    for plugin in list_plugins(kind, reserved):
        try:
            yield plugin, _load(plugin, check), None
        except UsageError as error:
            yield plugin, None, error


@contextmanager
def attribute_errors(kind: str, name: str) -> Iterator[None]:
    """Name the plugin's package in errors raised in the block."""
    try:
        yield
    except GleansetError as error:
        if isinstance(error, Changed) and (package := get_plugin_package(kind, name)):
            error.fix = f"pip install --upgrade {package.partition(' ')[0]}"
        raise
    except Exception as error:
        if not (package := get_plugin_package(kind, name)):
            raise
        log.debug("%s failed", package, exc_info=error)
        message = f"the {kind[:-1]} {name} of {package} failed: {describe_error(error)}"
        raise GleansetError(
            message, f"report it to the authors of {package}"
        ) from error


@cache
def _load(plugin: Plugin, check: Callable[[str, Any], T]) -> T:
    try:
        with redirect_stdout(sys.stderr):  # stdout is reserved for results
            loaded = check(plugin.name, plugin.entry.load())
    except (Exception, SystemExit) as error:
        log.debug("%s cannot be loaded", plugin.made_by, exc_info=error)
        message = (
            f"the {plugin.kind[:-1]} {plugin.name} of {plugin.made_by} cannot be used"
        )
        hint = (
            f"pip install --upgrade {plugin.made_by.partition(' ')[0]}, or uninstall it"
        )
        raise UsageError(f"{message}: {describe_error(error)}", hint) from error
    _loaded[plugin.kind, plugin.name] = plugin.made_by
    return loaded


@cache
def find_plugins() -> list[Plugin]:
    """List the plugins of all packages; skip broken entry points."""
    from importlib.metadata import (
        distributions,
    )  # the import is slower than many commands

    plugins: dict[tuple[str, str], Plugin] = {}
    for package in distributions():
        try:
            if "[gleanset." not in (package.read_text("entry_points.txt") or ""):
                continue
            for entry in package.entry_points:
                prefix, _, kind = entry.group.partition(".")
                if (
                    prefix == "gleanset"
                    and kind in RESERVED_NAMES
                    and NAME.fullmatch(entry.name)
                ):
                    made_by = f"{package.name} {package.version}"
                    plugins.setdefault(
                        (kind, entry.name), Plugin(kind, entry.name, made_by, entry)
                    )
        except Exception:
            log.debug("a package has entry points that cannot be read", exc_info=True)
    return [plugins[key] for key in sorted(plugins)]
