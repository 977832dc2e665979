"""Detectors by name: those of `facecrop/detector_names.py`, and those of plugins."""

import functools
import inspect
from collections.abc import Callable, Iterable
from pkgutil import resolve_name
from typing import Any, NamedTuple, Self, cast

from facecrop.detector_names import DETECTORS
from facecrop.detectors.base import Detector
from facecrop.plugin_detector import PluginDetector
from gleanset.arrays import Pixels
from gleanset.config import did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import (
    attribute_errors,
    get_plugin_package,
    list_plugin_names,
    load_plugin,
)

__all__ = [
    "Detector",
    "DetectorSpec",
    "Pixels",
    "Setting",
    "check_detector_class",
    "find_detector_class",
]

Setting = str | float
"""Value of a setting: text of the command line, or a number."""

REMOVED_DETECTORS = {
    "ensemble": (
        "use --detector drawnface, which finds more in an eighth of the time. It searches all "
        "images again (with --new only new ones); labels stay"
    ),
}
"""Detectors in old datasets, recipes and models, and their replacements."""


class DetectorSpec(NamedTuple):
    """Name and settings of a detector; small, picklable, and built on use."""

    name: str
    settings: tuple[tuple[str, Setting], ...] = ()

    @classmethod
    def create(cls, name: str, **settings: Setting) -> Self:
        """Create a spec. Raises `UsageError` for an unknown name or setting."""
        options = dict(inspect.signature(find_detector_class(name)).parameters)
        for setting in settings:
            if setting not in options:
                raise _unknown(f"setting of {name}", setting, options)
        return cls(name, tuple(sorted(settings.items())))

    def build(self) -> Detector:
        """Return the detector, one per process for equal specs.

        Raises `UsageError` for an invalid value, `MissingComponent` if it cannot work here.
        """
        return _build_cached(self)

    @property
    def settings_text(self) -> str:
        """The settings as recorded, for plugins with the version of their package."""
        settings = self.build().settings
        package = get_plugin_package("detectors", self.name)
        # Settings may be empty, so what follows begins with a space.
        if package:
            settings += f" plugin={package.replace(' ', '==')}"
        return settings.lstrip()


def find_detector_class(name: str) -> type[Detector]:
    """Return a detector class, also of a plugin. Raises `UsageError`."""
    if name in DETECTORS:
        detector: type[Detector] = resolve_name(DETECTORS[name])
        return detector

    plugin = load_plugin("detectors", name, check_detector_class)
    if plugin is not None:
        return plugin
    if name in REMOVED_DETECTORS:
        raise UsageError(f"detector removed: {name}", REMOVED_DETECTORS[name])
    names = [*DETECTORS, *list_plugin_names("detectors", DETECTORS)]
    raise _unknown("detector", name, names)


def check_detector_class(name: str, plugin: Any) -> type[Detector]:
    """Return the detector class of a plugin after checks. Raises `TypeError`."""
    if not (isinstance(plugin, type) and callable(getattr(plugin, "detect", None))):
        raise TypeError("it is not a class with a method detect")
    plugin_name = getattr(plugin, "name", None)
    if plugin_name != name:
        raise TypeError(f"its name is {plugin_name!r}, and not that")
    if not hasattr(plugin, "settings"):
        raise TypeError("it has no settings")

    for setting in inspect.signature(plugin).parameters.values():
        is_keyword = setting.kind is setting.POSITIONAL_OR_KEYWORD
        if not is_keyword or setting.default is setting.empty:
            raise TypeError(f"its setting {setting.name} has no default")
    return plugin


@functools.cache
def _build_cached(spec: DetectorSpec) -> Detector:
    detector_class: Callable[..., Detector] = find_detector_class(spec.name)
    with attribute_errors("detectors", spec.name):
        detector = detector_class(**dict(spec.settings))
    package = get_plugin_package("detectors", spec.name)
    # A cast, because the name of PluginDetector is not a class variable.
    return cast(Detector, PluginDetector(detector, package)) if package else detector


def _unknown(kind: str, name: str, names: Iterable[str]) -> UsageError:
    choices = sorted(names)
    fix = f"use one of: {', '.join(choices)}" if choices else "it has none"
    guess = did_you_mean(name, choices)
    if guess:
        fix = f"{guess}({fix})"
    return UsageError(f"unknown {kind}: {name!r}", fix)
