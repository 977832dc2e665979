"""Detectors by name: those of `facecrop/detector_names.py`, and those of plugins."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Any, Self, cast

from facecrop.detector_names import DETECTORS
from facecrop.detectors.base import Detector, Pixels
from facecrop.plugin_detector import PluginDetector
from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import answerable, load_plugin, made_by, plugin_names

__all__ = [
    "Detector",
    "DetectorSpec",
    "Pixels",
    "Setting",
    "checked_detector_class",
    "detector_class",
    "detector_named",
]

Setting = str | float
"""A setting's value: as read from a command line, or as a number."""

NO_MORE = {
    "ensemble": (
        "take drawnface, which finds more in an eighth of the time: --detector drawnface, also "
        "where a file names ensemble. It searches all pictures of a dataset anew, with --new only "
        "those that nobody searched, and what was decided stays; a model is shown its faces"
    ),
}
"""Detectors that datasets, recipes and models of before may name, and what takes their place."""


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """A detector's name and settings: small, picklable, built where it is needed."""

    name: str
    settings: tuple[tuple[str, Setting], ...] = ()

    @classmethod
    def of(cls, name: str, **settings: Setting) -> Self:
        """Check the name and the settings' names. Raises `UsageError`."""
        options = dict(inspect.signature(detector_class(name)).parameters)
        for setting in settings:
            if setting not in options:
                raise _unknown(f"setting of {name}", setting, options)
        return cls(name, tuple(sorted(settings.items())))

    def build(self) -> Detector:
        """Give the detector, the same one for equal specs within a process.

        Raises `UsageError` for a bad value, `MissingComponent` where it cannot work here.
        """
        return _built(self)

    @property
    def recorded(self) -> str:
        """The settings as they are recorded, with the version of another package's detector.

        Its next one may find other faces, as one of our own with other settings may.
        """
        own, package = self.build().settings, made_by("detectors", self.name)
        return f"{own} plugin={package.replace(' ', '==')}".lstrip() if package else own


def detector_class(name: str) -> type[Detector]:
    """Return the class of that name, ours or another package's. Raises `UsageError`."""
    if name in DETECTORS:
        own: type[Detector] = resolve_name(DETECTORS[name])
        return own
    if (other := load_plugin("detectors", name, checked_detector_class)) is not None:
        return other
    if name in NO_MORE:
        raise UsageError(f"there is no detector {name} any more", NO_MORE[name])
    raise _unknown("detector", name, [*DETECTORS, *plugin_names("detectors", DETECTORS)])


def checked_detector_class(name: str, brought: Any) -> type[Detector]:
    """Return what another package calls a detector. Raises `TypeError` where it is none."""
    if not (isinstance(brought, type) and callable(getattr(brought, "detect", None))):
        raise TypeError("it is no class with a method detect")
    if getattr(brought, "name", None) != name:
        raise TypeError(f"its name is {getattr(brought, 'name', None)!r}, and not that")
    if not hasattr(brought, "settings"):
        raise TypeError("it has no settings")
    for setting in inspect.signature(brought).parameters.values():
        if setting.kind is not setting.POSITIONAL_OR_KEYWORD or setting.default is setting.empty:
            raise TypeError(f"its setting {setting.name} has no default")
    detector: type[Detector] = brought
    return detector


def detector_named(name: str, **settings: Setting) -> Detector:
    """Build the detector of that name. Raises what `DetectorSpec` raises."""
    return DetectorSpec.of(name, **settings).build()


@functools.cache
def _built(spec: DetectorSpec) -> Detector:
    made: Callable[..., Detector] = detector_class(spec.name)
    with answerable("detectors", spec.name):
        detector = made(**dict(spec.settings))
    package = made_by("detectors", spec.name)
    # Its name is that of what it holds, and not of its class.
    return cast(Detector, PluginDetector(detector, package)) if package else detector


def _unknown(kind: str, name: str, names: Iterable[str]) -> UsageError:
    known = sorted(names)
    there_are = "there are: " + ", ".join(known) if known else "it has none"
    guess = did_you_mean(name, known)
    hint = f"{guess}({there_are})" if guess else there_are
    return UsageError(f"there is no {kind} called {name!r}", hint)
