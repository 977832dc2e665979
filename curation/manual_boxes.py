"""Face boxes drawn by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.images.cropping import CropGeometry, FaceCropper, clip_box, make_sample_key
from gleanset.images.decode import decode
from gleanset.operations import make_operation
from gleanset.records import HAND, Box, Face, FaceCrop, Image

STAGE = "facecrop-by-hand"
PROVENANCE = "box by hand"


def parse_box(text: str) -> Box:
    """Parse `x,y,width,height` in pixels of the upright image. Raises `UsageError`."""
    match = re.fullmatch(r"(-?\d{1,9}),(-?\d{1,9}),(\d{1,9}),(\d{1,9})", text.replace(" ", ""))
    box = Box(*map(int, match.groups())) if match else None
    if box is None or not (box.width and box.height):
        raise UsageError(
            f"{text!r} is not a box", "write x,y,width,height in pixels, for instance 120,80,64,64"
        )
    return box


def add_boxes(dataset: Dataset, text: str, boxes: Sequence[Box]) -> dict[str, object]:
    """Add boxes as faces of an image in one step. Raises `UsageError`, `InputUnusable`."""
    image = dataset.images.resolve(text)
    by_key = {
        make_sample_key(image.sha256, box): box
        for box in (clip_to_image(box, image) for box in boxes)
    }
    new_boxes = [
        box
        for key, box in by_key.items()
        if (sample := dataset.samples.get(key)) is None or sample.status == "retired"
    ]
    added = 0
    with dataset.stage(STAGE) as scratch:
        if new_boxes:
            faces = [Face(HAND, box, 1.0) for box in new_boxes]
            crops = crop_faces(dataset, image, faces, scratch)
            with dataset.db.transaction():
                new = [cut.key for cut in crops if dataset.faces.add_manual(image.sha256, cut)]
                if choices := [Choice(key, "add", provenance=PROVENANCE) for key in new]:
                    dataset.journal.apply(make_operation("add-boxes", count=len(new)), choices)
            added = len(new)
    return {"added": added, "image": image.sha256, "samples": list(by_key)}


def crop_faces(
    dataset: Dataset, image: Image, faces: Sequence[Face], scratch: Path
) -> list[FaceCrop]:
    """Crop faces like the image's others. Raises `InputUnusable` for an unreadable file."""
    as_others = dataset.scans.get_crop_settings(image.sha256)
    own = CropGeometry.from_settings(dataset.settings.crop)
    cutter = FaceCropper(
        CropGeometry.parse(as_others) if as_others else own, dataset.crops(scratch)
    )
    path = dataset.image_path(image.sha256, image.format)
    try:
        pixels = np.asarray(decode(path.read_bytes()).pixels)
    except (OSError, Unreadable) as error:
        raise InputUnusable(
            f"{path} cannot be read: {error}", "put the images folder of the dataset back"
        ) from error
    return [cutter.crop(image.sha256, pixels, face) for face in faces]


def clip_to_image(box: Box, image: Image) -> Box:
    """Return the part of a box inside the image. Raises `UsageError` if empty."""
    part = clip_box(box, image.width, image.height)
    if part is None:
        raise UsageError(
            f"the box {','.join(map(str, box))} is outside the image",
            f"it has {image.width} x {image.height} pixels",
        )
    return part


def remove_samples(dataset: Dataset, keys: Sequence[str]) -> dict[str, object]:
    """Remove boxes drawn by hand in one step. Raises `UsageError` for detected faces."""
    with dataset.db.transaction():
        keys = [dataset.samples.resolve_key(key) for key in keys]
        for key in keys:
            sample = dataset.samples.get(key)
            if sample is not None and sample.detector != HAND:
                raise UsageError(
                    f"the sample {key} was found by {sample.detector}, not drawn by hand",
                    f"reject it: labeler label --reject {key}",
                )
        choices = [Choice(key, "remove", provenance=PROVENANCE) for key in dict.fromkeys(keys)]
        step = dataset.journal.apply(make_operation("remove-boxes", count=len(choices)), choices)
    return {"step": step, "removed": len(choices)}
