"""What training methods share: callbacks, data, outputs, and the methods by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from baseline.data.samples import Arrays, Examples, load_arrays
from baseline.evaluation.decision_rule import (
    GALLERY_SCALE,
    FeatureScale,
    fit_feature_scale,
)
from baseline.evaluation.intervals import group_numbers
from baseline.evaluation.metrics import EpochReport
from baseline.evaluation.outputs import Outputs
from baseline.extras import require_packages
from baseline.features.backbone import Backbone, batch_slices
from baseline.features.features import Features, FeatureSpec, compute_features
from baseline.settings import Settings, Transfer, Triplet, choose_views
from baseline.train.trained_net import GalleryHead, TrainedNet
from gleanset import Dataset
from gleanset.arrays import Float32Array, IntArray
from gleanset.work.progress import NO_PROGRESS, Progress, ProgressMeter


class TrainingCallback:
    """Callback that does nothing."""

    def on_train_begin(self, images: int, epochs: int, finished_images: int) -> None:
        """Start of a training of `epochs` x `images` samples, including resumed ones."""

    def on_step(self, epoch: int, images: int, loss: float, accuracy: float) -> None:
        """A few times a second: images so far, and means over the epoch so far."""

    def on_epoch_end(self, report: EpochReport) -> None:
        """After each epoch."""

    def say(self, line: str) -> None:
        """A message for the user."""


class TrainingCourse(NamedTuple):
    """How a network was trained, without epochs for a method that has none.

    `best_epoch` (from 1) has the lowest validation loss, or is the last one without early stopping.
    """

    history: tuple[EpochReport, ...] = ()
    best_epoch: int = 0
    device: str = "cpu"
    precision: str = "fp32"


class TrainingResult(NamedTuple):
    """The best network of a training; `facts` are JSON values for the metrics."""

    net: TrainedNet
    course: TrainingCourse
    facts: dict[str, Any]


LOG = "log.txt"


class RunLogger(TrainingCallback):
    """Context manager that logs a training in `folder`; `say` prints messages for the user."""

    def __init__(
        self,
        folder: Path,
        progress: Progress,
        say: Callable[[str], None],
    ):
        self.folder = folder
        self._say = say
        self._progress = progress
        self._bar = ProgressMeter()
        self._displayed_images = 0
        self._images = 0
        self._epochs = 0

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: object, error: BaseException | None, trace: object
    ) -> None:
        if error is not None:
            self.write(f"stopped by {type(error).__name__}: {error}")
        self._bar.close()

    def on_train_begin(self, images: int, epochs: int, finished_images: int) -> None:
        """Start the progress bar over all images of all epochs."""
        self._bar.close()
        self._images = images
        self._epochs = epochs
        self._displayed_images = finished_images
        self._bar = self._progress.meter(
            "train", total=images * epochs, done=finished_images
        )
        self.write(f"training on {images} images per epoch, at most {epochs} epochs")

    def on_step(self, epoch: int, images: int, loss: float, accuracy: float) -> None:
        """Update the bar."""
        metrics = f"loss {loss:.3f}, accuracy {accuracy:.3f}"
        self._show(
            images,
            f"epoch {epoch}/{self._epochs}, {metrics}",
        )

    def on_epoch_end(self, report: EpochReport) -> None:
        """Write the epoch to the log."""
        parts = [f"loss {report.train_loss:.3f}", f"train {report.train_accuracy:.3f}"]
        if report.val_accuracy is not None:
            parts.append(f"val {report.val_accuracy:.3f}")
        parts.append(f"{report.images_per_second:.0f} images/s")

        line = ", ".join(parts)
        self.write(f"epoch {report.epoch}/{self._epochs}: {line}")
        self._show(report.epoch * self._images, line)

    def say(self, line: str) -> None:
        """Write a line to the log and print it."""
        self.write(line)
        self._say(line)

    def write(self, line: str) -> None:
        """Write a line to the log, with the time."""
        time = f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}"
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(f"{time} {line}\n")

    def _show(self, images: int, note: str) -> None:
        self._bar.advance(images - self._displayed_images, note)
        self._displayed_images = images


@dataclass
class TrainingData:
    """The examples of a dataset, read lazily. Methods use train and val only.

    `checkpoint_folder` is None for trainings that are not resumed.
    """

    dataset: Dataset
    examples: Examples
    settings: Settings
    progress: Progress = NO_PROGRESS
    checkpoint_folder: Path | None = None
    _arrays: dict[str, Arrays] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in order."""
        return self.examples.classes

    @property
    def frozen_backbone(self) -> bool:
        """Whether the backbone is frozen, so that cached features can be used."""
        return isinstance(self.settings, Transfer | Triplet)

    def arrays(self, split: str) -> Arrays:
        """Return the pixels of a split, read once, without unreadable images."""
        if split not in self._arrays:
            self._arrays[split] = load_arrays(
                self.dataset,
                self.examples,
                self.settings,
                split,
                self.progress,
            )
        return self._arrays[split]

    def train_features(self, backbone: Backbone) -> Features:
        """Return the features of train, with the augmented views of the settings."""
        assert isinstance(self.settings, Transfer | Triplet)
        views = choose_views(
            self.settings,
            len(self.examples.splits["train"]),
        )
        return self.features("train", backbone, views)

    def features(self, split: str, backbone: Backbone, views: int = 0) -> Features:
        """Return the features of a split: the plain view and `views` augmented ones."""
        assert isinstance(self.settings, Transfer | Triplet)
        spec = FeatureSpec.from_settings(self.settings, views=views)
        samples = self.examples.splits[split]
        return compute_features(
            self.dataset,
            samples,
            spec,
            self.progress,
            backbone,
            split,
        )

    def groups_of(self, keys: Sequence[str]) -> IntArray:
        """Return the group number of each key."""
        return group_numbers([self.examples.groups[key] for key in keys])


IMAGE_BATCH = 128
FEATURE_BATCH = 4096


def compute_split_outputs(net: TrainedNet, data: TrainingData, split: str) -> Outputs:
    """Return the outputs of `net` for the readable samples of a split.

    Raises `InputUnusable` if none is readable.
    """
    if data.frozen_backbone:
        features = data.features(split, net.backbone)
        y = data.examples.classes_of(split, features.keys)
        return compute_feature_outputs(net, features.plain, y, features.keys)
    return network_outputs(net, data.arrays(split))


def feature_scale(net: TrainedNet, train: Outputs) -> FeatureScale | None:
    """Fit the scale of the training embeddings; None for a gallery."""
    if isinstance(net.head, GalleryHead):
        return None
    vectors = train.embeddings
    assert vectors is not None, "a network's outputs have embeddings"
    return fit_feature_scale(vectors)


def with_distances(outputs: Outputs, scale: FeatureScale | None) -> Outputs:
    """Add the distances of the embeddings to outputs; unchanged without a scale."""
    if scale is None or outputs.distances is not None:
        return outputs
    assert outputs.embeddings is not None, "a network's outputs have embeddings"
    return replace(outputs, distances=scale.distances(outputs.embeddings))


def compute_feature_outputs(
    net: TrainedNet,
    features: Float32Array,
    y: IntArray,
    keys: tuple[str, ...],
) -> Outputs:
    """Return the outputs for features (N x width)."""
    embeddings = net.embed_features(features)
    # At least one batch, which may be empty, for the shape.
    batches = batch_slices(max(len(keys), 1), FEATURE_BATCH)
    scores = [_compute_scores(net, embeddings[batch], keys[batch]) for batch in batches]
    return Outputs(
        np.concatenate(scores),
        y,
        keys,
        embeddings,
        membership=net.membership(embeddings) if net.membership else None,
    )


def network_outputs(net: TrainedNet, arrays: Arrays) -> Outputs:
    """Return the outputs for images; known images of a gallery are not compared with themselves."""
    # At least one batch, which may be empty, for the shape.
    batches = batch_slices(max(len(arrays), 1), IMAGE_BATCH)
    features = np.concatenate([net.features(arrays.x[batch]) for batch in batches])
    return compute_feature_outputs(net, features, arrays.y, arrays.keys)


def _compute_scores(
    net: TrainedNet, embeddings: Float32Array, keys: Sequence[str]
) -> Float32Array:
    """Return scores without the similarity of a gallery image to itself."""
    head = net.head
    scores = head(embeddings)
    if not isinstance(head, GalleryHead):
        return scores

    # Only images of train are in the gallery.
    row_by_key = {key: row for row, key in enumerate(keys)}
    for number, gallery_keys in enumerate(head.keys):
        for position, key in enumerate(gallery_keys):
            if key not in row_by_key:
                continue
            row = row_by_key[key]
            similarity = head.vectors[number] @ embeddings[row]  # K
            # A class with fewer images than others repeats them, so the image is at every
            # `len(gallery_keys)`th position, too. -1 is the lowest cosine.
            similarity[position :: len(gallery_keys)] = -1
            scores[row, number] = GALLERY_SCALE * similarity.max()

    return scores


TrainingMethod = Callable[[TrainingData, Settings, TrainingCallback], TrainingResult]


def fit_method(
    data: TrainingData, settings: Settings, callback: TrainingCallback | None = None
) -> TrainingResult:
    """Train by the method of the settings.

    Raises `InputUnusable` for fewer than two classes or a class without training images, and what
    loading weights raises.
    """
    require_packages(settings)
    module = "transfer" if isinstance(settings, Transfer) else "gradient"
    methods = import_module(f"baseline.train.methods.{module}")
    fit: TrainingMethod = getattr(methods, f"fit_{settings.method}")
    return fit(data, settings, callback or TrainingCallback())
