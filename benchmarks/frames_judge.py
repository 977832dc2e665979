"""Evaluates sampled frames against the truth of a generated film, for tests.

Frames are identified by their content, not by the reported time: each is compared with drawings of
all shots. Near-duplicates are counted with imagehash's pHash.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
from frames_film import Film, Shot
from frames_render import Camera
from PIL import Image

NEAR = 6  # maximum pHash distance in bits of a near-duplicate
LIKE = (64, 36)  # frames are compared at this size
UNLIKE = 16.0  # mean difference (of 255) from which a frame matches no shot
DARK = 12  # above this, the middle of the frame is not black


@dataclass(frozen=True)
class KeptFrame:
    """Sampled frame, and its time in seconds if known."""

    path: Path
    time: float | None = None


def hash_images(paths: Sequence[Path]) -> list[int]:
    """Return the pHash of each image."""
    hashes = []
    for path in paths:
        with Image.open(path) as image:
            hashes.append(int(str(imagehash.phash(image.convert("L"))), 16))
    return hashes


def count_near_duplicates(codes: Sequence[int], within: int = NEAR) -> int:
    """Count hashes within `within` bits of any earlier one."""
    return sum(
        any((code ^ other).bit_count() <= within for other in codes[:n])
        for n, code in enumerate(codes)
    )


class FrameEvaluator:
    """Evaluator that knows the appearance of every shot of a film."""

    def __init__(self, film: Film) -> None:
        self.film = film
        self.starts = [shot.start for shot in film.shots]
        camera = Camera(film, 144)
        self.shown: list[int] = []
        drawn = []
        for shot in film.shots:
            if shot.picture is None:
                continue
            for number in self._sample_clean_frames(shot):
                drawn.append(_small(camera.frame(number, shot)))
                self.shown.append(shot.picture)
        self.drawn = np.stack(drawn)

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

    def picture(self, path: Path) -> int | None:
        """Return the image that a frame shows, or None."""
        pixels = cv2.imread(str(path))
        away = np.abs(self.drawn - _small(pixels)).mean(axis=(1, 2, 3))
        best = int(away.argmin())
        return self.shown[best] if away[best] < UNLIKE else None

    def shot_at(self, time: float) -> Shot:
        """Return the shot on screen at a time in seconds."""
        number = round(time * self.film.script.fps)
        return self.film.shots[max(0, bisect_right(self.starts, number) - 1)]

    def useless(self, time: float) -> str | None:
        """Return why a frame is useless; None if it is useful."""
        number = round(time * self.film.script.fps)
        shot = self.shot_at(time)
        if number in self.film.flashes:
            return "flash"
        if shot.picture is None:
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

    def judge(self, frames: Sequence[KeptFrame]) -> dict[str, Any]:
        """Return all metrics of the table of frames."""
        ordered = sorted(frames, key=lambda frame: frame.time or 0)
        pictures = [self.picture(frame.path) for frame in ordered]
        near = count_near_duplicates(hash_images([frame.path for frame in ordered]))
        shown = {shot.picture for shot in self.film.shots} - {None}
        timed = [
            (picture, frame.time)
            for picture, frame in zip(pictures, ordered, strict=True)
            if frame.time is not None
        ]
        reasons = [self.useless(time) for _, time in timed]
        agree = [
            picture == self.shot_at(time).picture
            for (picture, time), reason in zip(timed, reasons, strict=True)
            if not reason
        ]
        return {
            "frames": len(frames),
            "seen": len(set(pictures) - {None}),
            "of": len(shown),
            "missed": sorted(shown - set(pictures)),
            "near": near,
            "near %": round(100 * near / max(1, len(frames)), 1),
            "second opening": self._second_opening(ordered, pictures),
            "useless": {r: reasons.count(r) for r in sorted({r for r in reasons if r})},
            "times that agree": f"{sum(agree)}/{len(agree)}",
        }

    def _second_opening(self, frames: Sequence[KeptFrame], pictures: Sequence[int | None]) -> int:
        again = self.film.openings()[1:]
        own = {s.picture for s in self.film.shots if s.part == "opening"}
        return sum(
            picture in own and any(a <= (frame.time or 0) < b for a, b in again)
            for frame, picture in zip(frames, pictures, strict=True)
        )


def _small(pixels: Any) -> Any:
    return cv2.resize(pixels, LIKE, interpolation=cv2.INTER_AREA).astype(np.float32)
