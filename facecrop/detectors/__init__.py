"""The detectors there are, by name; those of other packages are asked for by theirs.

Looking at this tuple loads no detector's library: that happens when one is built.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast

from facecrop.detectors.animeface import AnimeFace
from facecrop.detectors.animeface_docker import AnimeFaceDocker
from facecrop.detectors.base import Detector, Pixels
from facecrop.detectors.drawnface import DrawnFace
from facecrop.detectors.lbpcascade import LbpCascade
from facecrop.detectors.onnx import OnnxModel
from facecrop.detectors.whole import Whole
from facecrop.plugin_detector import PluginDetector
from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import answerable, load_plugin, made_by, plugin_names

__all__ = [
    "DETECTORS",
    "Detector",
    "DetectorSpec",
    "Pixels",
    "Setting",
    "checked_detector_class",
    "detector_class",
    "detector_named",
]

DETECTORS: tuple[type[Detector], ...] = (
    AnimeFace,
    AnimeFaceDocker,
    DrawnFace,
    LbpCascade,
    OnnxModel,
    Whole,
)

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

_T = TypeVar("_T")


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
            _known(setting, f"setting of {name}", options)
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
    known = {detector.name: detector for detector in DETECTORS}
    other = None if name in known else load_plugin("detectors", name, checked_detector_class)
    if other is None and name in NO_MORE:
        raise UsageError(f"there is no detector {name} any more", NO_MORE[name])
    return other or _known(name, "detector", known, plugin_names("detectors", known))


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


def _known(name: str, kind: str, table: dict[str, _T], more: Iterable[str] = ()) -> _T:
    if name in table:
        return table[name]
    raise UsageError(f"there is no {kind} called {name!r}", _suggestion(name, {*table, *more}))


def _suggestion(name: str, names: Iterable[str]) -> str:
    known = sorted(names)
    there_are = "there are: " + ", ".join(known) if known else "it has none"
    guess = did_you_mean(name, known)
    return f"{guess}({there_are})" if guess else there_are
