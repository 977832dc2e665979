"""Drawn episode of ten shots with pans and zooms, encoded by ffmpeg."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from gleanset.errors import InputUnusable, MissingComponent
from tools.sample.character import CAST
from tools.sample.scene import Scene, paint_scene, plan_scene

FPS = 12
SIZE = (640, 360)
_STAGE = (960, 540)
_FADE_FRAMES = FPS

# Camera view on the stage: center (shares of width and height) and width (share).
View = tuple[float, float, float]
_ALL: View = (0.5, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class ClipShot:
    """Shot of the same people; the camera moves from one view to another."""

    names: tuple[str, ...]
    seconds: float
    seed: int
    start: View = _ALL
    end: View = _ALL
    talks: bool = True


_OPENING = ClipShot(("hana", "yuki"), 4.0, 9001, _ALL, (0.5, 0.48, 0.9), talks=False)

SHOTS = (
    ClipShot(("hana",), 4.5, 9002, (0.47, 0.5, 0.94), (0.53, 0.5, 0.94)),
    _OPENING,
    ClipShot(("rei",), 4.0, 9003),
    ClipShot(("sora",), 3.5, 9004, (0.5, 0.5, 1.0), (0.5, 0.5, 0.92)),
    ClipShot(("yuki",), 4.0, 9005),
    ClipShot(("rei", "sora"), 4.5, 9006, (0.48, 0.5, 0.96), (0.52, 0.5, 0.96)),
    _OPENING,  # repeated, like the intro of a series
    ClipShot(("hana",), 3.5, 9007),
    ClipShot(("sora",), 4.0, 9008, (0.5, 0.5, 0.93), (0.5, 0.5, 1.0)),
    ClipShot(("yuki", "rei"), 4.0, 9009),
)
"""The clip, 40 seconds; the second shot is repeated as the seventh."""


def clip_frames() -> Iterator[Image.Image]:
    """Yield all frames of the clip, the first fading from black."""
    number = 0
    black = Image.new("RGB", SIZE)
    for shot in SHOTS:
        for frame in _shot_frames(shot):
            yield (
                Image.blend(black, frame, number / _FADE_FRAMES)
                if number < _FADE_FRAMES
                else frame
            )
            number += 1


def write_clip(frames: Iterable[Image.Image], path: Path) -> None:
    """Encode frames as H.264, reproducibly for a given version of ffmpeg.

    Raises `MissingComponent` without ffmpeg and `InputUnusable` if it fails.
    """
    command = _build_command(path)
    error = b""
    with subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as ffmpeg:
        assert ffmpeg.stdin is not None
        assert ffmpeg.stderr is not None
        try:
            for frame in frames:
                ffmpeg.stdin.write(frame.tobytes())
            ffmpeg.stdin.close()
        except BrokenPipeError:  # ffmpeg exited early; its stderr has the reason
            pass
        error = ffmpeg.stderr.read()
    if ffmpeg.returncode:
        raise InputUnusable(f"ffmpeg could not write {path}: {error.decode()[-300:]}")


def _build_command(path: Path) -> list[str]:
    program = shutil.which("ffmpeg")
    if program is None:
        raise MissingComponent("ffmpeg is not installed", "apt install ffmpeg")
    source = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        f"{SIZE[0]}x{SIZE[1]}",
        "-r",
        str(FPS),
    ]
    codec = ["-c:v", "libx264", "-preset", "slow", "-crf", "25", "-tune", "animation"]
    exact = "-pix_fmt yuv420p -threads 1 -fflags +bitexact -flags:v +bitexact -movflags +faststart"
    quiet = ["-y", "-loglevel", "error"]
    return [program, *quiet, *source, "-i", "-", *codec, *exact.split(), str(path)]


def _shot_frames(shot: ClipShot) -> Iterator[Image.Image]:
    takes = [paint_scene(scene) for scene in _plan_takes(shot)]
    count = round(shot.seconds * FPS)
    for number in range(count):
        share = number / (count - 1)
        view = [a + (b - a) * share for a, b in zip(shot.start, shot.end, strict=True)]
        yield _crop_view(takes[number // 3 % len(takes)], *view)


def _plan_takes(shot: ClipShot) -> list[Scene]:
    """Return the scene once for each mouth shape."""
    cast = {character.name: character for character in CAST}
    scene = plan_scene([cast[name] for name in shot.names], shot.seed, _STAGE)
    mouths = ("flat", "open", "grin") if shot.talks else ("smile",)
    return [_with_mouth(scene, mouth) for mouth in mouths]


def _with_mouth(scene: Scene, mouth: str) -> Scene:
    figures = (
        replace(f, expression=replace(f.expression, mouth=mouth)) for f in scene.figures
    )
    return replace(scene, figures=tuple(figures))


def _crop_view(stage: Image.Image, x: float, y: float, share: float) -> Image.Image:
    """Crop the camera's view from the stage, clamped to its borders."""
    width, height = _STAGE[0] * share, _STAGE[1] * share
    left = min(max(0.0, x * _STAGE[0] - width / 2), _STAGE[0] - width)
    top = min(max(0.0, y * _STAGE[1] - height / 2), _STAGE[1] - height)
    box = (left, top, left + width, top + height)
    return stage.resize(SIZE, Image.Resampling.BICUBIC, box=box)
