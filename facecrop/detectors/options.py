"""Parsing of detectors and their settings from the command line.

`lbpcascade:neighbors=3,scale=1.05` is a detector with settings, `-o lbpcascade.neighbors=3` sets
one, `--cascade FILE` the cascade of `lbpcascade`. `auto` is the detector of the dataset so far,
else `drawnface`; `hub:…` is `onnx` with a model on a hub.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from facecrop.detector_names import AUTO
from facecrop.detectors import DetectorSpec, Setting
from facecrop.detectors.drawnface import DrawnFace
from facecrop.detectors.lbpcascade import LbpCascade
from facecrop.detectors.onnx import OnnxModel
from facecrop.detectors.recorded import RecordedDetector
from gleanset.db.faces import WHOLE
from gleanset.errors import UsageError
from gleanset.files.hub import PREFIX, HubFile, HubPin, has_hub_prefix, pin_hub_name
from gleanset.settings import CropSettings

DEFAULT_DETECTOR = DrawnFace.name
"""The most accurate detector that works everywhere without a download (docs/detectors.md)."""

_OPTION_FORM = "use DETECTOR.SETTING=VALUE, such as -o lbpcascade.neighbors=3"


def parse_detector(
    text: str,
    options: Iterable[str] = (),
    cascade: str | None = None,
    **overrides: Setting,
) -> DetectorSpec:
    """Return the detector for `text` and further settings.

    Settings in `text` win over `overrides`, then `options`, then `cascade`. Raises `UsageError`.
    """
    name, model, own_settings = _split_detector(text)
    name = DEFAULT_DETECTOR if name == AUTO else name

    # Later ones replace earlier ones.
    settings: dict[str, Setting] = {}
    if cascade is not None and name == LbpCascade.name:
        settings["cascade"] = cascade
    for option in options:
        detector, key, value = _parse_option(option)
        if detector == name:
            settings[key] = value

    settings.update(overrides)
    if model:
        settings["model"] = model
    for part in own_settings.split(",") if own_settings else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(
                f"not SETTING=VALUE: {part!r}", f"use {name}:SETTING=VALUE"
            )
        settings[key] = value
    return DetectorSpec.create(name, **settings)


class _DetectorText(NamedTuple):
    """Parts of a detector as text; `model` is one on a hub, "" for none."""

    name: str
    model: str
    settings: str


def _split_detector(text: str) -> _DetectorText:
    name, _, settings = text.partition(":")
    if not has_hub_prefix(text):
        return _DetectorText(name, "", settings)

    # hub:FILE:SETTINGS is the detector `onnx` with that file.
    file, _, settings = settings.partition(":")
    model = str(HubFile.parse(PREFIX + file))
    return _DetectorText(OnnxModel.name, model, settings)


def pin_model(spec: DetectorSpec, ask: Callable[[HubFile], HubPin]) -> DetectorSpec:
    """Add commit and SHA-256 of a hub model, as returned by `ask`."""
    settings = dict(spec.settings)
    model = str(settings.get("model", ""))
    if not has_hub_prefix(model):
        return spec
    model, sha256 = pin_hub_name(model, str(settings.get("sha256", "")), ask)
    settings |= {"model": model, "sha256": sha256}
    return DetectorSpec.create(spec.name, **settings)


def dataset_detector(
    crop_settings: CropSettings,
    text: str | None = None,
    options: Iterable[str] = (),
    cascade: str | None = None,
    threshold: float | None = None,
    recorded_detector: RecordedDetector | None = None,
) -> DetectorSpec:
    """Return the requested detector, else that of a dataset's `crop_settings`.

    `text`, `options` and `cascade` are as in `parse_detector`; `threshold` wins over an option.
    The dataset's threshold only applies to its own detector, as scores are not comparable. `auto`
    means `recorded_detector`. Raises `UsageError`.
    """
    options = tuple(options)
    check_options(options)
    detector = text or crop_settings.detector
    request = _split_detector(detector)
    default = _split_detector(crop_settings.detector)
    # The same detector, and the same model on a hub; settings may differ.
    is_default = request[:2] == default[:2]

    record = recorded_detector if request.name == AUTO else None
    if record:
        detector = f"{record.name}:{request.settings}"
    overrides = {} if threshold is None else {"threshold": threshold}
    spec = parse_detector(detector, options, cascade, **overrides)

    settings = dict(spec.settings)
    # A recorded search of whole images has no score to compare with.
    has_scores = not (record and spec.name == WHOLE)
    if crop_settings.threshold is not None and is_default and has_scores:
        settings.setdefault("threshold", crop_settings.threshold)
    if record:
        return record.spec(settings)
    return DetectorSpec.create(spec.name, **settings)


def check_options(options: Iterable[str]) -> None:
    """Raise `UsageError` for an invalid option."""
    for option in options:
        name, key, value = _parse_option(option)
        DetectorSpec.create(name, **{key: value})


def _parse_option(option: str) -> tuple[str, str, str]:
    """Return detector, setting and value."""
    path, equals, value = option.partition("=")
    name, dot, key = path.partition(".")
    if not equals or not dot or not key:
        raise UsageError(f"invalid option: {option!r}", _OPTION_FORM)
    return name, key, value
