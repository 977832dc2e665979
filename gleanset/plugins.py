"""What other packages bring: sources, detectors, presets and formats of exports.

They are named by entry points (`gleanset.sources` and so on; docs/extending.md is the contract). A
registry asks here only for a name that it does not have itself, and nothing of a package is
imported before it is asked for by name. What cannot be used is left out, with its reason, whatever
is wrong with it: no command ends because of a package that it does not need.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from itertools import chain
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from gleanset.control_characters import replace_controls
from gleanset.errors import Changed, GleansetError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

T = TypeVar("T")
log = logging.getLogger("gleanset.plugins")

CONTRACTS = {"sources": (1,), "detectors": (1,), "presets": (1,), "exports": (1,)}
"""The kinds of plugins, and which versions of the contract of each are understood here."""

RESERVED = {
    "sources": ("archive", "dropped", "folder", "import", "urls", "video", "web"),
    "detectors": ("auto", "hand", "hub"),
    "presets": ("auto",),
    "exports": (),
}
"""Words that mean something else where such a name stands."""

MARK = "GLEANSET_CONTRACT"
"""What a plugin's module calls the version that it was written for."""

WAIT = "GLEANSET_PLUGIN_SECONDS"
SECONDS = 30.0
"""How long a plugin may take to load, where `WAIT` does not say so; with 0 there are none."""

_NAME = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
_LONGEST_NAME = 40
_PACKAGE = re.compile(r"[A-Za-z0-9._-]+")
_VERSION = re.compile(r"[A-Za-z0-9.+!_-]+")
_PLACE = re.compile(r"(\w+(?:\.\w+)*):(\w+(?:\.\w+)*)")


@dataclass(frozen=True, slots=True)
class Plugin:
    """One entry point of a package; `trouble` is why it is left out, empty where nothing is known.

    `place` is where it lies, as MODULE:NAME.
    """

    kind: str
    name: str
    package: str
    version: str
    place: str
    trouble: str = ""

    @property
    def made_by(self) -> str:
        """The package with its version, as records have it."""
        return f"{self.package} {self.version}"

    @property
    def shown(self) -> str:
        """Its name as it may stand on a terminal, whatever a package calls it."""
        short = len(self.name) <= _LONGEST_NAME
        return self.name if short and _NAME.fullmatch(self.name) else ascii(self.name[:60])

    @property
    def mend(self) -> str:
        """What helps where it is left out."""
        return f"pip install --upgrade {self.package}, or pip uninstall {self.package}"


def plugins_of(kind: str, taken: Iterable[str]) -> list[Plugin]:
    """Return all of a kind by name, without importing one; no name that is `taken` is theirs."""
    ours = {_alike(name) for name in (*taken, *RESERVED[kind])}
    clash = "that name is one of Gleanset's own"
    return [
        replace(plugin, trouble=clash) if _alike(plugin.name) in ours else plugin
        for plugin in _declared(kind)
    ]


def plugin_names(kind: str, taken: Iterable[str]) -> list[str]:
    """Return the names of those that nothing is known against."""
    return [plugin.name for plugin in plugins_of(kind, taken) if not plugin.trouble]


def plugin_words(kind: str, taken: Callable[[], Iterable[str]]) -> str:
    """Return what the help of an option says of them, and warn of those that are left out."""
    listed = plugins_of(kind, taken())
    for plugin in listed:
        if plugin.trouble:
            log.error("%s", left_out(plugin).what)
    words = [f"{plugin.name} ({plugin.made_by})" for plugin in listed if not plugin.trouble]
    return f"Of other packages: {', '.join(words)}." if words else ""


def made_by(kind: str, name: str) -> str:
    """Return the package and version of what was loaded under a name; empty for what is ours."""
    return next((used.made_by for used in _USED if (used.kind, used.name) == (kind, name)), "")


def load_plugin(kind: str, name: str, check: Callable[[str, Any], T]) -> T | None:
    """Return what a package brings under that name, as `check` makes it; None where none does.

    `check` is told the name and what lies there, and raises what is wrong with it. Raises
    `UsageError` where that is left out.
    """
    plugin = next((found for found in plugins_of(kind, ()) if found.name == name), None)
    if plugin is None:
        return None
    value, trouble = _outcome(plugin, check)
    if trouble:
        raise left_out(replace(plugin, trouble=trouble))
    loaded: T = value
    return loaded


def tried_plugins(
    kind: str, taken: Iterable[str], check: Callable[[str, Any], T]
) -> Iterator[tuple[Plugin, T | None, str]]:
    """Yield all of a kind by name, each with what it is, or else why it is left out."""
    for plugin in plugins_of(kind, taken):
        yield plugin, *_outcome(plugin, check)


def left_out(plugin: Plugin) -> UsageError:
    """Return the error that says which plugin is left out, and why."""
    what = f"the {plugin.kind[:-1]} {plugin.shown} of {plugin.made_by} is left out"
    return UsageError(f"{what}: {plugin.trouble}", plugin.mend)


@contextmanager
def answerable(kind: str, name: str) -> Iterator[None]:
    """Name the package behind `name` in what goes wrong within it, and where its site has changed.

    Other errors that have a mend stay as they are, and what Gleanset brings itself fails as ever.
    """
    try:
        yield
    except GleansetError as error:
        if isinstance(error, Changed) and (package := made_by(kind, name).partition(" ")[0]):
            error.mend = f"pip install --upgrade {package}, or do without it until it is mended"
        raise
    except Exception as error:
        if not (package := made_by(kind, name)):
            raise
        what = f"the {kind[:-1]} {name} of {package} failed: {in_words(error)}"
        log.debug("%s failed", package, exc_info=error)
        raise GleansetError(what, f"tell whoever made {package}, or do without it") from error


def installed_plugins() -> dict[str, str]:
    """Return the version of every package that brings a plugin."""
    return {found.package: found.version for kind in CONTRACTS for found in _declared(kind)}


def used_plugins() -> dict[str, str]:
    """Return the same of those that this process has imported."""
    return {plugin.package: plugin.version for plugin in _USED}


_USED: list[Plugin] = []


@cache
def _outcome(plugin: Plugin, check: Callable[[str, Any], Any]) -> tuple[Any, str]:
    """Return what a plugin is, or what is wrong with it."""
    if plugin.trouble:
        return None, plugin.trouble
    outcomes: list[tuple[Any, str]] = []

    def work() -> None:
        try:
            outcomes.append((check(plugin.name, _imported(plugin)), ""))
        except BaseException as error:  # also one that wants to end the program
            log.debug("%s cannot be loaded", plugin.made_by, exc_info=error)
            outcomes.append((None, in_words(error)))

    thread, seconds = Thread(target=work, name=f"plugin {plugin.name}", daemon=True), _seconds()
    # What it prints as it loads is not what a command answers.
    with redirect_stdout(sys.stderr):
        thread.start()
        thread.join(seconds)
    value, trouble = next(iter(outcomes), (None, f"it takes more than {seconds:g} s to load"))
    if not trouble:
        _USED.append(plugin)
    return value, trouble


def _imported(plugin: Plugin) -> Any:
    module_name, _, path = plugin.place.partition(":")
    module = import_module(module_name)
    version = getattr(module, MARK, None)
    if version not in (known := CONTRACTS[plugin.kind]):
        wanted = " or ".join(map(str, known))
        raise TypeError(
            f"it says {MARK} = {version!r}, and this Gleanset understands {wanted}"
            if version is not None
            else f"{module_name} says no {MARK}; this Gleanset understands {wanted}"
        )
    value: Any = module
    for name in path.split("."):
        value = getattr(value, name)
    return value


def _seconds() -> float:
    try:
        seconds = float(os.environ.get(WAIT, SECONDS))
    except ValueError:
        return SECONDS
    return seconds if 0 <= seconds <= 3600 else SECONDS


@cache
def _declared(kind: str) -> tuple[Plugin, ...]:
    """Return those of a kind by name; of two with one name neither can take the other's place."""
    listed = sorted(
        (plugin for plugin in _all_declared() if plugin.kind == kind),
        key=lambda plugin: (plugin.name, plugin.package),
    )
    packages: dict[str, list[str]] = {}
    for plugin in listed:
        packages.setdefault(_alike(plugin.name), []).append(plugin.made_by)
    return tuple(
        replace(plugin, trouble=f"{' and '.join(alike)} bring that name")
        if len(alike := packages[_alike(plugin.name)]) > 1 and not plugin.trouble
        else plugin
        for plugin in listed
    )


@cache
def _all_declared() -> tuple[Plugin, ...]:
    """Read the entry points of all packages, once a process."""
    if not _seconds():
        return ()
    from importlib.metadata import distributions  # takes longer than many a command

    brought: dict[str, tuple[Plugin, ...]] = {}
    for package in distributions():
        text = ""
        with suppress(OSError, ValueError):  # one that cannot be read brings nothing to anybody
            text = package.read_text("entry_points.txt") or ""
        if "[gleanset." in text:
            # The first on the path is the one that would be imported.
            name = _alike(_told(package, "name"))
            brought.setdefault(name, tuple(_plugins_in(package, text)))
    return tuple(chain.from_iterable(brought.values()))


def _plugins_in(package: Distribution, text: str) -> Iterator[Plugin]:
    name, version = _told(package, "name"), _told(package, "version")
    named = _PACKAGE.fullmatch(name) is not None and _VERSION.fullmatch(version) is not None
    if not named:
        name, version = ascii(name[:60]), ascii(version[:60])
    try:
        entries = [
            (entry.group.removeprefix("gleanset."), entry.name, entry.value)
            for entry in package.entry_points
            if entry.group.startswith("gleanset.")
        ]
    except Exception:  # a line that says nothing: what it brings cannot be known
        why = "its entry_points.txt cannot be read"
        kinds = (kind for kind in CONTRACTS if f"[gleanset.{kind}]" in text)
        yield from (Plugin(kind, "?", name, version, "", why) for kind in kinds)
        return
    for kind, called, place in entries:
        if kind in CONTRACTS:
            trouble = _trouble(called, place) if named else "its package has no name and version"
            yield Plugin(kind, called, name, version, place, trouble)


def _told(package: Distribution, what: str) -> str:
    try:
        return str(getattr(package, what))
    except Exception:  # what a package does not say of itself is an error since Python 3.12
        return "?"


def _trouble(name: str, place: str) -> str:
    """Say what is wrong with what an entry point says, before anything of it is imported."""
    if not (_NAME.fullmatch(name) and len(name) <= _LONGEST_NAME):
        return (
            f"a name has small letters, digits, - and _, begins with a letter, and has at most "
            f"{_LONGEST_NAME} of them"
        )
    if not _PLACE.fullmatch(place):
        return f"it lies at {place[:60]!a}, which is not MODULE:NAME"
    return ""


def _alike(name: str) -> str:
    """Return a name as all are that a person or a file system could take for it."""
    return re.sub(r"[-_.]+", "-", name).casefold()


def in_words(error: BaseException) -> str:
    """Return an error as it may stand on a terminal, whatever a package says in it."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    shown = replace_controls(text, "?")[:300]
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
