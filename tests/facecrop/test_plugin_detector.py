"""Faces of a plugin detector are validated; an invalid one rejects the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from facecrop.detectors.tiling import FloatBox, RawFace
from facecrop.plugin_detector import PluginDetector
from gleanset.errors import MissingComponent, Unreadable
from gleanset.records import Box, Face, Landmark

PIXELS = np.zeros((240, 320, 3), np.uint8)
BOX = Box(0, 0, 9, 9)


class FixedDetector:
    """A detector that returns a fixed result, or raises it."""

    name, settings = "mine", ""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def detect(self, pixels: object) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def detect_with(answer: Any) -> list[Face]:
    return PluginDetector(FixedDetector(answer), "gleanset-mine 1.0").detect(PIXELS)


def test_valid_faces_are_returned() -> None:
    face = Face("mine", Box(300, 200, 20, 40), 1.0, (Landmark("nose", 310.5, 220),), {"sure": [1]})
    assert detect_with([face]) == [face]
    assert detect_with([face])[0].evidence == {"sure": [1]}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "TypeError: 'NoneType' object is not iterable"),
        ([1], "ValidationError: Expected `object`, got `int`"),
        ([RawFace(FloatBox(0, 0, 9, 9), 1)], "ValidationError: Expected `object`, got `array`"),
        ([Face("other", BOX, 1)], "ValueError: wrong detector name: 'other'"),
        ([Face("mine", Box(300, 0, 21, 9), 1)], "ValueError: box (300, 0, 21, 9) is not within"),
        ([Face("mine", Box(-1, 0, 21, 9), 1)], "ValueError: box (-1, 0, 21, 9) is not within"),
        ([Face("mine", Box(0, 0, 9, 0), 1)], "ValueError: box (0, 0, 9, 0) is not within"),
        ([Face("mine", Box(0, 0, 9.5, 9), 1)], "ValidationError: "),  # type: ignore[arg-type]
        ([Face("mine", BOX, 1.1)], "ValueError: score not in 0..1: 1.1"),
        ([Face("mine", BOX, float("nan"))], "ValueError: score not in 0..1: nan"),
        ([Face("mine", BOX, np.float32(1))], "TypeError: "),  # type: ignore[arg-type]
        ([Face("mine", BOX, 1, evidence={"map": PIXELS})], "TypeError: "),
        (ZeroDivisionError("oh\x1b[1m"), "ZeroDivisionError: oh?[1m"),
    ],
)
def test_invalid_faces_reject_image(answer: Any, why: str) -> None:
    with pytest.raises(Unreadable) as caught:
        detect_with(answer)
    assert caught.value.reason == "detector failed"
    assert caught.value.detail.startswith(f"gleanset-mine 1.0: {why}")


def test_missing_component_is_raised() -> None:
    with pytest.raises(MissingComponent):
        detect_with(MissingComponent("no container", "start it"))
