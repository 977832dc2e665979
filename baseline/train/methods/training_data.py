"""What a method learns from, as pictures or features, and what a network says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from baseline.data.samples import Arrays, Examples, load_arrays
from baseline.evaluation.decision_rule import GALLERY_SCALE, FeatureScale, fit_feature_scale
from baseline.evaluation.outputs import Indices, Outputs, Scores
from baseline.features.backbone import Backbone, FeaturePart, batches_of
from baseline.features.features import Features, FeatureSpec, features_of
from baseline.features.texture import PartWeights, expected_weights
from baseline.settings import Settings, Simple, Transfer, Triplet, resolve_views
from baseline.train.trained_net import GalleryHead, TrainedNet
from gleanset import Dataset
from gleanset.work.progress import Progress


@dataclass(slots=True)
class TrainingData:
    """The `examples` of `dataset`, read when first asked for. Only train and val are learnt from.

    `place` is a folder for checkpoints, None for a training that is not taken up after a kill.
    """

    dataset: Dataset
    examples: Examples
    settings: Settings
    progress: Progress = field(default_factory=Progress)
    place: Path | None = None
    _arrays: dict[str, Arrays] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in order."""
        return self.examples.classes

    @property
    def frozen_backbone(self) -> bool:
        """Whether the backbone stays as it was, so that cached features stand for pictures."""
        return isinstance(self.settings, Transfer) or (
            isinstance(self.settings, Triplet) and self.settings.learn == "projection"
        )

    def arrays(self, split: str) -> Arrays:
        """Return the pixels of a split, read once. An unreadable picture is left out."""
        if split not in self._arrays:
            self._arrays[split] = load_arrays(
                self.dataset, self.examples, self.settings, split, self.progress
            )
        return self._arrays[split]

    def train_features(self, backbone: Backbone) -> Features:
        """Return what `backbone` sees of train, in the plain view and those of the settings."""
        assert isinstance(self.settings, Transfer | Triplet)
        views = resolve_views(self.settings, len(self.examples.splits["train"]))
        return self.features("train", backbone, views)

    def features(self, split: str, backbone: Backbone, views: int = 0) -> Features:
        """Return what `backbone` sees of a split, in the plain view and `views` more."""
        assert isinstance(self.settings, Transfer | Triplet)
        spec = FeatureSpec.of(self.settings, views=views)
        samples = self.examples.splits[split]
        return features_of(self.dataset, samples, spec, self.progress, backbone, split)

    def expected_weights(self, parts: Sequence[FeaturePart]) -> PartWeights:
        """Return what the parts of the features count by the texture of train's pictures."""
        return expected_weights(parts, self.dataset, self.examples.splits["train"], self.progress)

    def classes_of(self, split: str, keys: tuple[str, ...]) -> npt.NDArray[np.int64]:
        """Return the index of the class of each key."""
        return self.examples.classes_of(split, keys)

    def moments_of(self, keys: Sequence[str]) -> npt.NDArray[np.int64]:
        """Return the number of the moment of each key: what must not be learnt from and judged by
        at once.
        """
        names = np.array([self.examples.moments[key] for key in keys])
        return np.unique(names, return_inverse=True)[1]


BATCH = 128
"""Pictures that are in memory at once."""
FEATURE_BATCH = 4096
"""Feature vectors that go through a head at once."""


def split_outputs(net: TrainedNet, data: TrainingData, split: str) -> Outputs:
    """Return what `net` says of a split of `data`, without the pictures that cannot be read.

    Raises `InputUnusable` where no picture of the split can be read.
    """
    if data.frozen_backbone and not isinstance(data.settings, Simple):
        seen = data.features(split, net.backbone)
        return feature_outputs(net, seen.plain, data.classes_of(split, seen.keys), seen.keys)
    return network_outputs(net, data.arrays(split))


def feature_scale(net: TrainedNet, train: Outputs) -> FeatureScale | None:
    """Return where the embeddings of train are, each image counted once; None for a gallery."""
    if isinstance(net.head, GalleryHead):
        return None
    vectors = train.unique().embeddings
    assert vectors is not None, "a network's outputs have embeddings"
    return fit_feature_scale(vectors)


def with_distances(outputs: Outputs, scale: FeatureScale | None) -> Outputs:
    """Return outputs with the distances of their embeddings; unchanged without a scale."""
    if scale is None or outputs.distances is not None:
        return outputs
    assert outputs.embeddings is not None, "a network's outputs have embeddings"
    return replace(outputs, distances=scale.distances(outputs.embeddings))


def feature_outputs(
    net: TrainedNet, features: npt.NDArray[np.float32], y: Indices, keys: tuple[str, ...]
) -> Outputs:
    """Return scores and embeddings by what the backbone gave before: `features` N x width."""
    embedded = net.embed_features(features)
    # Of nothing there is one empty part, which tells the shapes.
    parts = batches_of(max(len(keys), 1), FEATURE_BATCH)
    scores = [_scores(net, embedded[part], keys[part]) for part in parts]
    return Outputs(np.concatenate(scores), y, keys, embedded)


def network_outputs(net: TrainedNet, arrays: Arrays) -> Outputs:
    """Return scores and embeddings of `net` for every picture.

    A picture that the gallery of a net knows is not compared with itself.
    """
    # Of nothing there is one empty part, which tells the shape.
    parts = batches_of(max(len(arrays), 1), BATCH)
    features = np.concatenate([net.features(arrays.x[part]) for part in parts])
    return feature_outputs(net, features, arrays.y, arrays.keys)


def _scores(net: TrainedNet, embedded: Scores, keys: Sequence[str]) -> Scores:
    """Return the scores of embeddings, without the likeness of a known picture to itself."""
    head, scores = net.head, net.head(embedded)
    if not isinstance(head, GalleryHead) or not head.known:
        return scores
    places = {key: (c, r) for c, row in enumerate(head.known) for r, key in enumerate(row)}
    for row, key in enumerate(keys):
        if key in places:
            owner, rank = places[key]
            likeness = head.vectors[owner] @ embedded[row]
            # The same one repeats where a class has fewer known pictures than another.
            likeness[rank :: len(head.known[owner])] = -1
            scores[row, owner] = GALLERY_SCALE * likeness.max()
    return scores
