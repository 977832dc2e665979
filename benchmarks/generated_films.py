"""Generated films with known cuts, flashes and intros, and the evaluation of sampled frames.

For tests of `harvest frames`; not a script. A film shows distinct images (`clip_images.py`) under a
still or moving camera, with dissolves, focus pulls, black screens and flashes of one frame. The
same arguments give the same film. `unusual_clips.py` has other clips: rotated, anamorphic,
interlaced, of variable frame rate.
"""

import subprocess
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from math import pi, sin
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
from clip_images import DistinctImages, Pixels
from PIL import Image

X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "21", "-pix_fmt", "yuv420p"]
MOVES = ("still", "talk", "pan", "talk", "still", "whip")
FOCUS_SECONDS = 0.5
"""Duration of a focus pull."""
BLACK_SCREEN = (None, 1.0, "")
IMAGE_COUNT = 24
SEED = 0
INTRO_SECONDS = 1.5, 1.0, 2.0, 1.5
SHORT_STORY = (
    (4, 2.1, ""),  # so that no cut is at a frame sampled every quarter of a second
    (5, 3.5, "dissolve"),
    (4, 1.0, ""),
    (6, 2.5, "white"),
    (7, 4.0, "blurred"),
    (8, 3.0, "black"),
    (7, 2.0, ""),
    (9, 2.0, "dissolve"),
    (10, 2.5, "negative"),
    BLACK_SCREEN,
    (11, 1.0, ""),
    (10, 3.5, "blurred"),
    (12, 3.0, "white"),
    (9, 2.0, ""),
)
"""Image, seconds and event of each shot; an event is the kind of a flash, of a cut or of focus."""
EPISODE_INTRO_SECONDS = 3.0, 2.0, 4.0, 3.5, 2.5, 4.0, 3.0, 3.0
EPISODE_STORY = (
    (8, 2.0, ""),
    (9, 3.0, ""),
    (8, 1.5, ""),
    (10, 3.0, "white"),
    (11, 2.5, ""),
    (12, 2.0, "dissolve"),
    BLACK_SCREEN,
    (13, 3.0, "blurred"),
    (12, 2.0, ""),
    (14, 3.0, ""),
    (15, 2.0, ""),
)
EPISODE_IMAGES = 8

MAX_HASH_DISTANCE = 6  # bits of pHash between near-duplicates
COMPARED_SIZE = (64, 36)  # width and height in pixels
MAX_DIFFERENCE = 16.0  # mean over pixels, of 255, from which a frame matches no shot


@dataclass
class Shot:
    """Shot of `image` from frame `start` up to `end` of the film; None is black."""

    image: int | None
    frames: int
    part: str = "story"
    move: str = "still"
    into: str = "hard"  # cut into the shot: hard or dissolve
    blurred: int = 0  # out-of-focus frames at its start
    start: int = 0

    @property
    def end(self) -> int:
        """The first frame after this shot."""
        return self.start + self.frames


@dataclass
class Film:
    """Shots in order, and the kinds of flashes by frame."""

    fps: int
    shots: list[Shot]
    flashes: dict[int, str] = field(default_factory=dict)

    @property
    def half_dissolve(self) -> int:
        """Half the frames of a dissolve, before and after the cut."""
        return self.fps * 3 // 8

    def position_at(self, number: int) -> int:
        """Return the index of the shot that shows a frame."""
        return max(0, bisect_right([shot.start for shot in self.shots], number) - 1)

    def cuts(self) -> list[dict[str, Any]]:
        """Return time in seconds and kind of each cut."""
        return [
            {"time": shot.start / self.fps, "kind": shot.into}
            for shot in self.shots[1:]
        ]

    def intros(self) -> list[list[float]]:
        """Return start and end of each showing of the intro, in seconds."""
        spans: list[list[float]] = []
        before = ""
        for shot in self.shots:
            if shot.part == "intro":
                if before != "intro":
                    spans.append([shot.start / self.fps, 0])
                spans[-1][1] = shot.end / self.fps
            before = shot.part
        return spans


def write_short_clip(path: Path) -> Film:
    """Generate 45 seconds with all kinds of cuts and flashes."""
    return render(plan_film(12, INTRO_SECONDS, SHORT_STORY, (3, 11)), path, 180)


def write_episodes(first: Path, second: Path) -> tuple[Film, Film]:
    """Generate two films that share only an intro of 25 seconds."""
    other_story = tuple(
        (None if image is None else image + EPISODE_IMAGES, seconds, event)
        for image, seconds, event in EPISODE_STORY
    )
    films = (
        plan_film(8, EPISODE_INTRO_SECONDS, EPISODE_STORY, (5,)),
        plan_film(8, EPISODE_INTRO_SECONDS, other_story, (2,)),
    )
    return render(films[0], first, 108), render(films[1], second, 108, "27")


def plan_film(
    fps: int,
    intro_seconds: Sequence[float],
    story: Sequence[tuple[int | None, float, str]],
    intros: Sequence[int],
) -> Film:
    """Plan a film; `intros` are the shots of the story before which the intro is shown."""
    intro = [
        Shot(number, round(seconds * fps), "intro", MOVES[number % len(MOVES)])
        for number, seconds in enumerate(intro_seconds)
    ]
    film = Film(fps, [])
    start = 0
    for number, (image, seconds, event) in enumerate(story):
        shot = Shot(image, round(seconds * fps), move=MOVES[number % len(MOVES)])
        shot.into = "dissolve" if event == "dissolve" else "hard"
        shot.blurred = round(FOCUS_SECONDS * fps) if event == "blurred" else 0
        for next_shot in (*(map(replace, intro) if number in intros else ()), shot):
            next_shot.start = start
            start = next_shot.end
            film.shots.append(next_shot)
        if event in ("white", "black", "negative"):
            film.flashes[shot.start + shot.frames // 2] = event
    return film


def render(film: Film, path: Path, height: int, crf: str = "21") -> Film:
    """Write the film as a 16:9 video and return it. Raises CalledProcessError if ffmpeg fails."""
    camera = Camera(film, height)
    frames = (camera.frame(number) for number in range(film.shots[-1].end))
    encode(
        path, frames, (camera.width, height), film.fps, "bgr24", [*X264, "-crf", crf]
    )
    return film


def encode(
    path: Path,
    frames: Iterable[Pixels],
    size: tuple[int, int],
    fps: float,
    pixels: str,
    options: Sequence[str],
) -> None:
    """Encode raw frames. Raises CalledProcessError if ffmpeg fails."""
    raw = f"-v error -y -f rawvideo -pix_fmt {pixels} -s {size[0]}x{size[1]} -r {fps} -i -"
    line = ["ffmpeg", *raw.split(), *options, f"file:{path}"]
    encoder = subprocess.Popen(line, stdin=subprocess.PIPE)
    assert encoder.stdin is not None
    with encoder.stdin:
        for frame in frames:
            encoder.stdin.write(np.ascontiguousarray(frame).data)
    if encoder.wait():
        raise subprocess.CalledProcessError(encoder.returncode, line)


def round_even(number: float) -> int:
    """Round to an even number, as chroma has half the size."""
    return round(number / 2) * 2


class Camera:
    """Renderer of a film at one height."""

    def __init__(self, film: Film, height: int) -> None:
        self.film = film
        self.height = height
        self.width = round_even(height * 16 / 9)
        self.images = DistinctImages(IMAGE_COUNT, SEED)

    def frame(self, number: int) -> Pixels:
        """Draw a frame in BGR."""
        kind = self.film.flashes.get(number)
        if kind in ("white", "black"):
            return self._fill(255 if kind == "white" else 0)
        position = self.film.position_at(number)
        half = self.film.half_dissolve
        shot, *following = self.film.shots[position : position + 2]
        frame = self._draw_shot(shot, number)
        if kind == "negative":
            return 255 - frame
        if shot.into == "dissolve" and number < shot.start + half:
            before = self._draw_shot(self.film.shots[position - 1], number)
            return self._dissolve(before, frame, number - shot.start)
        for after in following:
            if after.into == "dissolve" and number >= after.start - half:
                return self._dissolve(
                    frame, self._draw_shot(after, number), number - after.start
                )
        return frame

    def _fill(self, level: int) -> Pixels:
        return np.full((self.height, self.width, 3), level, np.uint8)

    def _dissolve(self, before: Pixels, after: Pixels, frames: int) -> Pixels:
        """Blend two shots; `frames` counts from the cut."""
        share = (frames + self.film.half_dissolve + 0.5) / (2 * self.film.half_dissolve)
        share = min(max(share, 0.0), 1.0)
        return cv2.addWeighted(after, share, before, 1 - share, 0)

    def _draw_shot(self, shot: Shot, number: int) -> Pixels:
        if shot.image is None:
            return self._fill(0)
        age = number - shot.start
        canvas = self.images.canvas(shot.image, self.height)
        x, y = (canvas.shape[1] - self.width) / 2, (canvas.shape[0] - self.height) / 2
        if shot.move in ("pan", "whip"):  # a whip pan takes a third of a second
            frames = shot.frames if shot.move == "pan" else self.film.fps / 3
            x *= 2 * min(max(age / frames, 0.0), 1.0)
        frame = canvas[round(y) :, round(x) :][: self.height, : self.width].copy()
        if shot.move == "talk":
            self._draw_ball(frame, age)
        if 0 <= age < shot.blurred:
            # Blur radius of up to 3% of the height, decreasing.
            frame = cv2.GaussianBlur(
                frame, (0, 0), self.height * 0.03 * (1.2 - age / shot.blurred)
            )
        return frame

    def _draw_ball(self, frame: Pixels, age: int) -> None:
        """Draw a moving object, which is not a cut."""
        time = age / self.film.fps
        x = round(self.width * (0.5 + 0.4 * sin(pi * time / 2)))
        y = round(self.height * (0.8 - 0.1 * abs(sin(2 * pi * time))))
        cv2.circle(frame, (x, y), self.height // 22, (40, 40, 220), -1, cv2.LINE_AA)


@dataclass(frozen=True)
class TimedFrame:
    """Sampled frame with its time in seconds."""

    path: Path
    time: float


class FrameEvaluator:
    """Evaluator of sampled frames that knows the appearance of every shot of a film.

    Frames are identified by their content, not by the reported time.
    """

    def __init__(self, film: Film) -> None:
        self.film = film
        camera = Camera(film, 144)
        self.shown_images: list[int] = []
        drawings = []
        for shot in film.shots:
            for number in (
                self._sample_clean_frames(shot) if shot.image is not None else ()
            ):
                drawings.append(_shrink(camera.frame(number)))
                self.shown_images.append(shot.image or 0)
        self.drawings = np.stack(drawings)

    def _sample_clean_frames(self, shot: Shot) -> list[int]:
        """Return some frames of a shot without dissolve, blur or flash."""
        half = self.film.half_dissolve
        first = shot.start + (shot.blurred if shot.into == "hard" else half)
        fades = any(
            after.start == shot.end and after.into != "hard"
            for after in self.film.shots
        )
        last = shot.end - 1 - half * fades
        numbers = {first, *map(int, np.linspace(first, last, 8))}
        if shot.move == "whip":
            numbers |= set(range(first, min(last, first + self.film.fps // 2), 2))
        return sorted(numbers - set(self.film.flashes))

    def recognize(self, path: Path) -> int | None:
        """Return the image that a frame shows, or None."""
        difference = np.abs(self.drawings - _shrink(cv2.imread(str(path)))).mean(
            axis=(1, 2, 3)
        )
        best = int(difference.argmin())
        return self.shown_images[best] if difference[best] < MAX_DIFFERENCE else None

    def shot_at(self, time: float) -> Shot:
        """Return the shot on screen at a time in seconds."""
        return self.film.shots[self.film.position_at(round(time * self.film.fps))]

    def find_fault(self, time: float) -> str | None:
        """Return why a frame is useless; None if it is useful."""
        number = round(time * self.film.fps)
        shot = self.shot_at(time)
        if number in self.film.flashes:
            return "flash"
        if shot.image is None:
            return "black"
        # In its last quarter, a focus pull is practically sharp.
        if number < shot.start + shot.blurred * 0.75:
            return "blurred"
        # The first and last quarter of a dissolve look like one of the two shots.
        dissolves = (shot.start for shot in self.film.shots if shot.into == "dissolve")
        is_mixed = any(
            abs(number - cut) < self.film.half_dissolve / 2 for cut in dissolves
        )
        return "transition" if is_mixed else None

    def evaluate(self, frames: Sequence[TimedFrame]) -> dict[str, Any]:
        """Return missed images, and count near-duplicates, useless frames and correct times."""
        ordered = sorted(frames, key=lambda frame: frame.time)
        times = [frame.time for frame in ordered]
        images = [self.recognize(frame.path) for frame in ordered]
        faults = [self.find_fault(time) for time in times]
        agreements = [
            image == self.shot_at(time).image
            for image, time, fault in zip(images, times, faults, strict=True)
            if not fault
        ]
        near_duplicates = count_near_duplicates([frame.path for frame in ordered])
        intro_images = {shot.image for shot in self.film.shots if shot.part == "intro"}
        repeats = self.film.intros()[1:]
        return {
            "missed": sorted({*self.shown_images} - set(images)),
            "near %": round(100 * near_duplicates / max(1, len(frames)), 1),
            "second intro": sum(
                image in intro_images
                and any(start <= time < end for start, end in repeats)
                for image, time in zip(images, times, strict=True)
            ),
            "useless": dict(Counter(fault for fault in faults if fault)),
            "times that agree": f"{sum(agreements)}/{len(agreements)}",
        }


def count_near_duplicates(paths: Sequence[Path]) -> int:
    """Count images that resemble an earlier one, by the distance of imagehash's pHash."""
    hashes: list[imagehash.ImageHash] = []
    for path in paths:
        with Image.open(path) as image:
            hashes.append(imagehash.phash(image.convert("L")))
    return sum(
        any(code - other <= MAX_HASH_DISTANCE for other in hashes[:n])
        for n, code in enumerate(hashes)
    )


def _shrink(pixels: Any) -> Any:
    return cv2.resize(pixels, COMPARED_SIZE, interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
