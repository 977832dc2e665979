"""Descriptor of a sample: color layout, edge layout and identity embedding of its pixels.

The network of the identity embedding was trained on invented people, each drawn several times with
another pose, light and mood (`tools/drawn_faces/`). `identity.json` describes its training data and
its accuracy.

The descriptor is stored with each sample, one byte per number. To compare samples, the mean of the
dataset is subtracted, because common features do not distinguish samples, and each block is scaled
to a fixed length. docs/experiments.md has the figures.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from curation.similarity import color_layout
from curation.similarity.color_layout import (
    GRID,
    SIDE,
    average_areas,
    compute_cell_weights,
    compute_color_layout,
)
from gleanset.arrays import BoolArray, Float32Array, Pixels, normalize_rows
from gleanset.work.onnx_session import open_onnx_session

WEIGHTS = Path(__file__).with_name("identity.onnx")
IDENTITY = 128
"""Length of an identity embedding."""
DIRECTIONS = 8
EDGES_END = color_layout.WIDTH + GRID * GRID * DIRECTIONS
WIDTH = EDGES_END + IDENTITY
BLOCKS = (
    (slice(0, color_layout.WIDTH), 0.7),
    (slice(color_layout.WIDTH, EDGES_END), 0.35),
    (slice(EDGES_END, WIDTH), 1.0),
)
"""Feature blocks (colors, edges, identity): bytes and block weight of each."""
ZERO = 128
STEPS = 300
"""Offset and scale of identity embeddings as bytes. Of the 128 numbers of a unit vector none
reaches 0 or 255."""
FAINT = 4.0
"""Mean gradient of a cell (grey values over two pixels) at which shares are halved: in cells
without contrast, directions are noise."""
PRIOR = 10
"""Number of samples at which half of their mean is used: few samples are alike by chance."""
GREY = (0.299, 0.587, 0.114)


def compute_descriptor(pixels: Pixels) -> bytes:
    """Return the descriptor of an sRGB image (H x W x 3)."""
    small = average_areas(pixels)
    colors = compute_color_layout(small) * 255
    edges = compute_edge_layout(small) * 255
    identity = compute_identity_vector(small) * STEPS + ZERO
    numbers = np.concatenate((colors, edges, np.clip(identity, 0, 255)))
    return np.rint(numbers).astype(np.uint8).tobytes()


def compute_edge_layout(small: Float32Array) -> Float32Array:
    """Return edge directions by cell: GRID**2 * DIRECTIONS numbers in 0..1.

    `small` is the result of `average_areas`. These are histograms of oriented gradients (Dalal and
    Triggs, "Histograms of oriented gradients for human detection", 2005) on the cells of the color
    layout, with soft bins; square roots make Euclidean distance the Hellinger distance.
    """
    grey = small @ np.array(GREY, np.float32)
    grey = np.pad(grey, 1, mode="edge")
    across = (grey[1:-1, 2:] - grey[1:-1, :-2]).ravel()
    down = (grey[2:, 1:-1] - grey[:-2, 1:-1]).ravel()
    strength = np.hypot(across, down)

    # Soft bins: a direction is divided between the two nearest. An edge from dark to light counts
    # as one from light to dark.
    angle = np.arctan2(down, across) % np.pi
    position = angle / np.pi * DIRECTIONS
    lower_bin = np.floor(position).astype(np.intp)
    upper_share = position - lower_bin
    pixels = np.arange(SIDE * SIDE)
    bins = np.zeros((SIDE * SIDE, DIRECTIONS), np.float32)
    # Rounding may make an angle half a turn: the bins are a circle.
    bins[pixels, lower_bin % DIRECTIONS] = (1 - upper_share) * strength
    bins[pixels, (lower_bin + 1) % DIRECTIONS] = upper_share * strength

    cells = compute_cell_weights() @ bins
    return np.ravel(np.sqrt(cells / (cells.sum(axis=1, keepdims=True) + FAINT)))


def compute_identity_vector(small: Float32Array) -> Float32Array:
    """Return the mirror-invariant unit vector of a result of `average_areas`."""
    image = small.transpose(2, 0, 1)
    views = np.ascontiguousarray(np.stack([image, image[:, :, ::-1]]))
    # None requests all outputs; there is one.
    vectors = _load_network().run(None, {"picture": views})[0]
    total: Float32Array = normalize_rows(vectors).sum(axis=0)
    length = max(float(np.linalg.norm(total)), 1e-6)
    return total / np.float32(length)


@cache
def _load_network() -> Any:
    return open_onnx_session(WEIGHTS.read_bytes())


class DescriptorSpace:
    """Descriptors as unit vectors, centred on `stored`; for `photos` without identity."""

    def __init__(self, stored: Sequence[bytes], photos: bool = False):
        rows = _parse_descriptors(stored)
        total = rows.sum(axis=0, dtype=np.float32)
        self._center = total / np.float32(len(rows) + PRIOR)
        # Photographs of people are not what the identity network was trained on.
        self._blocks = BLOCKS[:2] if photos else BLOCKS

    def get_vectors(
        self, stored: Sequence[bytes | None]
    ) -> tuple[Float32Array, BoolArray]:
        """Return vectors (N x `WIDTH`) and their mask; missing or outdated: zeros."""
        descriptors = [descriptor or b"" for descriptor in stored]
        has_vector = np.array(
            [len(descriptor) == WIDTH for descriptor in descriptors], np.bool_
        )
        # A row for each descriptor with a vector: `_parse_descriptors` leaves the others out.
        rows = _parse_descriptors(descriptors) - self._center
        scaled_rows = np.zeros_like(rows)
        for block, weight in self._blocks:
            scaled_rows[:, block] = weight * normalize_rows(rows[:, block])

        vectors = np.zeros((len(stored), WIDTH), np.float32)
        vectors[has_vector] = normalize_rows(scaled_rows)
        return vectors, has_vector


def _parse_descriptors(stored: Iterable[bytes]) -> Float32Array:
    """Return descriptors of the current width (N x `WIDTH`); others are left out."""
    data = b"".join(descriptor for descriptor in stored if len(descriptor) == WIDTH)
    rows = np.frombuffer(data, np.uint8).reshape(-1, WIDTH).astype(np.float32)
    rows[:, EDGES_END:] -= ZERO
    return rows


@cache
def get_uncentered_space() -> DescriptorSpace:
    """Return the space without centring, the same in every dataset."""
    return DescriptorSpace([])
