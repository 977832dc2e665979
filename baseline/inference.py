"""Asking a network: the one place of evaluation that knows torch.

All of it is computed in float32, whatever the precision of training was, so that a model
that was saved and loaded, or moved to another machine, is judged alike.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from baseline.data import Arrays, to_float
from baseline.evaluation.metrics import (
    ClassificationMetrics,
    classification_metrics,
    empty_split_error,
)
from baseline.evaluation.outputs import Indices, Outputs, Scores
from baseline.loop.steps import is_out_of_memory
from baseline.networks import SCALE, FeatureNet, GalleryHead, Net
from gleanset.errors import InputUnusable

BATCH = 128
"""Pictures a forward pass, or fewer where the memory is full: the figures mean the same."""
T = TypeVar("T")


def network_outputs(net: Net, arrays: Arrays) -> Outputs:
    """Scores and embeddings of `net` for every picture. It is left as training or not as it was.

    A picture that the gallery of a net knows is not compared with itself.
    """
    if not len(arrays):
        return Outputs(predict_logits(net, arrays), arrays.y, arrays.keys)

    def ask(x: torch.Tensor, keys: Sequence[str]) -> tuple[Scores, Scores]:
        embedded = net.embed(x)
        return _host(_scores(net, embedded, keys)), _host(embedded)

    parts = _in_parts(net, arrays, ask)
    logits, embeddings = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Outputs(logits, arrays.y, arrays.keys, embeddings)


def _scores(net: Net, embedded: torch.Tensor, keys: Sequence[str]) -> torch.Tensor:
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


def feature_outputs(
    net: FeatureNet, features: npt.NDArray[np.float32], y: Indices, keys: tuple[str, ...]
) -> Outputs:
    """Scores and embeddings by what a backbone has seen already: N x width."""
    device = next(net.parameters()).device
    with torch.inference_mode():
        embedded = net.eval().embed_features(torch.from_numpy(features).to(device))
        return Outputs(_host(_scores(net, embedded, keys)), y, keys, _host(embedded))


def predict_logits(model: nn.Module, arrays: Arrays) -> Scores:
    """The raw scores of `model` for every picture, float32 N x classes."""
    parts = _in_parts(model, arrays, lambda x, keys: _host(model(x)))
    logits: Scores = np.concatenate(parts)
    return logits


def _in_parts(
    net: nn.Module, arrays: Arrays, ask: Callable[[torch.Tensor, Sequence[str]], T]
) -> list[T]:
    """What `ask` says of the pictures and keys of each part, at least one part.

    Each time the memory is full the parts are half as large. Raises `InputUnusable` where not
    even one picture fits.
    """
    was_training = net.training
    net.eval()
    found: list[T] = []
    done, size = 0, BATCH
    while done < len(arrays) or not found:
        index = torch.arange(done, min(done + size, len(arrays)))
        if (one := _tried(net, arrays, index, ask)) is not None:
            found.append(one)
            done += len(index)
            continue
        if len(index) <= 1:
            raise InputUnusable(
                "the memory does not even suffice to look at one picture",
                "take smaller pictures (-o size=…) or a smaller network, or end other programs",
            )
        gc.collect()
        size = len(index) // 2
    net.train(was_training)
    return found


def _tried(
    net: nn.Module,
    arrays: Arrays,
    index: torch.Tensor,
    ask: Callable[[torch.Tensor, Sequence[str]], T],
) -> T | None:
    """What `ask` says of the pictures at `index`; None where the memory is full."""
    device = next(net.parameters()).device
    try:
        with torch.inference_mode():
            return ask(to_float(arrays.x, index, device), [arrays.keys[i] for i in index.tolist()])
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return None


def evaluate_network(
    model: nn.Module, arrays: Arrays, classes: Sequence[str], worst: int = 20
) -> ClassificationMetrics:
    """Judge `model` on `arrays`. Raises InputUnusable where there is no picture to judge on."""
    if not len(arrays):
        raise empty_split_error()
    return classification_metrics(
        predict_logits(model, arrays), arrays.y, arrays.keys, classes, worst
    )


def _host(values: torch.Tensor) -> Scores:
    return values.float().cpu().numpy()
