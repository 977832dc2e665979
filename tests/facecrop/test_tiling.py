"""Where large pictures are searched, and how repeats are dropped."""

import numpy as np
import pytest

from facecrop.detectors.tiling import cut_tile, tiles, without_repeats
from gleanset.records import Box, Face


@pytest.mark.parametrize(
    "size", [(1, 1), (1920, 1), (1920, 1920), (4000, 3000), (3840, 1920), (1, 1920)]
)
def test_most_pictures_are_searched_whole(size: tuple[int, int]) -> None:
    assert tiles(*size, 1920) == [Box(0, 0, *size)]


@pytest.mark.parametrize(
    "size", [(7000, 1000), (1000, 7000), (1921, 60), (20000, 57), (3841, 1920), (1500, 30001)]
)
def test_every_square_lies_wholly_in_one_piece(size: tuple[int, int]) -> None:
    places = tiles(*size, 1920)
    wide, short = size[0] > size[1], min(size)
    spans = [(b.x, b.x + b.width) if wide else (b.y, b.y + b.height) for b in places]
    for start in range(max(size) - short + 1):
        assert any(first <= start and start + short <= last for first, last in spans)
    assert all(b.x + b.width <= size[0] and b.y + b.height <= size[1] for b in places)
    assert len(set(places)) == len(places)


def test_long_strips_have_few_pieces() -> None:
    assert len(tiles(100_000, 100, 1920)) < 60


def test_small_parts_are_not_scaled() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (90, 300, 3), np.uint8)
    assert np.array_equal(cut_tile(pixels, Box(40, 10, 200, 70), 200), pixels[10:80, 40:240])


def test_large_parts_keep_their_proportions() -> None:
    pixels = np.zeros((4000, 3000, 3), np.uint8)
    pixels[2000:] = 255
    small = cut_tile(pixels, Box(0, 0, 3000, 4000), 1920)
    assert small.shape == (1920, 1440, 3)
    assert (small[:960] == 0).all()
    assert (small[960:] == 255).all()


def face(box: Box, score: float) -> Face:
    return Face("animeface", box, score)


def test_the_surest_of_repeated_faces_stays() -> None:
    whole, part = face(Box(100, 100, 80, 80), 0.9), face(Box(120, 110, 40, 60), 0.7)
    far = face(Box(300, 100, 80, 80), 0.6)
    assert without_repeats([part, far, whole]) == [whole, far]


def test_neighbours_are_no_repeats() -> None:
    neighbours = [face(Box(0, 0, 80, 80), 0.9), face(Box(70, 0, 80, 80), 0.8)]
    assert without_repeats(neighbours) == neighbours
