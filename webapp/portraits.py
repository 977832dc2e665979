"""Faces of the classes, and a picture to try: shown by the page where `[web] faces` allows it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from baseline.evaluation.outputs import load_outputs
from gleanset import Dataset
from gleanset.errors import GleansetError
from gleanset.html.thumbnails import Thumbnails
from gleanset.records import Sample
from webapp.loaded_model import LoadedModel
from webapp.settings import ServeSettings

LARGE_ENOUGH = 200  # pixels of a face; what is larger makes no better portrait
EXAMPLE = 960  # pixels of the longer side
TRIED = 5  # pictures, where files are missing
NOTHING: dict[str, Any] = {"faces": {}, "example": None}


def portraits_of(
    loaded: LoadedModel, requests: Sequence[None], settings: ServeSettings
) -> list[dict[str, Any]]:
    """Return the same answer to each request."""
    return [portraits(settings, loaded) for _ in requests]


def portraits(settings: ServeSettings, loaded: LoadedModel) -> dict[str, Any]:
    """Return what the first screen shows of the classes of a model: nothing unless allowed.

    JPEGs as data URIs: a small one of each class, and one to try, None where there is none.
    """
    if settings.dataset is None or not settings.web.faces:
        return NOTHING
    try:
        with Dataset.open(Path(settings.dataset)) as dataset:
            private = dataset.images.list_report_only()
            samples = [
                sample
                for sample in dataset.samples.iter_in_splits()
                if sample.label in loaded.shown and sample.image not in private
            ]
            samples.sort(key=partial(_rank, _recognised(loaded.file.parent)))
            faces = {name: _face(dataset, samples, name) for name in loaded.shown}
            drawn = {name: face for name, face in faces.items() if face is not None}
            return {"faces": drawn, "example": _example(dataset, samples)}
    except GleansetError:
        return NOTHING


def _recognised(folder: Path) -> set[str]:
    recognised = set[str]()
    for split, outputs in load_outputs(folder).items():
        if split != "train":
            right = np.flatnonzero(outputs.logits.argmax(axis=1) == outputs.y)
            recognised.update(outputs.keys[number] for number in right)
    return recognised


def _rank(recognised: set[str], sample: Sample) -> tuple[bool, int, float, str]:
    """Order: what nobody has mislabelled, as far as is known, then large, then sharp faces."""
    size = min(sample.box.width, LARGE_ENOUGH)
    return sample.key not in recognised, -size, -sample.sharpness, sample.key


def _face(dataset: Dataset, samples: list[Sample], name: str) -> str | None:
    best = [one for one in samples if one.label == name][:TRIED]
    made = map(Thumbnails(dataset).of_sample, best)
    return next((thumbnail.src for thumbnail in made if thumbnail), None)


def _example(dataset: Dataset, samples: list[Sample]) -> str | None:
    within: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        within[sample.image].append(sample)

    def fitness(key: str) -> tuple[bool, int]:
        learnt = any(one.split == "train" for one in within[key])
        return not learnt, len({one.label for one in within[key]})

    best = sorted(within, key=fitness, reverse=True)[:TRIED]
    made = map(Thumbnails(dataset, EXAMPLE).of_image, filter(None, map(dataset.images.get, best)))
    return next((thumbnail.src for thumbnail in made if thumbnail), None)
