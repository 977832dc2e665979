"""Which frames of a shot are searched, and where faces are followed in the others."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import cv2
import numpy as np
import pytest
from pebble import ProcessExpired

from facecrop.detectors import Pixels
from facecrop.following import DetectedFace, FrameSearch
from gleanset.records import Box, Face
from harvest.video.frame import RawFrame
from harvest.video.frame_selector import FrameCandidate
from pipeline.episodes.finder import FaceFinder

SIDE, SIZE = 48, (480, 272)
dice = np.random.default_rng(5)
NOISE = cv2.GaussianBlur(dice.integers(0, 256, (400, 700, 3), np.uint8), (0, 0), 6)
BACKDROP = np.interp(NOISE, (NOISE.min(), NOISE.max()), (40, 160)).astype(np.uint8)
FACES = dice.integers(0, 256, (2, 8, 8, 3), np.uint8).repeat(6, axis=1).repeat(6, axis=2)


class FaceTemplates:
    """Detector that finds copies of `FACES`, and the spec that builds it."""

    def build(self) -> FaceTemplates:
        return self

    def detect(self, pixels: Pixels) -> list[Face]:
        results = (cv2.matchTemplate(pixels, face, cv2.TM_CCOEFF_NORMED) for face in FACES)
        places = [cv2.minMaxLoc(result)[1::2] for result in results]
        boxes = [(Box(at[0], at[1], SIDE, SIDE), best) for best, at in places]
        return [Face("templates", box, best) for box, best in boxes if best > 0.95]


def draw(*positions: tuple[int, int], camera: int = 0) -> Pixels:
    """Return a frame with a face at each position; `camera` moves to the right."""
    pixels = BACKDROP[: SIZE[1], camera : camera + SIZE[0]].copy()
    for face, (x, y) in zip(FACES, positions, strict=False):
        pixels[y : y + SIDE, x : x + SIDE] = face
    return pixels


def find(frames: list[Pixels]) -> tuple[list[list[Box]], int]:
    """Return the boxes of each frame, and how many frames were searched; the first one twice."""
    search, searched = FrameSearch(FaceTemplates()), 0  # type: ignore[arg-type]

    def submit(pixels: Pixels) -> Future[list[DetectedFace]]:
        nonlocal searched
        searched += 1
        future: Future[list[DetectedFace]] = Future()
        if searched == 1:
            future.set_exception(ProcessExpired("the first worker dies"))
        else:
            future.set_result(search(pixels))
        return future

    finder, results = FaceFinder(submit), list[Any]()
    for number, pixels in enumerate(frames):
        raw = RawFrame(pixels.tobytes(), pixels.shape[1::-1], rgb=True)
        results += finder.add(FrameCandidate(number / 3, 0, number, raw))
    results += finder.finish()
    assert [candidate.number for candidate, _ in results] == list(range(len(frames)))
    return [sorted(f.face.box for f in faces) for _, faces in results], searched - 1


def test_still_shot_is_searched_once() -> None:
    assert find([draw((100, 80))] * 14) == ([[Box(100, 80, SIDE, SIDE)]] * 14, 1)


@pytest.mark.parametrize("pan", [0, 4])
def test_moving_faces_are_followed(pan: int) -> None:
    places = [((60 + 6 * n, 80), (330 - 5 * n, 150 + n)) for n in range(13)]
    boxes, searched = find([draw(*two, camera=pan * n) for n, two in enumerate(places)])
    for two, frame_boxes in zip(places, boxes, strict=True):
        assert np.abs(np.array(two) - [box[:2] for box in frame_boxes]).max() <= 3
    assert searched <= 7


@pytest.mark.parametrize("pan", [0, 6])
def test_face_shown_between_two_searches_is_found(pan: int) -> None:
    places = [[(100, 80), (300, 150)][: 2 if n in (5, 6, 7) else 1] for n in range(12)]
    boxes, _ = find([draw(*faces, camera=pan * n) for n, faces in enumerate(places)])
    assert list(map(len, boxes)) == list(map(len, places))


def test_covered_face_is_not_followed() -> None:
    frames = [draw((100, 80)) for _ in range(9)]
    frames[2][60:150, 80:170] = 128
    assert list(map(len, find(frames)[0])) == [1, 1, 0, 1, 1, 1, 1, 1, 1]


def test_frame_size_may_change_within_a_shot() -> None:
    frames = [draw((100, 80))] * 3 + [draw((100, 80))[:200]] * 6
    assert find(frames)[0] == [[Box(100, 80, SIDE, SIDE)]] * 9
