"""Adding labelled images of other programs: crops, samples and decisions, in one step."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gleanset import Dataset
from gleanset.db.journal import IMPORT, Choice
from gleanset.errors import FORGOTTEN, Unreadable
from gleanset.files.names import format_path
from gleanset.files.store import Store
from gleanset.images.cropping import FaceCropper, clip_box
from gleanset.images.decode import DecodedImage, decode
from gleanset.images.staging import StageBytes, read_image_file
from gleanset.named_files import format_short_path
from gleanset.operations import make_operation
from gleanset.records import (
    HAND,
    Box,
    Face,
    FaceCrop,
    Measured,
    Origin,
    Rectangle,
    Rejection,
)
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress

STAGE = "import"
MAX_COORDINATE = 1e9
OTHER_SHAPE = "another size than annotated"
FRACTIONS = (1.0, 1.0)
"""The frame of boxes in fractions of the image."""

Frame = tuple[float, float]
"""Image width and height that box coordinates refer to."""


class LabelledImage(NamedTuple):
    """An image with labels, each of a box or of the whole image (None).

    Boxes are relative to `frame`, or in pixels of the upright image without one.
    """

    path: Path
    labels: tuple[tuple[Rectangle | None, str], ...]
    frame: Frame | None = None


LabelFiles = dict[str, dict[str, str]]
"""For each sample (key) its labels, each with the file that has it."""


class ImportedImage(NamedTuple):
    """Result of a worker: the image, its crops with labels, and the reasons of dropped boxes."""

    measures: Measured
    crops: list[tuple[FaceCrop, str]]
    drop_reasons: list[str]


def import_image(
    item: LabelledImage, keep: StageBytes, cropper: FaceCropper
) -> ImportedImage:
    """Stage an image by `keep` and crop its boxes, in a worker process.

    Raises `Unreadable` if it is not an image or no box is usable.
    """
    data = read_image_file(item.path)
    measures = keep(data)
    image_box = Box(0, 0, measures.width, measures.height)
    image = decode(data)
    pixels = np.asarray(image.pixels)

    crops = []
    errors = []
    for box, label in item.labels:
        try:
            pixel_box = convert_box(box, item.frame, image) if box else image_box
        except Unreadable as error:
            errors.append(error)
            continue

        # A box around everything is the whole image, as a sample without a face is.
        detector = "whole" if pixel_box == image_box else HAND
        # A box of a person has no score of a detector: 1.0.
        face = Face(detector, pixel_box, 1.0)
        crops.append((cropper.crop(measures.sha256, pixels, face), label))

    if errors and not crops:
        raise errors[0]
    return ImportedImage(measures, crops, [error.reason for error in errors])


def is_same_shape(size: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two sizes (width, height) have the same aspect ratio."""
    # The smaller size may be the larger one (W x H) reduced, with its sides rounded up or down: by
    # less than a pixel, so w * H and h * W differ by less than W + H.
    width, height = size
    other_width, other_height = other
    tolerance = max(width + height, other_width + other_height)
    return abs(width * other_height - height * other_width) <= tolerance


def convert_box(box: Rectangle, frame: Frame | None, image: DecodedImage) -> Box:
    """Convert a box (x, y, width, height) relative to `frame` into whole pixels of the image.

    Raises `Unreadable` for a box outside of the image, and for a frame of another shape.
    """
    if frame is not None and frame != (image.width, image.height):
        frame_width, frame_height = frame
        if frame != FRACTIONS and not is_same_shape(frame, (image.width, image.height)):
            raise Unreadable(
                OTHER_SHAPE,
                f"{image.width} x {image.height}, annotated at {frame_width:g} x {frame_height:g}",
            )

        scale_x = image.width / frame_width
        scale_y = image.height / frame_height
        left, top, width, height = box
        box = (left * scale_x, top * scale_y, width * scale_x, height * scale_y)

    try:
        pixel_box = Box(*map(round, box))
    except (ValueError, OverflowError) as error:  # NaN and infinity
        raise Unreadable("box outside", str(error)) from error
    box_in_image = clip_box(pixel_box, image.width, image.height)
    if box_in_image is None:
        raise Unreadable(
            "box outside",
            f"{tuple(pixel_box)} in {image.width} x {image.height} pixels",
        )
    return box_in_image


def parse_frame(row: Mapping[str, Any]) -> Frame | None:
    """Return the image size in a row; None if it has no valid one."""
    try:
        width = float(row["width"])
        height = float(row["height"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    is_valid = 1 <= width <= MAX_COORDINATE and 1 <= height <= MAX_COORDINATE
    return (width, height) if is_valid else None


class ImportedLabels(NamedTuple):
    """Imported files with whether their image is new, and labels with their samples.

    `dropped` has the reasons of unusable boxes, `rejections` and `disputes` a line for each file.
    """

    images: dict[Path, bool]
    labels: Counter[str]
    dropped: list[tuple[Path, str]]
    rejections: list[str]
    disputes: list[str]


def add_labelled(
    dataset: Dataset,
    images: Collection[LabelledImage],
    origins: Mapping[Path, Origin],
    folder: str,
    *,
    workers: int,
    progress: Progress,
) -> ImportedLabels:
    """Add images with labelled samples, in one step that names their `folder`."""
    label_files: LabelFiles = {}
    new: dict[Path, bool] = {}
    errors = {}
    dropped = []
    with dataset.stage(STAGE) as scratch:
        cropper = FaceCropper(
            dataset.settings.crop,
            dataset.crops(scratch),
        )
        store = dataset.originals(scratch)
        outcomes = run_over(
            partial(import_image, keep=StageBytes(store), cropper=cropper),
            images,
            Processes(workers),
        )
        for outcome in progress.over(outcomes, "import", total=len(images)):
            path = outcome.item.path
            origin = origins[path]
            try:
                image = outcome.unwrap()
                new[path] = _store_image(
                    dataset,
                    store,
                    image,
                    origin,
                    label_files,
                )
            except Unreadable as problem:
                errors[path] = problem
                continue
            dropped += [(path, reason) for reason in image.drop_reasons]

        for path, error in errors.items():
            dataset.rejections.add(
                Rejection(STAGE, format_path(path), error.reason, error.detail)
            )
        # Last, because a sample may be in several files with different labels.
        disputes = _label_samples(dataset, label_files, folder)

    rejections = [
        f"{format_short_path(format_path(path))}: {error.reason}"
        for path, error in errors.items()
    ]
    # Disputed samples have several labels; `min` takes the only one of the others.
    labels = Counter(min(names) for names in label_files.values() if len(names) == 1)
    return ImportedLabels(new, labels, dropped, rejections, disputes)


def _store_image(
    dataset: Dataset,
    store: Store,
    image: ImportedImage,
    origin: Origin,
    label_files: LabelFiles,
) -> bool:
    """Store an image with its samples; return whether it is new. Raises `Unreadable`.

    The labels of its samples are added to `label_files`.
    """
    with dataset.db.transaction():
        try:
            is_new = dataset.take_original(store, image.measures, origin)
        except Unreadable as error:
            if error.reason == FORGOTTEN:
                # A removed image must not leave crops.
                for crop, _ in image.crops:
                    dataset.crop_path(crop.key).unlink(missing_ok=True)
            raise

        sha256 = image.measures.sha256
        # Importing again updates credit and groups.
        if not is_new:
            dataset.images.update_credit(sha256, origin)
        for crop, label in image.crops:
            dataset.faces.add_manual(sha256, crop)
            files_by_label = label_files.setdefault(crop.key, {})
            files_by_label[dataset.classes.resolve(label)] = origin.key
        dataset.rejections.remove(STAGE, origin.key)

    return is_new


def _label_samples(dataset: Dataset, label_files: LabelFiles, folder: str) -> list[str]:
    """Label undecided samples with one class; record all others as disputed and describe them.

    `folder` is the name of the imported folder in the step.
    """
    choices = []
    disputes = []
    for key, files in label_files.items():
        sample = dataset.samples.get(key)
        is_undecided = not sample or sample.status in ("queue", "retired")
        if is_undecided and len(files) == 1:
            choices.append(Choice(key, "label", min(files), IMPORT))
        elif is_undecided:
            # The sample waits for a person, to whom the journal shows the labels as its provenance.
            choices.append(Choice(key, "add", provenance=" or ".join(sorted(files))))
            disputes.append(_record_dispute(dataset, files, None))
        elif sample and files.keys() != {sample.label}:
            decision = sample.label or sample.status
            disputes.append(_record_dispute(dataset, files, decision))

    if choices:
        dataset.journal.apply(
            make_operation("import", count=len(choices), folder=folder), choices
        )
    return disputes


def _record_dispute(
    dataset: Dataset, files: Mapping[str, str], decision: str | None
) -> str:
    """Record the files with differing labels of a sample as rejections; return a description.

    `files` are those by label, `decision` is the label or status that the sample has already.
    """
    texts = {
        label: f"{format_short_path(file)}: {label}"
        for label, file in files.items()
        if label != decision
    }
    decided = [f"decided: {decision}"] if decision else []
    for label in texts:
        others = [text for other, text in texts.items() if other != label]
        detail = ", ".join([f"label {label}", *(decided or others)])
        dataset.rejections.add(Rejection(STAGE, files[label], "disputed", detail))

    sorted_texts = [texts[label] for label in sorted(texts)]
    return ", ".join([*sorted_texts, *decided])
