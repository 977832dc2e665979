"""Small drawn images for the training tests: stripes, a disc, a cross, each with noise."""

from __future__ import annotations

import numpy as np

from baseline.data.samples import Arrays

SIDE = 32
CLASSES = ("stripes", "disc", "cross")


def patterns(counts: tuple[int, ...], seed: int, channels: int = 3) -> Arrays:
    """Draw `counts[i]` images of `CLASSES[i]`, 32 x 32 pixels, each different."""
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    x = np.stack([_picture(int(kind), random) for kind in y])
    x = np.repeat(x[:, None], channels, axis=1)
    return Arrays(x, y, tuple(f"{CLASSES[kind]}-{i}" for i, kind in enumerate(y)))


def none(channels: int = 3) -> Arrays:
    """Return a split without images."""
    return Arrays(np.zeros((0, channels, SIDE, SIDE), np.uint8), np.zeros(0, np.int64), ())


def _picture(kind: int, random: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    top, left = random.integers(12, 20, 2)
    shape = (
        (rows + top) % 8 < 4,
        (rows - top) ** 2 + (columns - left) ** 2 < 81,
        (abs(rows - top) < 3) | (abs(columns - left) < 3),
    )[kind]
    dark, light = random.integers(20, 90), random.integers(150, 235)
    noise = random.normal(0, 12, (SIDE, SIDE))
    return (np.where(shape, light, dark) + noise).clip(0, 255).astype(np.uint8)
