"""Evaluate sampled frames against the truth of a generated film, for tests.

Frames are identified by their content, not by the reported time: each is compared with drawings of
all shots. Near-duplicates are counted with imagehash's pHash.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
from film_renderer import Camera
from film_script import Film, Shot
from PIL import Image

MAX_HASH_DISTANCE = 6  # bits of pHash between near-duplicates
COMPARED_SIZE = (64, 36)  # width and height in pixels
MAX_DIFFERENCE = 16.0  # mean over pixels, of 255, from which a frame matches no shot


@dataclass(frozen=True)
class TimedFrame:
    """Sampled frame with its time in seconds."""

    path: Path
    time: float


def count_near_duplicates(paths: Sequence[Path]) -> int:
    """Count images that resemble an earlier one."""
    hashes: list[imagehash.ImageHash] = []
    for path in paths:
        with Image.open(path) as image:
            hashes.append(imagehash.phash(image.convert("L")))
    return sum(
        any(code - other <= MAX_HASH_DISTANCE for other in hashes[:n])
        for n, code in enumerate(hashes)
    )


class FrameEvaluator:
    """Evaluator that knows the appearance of every shot of a film."""

    def __init__(self, film: Film) -> None:
        self.film = film
        self.starts = [shot.start for shot in film.shots]
        camera = Camera(film, 144)
        self.shown_images: list[int] = []
        drawings = []
        for shot in film.shots:
            if shot.image is None:
                continue
            for number in self._sample_clean_frames(shot):
                drawings.append(_shrink(camera.frame(number, shot)))
                self.shown_images.append(shot.image)
        self.drawings = np.stack(drawings)

    def _sample_clean_frames(self, shot: Shot) -> list[int]:
        """Return some frames of a shot without transition, blur or flash."""
        half = self.film.gradual // 2
        first = shot.start + (shot.blurred if shot.into == "hard" else half)
        fades = any(after.start == shot.end and after.into != "hard" for after in self.film.shots)
        last = shot.end - 1 - half * fades
        numbers = {first, *map(int, np.linspace(first, last, 8))}
        if shot.move == "whip":
            numbers |= set(range(first, min(last, first + self.film.script.fps // 2), 2))
        return sorted(numbers - set(self.film.flashes))

    def recognize(self, path: Path) -> int | None:
        """Return the image that a frame shows, or None."""
        pixels = cv2.imread(str(path))
        difference = np.abs(self.drawings - _shrink(pixels)).mean(axis=(1, 2, 3))
        best = int(difference.argmin())
        return self.shown_images[best] if difference[best] < MAX_DIFFERENCE else None

    def shot_at(self, time: float) -> Shot:
        """Return the shot on screen at a time in seconds."""
        number = round(time * self.film.script.fps)
        return self.film.shots[max(0, bisect_right(self.starts, number) - 1)]

    def find_fault(self, time: float) -> str | None:
        """Return why a frame is useless; None if it is useful."""
        number = round(time * self.film.script.fps)
        shot = self.shot_at(time)
        if number in self.film.flashes:
            return "flash"
        if shot.image is None:
            return "black"
        # In its last quarter, a focus pull is practically sharp.
        if number < shot.start + shot.blurred * 0.75:
            return "blurred"
        return "transition" if self._in_transition(number) else None

    def _in_transition(self, number: int) -> bool:
        # The first and last quarter look like one of the two shots.
        quarter = self.film.gradual // 4
        return any(
            shot.into != "hard" and abs(number - shot.start) < quarter for shot in self.film.shots
        )

    def evaluate(self, frames: Sequence[TimedFrame]) -> dict[str, Any]:
        """Return missed images, and count near-duplicates, useless frames and correct times."""
        ordered = sorted(frames, key=lambda frame: frame.time)
        times = [frame.time for frame in ordered]
        images = [self.recognize(frame.path) for frame in ordered]
        near_duplicates = count_near_duplicates([frame.path for frame in ordered])
        faults = [self.find_fault(time) for time in times]
        agreements = [
            image == self.shot_at(time).image
            for image, time, fault in zip(images, times, faults, strict=True)
            if not fault
        ]
        intro_images = {shot.image for shot in self.film.shots if shot.part == "intro"}
        repeats = self.film.intros()[1:]
        return {
            "missed": sorted({*self.shown_images} - set(images)),
            "near %": round(100 * near_duplicates / max(1, len(frames)), 1),
            "second intro": sum(
                image in intro_images and any(start <= time < end for start, end in repeats)
                for image, time in zip(images, times, strict=True)
            ),
            "useless": dict(Counter(fault for fault in faults if fault)),
            "times that agree": f"{sum(agreements)}/{len(agreements)}",
        }


def _shrink(pixels: Any) -> Any:
    return cv2.resize(pixels, COMPARED_SIZE, interpolation=cv2.INTER_AREA).astype(np.float32)
