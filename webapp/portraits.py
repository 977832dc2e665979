"""Faces of the classes, and a picture to try: shown by the page where `[web] faces` allows it."""

from __future__ import annotations

import io
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.errors import GleansetError, Unreadable
from gleanset.html.thumbnails import Thumbnails
from gleanset.images.decode import decode
from gleanset.records import Sample
from webapp.served import LoadedModel
from webapp.settings import ServeSettings

LARGE_ENOUGH = 200
"""Pixels of a face; what is larger makes no better portrait."""
SIDE, QUALITY = 1280, 85
"""Of the picture to try."""
TRIED = 5
"""Pictures that are tried, where files are missing."""


class Portraits(NamedTuple):
    """A small JPEG of each class as a data URI, and a larger one to try; None where none is."""

    faces: dict[str, str]
    example: bytes | None


def portraits_of(settings: ServeSettings, loaded: LoadedModel) -> Portraits:
    """Return what the first screen shows of the classes of a model: nothing unless allowed."""
    if settings.dataset is None or not settings.web.faces:
        return Portraits({}, None)
    try:
        with Dataset.open(Path(settings.dataset)) as dataset:
            samples = [one for one in dataset.samples.in_splits() if one.label in loaded.shown]
            faces = {name: _face(dataset, samples, name) for name in loaded.shown}
            made = {name: face for name, face in faces.items() if face is not None}
            return Portraits(made, _example(dataset, samples))
    except GleansetError:
        return Portraits({}, None)


def _face(dataset: Dataset, samples: list[Sample], name: str) -> str | None:
    """Return a face of a class: large, sharp, the same each time."""
    best = sorted(
        (one for one in samples if one.label == name),
        key=lambda one: (-min(one.box.width, LARGE_ENOUGH), -one.sharpness, one.key),
    )
    thumbnails = Thumbnails(dataset)
    return next((t.src for one in best[:TRIED] if (t := thumbnails.of_sample(one))), None)


def _example(dataset: Dataset, samples: list[Sample]) -> bytes | None:
    """Return a picture of several classes, one that the model has not learnt from if there is."""
    within: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        within[sample.image].append(sample)

    def fitness(key: str) -> tuple[bool, int, str]:
        learnt = any(one.split == "train" for one in within[key])
        return not learnt, len({one.label for one in within[key]}), key

    for key in sorted(within, key=fitness, reverse=True)[:TRIED]:
        image = dataset.images.get(key)
        try:
            if image is not None:
                return _jpeg(dataset.image_path(key, image.format).read_bytes())
        except (OSError, Unreadable):
            continue
    return None


def _jpeg(data: bytes) -> bytes:
    pixels = decode(data, at_least=SIDE).pixels.convert("RGB")
    pixels.thumbnail((SIDE, SIDE))
    pixels.save(buffer := io.BytesIO(), "JPEG", quality=QUALITY)
    return buffer.getvalue()
