"""Evaluates sampled frames and detected cuts against the truth of a generated film.

Frames are identified by their content, not by the reported time: each is compared with drawings of
all shots. Near-duplicates are counted with imagehash's pHash, the same for every tool.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
from frames_film import Film, Script, Shot, generate_film
from frames_render import Camera
from PIL import Image

NEAR = 6  # maximum pHash distance in bits of a near-duplicate
LIKE = (64, 36)  # frames are compared at this size
UNLIKE = 16.0  # mean difference (of 255) from which a frame matches no shot
TOLERANCE = 2  # maximum distance in frames between a detected and a true cut
DARK = 12  # above this, the middle of the frame is not black


@dataclass(frozen=True)
class KeptFrame:
    """Frame kept by a tool, and its time in seconds if known."""

    path: Path
    time: float | None = None


@dataclass(frozen=True)
class Score:
    """Precision, recall and F1 of detected cuts; `flashes` counts those at one-frame flashes."""

    precision: float
    recall: float
    flashes: int
    found: int

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def load_film(path: Path) -> Film:
    """Load the film whose truth was written next to its video."""
    script: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["script"]
    return generate_film(Script(**script | {"openings": tuple(script["openings"])}))


def hash_images(paths: Sequence[Path]) -> list[int]:
    """Return the pHash of each image."""
    found = []
    for path in paths:
        with Image.open(path) as opened:
            found.append(int(str(imagehash.phash(opened.convert("L"))), 16))
    return found


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
        fades = any(one.start == shot.end and one.into != "hard" for one in self.film.shots)
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

    def judge(self, kept: Sequence[KeptFrame]) -> dict[str, Any]:
        """Return all metrics of the table of frames."""
        ordered = sorted(kept, key=lambda one: one.time or 0)
        seen = [self.picture(one.path) for one in ordered]
        codes = hash_images([one.path for one in ordered])
        near = count_near_duplicates(codes)
        shown = {s.picture for s in self.film.shots} - {None}
        told = [(s, one.time) for s, one in zip(seen, ordered, strict=True) if one.time is not None]
        reasons = [self.useless(time) for _, time in told]
        agree = [
            s == self.shot_at(t).picture for (s, t), r in zip(told, reasons, strict=True) if not r
        ]
        return {
            "frames": len(kept),
            "seen": len(set(seen) - {None}),
            "of": len(shown),
            "missed": sorted(shown - set(seen)),
            "near": near,
            "near %": round(100 * near / max(1, len(kept)), 1),
            "second opening": self._second_opening(ordered, seen),
            "useless": {r: reasons.count(r) for r in sorted({r for r in reasons if r})},
            "times that agree": f"{sum(agree)}/{len(agree)}",
        }

    def _second_opening(self, kept: Sequence[KeptFrame], seen: Sequence[int | None]) -> int:
        again = self.film.openings()[1:]
        own = {s.picture for s in self.film.shots if s.part == "opening"}
        return sum(
            picture in own and any(a <= (one.time or 0) < b for a, b in again)
            for one, picture in zip(kept, seen, strict=True)
        )

    def cuts(self, times: Sequence[float], tolerance: int = TOLERANCE) -> Score:
        """Score detected cuts; any frame of a gradual cut matches."""
        fps, half = self.film.script.fps, self.film.gradual // 2
        spans = []
        for shot in self.film.shots[1:]:
            reach = tolerance + half * (shot.into != "hard")
            spans.append((shot.start - reach, shot.start + reach))
        numbers = [round(time * fps) for time in times]
        hit = match(numbers, spans)
        false = [n for n, place in zip(numbers, hit, strict=True) if place is None]
        flashes = sum(any(abs(n - f) <= tolerance for f in self.film.flashes) for n in false)
        true = len(numbers) - len(false)
        return Score(
            true / len(numbers) if numbers else 0.0, true / len(spans), flashes, len(numbers)
        )


def match(found: Sequence[int], spans: Sequence[tuple[int, int]]) -> list[int | None]:
    """Match each frame to a span, the earliest end first."""
    free = sorted(range(len(spans)), key=lambda n: spans[n][1])
    matched: dict[int, int] = {}
    for place in sorted(range(len(found)), key=lambda n: found[n]):
        for span in free:
            if spans[span][0] <= found[place] <= spans[span][1]:
                matched[place] = span
                free.remove(span)
                break
    return [matched.get(n) for n in range(len(found))]


def score(found: Sequence[int], true: Sequence[int], tolerance: int = TOLERANCE) -> Score:
    """Score detected cuts against frame numbers; none detected of none is perfect."""
    if not true and not found:
        return Score(1.0, 1.0, 0, 0)
    hit = match(found, [(n - tolerance, n + tolerance) for n in true])
    good = sum(place is not None for place in hit)
    return Score(
        good / len(found) if found else 0.0, good / len(true) if true else 1.0, 0, len(found)
    )


def _small(pixels: Any) -> Any:
    return cv2.resize(pixels, LIKE, interpolation=cv2.INTER_AREA).astype(np.float32)
