"""Cropping images for a model in the same way as its training images.

A run stores how its training images were cropped in `crops.json`, and an exported file in its card.
Older models do not have this record.
"""

import glob
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from PIL import Image

from baseline.data.pixels import read_bytes, to_square_pixels
from baseline.data.runs import read_run_json, write_run_json
from baseline.settings import Fit
from baseline.use.engines import ModelFacts
from facecrop.detectors import Detector, DetectorSpec
from facecrop.detectors.options import dataset_detector, parse_detector, pin_model
from facecrop.detectors.recorded import RecordedDetector
from gleanset.arrays import Pixels
from gleanset.db.faces import WHOLE, CropMethod
from gleanset.errors import Unreadable, UsageError
from gleanset.images.cropping import compute_region, crop_region
from gleanset.images.decode import decode
from gleanset.records import Box, Face
from gleanset.settings import CropGeometry, CropSettings, Settings, read_settings
from gleanset.tree import get_ignored_reason, walk_tree

FILE = "crops.json"
UNRECORDED = (
    "whole images are predicted, because the crops of the training images are not recorded "
    "(for a model of faces, choose a detector: --detector NAME)"
)


def save_crops(folder: Path, methods: Iterable[CropMethod]) -> None:
    """Store how the training images of a run were cropped. Raises disk errors."""
    write_run_json(folder, FILE, list(methods))


def load_crops(folder: Path) -> tuple[CropMethod, ...] | None:
    """Return how the training images of a run were cropped; None for an older run.

    Raises `InputUnusable`.
    """
    return read_run_json(
        folder,
        FILE,
        tuple[CropMethod, ...],
        fix="train again",
    )


NO_FACE = "no face found"
DetectFaces = Callable[[Detector, Pixels], list[Face]]
_detect_directly: DetectFaces = lambda detector, pixels: detector.detect(pixels)  # noqa: E731


class ImagePart(NamedTuple):
    """Input of a prediction: a face with its box, score and detector, or the whole image."""

    pixels: Pixels
    box: Box | None = None
    score: float | None = None
    found_by: str | None = None


@dataclass(frozen=True)
class PartReader:
    """Reads a file as parts of size x size pixels: its faces with a `detector`, else the image.

    With `or_whole` an image without faces is one part. Can be pickled.
    """

    size: int
    detector: DetectorSpec | None = None
    cutting: CropGeometry = field(default_factory=CropGeometry)
    or_whole: bool = False
    fit: Fit = "stretch"

    def __call__(self, path: str) -> list[ImagePart]:
        """Return at least one part. Raises `Unreadable`."""
        return self.parts(decode(read_bytes(Path(path))).pixels)

    def parts(
        self, image: Image.Image, detect: DetectFaces = _detect_directly
    ) -> list[ImagePart]:
        """Return at least one part of an upright RGB image. Raises `Unreadable`."""
        if self.detector is None:
            return [self._read_whole(image)]
        pixels = np.asarray(image)
        faces = detect(self.detector.build(), pixels)
        if not faces and not self.or_whole:
            raise Unreadable(NO_FACE, f"by {self.detector.name}")
        return self.faces(pixels, faces) or [self._read_whole(image)]

    def faces(self, pixels: Pixels, faces: Iterable[Face]) -> list[ImagePart]:
        """Crop detected faces as in training."""
        return [self._crop_face(pixels, face) for face in faces]

    def _crop_face(self, pixels: Pixels, face: Face) -> ImagePart:
        height, width = pixels.shape[:2]
        region = compute_region(face, self.cutting, width, height)
        crop = crop_region(pixels, region.box, region.angle)
        return ImagePart(
            to_square_pixels(crop, self.size, self.fit),
            face.box,
            face.score,
            face.detector,
        )

    def _read_whole(self, image: Image.Image) -> ImagePart:
        full_box = Box(0, 0, image.width, image.height)
        geometry = CropGeometry()
        # With a detector, `cutting` is for faces. A whole image has no landmarks to level it by.
        if self.detector is None:
            geometry = msgspec.structs.replace(self.cutting, level=False)
        region = compute_region(
            Face(WHOLE, full_box, 1.0), geometry, image.width, image.height
        )
        if region.box != full_box:
            image = crop_region(image, region.box)
        return ImagePart(to_square_pixels(image, self.size, self.fit))


class CropPlan(NamedTuple):
    """How images are cropped for a model, with a description and its reason."""

    reader: PartReader
    reason: str
    settings: str
    crops: tuple[CropMethod, ...] | None

    @property
    def description(self) -> str:
        """How images are cropped, for users."""
        if self.reason == "not recorded":
            return UNRECORDED
        start = "requested crop" if self.reason == "asked" else "crop as in training"
        return f"{start}: {self._describe_method()}{self._describe_training()}"

    def _describe_method(self) -> str:
        geometry = self.reader.cutting
        if self.reader.detector is None:
            return f"whole images ({geometry})" if geometry.square else "whole images"

        words = f"faces found by {self.reader.detector.name}, cropped with {geometry}"
        if self.reader.or_whole:
            words += ", or the whole image without a face"
        return words

    def _describe_training(self) -> str:
        crops = self.crops or ()
        if not crops or (len(crops) == 1 and self._matches(crops[0])):
            return ""
        return f"; trained on {', '.join(method.description for method in crops)}"

    def _matches(self, method: CropMethod) -> bool:
        geometry = self.reader.cutting
        if self.reader.detector is None:
            # For whole images `cut` is empty or says that they are made square.
            return method.detector == WHOLE and bool(method.cut) == geometry.square
        return (
            method.detector == self.reader.detector.name
            and method.settings == self.settings
            and method.cut == str(geometry)
        )

    def to_json(self) -> dict[str, object]:
        """Return the plan as JSON values."""
        detector = self.reader.detector
        return {
            "because": self.reason,
            "detector": detector.name if detector else WHOLE,
            "settings": self.settings,
            "cut": str(self.reader.cutting),
            "else_whole": self.reader.or_whole,
            "learnt": None if self.crops is None else msgspec.to_builtins(self.crops),
        }


def make_crop_plan(
    facts: ModelFacts, dataset: Path | None, detector: str | None = None
) -> CropPlan:
    """Return how to crop images for a model: with `detector` (or `whole`), else as in training.

    Missing settings are those of `dataset`. Raises `UsageError` if the model was trained on manual
    boxes or a detector lacks its file, and the errors of building a detector.
    """
    # None if the model does not say how its training images were cropped.
    crops = facts.crops or ()
    is_requested = detector is not None
    reason = "not recorded" if facts.crops is None else "recorded"
    if is_requested:
        reason = "asked"

    # Without a request, images are treated as most training images were: faces or whole images.
    whole_images = [method for method in crops if method.detector == WHOLE]
    samples = sum(method.samples for method in crops)
    mostly_faces = 2 * sum(method.samples for method in whole_images) < samples
    if detector == WHOLE or not (is_requested or mostly_faces):
        geometry_text = whole_images[0].cut if whole_images else ""
        geometry = (
            CropGeometry.parse(geometry_text) if geometry_text else CropGeometry()
        )
        reader = PartReader(facts.size, cutting=geometry, fit=facts.fit)
        return CropPlan(
            reader,
            reason,
            settings="",
            crops=facts.crops,
        )

    # The most frequent way in which faces were found.
    faces = next((method for method in crops if method.is_detected), None)
    if faces is None and not is_requested:
        raise UsageError(
            f"this model was trained on manual boxes, which no detector finds "
            f"({', '.join(method.description for method in crops)})",
            "choose a detector: --detector NAME, or --detector whole",
        )

    settings = read_settings(dataset) if dataset else Settings()
    spec = pin_model(
        _choose_detector(faces, settings.crop, detector),
        settings.pin_of,
    )
    # With `or_whole`, an image without a face is predicted as a whole, as some training images are.
    reader = PartReader(
        facts.size,
        spec,
        _choose_geometry(faces, crops, settings.crop),
        or_whole=not is_requested and bool(whole_images),
        fit=facts.fit,
    )
    # `settings_text` builds the detector: missing files are reported once, not for each image.
    return CropPlan(reader, reason, spec.settings_text, facts.crops)


def _choose_detector(
    faces: CropMethod | None, settings: CropSettings, detector: str | None
) -> DetectorSpec:
    text = detector or (faces.detector if faces else settings.detector)
    spec = parse_detector(text)
    if faces is not None and spec.name == faces.detector:
        # The recorded settings, except for those that the text gives.
        record = RecordedDetector.from_text(spec.name, faces.settings)
        return record.spec(dict(spec.settings))
    # Another detector than in training: its scores do not compare with the recorded threshold.
    return dataset_detector(settings, text)


def _choose_geometry(
    faces: CropMethod | None, crops: Sequence[CropMethod], settings: CropSettings
) -> CropGeometry:
    """Return that of detected faces in training, else of manual boxes, else of the dataset."""
    for method in (faces, *crops):
        if method and method.detector != WHOLE and method.cut:
            return CropGeometry.parse(method.cut)
    return settings


def expand_paths(names: Iterable[str], ignored_counts: Counter[str]) -> Iterator[str]:
    """Yield files, the images below folders, and the matches of patterns.

    Other files in folders are counted in `ignored_counts`. Names without a match and unreadable
    folders are yielded too, so that they become rejections.
    """
    for name in names:
        path = Path(name)
        if path.is_dir():
            yield from _iter_images(path, ignored_counts)
        elif path.exists() or not glob.has_magic(name):
            yield name
        else:
            yield from sorted(glob.glob(name, recursive=True)) or [name]  # noqa: PTH207 - also absolute


def _iter_images(root: Path, ignored_counts: Counter[str]) -> Iterator[str]:
    unreadable: list[OSError] = []
    folders = walk_tree(root, ignored_counts, unreadable.append, links=True)
    for folder, _, files in folders:
        for name in files:
            path = folder / name
            reason = get_ignored_reason(path)
            if reason is None:
                yield str(path)
            else:
                ignored_counts[reason] += 1

    for error in unreadable:
        yield str(error.filename)
