"""Detectors as recorded in the catalogue: every scan has the `settings` of its detector.

Files (a cascade, a model) are recorded by the beginning of their SHA-256, models on a hub by name
and commit.
"""

import inspect
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

from facecrop.detectors import DetectorSpec, Setting, find_detector_class
from facecrop.detectors.weights import LBPCASCADE
from gleanset.db.faces import WHOLE
from gleanset.db.rows import Search
from gleanset.db.statistics import ScanCount
from gleanset.errors import UsageError
from gleanset.files.hub import has_hub_prefix

FILES = ("cascade", "model")
"""Settings that are files."""


class RecordedDetector(NamedTuple):
    """Detector as recorded in the catalogue, with the settings that differ from the defaults.

    `files` are beginnings of the SHA-256 of files that the user has to name.
    """

    name: str
    settings: dict[str, str]
    files: dict[str, str]
    text: str

    @classmethod
    def from_text(cls, name: str, text: str) -> Self:
        """Parse recorded settings. Raises `UsageError` for an unknown detector."""
        fields = _parse_fields(text)
        package = fields.pop("plugin", "")
        try:
            DetectorSpec.create(name)
        except UsageError as error:
            origin = f"it came with the package {package}; " if package else ""
            raise UsageError(
                error.what,
                f"{origin}{error.fix}",
            ) from error

        # Only a hash of a local file is recorded; a model on a hub has a name.
        files = {}
        for key in FILES:
            if key in fields and not has_hub_prefix(fields[key]):
                files[key] = fields.pop(key)
        # The default cascade is downloaded: the user need not name it. "-" stands for no cascade,
        # because no hash begins with it.
        if LBPCASCADE.sha256.startswith(files.get("cascade", "-")):
            del files["cascade"]

        # `onnx` records the size of the input, such as 640x640. Its setting is one side; if the
        # sides differ, the model fixes them.
        width, times, height = fields.get("size", "").partition("x")
        if times:
            del fields["size"]
            if width == height:
                fields["size"] = width

        # Before it searched mirrored images (marked m in `looks`), the default threshold of
        # drawnface was 0.35. Without it the present default applies.
        if "m" not in fields.get("looks", "") and fields.get("threshold") == "0.35":
            del fields["threshold"]

        defaults = _list_defaults(name)
        settings = {
            key: value
            for key, value in fields.items()
            if defaults.get(key, value) != value
        }
        return cls(name, settings, files, text)

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

        all_settings: dict[str, Setting] = dict(self.settings)
        if "model" in settings:
            # The hash is that of the recorded model.
            all_settings.pop("sha256", None)
        all_settings |= settings
        return DetectorSpec.create(self.name, **all_settings)

    def is_same_request(self, other: Self) -> bool:
        """Return whether both have the same settings, in any version."""
        return (self.name, self.settings, self.files, self.package) == (
            (other.name, other.settings, other.files, other.package)
        )

    @property
    def package(self) -> str:
        """The package of a plugin with its version, else ""."""
        return _parse_fields(self.text).get("plugin", "")

    @property
    def threshold(self) -> float | None:
        """The minimum score, also if it is the default."""
        text = _parse_fields(self.text).get("threshold")
        return None if text is None else float(text)


def find_recorded_detector(searches: Iterable[ScanCount]) -> RecordedDetector | None:
    """Return the detector of most images (`whole` last), for `auto`; None without searches.

    A later version may have a better default detector, or new weights for the same one. Searched
    images keep their faces until the user names a detector.

    Raises `UsageError` for a detector that is not installed.
    """
    images: Counter[Search] = Counter()
    for search in searches:
        images[search.detector, search.settings] += search.images
    if not images:
        return None

    def rank(search: Search) -> tuple[bool, int, Search]:
        detector, _ = search
        # `whole` last, then the most images first; the search itself decides between equals.
        return detector == WHOLE, -images[search], search

    return RecordedDetector.from_text(*min(images, key=rank))


def find_same_searches(
    spec: DetectorSpec, searches: Iterable[ScanCount]
) -> set[Search]:
    """Return searches with the same detector and settings, of any version."""
    request = RecordedDetector.from_text(spec.name, spec.settings_text)
    same = set()
    for search in searches:
        if search.detector == spec.name:
            record = RecordedDetector.from_text(spec.name, search.settings)
            if record.is_same_request(request):
                same.add((spec.name, search.settings))
    return same


def _list_defaults(name: str) -> dict[str, str]:
    """Return the defaults of settings as they are recorded."""
    defaults = {}
    signature = inspect.signature(find_detector_class(name))
    for key, parameter in signature.parameters.items():
        value = parameter.default
        defaults[key] = value if isinstance(value, str) else f"{value:g}"
    return defaults


def _parse_fields(text: str) -> dict[str, str]:
    fields = {}
    for word in text.split():
        key, _, value = word.partition("=")
        fields[key] = value
    return fields
