"""Faces of the classes, and a picture to try: shown by the page where `[web] faces` allows it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.errors import GleansetError
from gleanset.html.thumbnails import Thumbnails
from gleanset.records import Sample
from webapp.served import LoadedModel
from webapp.settings import ServeSettings

LARGE_ENOUGH = 200  # pixels of a face; what is larger makes no better portrait
EXAMPLE = 960  # pixels of the longer side
TRIED = 5  # pictures, where files are missing


class Portraits(NamedTuple):
    """JPEGs as data URIs: a small one of each class, and one to try, None where there is none."""

    faces: dict[str, str]
    example: str | None


def portraits_of(settings: ServeSettings, loaded: LoadedModel) -> Portraits:
    """Return what the first screen shows of the classes of a model: nothing unless allowed."""
    if settings.dataset is None or not settings.web.faces:
        return Portraits({}, None)
    try:
        with Dataset.open(Path(settings.dataset)) as dataset:
            samples = [one for one in dataset.samples.in_splits() if one.label in loaded.shown]
            faces = {name: _face(dataset, samples, name) for name in loaded.shown}
            drawn = {name: face for name, face in faces.items() if face is not None}
            return Portraits(drawn, _example(dataset, samples))
    except GleansetError:
        return Portraits({}, None)


def _face(dataset: Dataset, samples: list[Sample], name: str) -> str | None:
    """Return a face of a class: large, sharp, the same each time."""
    best = sorted(
        (one for one in samples if one.label == name),
        key=lambda one: (-min(one.box.width, LARGE_ENOUGH), -one.sharpness, one.key),
    )
    made = map(Thumbnails(dataset).of_sample, best[:TRIED])
    return next((thumbnail.src for thumbnail in made if thumbnail), None)


def _example(dataset: Dataset, samples: list[Sample]) -> str | None:
    """Return a picture of several classes, one that the model has not learnt from if there is."""
    within: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        within[sample.image].append(sample)

    def fitness(key: str) -> tuple[bool, int, str]:
        learnt = any(one.split == "train" for one in within[key])
        return not learnt, len({one.label for one in within[key]}), key

    best = sorted(within, key=fitness, reverse=True)[:TRIED]
    made = map(Thumbnails(dataset, EXAMPLE).of_image, filter(None, map(dataset.images.get, best)))
    return next((thumbnail.src for thumbnail in made if thumbnail), None)
