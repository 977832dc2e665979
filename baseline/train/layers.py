"""What a network consists of: its layers with shapes, parameters and multiplications."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from baseline.features.onnx_backbone import OnnxBackbone
from baseline.judge.run_figures import LayerRow
from baseline.train.networks import Net

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def layers_of(net: Net, channels: int, size: int) -> list[LayerRow]:
    """Return the innermost layers in the order in which one picture passes through them.

    Places where a backbone has nothing (`Identity`) are left out.
    """
    layers: list[LayerRow] = []
    names = {module: name for name, module in net.named_modules() if not any(module.children())}

    def note(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, torch.Tensor) and not isinstance(module, nn.Identity):
            layers.append(_layer(names[module], module, output))

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
    return layers


def _layer(name: str, module: nn.Module, output: torch.Tensor) -> LayerRow:
    own = sum(p.numel() for p in module.parameters(recurse=False))
    own += module.numbers if isinstance(module, OnnxBackbone) else 0
    # A head of known pictures holds its numbers in buffers; those of a norm are no parameters.
    held = 0 if own else sum(b.numel() for b in module.buffers(recurse=False))
    shape = tuple(output.shape[1:])
    return LayerRow(name, type(module).__name__, shape, own or held, _macs(module, shape, held))


def _macs(module: nn.Module, shape: tuple[int, ...], held: int) -> int:
    """Each weight is used once for each place of the output map."""
    weights = sum(p.numel() for p in _weights(module))
    places = math.prod(shape[1:]) if isinstance(module, _CONVOLUTIONS) else 1
    return (weights or held) * places


def _weights(module: nn.Module) -> Iterator[torch.Tensor]:
    if isinstance(module, (nn.Linear, *_CONVOLUTIONS)):
        yield module.weight
