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
    plugins = [
        plugin for plugin in list_plugins(kind, reserved=()) if plugin.name == name
    ]
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
    except Changed as error:
        # The hint names the package that reads the site, if that is not ours.
        package = get_plugin_package(kind, name)
        if package:
            error.fix = f"pip install --upgrade {package.partition(' ')[0]}"
        raise
    except GleansetError:
        raise
    except Exception as error:
        package = get_plugin_package(kind, name)
        if not package:
            raise
        log.debug("%s failed", package, exc_info=error)
        # Kinds are plurals, such as sources.
        message = f"the {kind[:-1]} {name} of {package} failed: {describe_error(error)}"
        raise GleansetError(
            message, f"report it to the authors of {package}"
        ) from error


@cache
def _load(plugin: Plugin, check: Callable[[str, Any], T]) -> T:
    try:
        with redirect_stdout(sys.stderr):  # stdout is reserved for results
            result = check(plugin.name, plugin.entry.load())
    except (Exception, SystemExit) as error:
        log.debug("%s cannot be loaded", plugin.made_by, exc_info=error)
        kind = plugin.kind.removesuffix("s")
        package = plugin.made_by.partition(" ")[0]
        raise UsageError(
            f"the {kind} {plugin.name} of {plugin.made_by} cannot be used: "
            f"{describe_error(error)}",
            f"pip install --upgrade {package}, or uninstall it",
        ) from error
    _loaded[plugin.kind, plugin.name] = plugin.made_by
    return result


@cache
def find_plugins() -> list[Plugin]:
    """List the plugins of all packages; skip broken entry points."""
    # Imported here: the import is slower than many commands.
    from importlib.metadata import distributions

    plugins: dict[tuple[str, str], Plugin] = {}
    for package in distributions():
        try:
            for plugin in _list_plugins_of(package):
                # The first package on the path is the one that would be imported.
                plugins.setdefault((plugin.kind, plugin.name), plugin)
        except Exception:
            log.debug("a package has entry points that cannot be read", exc_info=True)
    return [plugins[key] for key in sorted(plugins)]


def _list_plugins_of(package: Any) -> Iterator[Plugin]:
    # Parsing the entry points of all packages takes longer than looking for this text.
    if "[gleanset." not in (package.read_text("entry_points.txt") or ""):
        return
    for entry in package.entry_points:
        prefix, _, kind = entry.group.partition(".")
        is_kind = prefix == "gleanset" and kind in RESERVED_NAMES
        if is_kind and NAME.fullmatch(entry.name):
            yield Plugin(
                kind,
                entry.name,
                f"{package.name} {package.version}",
                entry,
            )
