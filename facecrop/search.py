"""Face search over all images of a dataset in worker processes.

Images already searched with these settings are only cropped again, if crop settings have changed or
crops are missing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from facecrop.detectors import DetectorSpec
from facecrop.plugin_detector import FAILED
from gleanset import Dataset
from gleanset.arrays import Pixels
from gleanset.command_result import CommandResult
from gleanset.db.faces import WHOLE, StoredFace
from gleanset.db.rows import Search
from gleanset.files.store import FILE_GONE, FILE_UNREADABLE, Store, read_original
from gleanset.images.cropping import FaceCropper, make_sample_key
from gleanset.images.decode import decode
from gleanset.records import HAND, Face, FaceCrop, Region, Rejection, overlap
from gleanset.settings import CropGeometry
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
    """Image with its stored faces, and its samples without a face (`regions`, by key).

    Those that are not `is_new` are only cropped again.
    """

    sha256: str
    format: str
    is_new: bool
    faces: tuple[StoredFace, ...] = ()
    regions: tuple[tuple[str, Region], ...] = ()


class ImageFaces(NamedTuple):
    """Result of a worker: crops of detections and of other faces, and faces too small to crop."""

    detections: list[FaceCrop]
    others: list[FaceCrop]
    small: list[Face]


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
        if not (self.images or self.recut or self.retired or self.rejected):
            return {"result": "no new images"}
        return {
            "detector": self.detector,
            "next": self.next,
            "images": self.images,
            "whole images" if self.is_whole else "faces": self.faces,
            "without a face": self.without_face,
            "cropped again": self.recut,
            "too small": self.too_small,
            "faces no longer in the dataset": self.retired,
            "rejected": self.rejected,
            "reasons": self.reasons,
        }


@dataclass(frozen=True)
class SearchWorker:
    """Callable that searches one image; small and picklable."""

    detector: DetectorSpec
    cropper: FaceCropper
    originals: Store

    def __call__(self, item: ImageToSearch) -> ImageFaces:
        """Detect faces if requested, and write all crops.

        Raises `Unreadable` if the file is missing or cannot be decoded.
        """
        # Only the array is kept: for 100 megapixels that is 300 MB.
        data = read_original(self.originals.path(item.sha256, item.format))
        pixels = np.asarray(decode(data).pixels)

        result = ImageFaces([], [], [])
        for face in self._find_faces(item, pixels):
            if self.cropper.is_too_small(face):
                result.small.append(face)
            else:
                crop = self.cropper.crop(item.sha256, pixels, face)
                result.detections.append(crop)

        # Boxes drawn by hand, also those removed later, and faces with a decision that the
        # detector no longer finds.
        keys = {crop.key for crop in result.detections}
        for face, kind in item.faces:
            # A stored face with the box of a detection has just been cropped.
            if kind != "found" and make_sample_key(item.sha256, face.box) not in keys:
                result.others.append(self.cropper.crop(item.sha256, pixels, face))

        # Missing crops of samples whose face is not stored any more.
        keys |= {crop.key for crop in result.others}
        for key, region in item.regions:
            if key not in keys and not self.cropper.crops.path(key, "JPEG").exists():
                self.cropper.write(key, pixels, region)
        return result

    def _find_faces(self, item: ImageToSearch, pixels: Pixels) -> list[Face]:
        if not item.is_new:
            return [face for face, kind in item.faces if kind == "found"]

        # A box by hand replaces the detection of the same face.
        manual_boxes = [face.box for face, kind in item.faces if kind == HAND]
        return [
            face
            for face in self.detector.build().detect(pixels)
            if all(overlap(face.box, box) < MIN_MANUAL_OVERLAP for box in manual_boxes)
        ]


@dataclass(frozen=True)
class DatasetSearch:
    """Work of one run: which images to search, and how results are recorded.

    Images of `finished_searches` keep their faces; with None, so do all images that were searched
    or have a sample.
    """

    dataset: Dataset
    spec: DetectorSpec
    geometry: CropGeometry
    finished_searches: tuple[Search, ...] | None = ()

    def __post_init__(self) -> None:
        # A person may have deleted files of crops: noted here, they count as crops to make.
        self.dataset.scans.find_lost_crops(self.dataset.crops().list_names)

    @property
    def own_search(self) -> Search:
        """The detector and its settings, without those of crops."""
        return self.spec.name, self.spec.settings_text

    def _list_searches(self) -> set[Search]:
        return {self.own_search, *(self.finished_searches or ())}

    def count_to_search(self) -> int:
        """Return the number of images to search."""
        if self.finished_searches is None:
            return self.dataset.images.count_unprocessed()
        return self.dataset.images.count_unscanned(*self._list_searches())

    def count_to_crop(self) -> int:
        """Return the number of images to crop again without a search."""
        if self.finished_searches is None:
            return 0
        searches = self._list_searches()
        return self.dataset.scans.count_to_crop(
            str(self.geometry),
            *searches,
        )

    def iterate(self) -> Iterator[ImageToSearch]:
        """Yield all work in a fixed order."""
        images = self.dataset.images
        if self.finished_searches is None:
            for image in images.iter_unprocessed():
                yield self._make_item(*image, is_new=True)
            return

        searches = self._list_searches()
        for image in images.iter_unscanned(*searches):
            yield self._make_item(*image, is_new=True)
        for image in self.dataset.scans.iter_to_crop(str(self.geometry), *searches):
            yield self._make_item(*image, is_new=False)

    def _make_item(
        self, sha256: str, image_format: str, *, is_new: bool
    ) -> ImageToSearch:
        faces = tuple(self.dataset.faces.list_in_image(sha256))
        regions = tuple(self.dataset.scans.list_regions_without_face(sha256))
        return ImageToSearch(
            sha256,
            image_format,
            is_new,
            faces,
            regions,
        )

    def record(self, item: ImageToSearch, faces: ImageFaces) -> None:
        """Write the rows of one image."""
        detector, settings = self.own_search
        with self.dataset.db.transaction():
            # Faces that are only cropped again keep the detector and settings that found them.
            if not item.is_new:
                detector, settings = self.dataset.scans.get_search(item.sha256)
            self.dataset.faces.replace(
                item.sha256,
                detector,
                settings,
                faces.detections,
                cut=str(self.geometry),
                small=faces.small,
            )
            self.dataset.faces.update_crops(faces.others)
        self.dataset.rejections.remove(STAGE, item.sha256)

    def remove_crops(self, item: ImageToSearch, faces: ImageFaces | None) -> None:
        """Remove the crops of an image that was removed during the search."""
        keys = [key for key, _ in item.regions]
        if faces is not None:
            keys += [crop.key for crop in (*faces.detections, *faces.others)]
        for key in keys:
            self.dataset.crop_path(key).unlink(missing_ok=True)

    def reject(self, item: ImageToSearch, reason: str, detail: str) -> None:
        """Record a rejection; after a temporary failure the samples stay."""
        rejection = Rejection(STAGE, item.sha256, reason, detail)
        if reason in TEMPORARY_REASONS or not item.is_new:
            self.dataset.rejections.add(rejection)
        else:
            self.dataset.faces.record_failure(
                item.sha256,
                *self.own_search,  # detector and settings
                rejection,
                str(self.geometry),
            )


def find_faces(
    dataset: Dataset,
    spec: DetectorSpec,
    geometry: CropGeometry,
    *,
    finished_searches: tuple[Search, ...] | None = (),
    workers: int = 0,
    progress: Progress = NO_PROGRESS,
) -> FaceSearchResult:
    """Search images not yet searched with these settings; crop their faces.

    Images of `finished_searches` are not searched again; with None, nor is any image that was
    searched or has a sample. Returns counts.
    """
    result = FaceSearchResult(images=0, faces=0, without_face=0, recut=0, rejected=0)
    result.is_whole = spec.name == WHOLE
    reasons: Counter[str] = Counter()
    retired_before = _count_retired(dataset)
    with dataset.stage(STAGE) as scratch:
        search = DatasetSearch(dataset, spec, geometry, finished_searches)
        total = search.count_to_search() + search.count_to_crop()
        # Crops of other settings are replaced; with None all images stay as they are.
        if finished_searches is not None:
            dataset.scans.mark_outdated_crops(str(geometry))
        cropper = FaceCropper(geometry, dataset.crops(scratch))
        worker = SearchWorker(spec, cropper, dataset.originals(scratch))

        batches = run_batches(
            worker,
            search.iterate(),
            Processes(workers),
        )
        for batch in progress.batches(batches, "faces", total=total):
            with dataset.db.transaction():
                for outcome in batch:
                    _record(search, outcome, result, reasons)

    result.retired = max(_count_retired(dataset) - retired_before, 0)
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
    """Record the outcome of one image, and count it in `result` and `reasons`."""
    item = outcome.item
    faces = outcome.result
    # Another process may have removed the image since, as on a removal request.
    if not search.dataset.images.get_id(item.sha256):
        search.remove_crops(item, faces)
        return

    if item.is_new:
        result.images += 1
    else:
        result.recut += 1
    if faces is None:
        reason = outcome.reason or "?"
        search.reject(item, reason, outcome.detail)
        result.rejected += 1
        reasons[reason] += 1
        return

    search.record(item, faces)
    result.too_small += len(faces.small)
    if item.is_new:
        result.faces += len(faces.detections) + len(faces.small)
        # `others` are faces that a person drew or decided on.
        if not (faces.detections or faces.small or faces.others):
            result.without_face += 1
