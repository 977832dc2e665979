"""What a network consists of: its layers with shapes, parameters and multiplications."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from baseline.data.runs import NETWORK
from baseline.features.onnx_backbone import OnnxBackbone
from baseline.train.networks import Net
from gleanset.files.atomic import write_atomic

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: `name` as in the weights file, `kind` its class, the shape of what it gives.

    `shape` is without the batch: C x H x W, or D. `macs` are multiply-accumulates for one
    picture; only convolutions, dense layers and their like have any.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    macs: int


def layers_of(net: Net, channels: int, size: int) -> list[Layer]:
    """Return the innermost layers in the order in which one picture passes through them.

    Places where a backbone has nothing (`Identity`) are left out.
    """
    found: list[Layer] = []
    names = {module: name for name, module in net.named_modules() if not any(module.children())}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and not isinstance(module, nn.Identity):
            found.append(_layer(names[module], module, output))

    hooks = [module.register_forward_hook(note) for module in names]
    was_training = net.training
    device = next(net.parameters()).device
    try:
        with torch.inference_mode():
            net.eval()(torch.zeros(1, channels, size, size, device=device))
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    return found


def save_layers(folder: Path, layers: list[Layer], *, scratch: Path | None = None) -> None:
    """Write `network.json`. Raises NotWritable or DiskFull."""
    text = json.dumps([asdict(layer) for layer in layers], ensure_ascii=False)
    write_atomic(folder / NETWORK, text.encode(), scratch=scratch)


def _layer(name: str, module: nn.Module, output: torch.Tensor) -> Layer:
    own = sum(p.numel() for p in module.parameters(recurse=False))
    own += module.numbers if isinstance(module, OnnxBackbone) else 0
    # A head of known pictures holds its numbers in buffers; those of a norm are no parameters.
    held = 0 if own else sum(b.numel() for b in module.buffers(recurse=False))
    shape = tuple(output.shape[1:])
    return Layer(name, type(module).__name__, shape, own or held, _macs(module, shape, held))


def _macs(module: nn.Module, shape: tuple[int, ...], held: int) -> int:
    """Each weight is used once for each place of the output map."""
    weights = sum(p.numel() for p in _weights(module))
    places = math.prod(shape[1:]) if isinstance(module, _CONVOLUTIONS) else 1
    return (weights or held) * places


def _weights(module: nn.Module) -> Iterator[torch.Tensor]:
    if isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
        yield module.weight
