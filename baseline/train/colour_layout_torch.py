"""The descriptor of drawn faces in PyTorch, beside networks that learn and in LiteRT files.

It gives the numbers of `curation/likeness/colour_layout.py`, where they are explained.
"""

from __future__ import annotations

import torch

from baseline.features.timm_backbone import LearningBackbone
from curation.likeness import colour_layout as formula


class ColourLayout(LearningBackbone):
    """Pictures (float N x 1 or 3 x height x width in 0..1) to colour layouts, N x `WIDTH`."""

    cells: torch.Tensor
    to_xyz: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        whitened = torch.tensor(formula.TO_XYZ) / torch.tensor(formula.WHITE)[:, None]
        self.register_buffer("to_xyz", whitened, persistent=False)
        cells = torch.from_numpy(formula.cell_weights().copy())
        self.register_buffer("cells", cells, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Describe pictures by `formula.WIDTH` numbers of 0 to 1 each."""
        rows, columns = (self._area_weights(size) for size in x.shape[2:])
        small = (rows @ x.float() @ columns.T).expand(-1, 3, -1, -1).flatten(2)
        lightness, red, yellow = (
            axis - formula.EVENED * (axis.mean(1, keepdim=True) - usual)
            for axis, usual in zip(self._lab(small), (formula.USUAL_LIGHTNESS, 0, 0), strict=True)
        )
        tone = _soft_bins(lightness, *formula.LIGHTNESS, formula.TONES)
        first, second = (_soft_bins(axis, *formula.TINT, formula.TINTS) for axis in (red, yellow))
        tints = (first[..., :, None] * second[..., None, :]).flatten(2)
        colours = (tone[..., :, None] * tints[..., None, :]).flatten(2)
        shares = self.cells @ colours
        roots = (shares + formula.FLOOR).sqrt() - formula.FLOOR**0.5
        described: torch.Tensor = roots.flatten(1)
        return described

    def _area_weights(self, size: int) -> torch.Tensor:
        """Return SIDE x size, a constant in an exported network."""
        return torch.from_numpy(formula.area_weights(size)).to(self.cells.device)

    def _lab(self, rgb: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return lightness, a* and b* (N x pixels each) of sRGB in 0..1, N x 3 x pixels."""
        bent = ((rgb + 0.055) / 1.055).clamp(min=0) ** 2.4
        xyz = self.to_xyz @ torch.where(rgb <= 0.04045, rgb / 12.92, bent)
        root = xyz.clamp(min=formula.CUBE) ** (1 / 3)
        x, y, z = torch.where(
            xyz > formula.CUBE, root, formula.LINEAR * xyz + formula.OFFSET
        ).unbind(1)
        return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _soft_bins(values: torch.Tensor, low: float, high: float, count: int) -> torch.Tensor:
    """Return how much each value counts for `count` centres: one more dimension, at the end."""
    at = ((values - low) / (high - low) * (count - 1)).clamp(0, count - 1)
    centres = torch.arange(count, device=values.device)
    return (1 - (at[..., None] - centres).abs()).clamp(min=0)
