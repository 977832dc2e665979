"""Detectors and their settings as they are written on a command line.

`-o lbpcascade.neighbors=3` sets one setting of one detector, `--cascade FILE` the cascade of
those that use it, and `lbpcascade:neighbors=3,scale=1.05` names a detector with settings.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from facecrop.detectors import DETECTORS, DetectorSpec, Setting
from gleanset.errors import UsageError

WITH_CASCADE = ("lbpcascade", "ensemble")

_FORM = "write detector.setting=value, for example -o lbpcascade.neighbors=3"


def spec_of(
    written: str, options: Iterable[str] = (), cascade: Path | None = None, **more: Setting
) -> DetectorSpec:
    """The detector that was written with everything that was set for it.

    What is `written` with the name wins over `more`, that over `options`, that over
    `cascade`. Raises `UsageError`.
    """
    name, _, own = written.partition(":")
    settings: dict[str, Setting] = dict(_of_detector(name, options))
    if cascade is not None and name in WITH_CASCADE:
        settings.setdefault("cascade", str(cascade))
    settings.update(more)
    for part in own.split(",") if own else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"{part!r} sets nothing", f"write {name}:setting=value")
        settings[key] = value
    return DetectorSpec.of(name, **settings)


def check_options(options: Iterable[str]) -> None:
    """Raise `UsageError` for an option that no detector could take."""
    for option in options:
        name, key, value = _parsed(option)
        DetectorSpec.of(name, **{key: value})


def all_names() -> list[str]:
    """Every detector that looks for faces in pictures without being given a model."""
    return [detector.name for detector in DETECTORS if detector.name != "onnx"]


def _of_detector(name: str, options: Iterable[str]) -> Iterable[tuple[str, str]]:
    for option in options:
        wanted, key, value = _parsed(option)
        if wanted == name:
            yield key, value


def _parsed(option: str) -> tuple[str, str, str]:
    place, equals, value = option.partition("=")
    name, dot, key = place.partition(".")
    if not equals or not dot or not key:
        raise UsageError(f"cannot read the option {option!r}", _FORM)
    return name, key, value
