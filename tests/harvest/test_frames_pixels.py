"""Interlaced video is deinterlaced, HDR converted: what the pixels of frames show."""

import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import unusual_clips
from PIL import Image
from test_frames_streams import ffmpeg, sample, stored_frames

from gleanset import Dataset
from gleanset.arrays import Float64Array
from gleanset.work.progress import Progress
from harvest.frames import FrameHarvest
from harvest.video.sampling import Sampling

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
MOVING = "testsrc2=s=360x288:r=50:d=1.2,scroll=h=0.02"
PRORES = "-c:v prores_ks"
DNXHD = "-s 1920x1080 -c:v dnxhd -b:v 185M -pix_fmt yuv422p -r 25"
X264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p"
UTVIDEO = "-c:v utvideo -pix_fmt yuv422p"
TOP = "-flags +ildct+ilme -top 1"
BOTTOM = "-flags +ildct+ilme -top 0"


@pytest.mark.parametrize(
    ("name", "scan", "options"),
    [
        ("a.mkv", "tff", f"-c:v ffv1 -level 3 {TOP}"),
        ("a.mkv", "bff", f"-c:v ffv1 -level 3 {BOTTOM}"),
        ("a.mov", "bff", f"{PRORES} {BOTTOM}"),
        pytest.param("a.mov", "tff", f"{DNXHD} {TOP}", marks=pytest.mark.long),
        pytest.param(
            "a.mpg", "bff", f"-c:v mpeg2video -q:v 2 {BOTTOM}", marks=pytest.mark.long
        ),
        ("flagged_in_the_container.mkv", "bff", f"{UTVIDEO} {BOTTOM}"),
        ("flagged_nowhere.avi", "tff", UTVIDEO),
        ("flagged_progressive.mp4", "bff", X264),
        ("flagged_progressive.mpg", "tff", "-c:v mpeg2video -q:v 2"),
        ("motion.avi", "tff", "-c:v mjpeg -q:v 2"),
    ],
)
def test_no_frame_is_combed(
    dataset: Dataset, tmp_path: Path, name: str, scan: str, options: str
) -> None:
    fields = ("-vf", f"interlace=scan={scan}:lowpass=0")
    ffmpeg(
        "-f", "lavfi", "-i", MOVING, *fields, *options.split(), video := tmp_path / name
    )
    assert sample(dataset, video, every=0.3, format="png")
    for image in dataset.images.iterate():
        path = dataset.image_path(image.sha256, image.format)
        assert unusual_clips.measure_combing(path) < 1.0


def test_progressive_video_is_not_deinterlaced(
    dataset: Dataset, tmp_path: Path
) -> None:
    source = "testsrc2=s=320x240:r=25:d=2"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "ffv1", video := tmp_path / "v.mkv")
    ffmpeg(
        "-i",
        video,
        "-frames:v",
        "1",
        "-pix_fmt",
        "rgb24",
        still := tmp_path / "first.png",
    )
    sample(dataset, video, format="png")
    assert np.abs(stored_pixels(dataset) - pixels(Image.open(still))).mean() < 1


def pixels(image: Image.Image) -> Float64Array:
    return np.asarray(image.convert("RGB"), dtype=np.float64)


def stored_pixels(dataset: Dataset) -> Float64Array:
    return pixels(stored_frames(dataset)[0][1])


COLORS = ((230, 230, 230), (120, 120, 120), (30, 30, 30), (190, 60, 50), (50, 140, 60))
"""Stripes of the drawing, from left to right."""


def write_wide_colors(video: Path, transfer: str, white: int) -> Path:
    """Write stripes in BT.2020; `transfer` is ffmpeg's name, `white` in nits."""
    drawing = Image.fromarray(
        np.repeat(np.array([COLORS], np.uint8), 64, axis=1).repeat(96, axis=0)
    )
    drawing.save(still := video.with_suffix(".png"))
    light = f"zscale=min=gbr:pin=709:tin=709:m=gbr:p=709:t=linear:npl={white},format=gbrpf32le"
    wide = f"zscale=min=gbr:pin=709:tin=linear:p=2020:m=2020_ncl:t={transfer}:r=limited:npl={white}"
    chain = f"format=gbrp,{light},{wide},format=yuv420p10le"
    tags = f"log-level=none:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc"
    codec = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", tags)
    ffmpeg("-loop", "1", "-i", still, "-t", "1", "-vf", chain, *codec, video)
    return video


def stripes(frame: Float64Array) -> Float64Array:
    """Return the color in the middle of each stripe, (5, 3)."""
    height, width, _ = frame.shape
    columns = [
        round(width * (number + 0.5) / len(COLORS)) for number in range(len(COLORS))
    ]
    return frame[height // 2, columns]


@pytest.mark.parametrize("options", [{}, {"format": "png"}, {"width": 160}])
@pytest.mark.parametrize(
    ("transfer", "white"),
    [("smpte2084", 203), ("smpte2084", 100), ("arib-std-b67", 203), ("bt2020-10", 100)],
)
def test_wide_colors_become_ordinary_ones(
    dataset: Dataset, tmp_path: Path, transfer: str, white: int, options: dict[str, Any]
) -> None:
    video = write_wide_colors(tmp_path / "wide.mkv", transfer, white)
    sample(dataset, video, **options)
    difference = stripes(stored_pixels(dataset)) - np.array(COLORS)
    # White may be at 100 or 203 nits, and nothing in a file says at which.
    assert np.abs(difference).max() < (12 if transfer == "bt2020-10" else 45)


def test_pale_frames_are_reported(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = write_wide_colors(tmp_path / "wide.mkv", "smpte2084", 203)
    program = tmp_path / "old" / "ffmpeg"
    program.parent.mkdir()
    real = shlex.quote(str(shutil.which("ffmpeg")))
    without = f"{real} -hide_banner -filters | grep -v zscale; exit 0"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *-filters) {without};; esac\nexec {real} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    lines: list[str] = []
    progress = Progress()
    monkeypatch.setattr(progress, "say", lines.append)
    result = FrameHarvest(dataset, Sampling(), workers=1, progress=progress).run(
        [video]
    )
    assert result.added == 1
    [line] = lines
    assert line.startswith(f"frames of HDR video are pale: {video}\nhint: ")
