"""Drawn pictures as a labelled and split dataset, as the stages would make it."""

from __future__ import annotations

import io
from collections.abc import Sequence

from drawn_patterns import CLASSES, patterns
from PIL import Image

from gleanset import Box, Dataset, Face, Origin
from gleanset.db.journal import Choice
from gleanset.images.cut import sample_key
from gleanset.images.measure import measure
from gleanset.records import FaceCrop

PARTS = ("train",) * 6 + ("val", "test") * 2


def put_whole(dataset: Dataset, picture: Image.Image, name: str, post: str | None = None) -> str:
    """A picture as one sample, as the stages would do it; the sample's key.

    Patterns look much alike, so each has a hash of its own: only a `post` ties them.
    """
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    data = measure(buffer.getvalue())
    dataset.originals(dataset.cache).put(data.sha256, data.format, buffer.getvalue())
    dataset.images.add(data, Origin("folder", name, post=post))
    box = Box(0, 0, data.width, data.height)
    key = sample_key(data.sha256, box)
    cut = FaceCrop(Face("whole", box, 1.0), key, box, int(data.sha256[:16], 16), data.sharpness)
    dataset.faces.record(data.sha256, "whole", "", [cut])
    return key


def fill(
    dataset: Dataset,
    number: int = 10,
    parts: Sequence[str] = PARTS,
    moment: int = 1,
    seed: int = 0,
    classes: int = 3,
) -> None:
    """`number` pictures of each class; `moment` neighbours of a class are of one moment."""
    drawn = patterns((number,) * classes, seed)
    choices, splits = [], {}
    with dataset.db.write():
        for index, (pixels, kind) in enumerate(zip(drawn.x, drawn.y, strict=True)):
            place = index % number
            post = f"{seed}/{kind}/{place // moment}"
            picture = Image.fromarray(pixels[0]).convert("RGB")
            key = put_whole(dataset, picture, f"{seed}/{index}", post)
            choices.append(Choice(key, "label", CLASSES[int(kind)]))
            splits[key] = (post, parts[place % len(parts)])
        dataset.journal.step("Label", choices)
        dataset.samples.set_splits(splits, "by hand")
