"""Example faces and an image to try, if `[web] faces` allows it."""

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from baseline.evaluation.outputs import load_outputs
from gleanset import Dataset
from gleanset.command_result import JsonDict
from gleanset.errors import GleansetError
from gleanset.html.thumbnails import Thumbnails
from gleanset.images.data_uri import Thumbnail
from gleanset.records import Sample
from webapp.loaded_model import LoadedModel
from webapp.settings import ServeSettings

PORTRAIT_SIDE = 208
"""Pixels."""
MAX_USEFUL_WIDTH = 200
"""Pixels; larger faces make no better portraits."""
EXAMPLE_SIDE = 960
"""Pixels of the longer side."""
MAX_ATTEMPTS = 5
"""Number of samples that are tried, because files may be missing."""
NOTHING: JsonDict = {"faces": {}, "example": None}


def portraits(model: LoadedModel, _: None, settings: ServeSettings) -> JsonDict:
    """Return a face of each class and an example image, as data URIs of JPEGs.

    A computation of `webapp/computations.py`, whose request is None. Images that only came with
    reports are never shown.
    """
    if settings.dataset is None or not settings.web.faces:
        return NOTHING
    try:
        with Dataset.open(Path(settings.dataset)) as dataset:
            return _choose_portraits(model, dataset)
    except GleansetError:
        return NOTHING


def _choose_portraits(model: LoadedModel, dataset: Dataset) -> JsonDict:
    private = dataset.images.list_report_only()
    samples = [
        sample
        for sample in dataset.samples.iter_in_splits()
        if sample.label in model.visible_classes and sample.image not in private
    ]
    samples.sort(
        key=partial(_rank_portrait, _list_correctly_predicted(model.file.parent))
    )

    faces = {}
    for name in model.visible_classes:
        face = _make_face(dataset, samples, name)
        if face is not None:
            faces[name] = face
    return {"faces": faces, "example": _make_example(dataset, samples)}


def _list_correctly_predicted(folder: Path) -> set[str]:
    """Return the samples (keys) outside of train that a run predicted correctly."""
    correct = set[str]()
    for split, outputs in load_outputs(folder).items():
        if split != "train":
            rows = np.flatnonzero(outputs.logits.argmax(axis=1) == outputs.y)
            correct.update(outputs.keys[row] for row in rows)
    return correct


def _rank_portrait(correct: set[str], sample: Sample) -> tuple[bool, int, float, str]:
    """Sort key: samples that the model predicts correctly, then large, then sharp faces."""
    size = min(sample.box.width, MAX_USEFUL_WIDTH)
    return sample.key not in correct, -size, -sample.sharpness, sample.key


def _make_face(dataset: Dataset, samples: list[Sample], name: str) -> str | None:
    best = [sample for sample in samples if sample.label == name][:MAX_ATTEMPTS]
    return _find_first_src(map(Thumbnails(dataset, PORTRAIT_SIDE).of_sample, best))


def _make_example(dataset: Dataset, samples: list[Sample]) -> str | None:
    """Return an image that was not trained on, preferably with faces of several classes."""
    samples_by_image = defaultdict[str, list[Sample]](list)
    for sample in samples:
        samples_by_image[sample.image].append(sample)

    def rank_image(sha256: str) -> tuple[bool, int]:
        image_samples = samples_by_image[sha256]
        is_in_train = any(sample.split == "train" for sample in image_samples)
        classes = {sample.label for sample in image_samples}
        return is_in_train, -len(classes)

    best = sorted(samples_by_image, key=rank_image)[:MAX_ATTEMPTS]
    images = filter(None, map(dataset.images.get, best))
    return _find_first_src(map(Thumbnails(dataset, EXAMPLE_SIDE).of_image, images))


def _find_first_src(thumbnails: Iterable[Thumbnail | None]) -> str | None:
    return next((thumbnail.src for thumbnail in thumbnails if thumbnail), None)
