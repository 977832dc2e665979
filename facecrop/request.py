"""Arguments of `facecrop run`, also used by recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec

from facecrop.detector_names import AUTO, DETECTORS, is_auto
from gleanset.command_result import CommandResult
from gleanset.config import Param
from gleanset.db.faces import WHOLE
from gleanset.db.statistics import Statistics
from gleanset.request import Request, WorkerCount
from gleanset.settings import CropGeometry, CropSettings
from gleanset.work.progress import NO_PROGRESS, Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from facecrop.detectors import DetectorSpec
    from facecrop.detectors.recorded import RecordedDetector
    from facecrop.search import FaceSearchResult
    from gleanset import Dataset
    from gleanset.db.rows import Search
    from gleanset.files.hub import HubFile, HubPin

MIN_FACE_SHARE = 10
"""If fewer than 1 image in this many has a face, the dataset is not about faces."""

_MIN_FILLED_SHARE = 4
"""If 1 image in this many is filled by its face, the images are probably face crops."""

Switch = bool | None


def validate_detector(text: str) -> str:
    """Check the name and settings of a detector. Raises `UsageError`."""
    if text == WHOLE:
        return text  # without importing the others
    from facecrop.detectors.options import parse_detector

    parse_detector(text)
    return text


_BY_NAME = ", ".join(name for name in DETECTORS if name != WHOLE)
ModelDetector = Annotated[
    str | None,
    Param(
        "Face detector, such as lbpcascade or onnx:model=FILE, or whole for whole images. "
        "Default: as for the training images.",
        metavar="NAME[:SETTING=VALUE,…]",
        parse=validate_detector,
    ),
]


class FaceSearchPreview(CommandResult, kw_only=True):
    """Counts of images to search, and of images to crop again."""

    WORDS = {"would_search": "images to search", "would_recut": "images to crop again"}

    detector: str = ""
    would_search: int
    would_recut: int


class FaceSearch(Request, frozen=True, kw_only=True):
    """Arguments of `facecrop run`; None means the value of [crop] in dataset.toml."""

    COMMAND = "facecrop run"

    detector: Annotated[
        str | None,
        Param(
            f"{_BY_NAME}, auto (the detector used so far, else drawnface), "
            "hub:OWNER/REPOSITORY/PATH (a model on Hugging Face, see facecrop detectors), or "
            f"{WHOLE} (whole images). Settings follow, such as lbpcascade:neighbors=3.",
            metavar="NAME[:SETTING=VALUE,…]",
            parse=validate_detector,
        ),
    ] = None
    threshold: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=1)] | None,
        Param("Minimum score of a face."),
    ] = None
    margin: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=3)] | None,
        Param("Padding around a face, as a share of its size."),
    ] = None
    square: Annotated[Switch, Param("Square crops.")] = None
    pad: Annotated[
        Switch, Param("Pad crops at the image border instead of clamping them.")
    ] = None
    level: Annotated[Switch, Param("Rotate tilted faces upright, using the eyes.")] = (
        None
    )
    min_size: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None,
        Param("Minimum shorter side of a face.", metavar="PIXELS"),
    ] = None
    new: Annotated[
        bool, Param("Skip images that were searched by any detector or have a sample.")
    ] = False
    workers: Annotated[WorkerCount | None, Param("Worker processes.", common=True)] = (
        None
    )

    def spec(
        self, crop: CropSettings, record: RecordedDetector | None = None
    ) -> DetectorSpec:
        """Return the detector for a dataset with these settings, searched by `record` so far.

        Raises `UsageError`.
        """
        from facecrop.detectors.options import dataset_detector

        return dataset_detector(
            crop,
            self.detector,
            threshold=self.threshold,
            recorded_detector=record,
        )

    def crop_geometry(self, crop: CropSettings) -> CropGeometry:
        """Return the crop settings for a dataset with these settings."""
        changes = {}
        for name in CropGeometry.__struct_fields__:
            # The fields of both have the same names; None is left as it is in the dataset.
            value = getattr(self, name)
            if value is not None:
                changes[name] = value
        return msgspec.structs.replace(crop, **changes)

    def run(
        self,
        dataset: Dataset,
        progress: Progress = NO_PROGRESS,
        crop: CropSettings | None = None,
    ) -> FaceSearchResult:
        """Search and crop; return the counts. `crop` replaces the dataset's crop settings."""
        from facecrop.search import find_faces

        crop = crop or dataset.settings.crop
        name, spec, finished_searches = self._plan(dataset, crop, dataset.pin_of)
        result = find_faces(
            dataset,
            spec,
            self.crop_geometry(crop),
            finished_searches=finished_searches,
            workers=self.workers or 0,
            progress=progress,
        )
        result.detector = name
        return result

    def preview(self, dataset: Dataset) -> FaceSearchPreview:
        """Return counts of images to search and of images to re-crop."""
        from facecrop.search import DatasetSearch

        crop = dataset.settings.crop
        name, spec, finished_searches = self._plan(
            dataset, crop, dataset.settings.pin_of
        )
        search = DatasetSearch(
            dataset, spec, self.crop_geometry(crop), finished_searches
        )
        return FaceSearchPreview(
            detector=name,
            would_search=search.count_to_search(),
            would_recut=search.count_to_crop(),
        )

    def _plan(
        self, dataset: Dataset, crop: CropSettings, pin_of: Callable[[HubFile], HubPin]
    ) -> tuple[str, DetectorSpec, tuple[Search, ...] | None]:
        """Return the detector, and the earlier searches whose faces stay (None: all).

        Its name comes first if it was chosen automatically, else "".
        A detector named for this command searches all images. The dataset's detector keeps the
        faces of its earlier versions, and `auto` also those of other detectors. `pin_of` returns
        the commit and hash of a model on a hub.
        """
        from facecrop.detectors.options import pin_model
        from facecrop.detectors.recorded import (
            find_recorded_detector,
            find_same_searches,
        )

        searches = Statistics(dataset.db).list_searches()
        detector = self.detector or crop.detector
        auto = is_auto(detector)
        # Only `auto` depends on the detector that the dataset was searched with.
        record = find_recorded_detector(searches) if auto else None
        spec = pin_model(self.spec(crop, record), pin_of)
        name = spec.name if auto else ""
        if self.new:
            return name, spec, None
        if self.detector is not None and not auto:
            return name, spec, ()

        finished_searches = find_same_searches(spec, searches)
        if auto:
            # Requested settings of the detector in use apply to all images.
            has_threshold = self.threshold is not None or crop.threshold is not None
            has_settings = detector != AUTO or has_threshold
            finished_searches |= {
                (search.detector, search.settings)
                for search in searches
                # Settings belong to one detector, so faces of others do not change with them.
                if search.detector != spec.name or not has_settings
            }
        return name, spec, tuple(sorted(finished_searches))


def suggest_whole_images(dataset: Dataset) -> tuple[str, str] | None:
    """Return a command for whole images and why, if faces are rare.

    Detectors find faces in 4 % of photos of pets, and miss the face in 18 % of face crops of 256
    pixels, so both kinds of datasets should use whole images.
    """
    if dataset.tracks.count():
        return None
    counts = Statistics(dataset.db).count_searched(WHOLE)
    without_face = counts.all - counts.with_face
    if not without_face:
        return None

    # Face crops are small squares, and some are filled by their face. The constants are divisors:
    # at most one image of that number is of another kind, at least one face of that number large.
    other_images = counts.all - counts.small_squares
    are_small = other_images * MIN_FACE_SHARE <= counts.all
    are_filled = counts.filled * _MIN_FILLED_SHARE >= counts.with_face

    if counts.with_face * MIN_FACE_SHARE < counts.all:
        reason = (
            f"confident faces in {counts.with_face} of {counts.all} images; if they show "
            "something else, use whole images"
        )
    elif are_small and are_filled:
        reason = (
            f"no confident face in {without_face} of {counts.all} images, and most are small and "
            "filled by a face; if they are face crops already, use whole images"
        )
    else:
        return None
    return f"facecrop run --detector {WHOLE} {dataset.option}", reason
