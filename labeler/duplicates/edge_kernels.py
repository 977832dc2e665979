"""The compiled loops of the comparison of edges: each pixel with its neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gleanset.compiled import compiled

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Edges(NamedTuple):
    """The normalised gradient (x, y) of each pixel and its square length, 0..1."""

    x: Floats
    y: Floats
    own: Floats


@compiled
def normalise(x: Floats, y: Floats, where: Mask, part: float, own: Floats) -> None:
    """Normalise gradients in place, and write their square lengths, 0..1, into `own`.

    Noise is `part` of the mean square of the pixels `where`, and at least 1.
    """
    total, number = 0.0, 0
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            square = x[row, column] * x[row, column] + y[row, column] * y[row, column]
            own[row, column] = square
            if where[row, column]:
                total += square
                number += 1
    noise = np.float32(max(1.0, part * total / max(1, number)))
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            square = own[row, column] + noise
            length = np.float32(1) / np.sqrt(square)
            x[row, column] *= length
            y[row, column] *= length
            own[row, column] /= square


@compiled
def lost_edges(edges: Edges, other: Edges, where: Mask, lost: Floats) -> None:
    """Write into `lost` how much of each edge the other picture has not within a pixel, 0..1.

    Edges below 0.3 and losses below 0.1 are none; neighbours are only looked at for the others.
    """
    x, y, own = edges
    other_x, other_y, _ = other
    rows, columns = own.shape
    for row in range(rows):
        for column in range(columns):
            lost[row, column] = 0
            if own[row, column] <= np.float32(0.3) or not where[row, column]:
                continue
            across, down = x[row, column], y[row, column]
            square = own[row, column] * own[row, column]
            same = across * other_x[row, column] + down * other_y[row, column]
            if square - same * same <= np.float32(0.1):
                continue
            best = np.float32(0)
            for near in range(max(0, row - 1), min(rows, row + 2)):
                for beside in range(max(0, column - 1), min(columns, column + 2)):
                    same = across * other_x[near, beside] + down * other_y[near, beside]
                    best = max(best, same * same)
            lost[row, column] = max(square - best, np.float32(0))


@compiled
def edge_products(a: Edges, b: Edges, where: Mask) -> Floats:
    """Return for each pixel `where` the edges of a, of b, those they share, and 1; h x w x 4."""
    ax, ay, own_a = a
    bx, by, own_b = b
    products = np.zeros((*where.shape, 4), np.float32)
    for row in range(where.shape[0]):
        for column in range(where.shape[1]):
            if where[row, column]:
                shared = ax[row, column] * bx[row, column] + ay[row, column] * by[row, column]
                products[row, column, 0] = own_a[row, column] * own_a[row, column]
                products[row, column, 1] = own_b[row, column] * own_b[row, column]
                products[row, column, 2] = shared * shared
                products[row, column, 3] = 1
    return products


@compiled
def count_replaced(means: Floats, most: float) -> tuple[int, int]:
    """Return of how many windows each picture lacks more than `most` of the other's edges, of all.

    `means` are those of `edge_products` in each window; half of a window has to be in both.
    """
    replaced = inside = 0
    for row in range(means.shape[0]):
        for column in range(means.shape[1]):
            if means[row, column, 3] <= 0.5:
                continue
            inside += 1
            larger = max(means[row, column, 0], means[row, column, 1])
            less = min(means[row, column, 0], means[row, column, 1])
            shared = means[row, column, 2] + 0.02
            if larger > 0.05 and shared < (1 - most) * (less + 0.02):
                replaced += 1
    return replaced, inside
