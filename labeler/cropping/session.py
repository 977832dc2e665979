"""Boxes by hand: each is a sample at once, and each change is one step that can be undone.

A sample is known by its image and the box of its face, so a box that is moved becomes another
sample, which takes over the label; the one before is taken away, or set aside where a detector
found it. It knows nothing of a window.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from curation.manual_boxes import PROVENANCE, STAGE, clip_box, crop_faces
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.regions import BoxedSample, BoxedSamples
from gleanset.errors import UsageError
from gleanset.images.cut import sample_key
from gleanset.operations import operation
from gleanset.records import HAND, Box, Face, Image, Landmark

MISSED, ALL = "missed", "all"
FEWEST = 4
"""Pixels of the shorter side: less was a slip of the mouse."""


class ImageBoxes(NamedTuple):
    """An image to draw on: its file, its size in pixels, and the boxes that it has."""

    sha256: str
    path: Path
    title: str
    width: int
    height: int
    boxes: tuple[BoxedSample, ...]


class Drawn(NamedTuple):
    """What a change did: its step, and the sample that there is now."""

    step: int
    key: str


def images(dataset: Dataset, which: str, text: str = "") -> list[str]:
    """Return the hashes of the images without a face (`MISSED`), or of all that hold a text."""
    if which == MISSED:
        return [stored.sha256 for stored in dataset.scans.iter_faceless()]
    return BoxedSamples(dataset.db).find_images(text.strip())


def sheet(dataset: Dataset, sha256: str) -> ImageBoxes:
    """One image. Raises `UsageError` where it is gone."""
    image = dataset.images.resolve(sha256)
    title = next((origin.title for origin in image.origins if origin.title), "") or sha256[:12]
    path = dataset.image_path(image.sha256, image.format)
    boxes = tuple(BoxedSamples(dataset.db).list_in_image(image.sha256))
    return ImageBoxes(image.sha256, path, title, image.width, image.height, boxes)


def put(
    dataset: Dataset, sha256: str, box: Box, angle: float = 0.0, moved: str | None = None
) -> Drawn:
    """Draw a box turned clockwise by `angle` degrees, or put it in place of the sample `moved`.

    It takes over what that sample is now; of one that is gone meanwhile nothing is taken over.
    Raises `UsageError` for a box that is none, or is there already, and `InputUnusable` where
    the image cannot be read.
    """
    image = dataset.images.resolve(sha256)
    part = _fresh(dataset, image, clip_box(box, image), angle)
    if min(part.width, part.height) < FEWEST:
        raise UsageError("the box is too small to be a face", f"draw {FEWEST} pixels or more")
    with dataset.stage(STAGE) as scratch:
        face = Face(HAND, part, 1.0, _eyes(part, angle))
        (cut,) = crop_faces(dataset, image, [face], scratch)
        with dataset.db.transaction():
            if not dataset.faces.add_manual(image.sha256, cut):
                raise UsageError("there is a sample of just this box already", "move it a little")
            instead = BoxedSamples(dataset.db).get(moved) if moved else None
            if instead is not None and instead.label:
                choices = [Choice(cut.key, "label", instead.label, PROVENANCE)]
            else:
                choices = [Choice(cut.key, "add", provenance=PROVENANCE)]
            choices += [_gone(instead)] if instead is not None else []
            did = operation("move-box" if instead else "draw-box")
            step = dataset.journal.apply(did, choices)
    return Drawn(step, cut.key)


def take_away(dataset: Dataset, key: str) -> Drawn:
    """Take a box away; one that a detector found is no face from now on.

    Raises `UsageError` where it is gone already.
    """
    box = in_use(dataset, key)
    did = operation("remove-box") if box.by_hand else operation("reject", count=1)
    return Drawn(dataset.journal.apply(did, [_gone(box)]), box.key)


def in_use(dataset: Dataset, key: str) -> BoxedSample:
    """Return the box of a sample as it is now. Raises `UsageError` where it is gone."""
    box = BoxedSamples(dataset.db).get(key)
    if box is None:
        raise UsageError("this box was taken away meanwhile", "draw it anew")
    return box


def _gone(box: BoxedSample) -> Choice:
    action = "remove" if box.by_hand else "reject"
    return Choice(box.key, action, provenance=PROVENANCE)


def _fresh(dataset: Dataset, image: Image, box: Box, angle: float) -> Box:
    """Return the box, grown by some pixels where its sample exists with another angle."""
    croppings = BoxedSamples(dataset.db)
    if not angle and croppings.get_status(sample_key(image.sha256, box)) in (None, "retired"):
        return box
    for more in range(64):
        width = min(box.width + more // 2, image.width - box.x)
        height = min(box.height + (more + 1) // 2, image.height - box.y)
        grown = box._replace(width=width, height=height)
        if croppings.get_status(sample_key(image.sha256, grown)) is None:
            return grown
    raise UsageError("there are boxes like this already", "move it a little")


def _eyes(box: Box, angle: float) -> tuple[Landmark, ...]:
    """Return where the eyes of a face turned by `angle` are; none for one that stands upright.

    The left eye is the character's: it is on the right in the picture.
    """
    if not angle:
        return ()
    x, y = box.x + box.width / 2, box.y + box.height / 2
    across = 0.2 * box.width * math.cos(math.radians(angle))
    down = 0.2 * box.width * math.sin(math.radians(angle))
    return (
        Landmark("left_eye", x + across, y + down),
        Landmark("right_eye", x - across, y - down),
    )
