"""Drawn images as a labelled and split dataset, as the real stages would make it."""

from __future__ import annotations

import io
from collections.abc import Sequence

from drawn_patterns import CLASSES, patterns
from PIL import Image
from stored_images import store

from gleanset import Dataset, Origin
from gleanset.db.journal import Choice

PARTS = ("train",) * 6 + ("val", "test") * 2
EIGHT_TO_ONE = ("train",) * 8 + ("val", "test")


def put_whole(dataset: Dataset, picture: Image.Image, name: str, post: str | None = None) -> str:
    """Add an image as one sample and return the sample's key.

    Each gets its own perceptual hash, since patterns look alike: only a `post` groups them.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return store(dataset, buffer.getvalue(), Origin("folder", name, post=post), alone=True)


def fill(
    dataset: Dataset,
    number: int = 10,
    parts: Sequence[str] = PARTS,
    per_group: int = 1,
    seed: int = 0,
    classes: int = 3,
) -> None:
    """Add `number` images per class, in groups of `per_group` neighbours."""
    drawn = patterns((number,) * classes, seed)
    choices, splits = [], {}
    with dataset.db.transaction():
        for index, (pixels, kind) in enumerate(zip(drawn.x, drawn.y, strict=True)):
            place = index % number
            post = f"{seed}/{kind}/{place // per_group}"
            picture = Image.fromarray(pixels[0]).convert("RGB")
            key = put_whole(dataset, picture, f"{seed}/{index}", post)
            choices.append(Choice(key, "label", CLASSES[int(kind)]))
            splits[key] = (post, parts[place % len(parts)])
        dataset.journal.apply("Label", choices)
        dataset.samples.set_splits(splits, "by hand")
