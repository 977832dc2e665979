"""Tiles of large images, and dropping duplicate faces."""

import json

import numpy as np
import pytest

from facecrop.detectors.tiling import FloatBox, RawFace, drop_overlapping_faces, search_tiles, tiles
from gleanset.records import Box, Face


@pytest.mark.parametrize(
    "size", [(1, 1), (1920, 1), (1920, 1920), (4000, 3000), (3840, 1920), (1, 1920)]
)
def test_common_sizes_are_one_tile(size: tuple[int, int]) -> None:
    assert tiles(*size, 1920) == [Box(0, 0, *size)]


@pytest.mark.parametrize(
    "size", [(7000, 1000), (1000, 7000), (1921, 60), (20000, 57), (3841, 1920), (1500, 30001)]
)
def test_every_square_is_inside_a_tile(size: tuple[int, int]) -> None:
    places = tiles(*size, 1920)
    wide, short = size[0] > size[1], min(size)
    spans = [(b.x, b.x + b.width) if wide else (b.y, b.y + b.height) for b in places]
    for start in range(max(size) - short + 1):
        assert any(first <= start and start + short <= last for first, last in spans)
    assert all(b.x + b.width <= size[0] and b.y + b.height <= size[1] for b in places)
    assert len(set(places)) == len(places)


def test_long_strip_has_few_tiles() -> None:
    assert len(tiles(100_000, 100, 1920)) < 60


def face(box: Box, score: float) -> Face:
    return Face("animeface", box, score)


def test_highest_score_wins_among_duplicates() -> None:
    full, part = face(Box(100, 100, 80, 80), 0.9), face(Box(120, 110, 40, 60), 0.7)
    far = face(Box(300, 100, 80, 80), 0.6)
    assert drop_overlapping_faces([part, far, full]) == [full, far]


def test_scores_are_python_floats() -> None:
    def scored(score: float) -> float:
        pixels = np.zeros((40, 40, 3), np.uint8)
        find = [RawFace(FloatBox(2.0, 2.0, 9.0, 9.0), score)]
        return search_tiles("theirs", pixels, lambda _: find, 100)[0].score

    assert json.dumps([scored(np.float32(0.5)), scored(1.7)]) == "[0.5, 1.0]"
    with pytest.raises(ValueError, match="not a number"):
        scored(np.float32("nan"))
