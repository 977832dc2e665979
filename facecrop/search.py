"""Face search over all images of a dataset in worker processes.

Images already searched with these settings are only cropped again, if crop settings have changed or
crops are missing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from facecrop.detectors import DetectorSpec
from facecrop.plugin_detector import FAILED
from gleanset import Dataset
from gleanset.command_result import CommandResult
from gleanset.db.faces import WHOLE, StoredFace
from gleanset.db.rows import Search
from gleanset.files.store import FILE_GONE, FILE_UNREADABLE, Store, read_original
from gleanset.images.cropping import Array, CropGeometry, FaceCropper, make_sample_key
from gleanset.images.decode import decode
from gleanset.records import HAND, Face, FaceCrop, Region, Rejection, overlap
from gleanset.work.pool import Outcome, Processes, run_batches
from gleanset.work.progress import NO_PROGRESS, Progress

STAGE = "facecrop"
# Reasons that may not occur again; all others depend on the bytes of the image.
TEMPORARY_REASONS = (
    FILE_GONE,
    FILE_UNREADABLE,
    "crashed",
    "too slow",
    FAILED,
    "internal error",
)
MIN_MANUAL_OVERLAP = 0.5
"""IoU from which a detection is the same face as a manual box."""


class ImageToSearch(NamedTuple):
    """Image to search, with stored faces and samples without a face (`regions`)."""

    sha256: str
    format: str
    search: bool
    stored: tuple[StoredFace, ...] = ()
    regions: tuple[tuple[str, Region], ...] = ()


@dataclass(frozen=True)
class ImageFaces:
    """Result of a worker: crops of detections and of other faces, and faces too small to crop."""

    cuts: list[FaceCrop] = field(default_factory=list)
    kept: list[FaceCrop] = field(default_factory=list)
    small: list[Face] = field(default_factory=list)


class FaceSearchResult(CommandResult, kw_only=True):
    """Counts of searched images, of faces and of crops.

    `detector` is set if it was chosen automatically; `next` is a command to try.
    """

    ONLY_PRINTED = ("is_whole",)

    detector: str = ""
    images: int
    faces: int
    without_face: int
    recut: int
    rejected: int
    too_small: int = 0
    retired: int = 0
    reasons: dict[str, int] = {}
    next: str = ""
    is_whole: bool = False

    def summary(self) -> dict[str, Any]:
        """Return the counts by the names that people use."""
        return {
            "detector": self.detector,
            "next": self.next,
            "images": self.images,
            "whole images" if self.is_whole else "faces": self.faces,
            "without a face": self.without_face,
            "cropped again": self.recut,
            "too small": self.too_small,
            "retired": self.retired,
            "rejected": self.rejected,
            "reasons": self.reasons,
        }


@dataclass(frozen=True)
class SearchWorker:
    """Callable that searches one image; small and picklable."""

    detector: DetectorSpec
    cutter: FaceCropper
    originals: Store

    def __call__(self, item: ImageToSearch) -> ImageFaces:
        """Detect faces if requested, and write all crops.

        Raises `Unreadable` if the file is missing or cannot be decoded.
        """
        pixels = self._pixels(item)
        faces = self._detections(item, pixels)
        large = [face for face in faces if not self.cutter.is_too_small(face)]
        result = ImageFaces(
            [self.cutter.crop(item.sha256, pixels, face) for face in large],
            small=[face for face in faces if face not in large],
        )
        done = {cut.key for cut in result.cuts}
        for face in (stored.face for stored in item.stored if stored.kind != "found"):
            if make_sample_key(item.sha256, face.box) not in done:
                result.kept.append(self.cutter.crop(item.sha256, pixels, face))
        self._restore(item, pixels, done | {cut.key for cut in result.kept})
        return result

    def _pixels(self, item: ImageToSearch) -> Array:
        data = read_original(self.originals.path(item.sha256, item.format))
        # Only the array: for 100 megapixels that is 300 MB.
        return np.asarray(decode(data).pixels)

    def _detections(self, item: ImageToSearch, pixels: Array) -> list[Face]:
        if not item.search:
            return [stored.face for stored in item.stored if stored.kind == "found"]
        manual_boxes = [
            stored.face.box for stored in item.stored if stored.kind == HAND
        ]
        return [
            face
            for face in self.detector.build().detect(pixels)
            if all(overlap(face.box, box) < MIN_MANUAL_OVERLAP for box in manual_boxes)
        ]

    def _restore(self, item: ImageToSearch, pixels: Array, done: set[str]) -> None:
        """Write missing crops of samples whose face is not stored any more."""
        for key, region in item.regions:
            if key not in done and not self.cutter.crops.path(key, "JPEG").exists():
                self.cutter.write(key, pixels, region)


@dataclass(frozen=True)
class DatasetSearch:
    """Work of one run: which images to search, and how results are recorded.

    Images of the searches in `finished` keep their faces; with None, so do all images that were
    searched or have a sample.
    """

    dataset: Dataset
    spec: DetectorSpec
    cutting: CropGeometry
    finished: tuple[Search, ...] | None = ()

    def __post_init__(self) -> None:
        crops = self.dataset.crops(self.dataset.cache)
        self.dataset.scans.find_lost_crops(crops.list_names)

    @property
    def settings(self) -> str:
        """Settings of the detector, without those of crops."""
        return self.spec.recorded

    def _searches(self) -> set[Search]:
        return {(self.spec.name, self.settings), *(self.finished or ())}

    def to_search(self) -> int:
        """Return the number of images to search."""
        if self.finished is None:
            return self.dataset.images.count_unprocessed()
        return self.dataset.images.count_unscanned(*self._searches())

    def to_cut(self) -> int:
        """Return the number of images to crop again without a search."""
        if self.finished is None:
            return 0
        return self.dataset.scans.count_to_crop(str(self.cutting), *self._searches())

    def items(self) -> Iterator[ImageToSearch]:
        """Yield all work in a fixed order."""
        scans, images = self.dataset.scans, self.dataset.images
        if self.finished is None:
            for sha256, kind in images.iter_unprocessed():
                yield self._item(sha256, kind, search=True)
            return
        for sha256, kind in images.iter_unscanned(*self._searches()):
            yield self._item(sha256, kind, search=True)
        for sha256, kind in scans.iter_to_crop(str(self.cutting), *self._searches()):
            yield self._item(sha256, kind, search=False)

    def _item(self, sha256: str, kind: str, *, search: bool) -> ImageToSearch:
        stored = tuple(self.dataset.faces.list_in_image(sha256))
        regions = tuple(self.dataset.scans.list_regions_without_face(sha256))
        return ImageToSearch(sha256, kind, search, stored, regions)

    def record(self, item: ImageToSearch, faces: ImageFaces) -> None:
        """Write the rows of one image."""
        cut = str(self.cutting)
        search = (self.spec.name, self.settings)
        with self.dataset.db.transaction():
            if not item.search:
                search = self.dataset.scans.get_search(item.sha256)
            self.dataset.faces.replace(
                item.sha256, *search, faces.cuts, cut=cut, small=faces.small
            )
            self.dataset.faces.update_crops(faces.kept)
        self.dataset.rejections.remove(STAGE, item.sha256)

    def remove_crops(self, item: ImageToSearch, faces: ImageFaces | None) -> None:
        """Remove the crops of an image that was removed during the search."""
        cuts = () if faces is None else (*faces.cuts, *faces.kept)
        for key in (*(cut.key for cut in cuts), *(key for key, _ in item.regions)):
            self.dataset.crop_path(key).unlink(missing_ok=True)

    def reject(self, item: ImageToSearch, reason: str, detail: str) -> None:
        """Record a rejection; after a temporary failure the samples stay."""
        rejection = Rejection(STAGE, item.sha256, reason, detail)
        if reason in TEMPORARY_REASONS or not item.search:
            self.dataset.rejections.add(rejection)
        else:
            cut = str(self.cutting)
            self.dataset.faces.record_failure(
                item.sha256, self.spec.name, self.settings, rejection, cut
            )


def find_faces(
    dataset: Dataset,
    spec: DetectorSpec,
    cutting: CropGeometry,
    *,
    finished: tuple[Search, ...] | None = (),
    workers: int = 0,
    progress: Progress = NO_PROGRESS,
) -> FaceSearchResult:
    """Search images not yet searched with these settings; crop their faces.

    Images of the searches in `finished` are not searched again; with None, nor is any image that
    was searched or has a sample. Returns counts.
    """
    result = FaceSearchResult(images=0, faces=0, without_face=0, recut=0, rejected=0)
    result.is_whole = spec.name == WHOLE
    reasons: Counter[str] = Counter()
    retired = _count_retired(dataset)
    with dataset.stage(STAGE) as scratch:
        search = DatasetSearch(dataset, spec, cutting, finished)
        total = search.to_search() + search.to_cut()
        if finished is not None:
            dataset.scans.mark_outdated_crops(str(cutting))
        worker = SearchWorker(
            spec,
            FaceCropper(cutting, dataset.crops(scratch)),
            dataset.originals(scratch),
        )
        batches = run_batches(worker, search.items(), Processes(workers))
        for batch in progress.batches(batches, "faces", total=total):
            with dataset.db.transaction():
                for outcome in batch:
                    _record(search, outcome, result, reasons)
    result.retired = max(_count_retired(dataset) - retired, 0)
    result.reasons = dict(reasons.most_common())
    return result


def _count_retired(dataset: Dataset) -> int:
    return dataset.samples.count_by("status").get(("retired",), 0)


def _record(
    search: DatasetSearch,
    outcome: Outcome[ImageToSearch, ImageFaces],
    result: FaceSearchResult,
    reasons: Counter[str],
) -> None:
    item, faces = outcome.item, outcome.result
    if not search.dataset.images.get_id(item.sha256):
        search.remove_crops(item, faces)
        return
    if item.search:
        result.images += 1
    else:
        result.recut += 1
    if faces is None:
        search.reject(item, outcome.reason or "?", outcome.detail)
        result.rejected += 1
        reasons[outcome.reason or "?"] += 1
        return
    search.record(item, faces)
    if item.search:
        result.faces += len(faces.cuts) + len(faces.small)
        result.without_face += not (faces.cuts or faces.small or faces.kept)
    result.too_small += len(faces.small)
