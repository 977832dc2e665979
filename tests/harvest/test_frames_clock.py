"""Times as a player shows them, and the length read compared with the length stated."""

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from test_frames_streams import H264, MPEG2, ffmpeg, lavfi_source, sample
from tools_for_tests import drawn_video

from gleanset import Dataset

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime")
WMV = ("-c:v", "wmv2", "-g", "25")
THEORA = ("-c:v", "libtheora")
# Four seconds of motion, then an image every 15 s, as a screen recording of slides.
SLIDES = "testsrc2=s=96x64:r=25:d=64,select='lt(t,4)+not(mod(n,375))*gt(t,5)'"
SILENCE = ("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono")


def rejected(dataset: Dataset) -> list[str]:
    return [rejection.detail for rejection in dataset.rejections.iterate()]


def length(dataset: Dataset) -> float:
    return float(dataset.db.fetch_value("SELECT duration FROM video"))


def packet_positions(video: Path) -> list[int]:
    """Return where each packet with images begins in a file, in bytes."""
    options = "-v error -select_streams v -of csv=p=0 -show_entries packet=pos"
    line = ["ffprobe", *options.split(), f"file:{video}"]
    output = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return [int(row.strip(",")) for row in output.split()]


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("flv", H264),
        ("ts", H264),
        ("mpg", MPEG2),
        ("nut", H264),
        ("mkv", H264),
        ("mp4", H264),
    ],
)
def test_pauses_lose_no_frame(
    dataset: Dataset, tmp_path: Path, suffix: str, codec: tuple[str, ...]
) -> None:
    video = drawn_video(
        tmp_path / f"slides.{suffix}", SLIDES, *codec, "-fps_mode", "vfr"
    )
    assert sample(dataset, video, every=5) == [0, 15, 30, 45, 60]
    assert not rejected(dataset)


def test_pauses_in_a_joined_recording(dataset: Dataset, tmp_path: Path) -> None:
    slides = drawn_video(tmp_path / "a.ts", SLIDES, *H264, "-fps_mode", "vfr")
    film = drawn_video(tmp_path / "b.ts", lavfi_source(3), *H264)
    (video := tmp_path / "joined.ts").write_bytes(
        slides.read_bytes() + film.read_bytes()
    )
    assert len(sample(dataset, video, every=5)) >= 5


@pytest.mark.parametrize("start", [3600, 95442])  # MPEG's clock restarts at 95443.7 s
@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        ("ts", H264),
        ("mkv", H264),
        pytest.param("mp4", H264, marks=pytest.mark.long),
        pytest.param("vob", MPEG2, marks=pytest.mark.long),
        pytest.param("wmv", WMV, marks=pytest.mark.long),
    ],
)
def test_times_count_from_where_a_player_starts(
    dataset: Dataset, tmp_path: Path, suffix: str, codec: tuple[str, ...], start: int
) -> None:
    offset = ("-output_ts_offset", str(start))
    video = drawn_video(tmp_path / f"late.{suffix}", lavfi_source(5), *codec, *offset)
    assert sample(dataset, video) == [0, 1, 2, 3, 4]
    assert length(dataset) == pytest.approx(5, abs=0.1)
    assert not rejected(dataset)
    sample(dataset, video, start=3.0)
    origins = [origin for image in dataset.images.iterate() for origin in image.origins]
    assert {(origin.time, origin.frame) for origin in origins} == {
        (n, 25 * n) for n in range(5)
    }


def test_images_that_begin_after_the_sound(dataset: Dataset, tmp_path: Path) -> None:
    late = ("-itsoffset", "2", "-f", "lavfi", "-i", lavfi_source(3))
    sound = (
        *SILENCE,
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-t",
        "5",
        "-c:a",
        "mp2",
        "-ar",
        "48000",
    )
    ffmpeg(
        *late, *sound, *H264, "-fps_mode", "passthrough", video := tmp_path / "late.ts"
    )
    assert sample(dataset, video) == pytest.approx([2, 3, 4], abs=0.05)


def test_times_from_a_file_without_first_time(dataset: Dataset, tmp_path: Path) -> None:
    plain = drawn_video(tmp_path / "plain.mkv", lavfi_source(5), *H264)
    early = (
        "-c",
        "copy",
        "-output_ts_offset",
        "-2.5",
        "-avoid_negative_ts",
        "disabled",
    )
    ffmpeg("-i", plain, *early, video := tmp_path / "early.mkv")
    assert sample(dataset, video, start=3.0) == pytest.approx([3, 4], abs=0.05)


def test_times_after_the_stated_end(dataset: Dataset, tmp_path: Path) -> None:
    part = drawn_video(tmp_path / "a.mkv", lavfi_source(4), *H264)
    (video := tmp_path / "joined.mkv").write_bytes(part.read_bytes() * 2)
    assert sample(dataset, video, start=5.0) == [5, 6, 7]


class Cuttable(NamedTuple):
    """A video of 20 s, and the positions at which the tests cut it, in bytes."""

    video: Path
    positions: list[int]

    def cut(self, folder: Path, share: float) -> Path:
        """Write the part of the video up to the position at `share` of all."""
        end = self.positions[round((len(self.positions) - 1) * share)]
        part = folder / f"cut{self.video.suffix}"
        part.write_bytes(self.video.read_bytes()[:end])
        return part


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("flv", H264), id="flv"),
        pytest.param(("mxf", MPEG2), id="mxf"),
        pytest.param(("avi", H264), id="avi"),
        pytest.param(("wmv", WMV), id="wmv"),
        pytest.param(("mkv", H264), id="mkv", marks=pytest.mark.long),
        pytest.param(("webm", VP8), id="webm", marks=pytest.mark.long),
    ],
)
def packets(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Cuttable:
    """Return a video, and where its packets begin."""
    suffix, codec = request.param
    path = tmp_path_factory.mktemp("packets") / f"whole.{suffix}"
    video = drawn_video(path, lavfi_source(20, "64x48"), *codec)
    return Cuttable(video, packet_positions(video))


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_video_cut_between_two_packets_is_damaged(
    dataset: Dataset, tmp_path: Path, packets: Cuttable, share: float
) -> None:
    video = packets.cut(tmp_path, share)
    assert len(sample(dataset, video)) == pytest.approx(20 * share, abs=1)
    [detail] = rejected(dataset)
    read, stated = detail.partition(":")[0].removeprefix("read ").split(" s of ")
    # A packet may hold several frames.
    assert float(read) == pytest.approx(20 * share, abs=1.1)
    assert stated == "20.0 s"


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video of 20 s without sound."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    return drawn_video(path, lavfi_source(20, "64x48"), *VP8)


@pytest.fixture(
    scope="module",
    params=[(VP8, False), (VP8, True), (THEORA, False), (THEORA, True)],
    ids=["vp8", "vp8 and sound", "theora", "theora and sound"],
)
def pages(
    request: pytest.FixtureRequest, film: Path, tmp_path_factory: pytest.TempPathFactory
) -> Cuttable:
    """Return an Ogg file, with sound or without, and where its pages begin and the last ends."""
    codec, has_sound = request.param
    sound = (*SILENCE, "-c:a", "libvorbis", "-t", "20") if has_sound else ()
    video = tmp_path_factory.mktemp("pages") / "whole.ogv"
    ffmpeg("-i", film, *sound, *codec, "-f", "ogg", video)
    data = video.read_bytes()
    begins = [n for n in range(len(data)) if data.startswith(b"OggS", n)]
    return Cuttable(video, [*begins, len(data)])


@pytest.mark.parametrize("share", [0.4, 0.9, 1.0])
def test_cut_ogg_states_no_length_but_is_damaged(
    dataset: Dataset, tmp_path: Path, pages: Cuttable, share: float
) -> None:
    video = pages.cut(tmp_path, share)
    times = sample(dataset, video)
    details = rejected(dataset)
    if share == 1:
        assert (len(times), details) == (20, [])
        return
    [detail] = details
    read = float(detail.removeprefix("read ").partition(" s: its end")[0])
    assert read == pytest.approx(times[-1], abs=1.1)
    # What was asked for is there.
    assert sample(dataset, video, end=2.0)[:2] == [0, 1]


@pytest.mark.parametrize("share", [0.4, 0.9, 1.0])
def test_cut_gif_states_no_length_but_is_damaged(
    dataset: Dataset, tmp_path: Path, share: float
) -> None:
    video = drawn_video(tmp_path / "a.gif", lavfi_source(10, "64x48"))
    data = video.read_bytes()
    video.write_bytes(data[: int(len(data) * share)])
    times = sample(dataset, video)
    assert times == list(range(len(times)))
    assert len(times) == pytest.approx(10 * share, abs=1)
    is_damaged = [detail.endswith("its end is missing") for detail in rejected(dataset)]
    assert is_damaged == ([True] if share < 1 else [])


@pytest.mark.parametrize(
    "kind", ["mp4", "mov", "flv", "wmv", "apng", "gif", "mkv", "ts"]
)
def test_second_video_of_a_joined_file_is_read_or_reported(
    dataset: Dataset, tmp_path: Path, kind: str
) -> None:
    """Files joined by `cat`, of which ffmpeg reads all or only the first, without a word."""
    first = drawn_video(tmp_path / f"a.{kind}", lavfi_source(4, "64x48"))
    # Another length and other images, so that only the beginning of the files is equal.
    second = drawn_video(tmp_path / f"b.{kind}", "testsrc2=d=3:size=64x48:rate=1")
    joined = tmp_path / f"joined.{kind}"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    times = sample(dataset, joined)
    details = rejected(dataset)
    if len(times) == 7 or kind in ("mkv", "ts"):
        assert (len(times), details) == (7, [])
        return
    assert len(times) == 4
    [detail] = details
    assert detail.startswith("a second video joined to it was not read: ")


def test_warnings_of_ffmpeg_are_not_damage(dataset: Dataset, tmp_path: Path) -> None:
    # The last image stays for 5 s; the pixel format yuvj420p is "deprecated".
    source = "testsrc2=s=64x48:r=1/5:d=30"
    video = drawn_video(tmp_path / "slides.mov", source, "-c:v", "mjpeg")
    assert sample(dataset, video, every=5) == [0, 5, 10, 15, 20, 25]
    assert not rejected(dataset)


def test_cut_fragments_are_damaged(dataset: Dataset, tmp_path: Path) -> None:
    flags = ("-movflags", "+dash+global_sidx+frag_keyframe")
    video = drawn_video(tmp_path / "dash.mp4", lavfi_source(20, "64x48"), *H264, *flags)
    data = video.read_bytes()
    fragments = [n for n in range(len(data)) if data.startswith(b"moof", n)]
    video.write_bytes(data[: fragments[8] - 4])
    assert len(sample(dataset, video)) == 8
    assert rejected(dataset) == ["read 8.0 s of 20.0 s: the file ends early"]


@pytest.mark.parametrize("suffix", ["mkv", "ts", "flv", "wmv"])
def test_longer_sound_is_not_damage(
    dataset: Dataset, tmp_path: Path, suffix: str
) -> None:
    source = (
        "-f",
        "lavfi",
        "-i",
        lavfi_source(3),
        *SILENCE,
        "-map",
        "0:v",
        "-map",
        "1:a",
    )
    sound = ("-c:a", "wmav2" if suffix == "wmv" else "aac", "-ar", "44100", "-t", "12")
    ffmpeg(
        *source,
        *sound,
        *(WMV if suffix == "wmv" else H264),
        video := tmp_path / f"v.{suffix}",
    )
    assert len(sample(dataset, video)) in (3, 4)
    assert length(dataset) == pytest.approx(12, abs=0.2)
    assert not rejected(dataset)


def test_long_last_image_is_not_damage(dataset: Dataset, tmp_path: Path) -> None:
    slides = "testsrc2=s=96x64:r=1:d=4,setpts=20*PTS"
    video = drawn_video(tmp_path / "slides.mp4", slides, *H264, "-fps_mode", "vfr")
    ffmpeg("-i", video, "-c", "copy", copy := tmp_path / "slides.mkv")
    assert sample(dataset, copy) == [0, 20, 40, 60]
    assert not rejected(dataset)
