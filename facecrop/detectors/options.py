"""Detectors and their settings as they are written: on a command line, and in the catalogue.

`-o lbpcascade.neighbors=3` sets one setting of one detector, `--cascade FILE` the cascade of
`lbpcascade`, and `lbpcascade:neighbors=3,scale=1.05` names a detector with settings. `auto`
is who has searched the pictures of a dataset so far, and where nobody has, `drawnface`; what is
recorded is the one that was taken. The name of a model on a hub means `onnx` with that model. The
catalogue keeps `Detector.settings` with every scan; `RecordedDetector` leads from there back to
what was asked for. Of a file (a cascade, a model) the beginning of its SHA-256 is recorded, not its
place; on a hub its name with the commit.
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
from gleanset.files.hub import PREFIX, HubFile, HubPin, is_on_hub, pinned
from gleanset.plugins import plugin_names
from gleanset.settings import CropSettings

AUTO = "auto"
"""Written in place of a detector's name: who has searched a dataset so far, else `BEST`."""

BEST = DrawnFace.name
"""Who searches a new dataset: the best on annotated pictures that works everywhere, without
anything to fetch (docs/detectors.md)."""

_FORM = "write detector.setting=value, for example -o lbpcascade.neighbors=3"


def spec_of(
    written: str, options: Iterable[str] = (), cascade: str | None = None, **more: Setting
) -> DetectorSpec:
    """Return the detector that was written with everything that was set for it.

    What is `written` with the name wins over `more`, that over `options`, that over
    `cascade`. Raises `UsageError`.
    """
    name, model, own = _parts(written)
    name = BEST if name == AUTO else name
    settings: dict[str, Setting] = dict(_of_detector(name, options))
    if cascade is not None and name == LbpCascade.name:
        settings.setdefault("cascade", cascade)
    settings.update(more | ({"model": model} if model else {}))
    for part in own.split(",") if own else ():
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"{part!r} sets nothing", f"write {name}:setting=value")
        settings[key] = value
    return DetectorSpec.of(name, **settings)


def _parts(written: str) -> tuple[str, str, str]:
    """Return a detector's name, its model where that is one on a hub, and its own settings."""
    name, _, own = written.partition(":")
    if not is_on_hub(written):
        return name, "", own
    place, _, own = own.partition(":")
    return OnnxModel.name, str(HubFile.parse(PREFIX + place)), own


def with_pins(spec: DetectorSpec, ask: Callable[[HubFile], HubPin]) -> DetectorSpec:
    """Return the same; of a model on a hub `ask` says commit and SHA-256, raising what it does."""
    known = dict(spec.settings)
    model, sha256 = pinned(str(known.get("model", "")), str(known.get("sha256", "")), ask)
    more = {"model": model, "sha256": sha256} if is_on_hub(model) else {}
    return DetectorSpec.of(spec.name, **known | more)


def is_auto(written: str) -> bool:
    """Return whether the detector is left to the machine."""
    return written.partition(":")[0] == AUTO


def dataset_detector(
    own: CropSettings,
    written: str | None = None,
    options: Iterable[str] = (),
    cascade: str | None = None,
    threshold: float | None = None,
    so_far: RecordedDetector | None = None,
) -> DetectorSpec:
    """Return the detector that was asked for, else that of a dataset's settings `own`.

    `written`, `options` and `cascade` are as in `spec_of`; `threshold` wins over an option. Where
    none of them sets a threshold, it is the dataset's, but for another detector than its own:
    scores of two do not compare. `auto` is the detector `so_far`, as it was. Raises `UsageError`.
    """
    options = tuple(options)
    check_options(options)
    more = {} if threshold is None else {"threshold": threshold}
    name = written or own.detector
    as_before = so_far if is_auto(name) else None
    if as_before:
        name = f"{as_before.name}:{_parts(name)[2]}"
    spec = spec_of(name, options, cascade, **more)
    settings = dict(spec.settings)
    same = _parts(written or own.detector)[:2] == _parts(own.detector)[:2]
    if own.threshold is not None and same and not (as_before and spec.name == WHOLE):
        settings.setdefault("threshold", own.threshold)
    return as_before.spec(settings) if as_before else DetectorSpec.of(spec.name, **settings)


def check_options(options: Iterable[str]) -> None:
    """Raise `UsageError` for an option that no detector could take."""
    for option in options:
        name, key, value = _parsed(option)
        DetectorSpec.of(name, **{key: value})


def all_names() -> list[str]:
    """Return every detector that looks for faces in pictures without being given a model."""
    ours = [name for name in DETECTORS if name != OnnxModel.name]
    return [*ours, *plugin_names("detectors", DETECTORS)]


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


FILES = {"cascade": "--cascade {}", "model": "-o onnx.model={}"}
"""Settings that are files, and how they are given on a command line."""


@dataclass(frozen=True, slots=True)
class RecordedDetector:
    """A detector's name with the settings that differ from its own.

    `files` are the beginnings of the SHA-256 of those that do not come by themselves.
    """

    name: str
    settings: dict[str, str]
    files: dict[str, str]
    written: str

    @classmethod
    def of(cls, name: str, written: str) -> RecordedDetector:
        """Read `written`, a detector's `settings`. Raises `UsageError` for an unknown name."""
        recorded = _fields(written)
        package = recorded.pop("plugin", "")
        try:
            DetectorSpec.of(name)
        except UsageError as error:
            came = f"it came with the package {package}; " if package else ""
            raise UsageError(error.what, f"{came}{error.fix}") from error
        files = {k: recorded.pop(k) for k in FILES if k in recorded and not is_on_hub(recorded[k])}
        if LBPCASCADE.sha256.startswith(files.get("cascade", "-")):
            del files["cascade"]
        own = _defaults(name)
        if "x" in recorded.get("size", ""):
            across, _, down = recorded.pop("size").partition("x")
            recorded |= {"size": across} if across == down else {}
        settings = {key: value for key, value in recorded.items() if own.get(key, value) != value}
        return cls(name, settings, files, written)

    def spec(self, settings: Mapping[str, Setting]) -> DetectorSpec:
        """Return the detector as it was, but for what is `settings`: its files, or other settings.

        Raises `UsageError` where a file is missing.
        """
        for key, digest in self.files.items():
            if key not in settings:
                raise UsageError(
                    f"the faces were found by {self.name} with a {key} that is not known here "
                    f"(its SHA-256 begins with {digest})",
                    f"name its file: --detector {self.name}:{key}=FILE",
                )
        of_another = {"sha256"} if "model" in settings else set()
        known = {key: value for key, value in self.settings.items() if key not in of_another}
        return DetectorSpec.of(self.name, **{**known, **settings})

    def asks_as(self, other: RecordedDetector) -> bool:
        """Return whether both were asked for in the same words, in whatever version."""
        return (self.name, self.settings, self.files, self.package) == (
            (other.name, other.settings, other.files, other.package)
        )

    @property
    def package(self) -> str:
        """Which other package brought it, with its version."""
        return _fields(self.written).get("plugin", "")

    @property
    def threshold(self) -> float | None:
        """The lowest score of a face, whether it is the detector's own or not."""
        text = _fields(self.written).get("threshold")
        return None if text is None else float(text)


def _defaults(name: str) -> dict[str, str]:
    known = inspect.signature(detector_class(name)).parameters
    return {key: _setting_text(one.default) for key, one in known.items()}


def _setting_text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _fields(written: str) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in written.split())
