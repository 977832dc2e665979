"""Parsing of detectors and their settings, from the command line and the catalogue.

Command line: `lbpcascade:neighbors=3,scale=1.05` is a detector with settings, `-o
lbpcascade.neighbors=3` sets one, `--cascade FILE` the cascade of `lbpcascade`. `auto` is the
detector of the dataset so far, else `drawnface`; `hub:…` is `onnx` with a model on a hub.

Catalogue: every scan has `Detector.settings`, which `RecordedDetector` reads. Files (a cascade, a
model) are recorded by the beginning of their SHA-256, models on a hub by name and commit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from facecrop.detector_names import DETECTORS
from facecrop.detectors import DetectorSpec, Setting, detector_class
from facecrop.detectors.drawnface import DrawnFace
from facecrop.detectors.lbpcascade import LbpCascade
from facecrop.detectors.onnx import OnnxModel
from facecrop.detectors.weights import LBPCASCADE
from gleanset.db.faces import WHOLE
from gleanset.errors import UsageError
from gleanset.files.hub import PREFIX, HubFile, HubPin, has_hub_prefix, pin_hub_name
from gleanset.plugins import list_plugin_names
from gleanset.settings import CropSettings

AUTO = "auto"
"""Name for the detector of the dataset so far, else `DEFAULT_DETECTOR`."""

DEFAULT_DETECTOR = DrawnFace.name
"""The most accurate detector that works everywhere without a download (docs/detectors.md)."""

_OPTION_FORM = "use DETECTOR.SETTING=VALUE, such as -o lbpcascade.neighbors=3"


def parse_detector(
    written: str, options: Iterable[str] = (), cascade: str | None = None, **overrides: Setting
) -> DetectorSpec:
    """Return the detector for `written` and further settings.

    Settings in `written` win over `overrides`, then `options`, then `cascade`. Raises `UsageError`.
    """
    name, model, own = _split_name(written)
    name = DEFAULT_DETECTOR if name == AUTO else name
    settings: dict[str, Setting] = dict(_of_detector(name, options))
    if cascade is not None and name == LbpCascade.name:
        settings.setdefault("cascade", cascade)
    settings.update(overrides | ({"model": model} if model else {}))
    for part in own.split(",") if own else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"not SETTING=VALUE: {part!r}", f"use {name}:SETTING=VALUE")
        settings[key] = value
    return DetectorSpec.create(name, **settings)


def _split_name(written: str) -> tuple[str, str, str]:
    """Return name, hub model ("" for none), and text of the settings."""
    name, _, own = written.partition(":")
    if not has_hub_prefix(written):
        return name, "", own
    place, _, own = own.partition(":")
    return OnnxModel.name, str(HubFile.parse(PREFIX + place)), own


def pin_model(spec: DetectorSpec, ask: Callable[[HubFile], HubPin]) -> DetectorSpec:
    """Add commit and SHA-256 of a hub model, as returned by `ask`."""
    settings = dict(spec.settings)
    model, sha256 = pin_hub_name(
        str(settings.get("model", "")), str(settings.get("sha256", "")), ask
    )
    pinned = {"model": model, "sha256": sha256} if has_hub_prefix(model) else {}
    return DetectorSpec.create(spec.name, **settings | pinned)


def is_auto(written: str) -> bool:
    """Return whether the detector is `auto`."""
    return written.partition(":")[0] == AUTO


def dataset_detector(
    crop_settings: CropSettings,
    written: str | None = None,
    options: Iterable[str] = (),
    cascade: str | None = None,
    threshold: float | None = None,
    so_far: RecordedDetector | None = None,
) -> DetectorSpec:
    """Return the requested detector, else that of a dataset's `crop_settings`.

    `written`, `options` and `cascade` are as in `parse_detector`; `threshold` wins over an option.
    The dataset's threshold only applies to its own detector, as scores are not comparable. `auto`
    means `so_far`. Raises `UsageError`.
    """
    options = tuple(options)
    check_options(options)
    pinned = {} if threshold is None else {"threshold": threshold}
    name = written or crop_settings.detector
    recorded = so_far if is_auto(name) else None
    if recorded:
        name = f"{recorded.name}:{_split_name(name)[2]}"
    spec = parse_detector(name, options, cascade, **pinned)
    settings = dict(spec.settings)
    is_own = (
        _split_name(written or crop_settings.detector)[:2]
        == _split_name(crop_settings.detector)[:2]
    )
    if crop_settings.threshold is not None and is_own and not (recorded and spec.name == WHOLE):
        settings.setdefault("threshold", crop_settings.threshold)
    return recorded.spec(settings) if recorded else DetectorSpec.create(spec.name, **settings)


def check_options(options: Iterable[str]) -> None:
    """Raise `UsageError` for an invalid option."""
    for option in options:
        name, key, value = _parse_option(option)
        DetectorSpec.create(name, **{key: value})


def searching_detector_names() -> list[str]:
    """Return the detectors that need no model file."""
    names = [name for name in DETECTORS if name != OnnxModel.name]
    return [*names, *list_plugin_names("detectors", DETECTORS)]


def _of_detector(name: str, options: Iterable[str]) -> Iterable[tuple[str, str]]:
    for option in options:
        detector, key, value = _parse_option(option)
        if detector == name:
            yield key, value


def _parse_option(option: str) -> tuple[str, str, str]:
    path, equals, value = option.partition("=")
    name, dot, key = path.partition(".")
    if not equals or not dot or not key:
        raise UsageError(f"invalid option: {option!r}", _OPTION_FORM)
    return name, key, value


FILES = {"cascade": "--cascade {}", "model": "-o onnx.model={}"}
"""Settings that are files, and their options on the command line."""


@dataclass(frozen=True, slots=True)
class RecordedDetector:
    """Detector as recorded in the catalogue, with the settings that differ from the defaults.

    `files` are beginnings of the SHA-256 of files that the user has to name.
    """

    name: str
    settings: dict[str, str]
    files: dict[str, str]
    written: str

    @classmethod
    def from_text(cls, name: str, written: str) -> RecordedDetector:
        """Parse recorded settings. Raises `UsageError` for an unknown detector."""
        recorded = _fields(written)
        package = recorded.pop("plugin", "")
        try:
            DetectorSpec.create(name)
        except UsageError as error:
            origin = f"it came with the package {package}; " if package else ""
            raise UsageError(error.what, f"{origin}{error.fix}") from error
        files = {
            k: recorded.pop(k) for k in FILES if k in recorded and not has_hub_prefix(recorded[k])
        }
        if LBPCASCADE.sha256.startswith(files.get("cascade", "-")):
            del files["cascade"]
        defaults = _defaults(name)
        if "x" in recorded.get("size", ""):
            across, _, down = recorded.pop("size").partition("x")
            recorded |= {"size": across} if across == down else {}
        settings = {
            key: value for key, value in recorded.items() if defaults.get(key, value) != value
        }
        return cls(name, settings, files, written)

    def spec(self, settings: Mapping[str, Setting]) -> DetectorSpec:
        """Return the recorded detector with other `settings`, such as its files.

        Raises `UsageError` if a file is missing.
        """
        for key, digest in self.files.items():
            if key not in settings:
                raise UsageError(
                    f"the {key} of detector {self.name} is missing (SHA-256 {digest}…)",
                    f"use its file: --detector {self.name}:{key}=FILE",
                )
        outdated = {"sha256"} if "model" in settings else set()
        recorded = {key: value for key, value in self.settings.items() if key not in outdated}
        return DetectorSpec.create(self.name, **{**recorded, **settings})

    def is_same_request(self, other: RecordedDetector) -> bool:
        """Return whether both have the same settings, in any version."""
        return (self.name, self.settings, self.files, self.package) == (
            (other.name, other.settings, other.files, other.package)
        )

    @property
    def package(self) -> str:
        """The package of a plugin with its version, else ""."""
        return _fields(self.written).get("plugin", "")

    @property
    def threshold(self) -> float | None:
        """The minimum score, also if it is the default."""
        text = _fields(self.written).get("threshold")
        return None if text is None else float(text)


def _defaults(name: str) -> dict[str, str]:
    parameters = inspect.signature(detector_class(name)).parameters
    return {
        key: default if isinstance(default := parameter.default, str) else f"{default:g}"
        for key, parameter in parameters.items()
    }


def _fields(written: str) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in written.split())
