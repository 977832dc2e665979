"""What a network says of the samples of a split: scores and embeddings.

A network whose backbone stays as it was pretrained is judged by the cached features that its head
has learnt from: no picture is decoded, or sent through the backbone, a second time. Every other
network computes in float32, whatever the precision of training was, so that a model that was saved
and loaded, or moved to another machine, is judged alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from baseline.data.samples import Arrays
from baseline.features.batching import BatchSize, in_batches
from baseline.judge.familiarity import GALLERY_SCALE, FeatureScale, fit_feature_scale
from baseline.judge.outputs import Indices, Outputs, Scores
from baseline.settings import Simple
from baseline.train.methods.training_data import TrainingData
from baseline.train.trained_net import GalleryHead, TrainedNet

BATCH = 128
"""Pictures a forward pass, or fewer where the memory is full: the figures mean the same."""
FEATURE_BATCH = 4096
"""Feature vectors that go through a head at once."""


def split_outputs(net: TrainedNet, data: TrainingData, split: str) -> Outputs:
    """Return what `net` says of a split of `data`, without the pictures that cannot be read.

    Raises `InputUnusable` where no picture of the split can be read, or none fits into memory.
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
    parts = [slice(at, at + FEATURE_BATCH) for at in range(0, max(len(keys), 1), FEATURE_BATCH)]
    scores = [_scores(net, embedded[part], keys[part]) for part in parts]
    return Outputs(np.concatenate(scores), y, keys, embedded)


def network_outputs(net: TrainedNet, arrays: Arrays) -> Outputs:
    """Return scores and embeddings of `net` for every picture.

    A picture that the gallery of a net knows is not compared with itself.
    """
    batch, count = BatchSize(BATCH), max(len(arrays), 1)
    features = np.concatenate(list(in_batches(count, batch, lambda p: net.features(arrays.x[p]))))
    return feature_outputs(net, features, arrays.y, arrays.keys)


def _scores(net: TrainedNet, embedded: Scores, keys: Sequence[str]) -> Scores:
    """Return the scores of embeddings (N x D), without the likeness of a known picture to
    itself.
    """
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
