"""What the commands of `facecrop` are asked; recipes and the report ask the same."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import msgspec

from facecrop.detector_names import DETECTORS
from gleanset.config import Param
from gleanset.db.faces import WHOLE
from gleanset.plugins import plugin_words
from gleanset.request import Request, WorkerCount
from gleanset.work.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from facecrop.detectors import DetectorSpec
    from facecrop.detectors.options import RecordedDetector
    from gleanset import Dataset
    from gleanset.db.rows import Search
    from gleanset.files.hub import HubFile, HubPin
    from gleanset.images.cut import CutSettings
    from gleanset.settings import CropSettings

FEW = 10
"""One picture in so many with a face: fewer, and faces are not what they were collected for."""

_FILLED = 4
"""One picture in so many with a face that fills it: some detectors take eyes for faces as well."""

Switch = bool | None


def checked_detector(written: str) -> str:
    """Refuse a detector that does not exist before anything else is done. Raises `UsageError`."""
    if written == WHOLE:
        return written  # without a word of those that search
    from facecrop.detectors.options import spec_of

    spec_of(written)
    return written


_BY_NAME = ", ".join(name for name in DETECTORS if name != WHOLE)
ModelDetector = Annotated[
    str | None,
    Param(
        "Find the faces with this detector, such as lbpcascade or onnx:model=FILE, or take "
        "pictures whole: whole. Default: as the pictures that the model learnt from were cut.",
        metavar="NAME[:SETTING=VALUE,…]",
        parse=checked_detector,
    ),
]
Cascade = Annotated[str | None, Param("The cascade of lbpcascade.", metavar="FILE", path=True)]
DetectorOptions = Annotated[
    tuple[str, ...],
    Param(
        "A setting of a detector; may be repeated.",
        option="--option",
        short="-o",
        metavar="DETECTOR.SETTING=VALUE",
    ),
]


class FaceSearch(Request, frozen=True, kw_only=True):
    """`facecrop run`: which detector searches, and how its faces are cut.

    What is None comes from the table [crop] of the dataset.
    """

    COMMAND = "facecrop run"

    detector: Annotated[
        str | None,
        Param(
            f"{_BY_NAME}, auto for who has searched the pictures so far, else drawnface, "
            "hub:OWNER/REPOSITORY/PATH for a model on a hub (facecrop detectors), or "
            f"{WHOLE} for pictures without faces.",
            metavar="NAME",
            parse=checked_detector,
            more=partial(plugin_words, "detectors", DETECTORS),
        ),
    ] = None
    threshold: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=1)] | None, Param("Lowest score of a face.")
    ] = None
    cascade: Cascade = None
    option: DetectorOptions = ()
    margin: Annotated[
        Annotated[float, msgspec.Meta(ge=0, le=3)] | None,
        Param("Room around a face, in face sizes."),
    ] = None
    square: Annotated[Switch, Param("Cut squares.")] = None
    pad: Annotated[
        Switch, Param("At the borders of an image: pad the cut, in place of clamping it.")
    ] = None
    level: Annotated[Switch, Param("Turn tilted faces upright, by their eyes.")] = None
    min_size: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None,
        Param("Leave out faces whose shorter side is below this.", metavar="PIXELS"),
    ] = None
    new: Annotated[
        bool, Param("Leave images out that any detector has searched, or that have a sample.")
    ] = False
    workers: Annotated[WorkerCount | None, Param("Worker processes.", common=True)] = None

    def spec(self, own: CropSettings, so_far: RecordedDetector | None = None) -> DetectorSpec:
        """Return the detector, in a dataset with these settings that one has searched `so_far`.

        Raises `UsageError`.
        """
        from facecrop.detectors.options import dataset_detector

        asked = (self.detector, self.option, self.cascade, self.threshold)
        return dataset_detector(own, *asked, so_far=so_far)

    def cutting(self, own: CropSettings) -> CutSettings:
        """Return how faces are cut, in a dataset with these settings."""
        from gleanset.images.cut import CutSettings

        named = {field.name: getattr(self, field.name) for field in fields(CutSettings)}
        chosen = {name: value for name, value in named.items() if value is not None}
        return replace(CutSettings.of(own), **chosen)

    def run(
        self, dataset: Dataset, progress: Progress | None = None, own: CropSettings | None = None
    ) -> dict[str, object]:
        """Search and cut; return the counts. `own` takes the place of the dataset's settings.

        Where no detector is named, the name of the one it took comes first.
        """
        from facecrop.search import find_faces

        crop = own or dataset.settings.crop
        spec, left = self._plan(dataset, crop, dataset.pin_of)
        counts = find_faces(
            dataset,
            spec,
            self.cutting(crop),
            left=left,
            workers=self.workers or 0,
            progress=progress,
        )
        return self._taken(spec, crop) | counts

    def preview(self, dataset: Dataset) -> dict[str, object]:
        """Return how many images would be searched, and how many only cut anew."""
        from facecrop.search import DatasetSearch

        crop = dataset.settings.crop
        spec, left = self._plan(dataset, crop, dataset.settings.pin_of)
        search = DatasetSearch(dataset, spec, self.cutting(crop), left)
        counts = {"would_search": search.to_search(), "would_recut": search.to_cut()}
        return self._taken(spec, crop) | counts

    def _plan(
        self, dataset: Dataset, own: CropSettings, pin_of: Callable[[HubFile], HubPin]
    ) -> tuple[DetectorSpec, tuple[Search, ...] | None]:
        """Return the detector, and which earlier searches are left as they are.

        A detector that is named for this command searches as it is now. That of the dataset leaves
        what an earlier version of it searched; with `auto` other detectors' faces stay as well.
        """
        from facecrop.detectors.options import is_auto, with_pins
        from facecrop.searched_before import asked_the_same, detector_so_far
        from gleanset.db.statistics import Statistics

        searches = Statistics(dataset.db).list_searches()
        auto = is_auto(self.detector or own.detector)
        so_far = detector_so_far(searches) if auto else None
        spec = with_pins(self.spec(own, so_far), pin_of)
        if self.new:
            return spec, None
        if self.detector is not None and not auto:
            return spec, ()
        left = asked_the_same(spec, searches)
        if auto:
            set_here = self.option or self.cascade or {self.threshold, own.threshold} != {None}
            left |= {
                (search.detector, search.settings)
                for search in searches
                if search.detector != spec.name or not set_here
            }
        return spec, tuple(sorted(left))

    def _taken(self, spec: DetectorSpec, own: CropSettings) -> dict[str, object]:
        from facecrop.detectors.options import is_auto

        return {"detector": spec.name} if is_auto(self.detector or own.detector) else {}


def whole_instead(dataset: Dataset) -> tuple[str, str] | None:
    """Return the command that takes whole pictures, and why; None where faces were found.

    None also where whole pictures were taken. Photos of things are samples as a whole: in 4 of 100
    of pets a detector is sure of a face. So are cut faces: of those of 256 pixels it finds none in
    18 %, others in half of them.
    """
    from gleanset.db.faces import Tracks
    from gleanset.db.statistics import Statistics

    if Tracks(dataset.db).count():
        return None
    searched = Statistics(dataset.db).count_searched(WHOLE)
    without = searched.all - searched.with_face
    if without and searched.with_face * FEW < searched.all:
        seen = f"{searched.with_face} of {searched.all} pictures surely have"
        seen = seen if searched.with_face else f"None of {searched.all} surely has"
        return _whole(dataset), f"{seen} a face: if they show something else, take them whole"
    small = searched.small_squares * FEW >= searched.all * (FEW - 1)
    if without and small and searched.filled * _FILLED >= searched.with_face:
        why = (
            f"{without} of {searched.all} pictures have no sure face, and nearly all are small, "
            "with faces that fill them. Are these faces already? Then take them whole"
        )
        return _whole(dataset), why
    return None


def _whole(dataset: Dataset) -> str:
    return f"facecrop run --detector {WHOLE} -d {shlex.quote(str(dataset.root))}"
