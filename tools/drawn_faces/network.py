"""Small anchor-free single-stage face detector, similar to FCOS: each cell predicts the probability
that it is a face's center, and the distances to the left, top, right and bottom of the face.

Plain 3 x 3 convolutions with residual blocks, a feature pyramid of three scales, and a head shared
by all scales.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
WIDTHS = (16, 24, 48, 96, 128)


class Unit(nn.Sequential):
    """Convolution of 3 x 3 with batch norm and ReLU."""

    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inner, outer, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outer),
            nn.ReLU(),
        )


class Residual(nn.Module):
    """Residual block of two convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Unit(width, width)
        self.last = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)
        )

    def forward(self, values: Tensor) -> Tensor:
        """Map batch x width x height x width to the same shape."""
        return torch.relu(values + self.last(self.first(values)))


class FaceNet(nn.Module):
    """Face detector for batch x 3 x height x width in 0..1, sides multiples of 32.

    Output for each stride: batch x 5 x rows x columns, with the logit of the score, then the
    logarithms of the four distances in units of the stride.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, neck: int = 32) -> None:
        super().__init__()
        stem, quarter, *rest = widths
        self.stem = nn.Sequential(Unit(3, stem, 2), Unit(stem, quarter, 2))
        pairs = zip([quarter, *rest], rest, strict=False)
        self.stages = nn.ModuleList(
            nn.Sequential(Unit(inner, outer, 2), Residual(outer))
            for inner, outer in pairs
        )
        self.laterals = nn.ModuleList(nn.Conv2d(width, neck, 1) for width in rest)
        self.joins = nn.ModuleList(Unit(neck, neck) for _ in rest)
        self.head = Unit(neck, neck)
        self.answer = nn.Conv2d(neck, 5, 1)
        self.scales = nn.Parameter(torch.full((len(rest),), 0.7))
        nn.init.constant_(self.answer.bias[:1], -4.5)
        nn.init.constant_(self.answer.bias[1:], 0.0)
        nn.init.normal_(self.answer.weight, std=0.01)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the outputs of the three strides, finest first."""
        values = self.stem((images - 0.5) * 4)
        maps = []
        for stage in self.stages:
            values = stage(values)
            maps.append(values)
        joined: list[Tensor] = []
        for lateral, level in zip(reversed(self.laterals), reversed(maps), strict=True):
            merged = lateral(level)
            if joined:
                merged = merged + nn.functional.interpolate(
                    joined[-1], scale_factor=2.0
                )
            joined.append(merged)
        joined.reverse()
        outputs_by_stride = []
        for index, (join, level) in enumerate(zip(self.joins, joined, strict=True)):
            outputs = self.answer(self.head(join(torch.relu(level))))
            outputs_by_stride.append(
                torch.cat([outputs[:, :1], outputs[:, 1:] + self.scales[index]], 1)
            )
        return outputs_by_stride


class Exported(nn.Module):
    """Exported network with a single output, batch x 5 x cells.

    Distances to the four sides in pixels (left, top, right, bottom), then the score in 0..1; cells
    in row-major order, the finest stride first.
    """

    def __init__(self, net: FaceNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Return distances and scores of all cells."""
        parts = []
        for stride, outputs in zip(STRIDES, self.net(images), strict=True):
            reach = torch.exp(outputs[:, 1:]) * float(stride)
            parts.append(
                torch.cat([reach, torch.sigmoid(outputs[:, :1])], 1).flatten(2)
            )
        return torch.cat(parts, 2)


def box_corners(outputs: Tensor, stride: int) -> Tensor:
    """Decode outputs to boxes (batch, 4, rows, columns), corners in pixels."""
    rows, columns = outputs.shape[2:]
    kind = {"dtype": torch.float32, "device": outputs.device}
    x = (torch.arange(columns, **kind) + 0.5) * stride
    y = (torch.arange(rows, **kind)[:, None] + 0.5) * stride
    reach = torch.exp(outputs[:, 1:].float().clamp(max=4.5)) * stride
    return torch.stack(
        [x - reach[:, 0], y - reach[:, 1], x + reach[:, 2], y + reach[:, 3]], 1
    )


def face_loss(
    predictions: Sequence[Tensor], targets: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the score loss and the box loss.

    A target is batch x 5 x rows x columns: 1 for a face, 0 for none, -1 for ignored cells; then the
    face's corners. The score target is the box's overlap with the face (quality focal loss, Li et
    al. 2020); the box loss is generalized intersection over union (Rezatofighi et al. 2019).
    """
    scores = boxes = torch.zeros((), device=predictions[0].device)
    count = 0
    for stride, outputs, target in zip(STRIDES, predictions, targets, strict=True):
        logits = outputs[:, 0].float()
        kind = target[:, 0]
        faces = kind > 0
        quality = torch.zeros_like(logits)
        if faces.any():
            predicted = box_corners(outputs, stride).permute(0, 2, 3, 1)[faces]
            true = target[:, 1:].permute(0, 2, 3, 1)[faces]
            iou, generalized_iou = compute_overlaps(predicted, true)
            quality[faces] = iou.detach().clamp(0.05, 1)
            boxes = boxes + (1 - generalized_iou).sum()
            count += int(faces.sum())
        entropy = nn.functional.binary_cross_entropy_with_logits(
            logits, quality, reduction="none"
        )
        weight = (torch.sigmoid(logits) - quality).abs() ** 2
        scores = scores + (entropy * weight.detach() * (kind >= 0)).sum()
    return scores / max(count, 1), boxes / max(count, 1)


def compute_overlaps(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalized IoU of corresponding boxes, both N x 4 corners."""
    inner = (
        torch.minimum(boxes[:, 2:], others[:, 2:])
        - torch.maximum(boxes[:, :2], others[:, :2])
    ).clamp(0)
    outer = torch.maximum(boxes[:, 2:], others[:, 2:]) - torch.minimum(
        boxes[:, :2], others[:, :2]
    )
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (
        others[:, 2:] - others[:, :2]
    ).prod(1)
    intersection = inner.prod(1)
    union = areas - intersection
    hull = outer.prod(1)
    iou = intersection / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)
