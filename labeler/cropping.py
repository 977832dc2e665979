"""Manual boxes: each is a sample at once, and each change is a step that can be undone.

A sample is identified by its image and box, so a moved box becomes another sample that inherits the
label; the previous one is removed, or rejected if a detector found it.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.regions import BoxedSample, BoxedSamples
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.images.cropping import FaceCropper, clip_box, make_sample_key
from gleanset.images.decode import decode
from gleanset.operations import make_operation
from gleanset.records import HAND, Box, Face, FaceCrop, Image, Landmark
from gleanset.settings import CropGeometry

STAGE = "facecrop-by-hand"
PROVENANCE = "box by hand"
MISSED = "missed"
ALL = "all"
MIN_BOX_SIDE = 4
"""Pixels of the shorter side; smaller boxes are accidental clicks."""


class ImageBoxes(NamedTuple):
    """An image to draw on: its file, its size in pixels, and its boxes."""

    sha256: str
    path: Path
    title: str
    width: int
    height: int
    boxes: tuple[BoxedSample, ...]


NO_IMAGE = ImageBoxes("", Path(), "", 1, 1, ())


class BoxEdit(NamedTuple):
    """The step of a change, and the sample that results from it."""

    step: int
    key: str


def list_images(dataset: Dataset, selection: str, text: str) -> list[str]:
    """Return the hashes of images without a face (`MISSED`), or of all that match a text."""
    if selection == MISSED:
        return [image.sha256 for image in dataset.scans.iter_faceless()]
    return BoxedSamples(dataset.db).find_images(text.strip())


def load_image(dataset: Dataset, sha256: str) -> ImageBoxes:
    """Return an image with its boxes. Raises `UsageError` if it is gone."""
    image = dataset.images.resolve(sha256)
    titles = (origin.title for origin in image.origins if origin.title)
    return ImageBoxes(
        image.sha256,
        path=dataset.image_path(image.sha256, image.format),
        title=next(titles, sha256[:12]),
        width=image.width,
        height=image.height,
        boxes=tuple(BoxedSamples(dataset.db).list_in_image(image.sha256)),
    )


def put_box(
    dataset: Dataset,
    sha256: str,
    box: Box,
    angle: float = 0.0,
    previous_key: str | None = None,
) -> BoxEdit:
    """Add a box rotated clockwise by `angle` degrees, or move the sample `previous_key` there.

    A moved box inherits the present label; nothing is inherited from a sample that is gone. Raises
    `UsageError` for an invalid or existing box, and `InputUnusable` for an unreadable image.
    """
    image = dataset.images.resolve(sha256)
    box = _find_free_box(
        dataset,
        image,
        _clip_to_image(box, image),
        angle,
    )
    if min(box.width, box.height) < MIN_BOX_SIDE:
        raise UsageError("the box is too small", f"draw at least {MIN_BOX_SIDE} pixels")

    with dataset.stage(STAGE) as scratch:
        face = Face(
            HAND,
            box,
            1.0,
            _make_eye_landmarks(box, angle),
        )
        crop = _crop_face(dataset, image, face, scratch)
        with dataset.db.transaction():
            if not dataset.faces.add_manual(image.sha256, crop):
                raise _existing_box_error()

            action = "draw-box"
            choices = [Choice(crop.key, "add", None, PROVENANCE)]
            # The present label, which may differ from the one that the window shows.
            boxes = BoxedSamples(dataset.db)
            previous = boxes.get(previous_key) if previous_key else None
            if previous is not None:
                action = "move-box"
                if previous.label:
                    choices = [Choice(crop.key, "label", previous.label, PROVENANCE)]
                choices.append(_choose_removal(previous))
            step = dataset.journal.apply(make_operation(action), choices)

    return BoxEdit(step, crop.key)


def _existing_box_error() -> UsageError:
    return UsageError("a sample with this box exists already", "move the box a little")


def remove_box(dataset: Dataset, key: str) -> BoxEdit:
    """Delete a manual box, or reject a detected one.

    Raises `UsageError` if it is already gone.
    """
    box = get_box(dataset, key)
    action = make_operation("reject", count=1)
    if box.by_hand:
        action = make_operation("remove-box")
    return BoxEdit(
        dataset.journal.apply(action, [_choose_removal(box)]),
        box.key,
    )


def get_box(dataset: Dataset, key: str) -> BoxedSample:
    """Return the present box of a sample. Raises `UsageError` if it is gone."""
    box = BoxedSamples(dataset.db).get(key)
    if box is None:
        raise UsageError("this box was deleted", "draw it again")
    return box


def _choose_removal(box: BoxedSample) -> Choice:
    """Return the choice that removes a box, or rejects one that a detector would find again."""
    return Choice(
        box.key,
        "remove" if box.by_hand else "reject",
        provenance=PROVENANCE,
    )


def _find_free_box(dataset: Dataset, image: Image, box: Box, angle: float) -> Box:
    """Return the box, enlarged by some pixels if its sample exists with another angle.

    A sample is named by its image and box, without the angle.
    """
    sample = dataset.samples.get(make_sample_key(image.sha256, box))
    if not angle and (not sample or sample.status == "retired"):
        return box

    for extra in range(64):
        # One pixel more each time: in height, then in width.
        larger_box = box._replace(
            width=min(box.width + extra // 2, image.width - box.x),
            height=min(box.height + (extra + 1) // 2, image.height - box.y),
        )
        if dataset.samples.get(make_sample_key(image.sha256, larger_box)) is None:
            return larger_box

    raise _existing_box_error()


def _make_eye_landmarks(box: Box, angle: float) -> tuple[Landmark, ...]:
    """Return the eyes of a face rotated by `angle`; none if it is upright.

    The left eye is the character's: it is on the right in the image.
    """
    if not angle:
        return ()

    # The line through the eyes gives the rotation of the crop.
    center_x = box.x + box.width / 2
    center_y = box.y + box.height / 2
    distance = 0.2 * box.width  # of an eye from the center, in pixels
    across = distance * math.cos(math.radians(angle))
    down = distance * math.sin(math.radians(angle))
    return (
        Landmark("left_eye", center_x + across, center_y + down),
        Landmark("right_eye", center_x - across, center_y - down),
    )


def _crop_face(dataset: Dataset, image: Image, face: Face, scratch: Path) -> FaceCrop:
    """Crop a face like the image's others. Raises `InputUnusable` for an unreadable file."""
    text = dataset.scans.get_crop_settings(image.sha256)
    geometry = CropGeometry.parse(text) if text else dataset.settings.crop
    path = dataset.image_path(image.sha256, image.format)

    try:
        pixels = np.asarray(decode(path.read_bytes()).pixels)
    except (OSError, Unreadable) as error:
        raise InputUnusable(
            f"{path} cannot be read: {error}",
            "put the images folder of the dataset back",
        ) from error
    cropper = FaceCropper(geometry, dataset.crops(scratch))
    return cropper.crop(image.sha256, pixels, face)


def _clip_to_image(box: Box, image: Image) -> Box:
    """Return the part of a box inside the image. Raises `UsageError` if empty."""
    part = clip_box(box, image.width, image.height)
    if part is None:
        raise UsageError(
            f"the box {','.join(map(str, box))} is outside the image",
            f"it has {image.width} x {image.height} pixels",
        )
    return part
