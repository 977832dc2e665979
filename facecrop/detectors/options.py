"""Parsing of detectors and their settings from the command line.

`lbpcascade:neighbors=3,scale=1.05` is a detector with settings. `auto` is the detector of the
dataset so far, else `drawnface`; `hub:…` is `onnx` with a model on a hub.
"""

from collections.abc import Callable
from typing import NamedTuple

from facecrop.detector_names import AUTO
from facecrop.detectors import DetectorSpec, Setting
from facecrop.detectors.drawnface import DrawnFace
from facecrop.detectors.onnx import OnnxModel
from facecrop.detectors.recorded import RecordedDetector
from gleanset.db.faces import WHOLE
from gleanset.errors import UsageError
from gleanset.files.hub import PREFIX, HubFile, HubPin, has_hub_prefix, pin_hub_name
from gleanset.settings import CropSettings

DEFAULT_DETECTOR = DrawnFace.name
"""The most accurate detector that works everywhere without a download (docs/detectors.md)."""


def parse_detector(text: str, **settings: Setting) -> DetectorSpec:
    """Return the detector for `text` and further settings; those in `text` win.

    Raises `UsageError`.
    """
    name, model, own_settings = _split_detector(text)
    name = DEFAULT_DETECTOR if name == AUTO else name
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
    return _DetectorText(OnnxModel.name, str(HubFile.parse(PREFIX + file)), settings)


def pin_model(spec: DetectorSpec, ask: Callable[[HubFile], HubPin]) -> DetectorSpec:
    """Add commit and SHA-256 of a hub model, as returned by `ask`."""
    settings = dict(spec.settings)
    model = str(settings.get("model", ""))
    if not has_hub_prefix(model):
        return spec
    model, sha256 = pin_hub_name(
        model,
        str(settings.get("sha256", "")),
        ask,
    )
    settings |= {"model": model, "sha256": sha256}
    return DetectorSpec.create(spec.name, **settings)


def dataset_detector(
    crop_settings: CropSettings,
    text: str | None = None,
    threshold: float | None = None,
    recorded_detector: RecordedDetector | None = None,
) -> DetectorSpec:
    """Return the requested detector, else that of a dataset's `crop_settings`.

    A setting in `text` wins over `threshold`. The dataset's threshold only applies to its own
    detector, as scores are not comparable. `auto` means `recorded_detector`. Raises `UsageError`.
    """
    detector = text or crop_settings.detector
    request = _split_detector(detector)
    default = _split_detector(crop_settings.detector)
    # The same detector, and the same model on a hub; settings may differ.
    is_default = request[:2] == default[:2]

    record = recorded_detector if request.name == AUTO else None
    if record:
        detector = f"{record.name}:{request.settings}"
    overrides = {} if threshold is None else {"threshold": threshold}
    spec = parse_detector(detector, **overrides)

    settings = dict(spec.settings)
    # A recorded search of whole images has no score to compare with.
    has_scores = not (record and spec.name == WHOLE)
    if crop_settings.threshold is not None and is_default and has_scores:
        settings.setdefault("threshold", crop_settings.threshold)
    if record:
        return record.spec(settings)
    return DetectorSpec.create(spec.name, **settings)
