"""What a network says of the samples of a split: scores and embeddings.

A network whose backbone stays as it was pretrained is judged by the cached features that its head
has learnt from: no picture is decoded, or sent through the backbone, a second time. Every other
network computes in float32, whatever the precision of training was, so that a model that was saved
and loaded, or moved to another machine, is judged alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from baseline.data.samples import Arrays
from baseline.features.batching import BatchSize, in_batches
from baseline.features.compute import to_network
from baseline.judge.answers import DecisionRule, rule_scores
from baseline.judge.familiarity import FeatureScale, familiarity_of, fit_feature_scale
from baseline.judge.outputs import Floats, Indices, Outputs, Scores
from baseline.train.batches import PictureSamples
from baseline.train.methods.training_data import TrainingData
from baseline.train.networks import SCALE, FeatureNet, GalleryHead, Net
from gleanset.errors import InputUnusable

BATCH = 128
"""Pictures a forward pass, or fewer where the memory is full: the figures mean the same."""
T = TypeVar("T")
FEATURE_BATCH = 4096
"""Feature vectors that go through a head at once."""


def split_outputs(net: Net, data: TrainingData, split: str) -> Outputs:
    """Return what `net` says of a split of `data`, without the pictures that cannot be read.

    Raises `InputUnusable` where no picture of the split can be read, or none fits into memory.
    """
    if data.frozen_backbone and isinstance(net, FeatureNet):
        seen = data.features(split, net.backbone)
        return feature_outputs(net, seen.plain, data.classes_of(split, seen.keys), seen.keys)
    return network_outputs(net, data.arrays(split))


def scale_of(train: Outputs) -> FeatureScale:
    """Return where the embeddings of train lie, each picture counted once."""
    vectors = train.unique().embeddings
    assert vectors is not None, "a network's outputs have embeddings"
    return fit_feature_scale(vectors)


def outputs_familiarity(
    outputs: Outputs, classes: Sequence[str], rule: DecisionRule, scale: FeatureScale | None
) -> Floats:
    """Return the familiarity of pictures; without a `scale` the network is one of known pictures.

    It is what `baseline.use.model` tells of the same pictures.
    """
    if scale is None:
        likeness: Floats = outputs.logits.max(1).astype(np.float64) / SCALE
        return likeness
    assert outputs.embeddings is not None, "a network's outputs have embeddings"
    scores = rule_scores(outputs.logits, classes, rule)
    return familiarity_of(scores, scale.distances(outputs.embeddings))


def feature_outputs(
    net: FeatureNet, features: npt.NDArray[np.float32], y: Indices, keys: tuple[str, ...]
) -> Outputs:
    """Return scores and embeddings by what the backbone gave before: `features` N x width."""
    device = next(net.parameters()).device

    def forward(part: slice) -> tuple[Scores, Scores]:
        embedded = net.embed_features(torch.from_numpy(features[part]).to(device))
        return _to_numpy(_scores(net, embedded, keys[part])), _to_numpy(embedded)

    return _joined(_forward(net, len(keys), FEATURE_BATCH, forward), y, keys)


def network_outputs(net: Net, arrays: Arrays) -> Outputs:
    """Return scores and embeddings of `net` for every picture.

    A picture that the gallery of a net knows is not compared with itself.
    """

    def forward(part: slice) -> tuple[Scores, Scores]:
        embedded = net.embed(_pictures(net, arrays, part))
        return _to_numpy(_scores(net, embedded, arrays.keys[part])), _to_numpy(embedded)

    return _joined(_forward(net, len(arrays), BATCH, forward), arrays.y, arrays.keys)


def _forward(net: nn.Module, count: int, size: int, compute: Callable[[slice], T]) -> list[T]:
    """Return what `compute` gives for 0..`count` in parts; `net` is left as training or not as it
    was.

    Of nothing there is one empty part, which tells the shapes.
    """
    was_training = net.training
    net.eval()
    try:
        with torch.inference_mode():
            return list(in_batches(max(count, 1), BatchSize(size, _no_memory), compute))
    finally:
        net.train(was_training)


def _no_memory(_: int) -> InputUnusable:
    return InputUnusable(
        "the memory does not even suffice to look at one picture",
        "take smaller pictures (-o size=…) or a smaller network, or end other programs",
    )


def _pictures(net: nn.Module, arrays: Arrays, part: slice) -> torch.Tensor:
    """Return some of the pictures as `net` takes them, where it is."""
    index = np.arange(len(arrays))[part]
    return to_network(PictureSamples(arrays).take(index, None), next(net.parameters()).device)


def _scores(net: Net, embedded: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
    """Return the scores of embeddings (N x D), without the likeness of a known picture to
    itself.
    """
    scores: torch.Tensor = net.head(embedded)
    if not isinstance(net.head, GalleryHead) or not net.head.known:
        return scores
    places = {key: (c, r) for c, row in enumerate(net.head.known) for r, key in enumerate(row)}
    for row, key in enumerate(keys):
        if key in places:
            owner, rank = places[key]
            likeness = net.head.vectors[owner] @ embedded[row]
            # The same one repeats where a class has fewer known pictures than another.
            likeness[rank :: len(net.head.known[owner])] = -1
            scores[row, owner] = SCALE * likeness.max()
    return scores


def _joined(parts: list[tuple[Scores, Scores]], y: Indices, keys: tuple[str, ...]) -> Outputs:
    logits, embeddings = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Outputs(logits, y, keys, embeddings)


def _to_numpy(values: torch.Tensor) -> Scores:
    return values.float().cpu().numpy()
