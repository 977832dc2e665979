"""Training data of a method, as pixels or features, and outputs of a network for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from baseline.data.samples import Arrays, Examples, load_arrays
from baseline.evaluation.decision_rule import GALLERY_SCALE, FeatureScale, fit_feature_scale
from baseline.evaluation.outputs import Indices, Outputs, Scores
from baseline.features.backbone import Backbone, FeaturePart, batch_slices
from baseline.features.features import Features, FeatureSpec, compute_features
from baseline.features.texture import PartWeights, get_prior_weights
from baseline.settings import Settings, Transfer, Triplet, resolve_views
from baseline.train.trained_net import GalleryHead, TrainedNet
from gleanset import Dataset
from gleanset.work.progress import Progress


@dataclass(slots=True)
class TrainingData:
    """The examples of a dataset, read lazily. Methods use train and val only.

    `checkpoint_folder` is None for trainings that are not resumed.
    """

    dataset: Dataset
    examples: Examples
    settings: Settings
    progress: Progress = field(default_factory=Progress)
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
                self.dataset, self.examples, self.settings, split, self.progress
            )
        return self._arrays[split]

    def train_features(self, backbone: Backbone) -> Features:
        """Return the features of train, with the augmented views of the settings."""
        assert isinstance(self.settings, Transfer | Triplet)
        views = resolve_views(self.settings, len(self.examples.splits["train"]))
        return self.features("train", backbone, views)

    def features(self, split: str, backbone: Backbone, views: int = 0) -> Features:
        """Return the features of a split: the plain view and `views` augmented ones."""
        assert isinstance(self.settings, Transfer | Triplet)
        spec = FeatureSpec.from_settings(self.settings, views=views)
        samples = self.examples.splits[split]
        return compute_features(self.dataset, samples, spec, self.progress, backbone, split)

    def get_prior_weights(self, parts: Sequence[FeaturePart]) -> PartWeights:
        """Return the feature block weights expected from the texture of train."""
        return get_prior_weights(parts, self.dataset, self.examples.splits["train"], self.progress)

    def classes_of(self, split: str, keys: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Return the class number of each key."""
        return self.examples.classes_of(split, keys)

    def groups_of(self, keys: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the group number of each key."""
        names = np.array([self.examples.groups[key] for key in keys])
        return np.unique(names, return_inverse=True)[1]


IMAGE_BATCH = 128
FEATURE_BATCH = 4096


def split_outputs(net: TrainedNet, data: TrainingData, split: str) -> Outputs:
    """Return the outputs of `net` for the readable samples of a split.

    Raises `InputUnusable` if none is readable.
    """
    if data.frozen_backbone:
        features = data.features(split, net.backbone)
        y = data.classes_of(split, features.keys)
        return feature_outputs(net, features.plain, y, features.keys)
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


def feature_outputs(
    net: TrainedNet, features: npt.NDArray[np.float32], y: Indices, keys: tuple[str, ...]
) -> Outputs:
    """Return the outputs for features (N x width)."""
    embedded = net.embed_features(features)
    # At least one part, which may be empty, for the shape.
    parts = batch_slices(max(len(keys), 1), FEATURE_BATCH)
    scores = [_scores(net, embedded[part], keys[part]) for part in parts]
    membership = net.membership(embedded) if net.membership else None
    return Outputs(np.concatenate(scores), y, keys, embedded, membership=membership)


def network_outputs(net: TrainedNet, arrays: Arrays) -> Outputs:
    """Return the outputs for images; known images of a gallery are not compared with themselves."""
    # At least one part, which may be empty, for the shape.
    parts = batch_slices(max(len(arrays), 1), IMAGE_BATCH)
    features = np.concatenate([net.features(arrays.x[part]) for part in parts])
    return feature_outputs(net, features, arrays.y, arrays.keys)


def _scores(net: TrainedNet, embedded: Scores, keys: Sequence[str]) -> Scores:
    """Return scores without the similarity of a known image to itself."""
    head, scores = net.head, net.head(embedded)
    if not isinstance(head, GalleryHead) or not head.keys:
        return scores
    positions = {key: (c, r) for c, row in enumerate(head.keys) for r, key in enumerate(row)}
    for row, key in enumerate(keys):
        if key in positions:
            class_number, rank = positions[key]
            similarity = head.vectors[class_number] @ embedded[row]
            # Known images are repeated in classes that have fewer than others.
            similarity[rank :: len(head.keys[class_number])] = -1
            scores[row, class_number] = GALLERY_SCALE * similarity.max()
    return scores
