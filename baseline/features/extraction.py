"""A network of PyTorch that stays as it is, made quick: norms folded, channels last, bf16.

On a CPU with bf16 that takes about a quarter of the time of the network as it comes
(docs/experiments.md).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from baseline.features.backbone import Array, FeatureArray, PictureShape
from baseline.features.batching import BatchSize, in_batches
from baseline.features.compute import choose_compute, to_network
from baseline.features.graph_backbone import no_numbers
from baseline.settings import Precision

BATCH = 32
"""Pictures a pass. Fixed, and the last pass filled up: a vector never depends on its company."""
TOLERANCE = 1e-3
"""How far, as a share of the largest feature, folding may move one; float32 gives about 1e-5."""


class Extractor:
    """Turns pictures (N x C x size x size) into features (float32 N x D)."""

    def __init__(
        self, network: nn.Module, shape: PictureShape, precision: Precision, *, padded: bool = True
    ) -> None:
        self.compute = choose_compute(precision)
        self.shape, self.padded = (shape.channels, shape.size, shape.size), padded
        self._batch = BatchSize(BATCH)
        net = folded(network, torch.rand(2, *self.shape, generator=torch.Generator()))
        self.net = net.to(memory_format=torch.channels_last).to(self.compute.device)

    @property
    def batch(self) -> int:
        """How many pictures go through at once."""
        return self._batch.size

    def __call__(self, pictures: Array) -> FeatureArray:
        """Return the features of any number of pictures.

        Raises `InputUnusable` where the weights give no numbers, `UsageError` where not even
        one picture fits into the memory of the device.
        """
        parts = in_batches(
            len(pictures),
            self._batch,
            lambda part: self._at_once(pictures[part]),
            padded=self.padded,
        )
        vectors = np.concatenate(list(parts))
        if not np.isfinite(vectors).all():
            raise no_numbers()
        return vectors

    def _at_once(self, pictures: Array) -> FeatureArray:
        """Return the features of at most `batch` pictures, padded to a batch of that size."""
        count = self.batch if self.padded else len(pictures)
        filled = np.zeros((count, *self.shape), pictures.dtype)
        filled[: len(pictures)] = pictures
        with torch.inference_mode(), self.compute.autocast():
            found: torch.Tensor = self.net(
                to_network(torch.from_numpy(filled), self.compute.device)
            )
        vectors: FeatureArray = found.float().cpu().numpy()[: len(pictures)]
        return vectors


def folded(network: nn.Module, example: torch.Tensor) -> nn.Module:
    """Return a copy ready to predict, each batch norm folded into the convolution before it.

    Which convolution that is shows when the `example` passes through, whatever the network's
    make. Where the outcome is not the same, nothing is folded.
    """
    changed = copy.deepcopy(network).eval()
    with torch.inference_mode():
        expected = changed(example)
    for convolution, norm in _pairs(changed, example):
        fused: Any = fuse_conv_bn_eval(convolution, norm)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        _replace(changed, norm)
    with torch.inference_mode():
        found = changed(example)
    if float((found - expected).abs().max()) <= TOLERANCE * float(expected.abs().max()):
        return changed
    return copy.deepcopy(network).eval()


def _pairs(net: nn.Module, example: torch.Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Return each norm whose input is just what a convolution gave, with that convolution."""
    # The outputs themselves are kept, so that no other tensor gets the number of one.
    made: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after(module: nn.Conv2d, _: object, output: torch.Tensor) -> None:
        made[id(output)] = (module, output)

    def before(module: nn.BatchNorm2d, inputs: tuple[torch.Tensor, ...]) -> None:
        if id(inputs[0]) in made:
            pairs.append((made[id(inputs[0])][0], module))

    with _hooked(net, after, before), torch.no_grad():
        net(example[:1])
    return pairs


@contextmanager
def _hooked(net: nn.Module, after: Any, before: Any) -> Iterator[None]:
    hooks = [m.register_forward_hook(after) for m in net.modules() if isinstance(m, nn.Conv2d)]
    hooks += [
        m.register_forward_pre_hook(before) for m in net.modules() if isinstance(m, nn.BatchNorm2d)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _replace(net: nn.Module, norm: nn.BatchNorm2d) -> None:
    """Leave of a norm what it does besides: in timm often the activation."""
    name = next(name for name, module in net.named_modules() if module is norm)
    parent, _, child = name.rpartition(".")
    rest = [getattr(norm, part) for part in ("drop", "act") if hasattr(norm, part)]
    setattr(net.get_submodule(parent), child, nn.Sequential(*rest))
