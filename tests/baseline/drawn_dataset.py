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
from gleanset.records import Cut

PARTS = ("train",) * 6 + ("val", "test") * 2


def put_whole(dataset: Dataset, picture: Image.Image, name: str) -> str:
    """A picture as one sample, as the stages would do it; the sample's key."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    data = measure(buffer.getvalue())
    dataset.originals(dataset.cache).put(data.sha256, data.format, buffer.getvalue())
    dataset.images.add(data, Origin("folder", name))
    box = Box(0, 0, data.width, data.height)
    key = sample_key(data.sha256, box)
    cut = Cut(Face("whole", box, 1.0), key, box, data.phash, data.sharpness)
    dataset.faces.record(data.sha256, "whole", "", [cut])
    return key


def fill(
    dataset: Dataset, number: int = 10, parts: Sequence[str] = PARTS, moment: int = 1,
    seed: int = 0, classes: int = 3,
) -> None:  # fmt: skip
    """`number` pictures of each class; `moment` neighbours of a class are of one moment."""
    drawn = patterns((number,) * classes, seed)
    choices, splits = [], {}
    with dataset.db.write():
        for index, (pixels, kind) in enumerate(zip(drawn.x, drawn.y, strict=True)):
            key = put_whole(dataset, Image.fromarray(pixels[0]).convert("RGB"), f"{seed}/{index}")
            choices.append(Choice(key, "label", CLASSES[int(kind)]))
            place = index % number
            splits[key] = (f"{kind}/{place // moment}", parts[place % len(parts)])
        dataset.journal.step("Label", choices)
        dataset.samples.set_splits(splits, "by hand")
