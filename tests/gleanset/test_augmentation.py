"""Augmentation of images."""

import colorsys

import numpy as np
import pytest

from gleanset.images.augmentation import Kind, augment, draw_view_numbers


def blocky_images(count: int, channels: int = 3, side: int = 48) -> np.ndarray:
    """Draw coarse noise, in which neighbouring pixels are equal."""
    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (count, channels, 6, 6))
    return np.kron(coarse, np.ones((1, 1, side // 6, side // 6))).astype(np.uint8)


@pytest.mark.parametrize("kind", ["characters", "photos"])
@pytest.mark.parametrize("channels", [1, 3])
def test_augment_is_reproducible(kind: Kind, channels: int) -> None:
    x = blocky_images(12, channels)
    before = x.copy()
    first, second, other = (
        augment(x, np.random.default_rng(seed), kind) for seed in (1, 1, 2)
    )
    assert (first.shape, first.dtype) == (x.shape, np.uint8)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
    assert np.array_equal(x, before)
    assert first.transpose(0, 2, 3, 1).flags.c_contiguous
    assert len({picture.tobytes() for picture in first}) == 12


def test_none_keeps_images() -> None:
    x = blocky_images(3)
    assert np.array_equal(augment(x, np.random.default_rng(0), "none"), x)


def test_hue_changes_for_photos_only() -> None:
    colour = (230, 120, 60)
    plain = np.tile(np.array(colour, np.uint8)[None, :, None, None], (60, 1, 32, 32))
    true = colorsys.rgb_to_hsv(*(value / 255 for value in colour))
    shifts = {}
    for kind in ("characters", "photos"):
        augmented = augment(plain, np.random.default_rng(3), kind)
        means = np.median(augmented, axis=(2, 3)) / 255
        hues = [colorsys.rgb_to_hsv(*mean)[0] for mean in means]
        shifts[kind] = max(abs(hue - true[0]) for hue in hues)
    assert shifts["characters"] < 0.01
    assert shifts["photos"] > 0.01


def test_shape_changes_for_photos_only() -> None:
    rows, columns = np.mgrid[:64, :64]
    disc = np.where((rows - 32) ** 2 + (columns - 32) ** 2 < 300, 255, 0).astype(
        np.uint8
    )
    x = np.tile(disc[None, None], (40, 1, 1, 1))
    worst = {}
    for kind in ("characters", "photos"):
        spreads = []
        for picture in augment(x, np.random.default_rng(1), kind)[:, 0]:
            r, c = np.nonzero(picture > 90)
            spread = np.linalg.eigvalsh(np.cov(np.stack((r, c))))
            spreads.append(float(spread[1] / spread[0]))
        worst[kind] = float(np.median(spreads))
    assert worst["characters"] < 1.05
    assert worst["photos"] > 1.1


def test_half_are_mirrored_and_none_brightened() -> None:
    x = np.zeros((200, 1, 32, 32), np.uint8)
    x[..., :16] = 200
    augmented = augment(x, np.random.default_rng(0), "characters")
    right = (
        augmented[..., 24:].mean((1, 2, 3)) > augmented[..., :8].mean((1, 2, 3))
    ).mean()
    assert 0.35 < right < 0.65
    assert np.quantile(augmented, 0.999) <= 205  # JPEG ringing


@pytest.mark.parametrize("seed", [0, -1, 2**70])
def test_views_are_reproducible_for_any_seed(seed: int) -> None:
    first, again = (draw_view_numbers("key", 1, seed) for _ in range(2))
    assert (first == again).all()
    assert not (first == draw_view_numbers("key", 1, seed + 1)).any()
