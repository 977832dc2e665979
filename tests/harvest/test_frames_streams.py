"""Videos with jumping timestamps, changing sizes, several streams or transparency."""

import shlex
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tools_for_tests import drawn_video

from gleanset import Dataset
from gleanset.errors import MissingComponent
from gleanset.video.probe_ffmpeg import probe
from harvest.frames import FrameHarvest
from harvest.video.decoder import FfmpegDecoder
from harvest.video.sampler import make_plan
from harvest.video.sampling import Sampling

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-auto-alt-ref", "0")
MPEG2 = ("-c:v", "mpeg2video", "-g", "12")


def ffmpeg(*words: str | Path) -> None:
    line = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, words)]
    subprocess.run(line, check=True)


def lavfi_source(seconds: float, size: str = "160x120") -> str:
    return f"testsrc2=s={size}:r=25:d={seconds}"


def sample(
    dataset: Dataset, video: Path, every: float = 1, **options: Any
) -> list[float]:
    """Harvest a frame per second; return their times in seconds."""
    sampling = Sampling(
        "every", every=every, skip_similar=None, drop_bad=False, **options
    )
    result = FrameHarvest(dataset, sampling, workers=1).run([video])
    assert (result.rejected, result.reasons) == (0, {})
    times = sorted(
        o.time or 0.0 for image in dataset.images.iterate() for o in image.origins
    )
    return [round(time, 2) for time in times]


def stored_frames(dataset: Dataset) -> list[tuple[float, Image.Image]]:
    """Return the time and image of each frame, in order."""
    frames = []
    for image in dataset.images.iterate():
        with Image.open(dataset.image_path(image.sha256, image.format)) as opened:
            pixels = opened.convert("RGB")
        frames += [(origin.time or 0.0, pixels) for origin in image.origins]
    return sorted(frames, key=lambda frame: frame[0])


@pytest.mark.parametrize(
    ("suffix", "codec", "offset"),
    [pytest.param("mkv", H264, 0, marks=pytest.mark.long), ("ts", H264, 95440)],
)
def test_concatenated_videos_have_one_timeline(
    dataset: Dataset, tmp_path: Path, suffix: str, codec: tuple[str, ...], offset: int
) -> None:
    parts = []
    for number, shift in enumerate((0, offset)):
        part = tmp_path / f"{number}.{suffix}"
        source = lavfi_source(4) + (",hue=h=120" if number else "")
        drawn_video(part, source, *codec, "-output_ts_offset", str(shift))
        parts.append(part.read_bytes())
    (video := tmp_path / f"joined.{suffix}").write_bytes(b"".join(parts))
    assert sample(dataset, video) == pytest.approx(range(8), abs=0.05)
    assert len({image.tobytes() for _, image in stored_frames(dataset)}) == 8
    assert dataset.db.fetch_value("SELECT duration FROM video") == pytest.approx(
        8, abs=0.3
    )


def test_seeking_in_concatenated_videos(dataset: Dataset, tmp_path: Path) -> None:
    part = drawn_video(tmp_path / "a.ts", lavfi_source(4), *H264)
    (video := tmp_path / "joined.ts").write_bytes(part.read_bytes() * 3)
    sample(dataset, video, start=9.0)
    assert [round(time) for time, _ in stored_frames(dataset)] == [9, 10, 11]


def packets_of(ivf: Path) -> list[bytes]:
    """Return the packets of an IVF file that ffmpeg wrote."""
    data = ivf.read_bytes()
    at = 32
    packets = []
    while at < len(data):
        length = struct.unpack("<I", data[at : at + 4])[0]
        packets.append(data[at + 12 : at + 12 + length])
        at += 12 + length
    return packets


def write_ivf(
    path: Path, like: Path, packets: list[bytes], times: Sequence[int]
) -> Path:
    """Write packets with timestamps of our own."""
    parts = (
        struct.pack("<IQ", len(p), t) + p for p, t in zip(packets, times, strict=True)
    )
    path.write_bytes(like.read_bytes()[:32] + b"".join(parts))
    return path


@pytest.fixture(scope="module")
def plain_ivf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plain") / "plain.ivf"
    return drawn_video(path, "testsrc2=s=96x64:r=10:d=4", *VP8, "-b:v", "300k")


@pytest.mark.parametrize(
    "times",
    [
        pytest.param([0, 1, 2, 900, 4, *range(5, 40)], id="spike"),
        pytest.param([*range(20), *range(20)], id="restart"),
        pytest.param([*range(20), *range(9000, 9020)], id="jump"),
        pytest.param(
            [*range(20), 3, *range(21, 40)], id="step back", marks=pytest.mark.long
        ),
        pytest.param(
            [n // 2 * 2 for n in range(40)], id="pairs", marks=pytest.mark.long
        ),
    ],
)
def test_jumping_timestamps_lose_no_frame(
    dataset: Dataset, tmp_path: Path, plain_ivf: Path, times: list[int]
) -> None:
    video = write_ivf(tmp_path / "bad.ivf", plain_ivf, packets_of(plain_ivf), times)
    assert sample(dataset, video) == pytest.approx(range(4), abs=0.15)


def test_thousands_of_full_frames_are_read(tmp_path: Path) -> None:
    source = "testsrc2=s=64x48:r=25:d=41"
    video = drawn_video(tmp_path / "long.mp4", source, *H264)
    plan = make_plan(Sampling("every", every=0.04), probe(video))
    blocks = list((decoder := FfmpegDecoder(video, plan)).iter_blocks())
    assert sum(len(block.full_frames) for block in blocks) == 1025
    assert not decoder.damage


def test_long_frames_keep_their_times(dataset: Dataset, tmp_path: Path) -> None:
    slides = "testsrc2=s=96x64:r=1:d=5,setpts=20*PTS"
    video = drawn_video(tmp_path / "slides.mkv", slides, *H264, "-fps_mode", "vfr")
    assert sample(dataset, video) == [0, 20, 40, 60, 80]


def test_negative_timestamps(dataset: Dataset, tmp_path: Path) -> None:
    plain = drawn_video(tmp_path / "plain.mkv", lavfi_source(3), *H264)
    early = (
        "-c",
        "copy",
        "-output_ts_offset",
        "-2.5",
        "-avoid_negative_ts",
        "disabled",
    )
    ffmpeg("-i", plain, *early, video := tmp_path / "early.mkv")
    assert sample(dataset, video) == pytest.approx(range(3), abs=0.05)


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make VP8 with a bright central circle, two seconds of each size."""
    folder = tmp_path_factory.mktemp("changing")
    packets: list[bytes] = []
    for wide, high in ((160, 120), (120, 240), (320, 240)):
        circle = f"if(lt(hypot(X-{wide // 2},Y-{high // 2}),40),235,70)"
        source = f"color=gray:s={wide}x{high}:r=5,geq=lum='{circle}':cb=128:cr=128,trim=duration=2"
        part = drawn_video(folder / f"{wide}.ivf", source, *VP8, "-b:v", "500k")
        packets += packets_of(part)
    times = range(len(packets))
    return write_ivf(folder / "changing.ivf", folder / "160.ivf", packets, times)


@pytest.mark.parametrize("options", [{}, {"width": 120, "format": "png"}])
def test_aspect_ratio_is_kept_when_size_changes(
    dataset: Dataset, changing: Path, options: dict[str, Any]
) -> None:
    assert len(sample(dataset, changing, **options)) == 6
    frames = stored_frames(dataset)
    if not options:
        sizes = [(160, 120)] * 2 + [(120, 240)] * 2 + [(320, 240)] * 2
        assert [image.size for _, image in frames] == sizes
    for _, image in frames:
        bright = np.asarray(image.convert("L")) > 128
        assert bright.any(0).sum() == pytest.approx(bright.any(1).sum(), abs=2)


def test_changing_pixel_aspect_ratio(dataset: Dataset, tmp_path: Path) -> None:
    parts = []
    for aspect in ("4/3", "16/9"):
        source = f"{lavfi_source(2, '180x144')},setdar={aspect}"
        parts.append(drawn_video(tmp_path / "part.vob", source, *MPEG2).read_bytes())
    (video := tmp_path / "joined.vob").write_bytes(b"".join(parts))
    assert len(sample(dataset, video)) == 4
    assert [image.size for _, image in stored_frames(dataset)] == [(192, 144)] * 2 + [
        (256, 144)
    ] * 2


POSTER = "color=red:s={size}:r=25,trim=end_frame=1"


@pytest.mark.parametrize(
    ("suffix", "size", "default"),
    [
        ("mkv", "160x120", "1"),
        pytest.param("mp4", "640x480", None, marks=pytest.mark.long),
    ],
)
def test_cover_image_is_not_sampled(
    dataset: Dataset, tmp_path: Path, suffix: str, size: str, default: str | None
) -> None:
    codecs = ("-c:v:0", "mjpeg", "-c:v:1", "libx264", "-pix_fmt:v:1", "yuv420p")
    inputs = (
        "-f",
        "lavfi",
        "-i",
        POSTER.format(size=size),
        "-f",
        "lavfi",
        "-i",
        lavfi_source(4),
    )
    flags = ("-disposition:v:0", "0", "-disposition:v:1", "default") if default else ()
    video = tmp_path / f"v.{suffix}"
    ffmpeg(
        *inputs, "-map", "0:v", "-map", "1:v", *codecs, *flags, "-strict", "-1", video
    )
    assert len(sample(dataset, video)) == 4
    assert {image.size for _, image in stored_frames(dataset)} == {(160, 120)}


def test_default_stream_is_preferred(tmp_path: Path) -> None:
    inputs = (
        "-f",
        "lavfi",
        "-i",
        lavfi_source(1),
        "-f",
        "lavfi",
        "-i",
        lavfi_source(1, "96x64"),
    )
    flags = ("-disposition:v:0", "0", "-disposition:v:1", "default")
    ffmpeg(
        *inputs, "-map", "0", "-map", "1", *H264, *flags, video := tmp_path / "v.mkv"
    )
    assert probe(video).stream == 1


def drawing(colour: str, number: int) -> Image.Image:
    """Draw a moving ring on a transparent background."""
    layer = Image.new("RGBA", (128, 96), (0, 0, 0, 0))
    ring = (20 + 4 * number, 20, 80 + 4 * number, 80)
    ImageDraw.Draw(layer).ellipse(ring, outline=colour, width=8)
    return layer


@pytest.mark.parametrize(("kind", "colour"), [("webm", "white"), ("gif", "black")])
def test_transparency_gets_contrasting_background(
    dataset: Dataset, tmp_path: Path, kind: str, colour: str
) -> None:
    layers = [drawing(colour, number) for number in range(6)]
    video = tmp_path / f"v.{kind}"
    if kind == "webm":
        for number, layer in enumerate(layers):
            layer.save(tmp_path / f"{number}.png")
        codec = ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p")
        ffmpeg("-framerate", "2", "-i", tmp_path / "%d.png", *codec, video)
    else:
        layers[0].save(
            video, save_all=True, append_images=layers[1:], duration=500, disposal=2
        )
    assert len(sample(dataset, video)) == 3
    for _, image in stored_frames(dataset):
        assert np.ptp(np.asarray(image.convert("L"), np.int16)) > 80


def replace_ffmpeg(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a script first in PATH that may run the real ffmpeg as `real`."""
    program = folder / "wrapper" / "ffmpeg"
    program.parent.mkdir(parents=True)
    real = shlex.quote(str(shutil.which("ffmpeg")))
    program.write_text(f'#!/bin/sh\nreal() {{ {real} "$@"; }}\n{script}')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


def test_frames_do_not_depend_on_the_log(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = drawn_video(tmp_path / "v.mkv", lavfi_source(3), *H264)
    silent = 'case "$*" in *pipe:*) real "$@" 2>/dev/null;; *) real "$@";; esac\n'
    replace_ffmpeg(tmp_path, silent, monkeypatch)
    assert sample(dataset, video) == [0, 1, 2]
    assert {frame.size for _, frame in stored_frames(dataset)} == {(160, 120)}


def test_missing_decoder_and_old_ffmpeg_have_own_errors(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = drawn_video(tmp_path / "v.mkv", lavfi_source(1), *H264)
    harvest = FrameHarvest(dataset, Sampling(), workers=1)
    failure = 'case "$*" in *pipe:*) echo "[error] kein Dekoder" >&2; exit 1;; esac\n'
    lacking = 'case "$*" in *-codecs) real "$@" | grep -v " h264 "; exit;; esac\n'
    replace_ffmpeg(tmp_path, f'{failure}{lacking}real "$@"\n', monkeypatch)
    with pytest.raises(MissingComponent, match=r"missing codec: .*kein Dekoder"):
        harvest.run([video])

    version = 'case "$*" in *-version) echo "libavfilter  7. 110.100"; exit;; esac\n'
    replace_ffmpeg(tmp_path / "old", f'{failure}{version}real "$@"\n', monkeypatch)
    with pytest.raises(MissingComponent, match="is too old"):
        harvest.run([video])
