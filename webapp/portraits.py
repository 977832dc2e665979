"""Example faces and an image to try, if `[web] faces` allows it."""

from collections import defaultdict
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

PORTRAIT_SIDE = 208  # pixels
MAX_USEFUL_WIDTH = 200  # pixels; larger faces make no better portraits
EXAMPLE_SIDE = 960  # pixels of the longer side
MAX_ATTEMPTS = 5  # with missing files
NOTHING: dict[str, Any] = {"faces": {}, "example": None}


def portraits(loaded: LoadedModel, _: None, settings: ServeSettings) -> dict[str, Any]:
    """Return a face of each class and an example image, as data URIs of JPEGs.

    Images that only came with reports are never shown.
    """
    if settings.dataset is None or not settings.web.faces:
        return NOTHING
    try:
        with Dataset.open(Path(settings.dataset)) as dataset:
            private = dataset.images.list_report_only()
            samples = [
                sample
                for sample in dataset.samples.iter_in_splits()
                if sample.label in loaded.visible_classes
                and sample.image not in private
            ]
            samples.sort(key=partial(_rank, _correctly_predicted(loaded.file.parent)))
            faces = {
                name: _face(dataset, samples, name) for name in loaded.visible_classes
            }
            available = {name: face for name, face in faces.items() if face is not None}
            return {"faces": available, "example": _example(dataset, samples)}
    except GleansetError:
        return NOTHING


def _correctly_predicted(folder: Path) -> set[str]:
    correct = set[str]()
    for split, outputs in load_outputs(folder).items():
        if split != "train":
            rows = np.flatnonzero(outputs.logits.argmax(axis=1) == outputs.y)
            correct.update(outputs.keys[row] for row in rows)
    return correct


def _rank(correct: set[str], sample: Sample) -> tuple[bool, int, float, str]:
    """Sort key: samples with a confirmed label, then large, then sharp faces."""
    size = min(sample.box.width, MAX_USEFUL_WIDTH)
    return sample.key not in correct, -size, -sample.sharpness, sample.key


def _face(dataset: Dataset, samples: list[Sample], name: str) -> str | None:
    best = [sample for sample in samples if sample.label == name][:MAX_ATTEMPTS]
    thumbnails = map(Thumbnails(dataset, PORTRAIT_SIDE).of_sample, best)
    return next((thumbnail.src for thumbnail in thumbnails if thumbnail), None)


def _example(dataset: Dataset, samples: list[Sample]) -> str | None:
    by_image: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_image[sample.image].append(sample)

    def fitness(key: str) -> tuple[bool, int]:
        is_trained_on = any(sample.split == "train" for sample in by_image[key])
        return not is_trained_on, len({sample.label for sample in by_image[key]})

    best = sorted(by_image, key=fitness, reverse=True)[:MAX_ATTEMPTS]
    images = filter(None, map(dataset.images.get, best))
    thumbnails = map(Thumbnails(dataset, EXAMPLE_SIDE).of_image, images)
    return next((thumbnail.src for thumbnail in thumbnails if thumbnail), None)
