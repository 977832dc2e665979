"""Render a generated film frame by frame into ffmpeg, which encodes it with x264.

Frames show images, camera moves, a moving ball, film grain in a third of the shots, letterbox bars,
focus pulls, dissolves, fades and flashes, as its script specifies.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from math import pi, sin
from pathlib import Path

import cv2
import numpy as np
from clip_images import CANVAS_SCALE, DistinctImages, Pixels
from film_script import Film, Shot

LETTERBOX_RATIO = 2.39  # aspect ratio of the letterboxed parts, as in cinemas
GRAIN_SD = 2.5  # standard deviation in steps of 255
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "21", "-pix_fmt", "yuv420p"]


def render(film: Film, path: Path, height: int, crf: str = "21") -> Film:
    """Write the film as a 16:9 video and return it. Raises CalledProcessError if ffmpeg fails."""
    size = round_even(height * 16 / 9), height
    frames = Camera(film, height).render_planes()
    encode(path, frames, size, film.script.fps, "yuv420p", [*X264, "-crf", crf])
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
        self.height, self.width = height, round_even(height * 16 / 9)
        self.images = DistinctImages(film.script.images + film.script.first_image, film.script.seed)
        noise = np.random.default_rng(3).normal(0, GRAIN_SD, (5, height, self.width))
        self.noise = noise.astype(np.int8)

    def render_planes(self) -> Iterator[Pixels]:
        """Yield every frame as I420; static frames are drawn once."""
        last: tuple[object, ...] = ()
        flat = self.black()
        for number, shot in self._iter_frames():
            still = self._is_static(shot, number)
            if not still or last != (shot.start,):
                flat = cv2.cvtColor(self.frame(number, shot), cv2.COLOR_BGR2YUV_I420)
            last = (shot.start,) if still else ()
            yield self._add_grain(flat, number) if shot.grain else flat

    def frame(self, number: int, shot: Shot) -> Pixels:
        """Draw frame `number` in BGR, without grain."""
        kind = self.film.flashes.get(number)
        if kind in ("white", "black"):
            return self.black() + np.uint8(255 if kind == "white" else 0)
        frame = self._draw_shot(shot, number)
        if kind == "negative":
            return 255 - frame
        if kind == "other":
            return cv2.flip(cv2.applyColorMap(frame, cv2.COLORMAP_JET), -1)
        return self._blend(frame, shot, number)

    def black(self) -> Pixels:
        """Return a black frame in BGR."""
        return np.zeros((self.height, self.width, 3), np.uint8)

    def _iter_frames(self) -> Iterator[tuple[int, Shot]]:
        for shot in self.film.shots:
            for number in range(shot.start, shot.end):
                yield number, shot

    def _next_shot(self, shot: Shot) -> Shot | None:
        return next((other for other in self.film.shots if other.start == shot.end), None)

    def _transition_side(self, shot: Shot, number: int) -> int:
        """Return -1 in the transition in, 1 in that out, else 0."""
        half = self.film.gradual // 2
        if shot.into != "hard" and number < shot.start + half:
            return -1
        following = self._next_shot(shot)
        leaves = following is not None and following.into != "hard"
        return 1 if leaves and number >= shot.end - half else 0

    def _is_static(self, shot: Shot, number: int) -> bool:
        quiet = number not in self.film.flashes and number >= shot.start + shot.blurred
        return shot.move == "still" and quiet and not self._transition_side(shot, number)

    def _blend(self, frame: Pixels, shot: Shot, number: int) -> Pixels:
        zone = self._transition_side(shot, number)
        if not zone:
            return frame
        half = self.film.gradual // 2
        into = shot if zone < 0 else self._next_shot(shot)
        assert into is not None
        # From 0 to 1 over the transition; 0.5 on the cut.
        share = (number - into.start + half + 0.5) / (2 * half)
        if into.into == "fade":
            return cv2.convertScaleAbs(frame, alpha=abs(2 * share - 1))
        before = self.film.shots[self.film.shots.index(into) - 1]
        other = self._draw_shot(before if zone < 0 else into, number)
        own = share if zone < 0 else 1 - share
        return cv2.addWeighted(frame, own, other, 1 - own, 0)

    def _draw_shot(self, shot: Shot, number: int) -> Pixels:
        if shot.image is None:
            return self.black()
        age = number - shot.start
        frame = self._crop_view(shot, age)
        if shot.move == "talk":
            self._draw_ball(frame, age)
        if 0 <= age < shot.blurred:
            # Blur radius of up to 3% of the height, decreasing.
            frame = cv2.GaussianBlur(frame, (0, 0), self.height * 0.03 * (1.2 - age / shot.blurred))
        if shot.letterbox:
            bar = round((self.height - self.width / LETTERBOX_RATIO) / 2)
            frame[:bar] = frame[-bar:] = 0
        return frame

    def _crop_view(self, shot: Shot, age: int) -> Pixels:
        assert shot.image is not None
        canvas = self.images.canvas(shot.image, self.height)
        rows, columns = canvas.shape[:2]
        x, y = (columns - self.width) / 2, (rows - self.height) / 2
        share = min(1.0, max(0.0, age / shot.frames))
        if shot.move not in ("pan", "zoom", "whip"):
            return canvas[round(y) :, round(x) :][: self.height, : self.width].copy()
        size = 1.0
        if shot.move == "pan":
            x *= 2 * share
        elif shot.move == "whip":
            # A whole pan in a third of a second.
            x *= 2 * min(1.0, age / (self.film.script.fps / 3))
        else:
            size = 1 / (CANVAS_SCALE + (1 - CANVAS_SCALE) * share)
            x, y = (columns - self.width / size) / 2, (rows - self.height / size) / 2
        crop = np.array([[size, 0, -x * size], [0, size, -y * size]], np.float32)
        return cv2.warpAffine(canvas, crop, (self.width, self.height), borderMode=1)

    def _draw_ball(self, frame: Pixels, age: int) -> None:
        """Draw a moving object, which is not a cut."""
        t = age / self.film.script.fps
        place = (
            round(self.width * (0.5 + 0.4 * sin(pi * t / 2))),
            round(self.height * (0.8 - 0.1 * abs(sin(2 * pi * t)))),
        )
        cv2.circle(frame, place, self.height // 22, (40, 40, 220), -1, cv2.LINE_AA)

    def _add_grain(self, flat: Pixels, number: int) -> Pixels:
        frame = flat.copy()
        sheet = np.roll(self.noise[number % 5], number * 37, axis=1)
        luma = frame[: self.height].astype(np.int16) + sheet
        frame[: self.height] = np.clip(luma, 16, 235).astype(np.uint8)
        return frame
