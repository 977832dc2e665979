"""Small changes to a batch of pictures that leave its labels true.

Mirroring, shifts, a slight zoom, brightness and noise. Never hue, and never the shape: hair
colour and the proportions of a face are what tells characters apart.
"""

from __future__ import annotations

import torch
from torch.nn import functional

SHIFT = 0.08
"""Farthest shift, as a share of the picture's side."""
ZOOM = 0.12
"""Strongest zoom in or out, as a share of the picture's side."""
BRIGHTNESS = 0.15
"""Strongest change of brightness, as a share of the pixel's value."""
NOISE = 0.02
"""Standard deviation of the pixel noise, for pixels in 0..1."""


def augment(pictures: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Changed copies of `pictures` (float N x C x H x W in 0..1), drawn from `random`."""
    grid = functional.affine_grid(
        _maps(len(pictures), random), list(pictures.shape), align_corners=False
    ).to(pictures.device)
    moved = functional.grid_sample(
        pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False
    )
    gain = 1 + BRIGHTNESS * _uniform(len(pictures), random).view(-1, 1, 1, 1)
    noise = NOISE * torch.randn(pictures.shape, generator=random)
    lit = moved * gain.to(moved.device) + noise.to(moved.device)
    return lit.clamp_(0, 1).contiguous(memory_format=torch.channels_last)


def _maps(count: int, random: torch.Generator) -> torch.Tensor:
    """Affine maps, `count` x 2 x 3: one zoom for both axes, a shift for each, half mirrored."""
    zoom = 1 + ZOOM * _uniform(count, random)
    mirror = torch.randint(0, 2, (count,), generator=random) * 2 - 1
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0] = zoom * mirror
    maps[:, 1, 1] = zoom
    # The grid runs from -1 to 1, so a shift of the whole side is 2.
    maps[:, :, 2] = 2 * SHIFT * torch.stack((_uniform(count, random), _uniform(count, random)), 1)
    return maps


def _uniform(count: int, random: torch.Generator) -> torch.Tensor:
    """`count` numbers between -1 and 1."""
    return torch.rand(count, generator=random) * 2 - 1
