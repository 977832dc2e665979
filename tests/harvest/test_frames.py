"""`harvest frames` with several videos: times, limits, openings, damage, unusual files."""

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faulty_server import NO_COUNTS
from PIL import Image
from tools_for_tests import drawn_video, picture, run_here

from gleanset import Dataset
from gleanset.errors import DiskFull, InputUnusable
from gleanset.work.progress import NO_PROGRESS, Progress
from harvest.frames import FrameHarvest
from harvest.video.sampling import Sampling
from pipeline.maintenance.check_files import verify

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
Frame = tuple[str, float, int | None, int | None, str]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Make videos of 6, 1 and 3 seconds."""
    folder = tmp_path_factory.mktemp("videos")
    return [
        drawn_video(
            folder / f"{n}.mp4", f"testsrc2=s=128x72:r=10:d={seconds},hue=h={60 * n}"
        )
        for n, seconds in enumerate((6, 1, 3))
    ]


def harvest(
    dataset: Dataset,
    *videos: Path,
    label: str | None = None,
    progress: Progress = NO_PROGRESS,
    **settings: object,
) -> dict[str, object]:
    """Sample all frames at equal distances, by default of one second."""
    plain: dict[str, object] = {"every": 1.0, "skip_similar": None, "drop_bad": False}
    sampling = Sampling("every", **plain | settings)  # type: ignore[arg-type]
    frames = FrameHarvest(dataset, sampling, label=label, workers=1, progress=progress)
    return frames.run(videos).to_json()


def list_frames(dataset: Dataset) -> list[Frame]:
    return sorted(
        (
            origin.title or "",
            origin.time or 0.0,
            origin.scene,
            origin.frame,
            image.sha256,
        )
        for image in dataset.images.iterate()
        for origin in image.origins
    )


def test_limit_counts_frames_of_all_videos(
    dataset: Dataset, videos: list[Path]
) -> None:
    assert harvest(dataset, *videos, limit=8)["added"] == 8
    counts = Counter(title for title, *_ in list_frames(dataset))
    assert counts == {"0.mp4": 6, "1.mp4": 1, "2.mp4": 1}
    second = harvest(dataset, *videos, limit=8)
    assert (second["added"], second["known"]) == (0, 8)


def test_result_is_independent_of_workers(tmp_path: Path, videos: list[Path]) -> None:
    result = []
    for workers in (1, 3):
        with Dataset.create(tmp_path / str(workers)) as dataset:
            FrameHarvest(dataset, Sampling(every=1.0), workers=workers).run(videos)
            result.append(list_frames(dataset))
    assert result[0] == result[1]
    assert {title for title, *_ in result[0]} == {"0.mp4", "1.mp4", "2.mp4"}


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Make two episodes with the same opening of 18 seconds."""
    folder = tmp_path_factory.mktemp("episodes")
    opening = "cellauto=s=96x54:r=5:rule=110:seed=3,trim=duration=18,format=yuv420p[a];"
    sources = {
        name: f"{opening}{story}=s=96x54:r=5,trim=duration=20,format=yuv420p[b];[a][b]concat"
        for name, story in (("1.mp4", "testsrc2"), ("2.mp4", "testsrc"))
    }
    return [
        drawn_video(folder / name, source, "-preset", "ultrafast")
        for name, source in sources.items()
    ]


def test_opening_of_earlier_run_is_skipped(
    dataset: Dataset, episodes: list[Path]
) -> None:
    for video in episodes:
        result = harvest(dataset, video, skip_openings=True)
        times = [
            time for title, time, *_ in list_frames(dataset) if title == video.name
        ]
        if video is episodes[0]:
            assert len(times) == 38
        else:
            assert 17 <= result["left_out"]["opening"] <= 19  # type: ignore[index]
            assert min(times) > 15
    first, [span] = [
        state["left_out"] for _, state in dataset.videos.iter_states("every")
    ]
    assert first == []
    assert span == pytest.approx([0, 18], abs=1.5)


def test_missing_frame_is_sampled_again(dataset: Dataset, episodes: list[Path]) -> None:
    harvest(dataset, *episodes, skip_openings=True)
    assert (
        min(time for title, time, *_ in list_frames(dataset) if title == "2.mp4") > 15
    )
    images = dataset.images.count()
    for path in sorted((dataset.root / "images").rglob("*.jpg"))[::4]:
        path.unlink()
    assert verify(dataset, repair=True, progress=Progress()).repaired == 0
    assert {image.state for image in dataset.images.iterate()} == {"ok", "missing"}
    harvest(dataset, *episodes, skip_openings=True)
    assert verify(dataset, repair=False, progress=Progress()).sound == images
    assert {image.state for image in dataset.images.iterate()} == {"ok"}
    assert not list(dataset.rejections.iterate())
    assert harvest(dataset, *episodes, skip_openings=True)["added"] == 0


@pytest.mark.parametrize(
    ("kind", "garbled"),
    [("ts", True), pytest.param("mp4", False, marks=pytest.mark.long)],
)
def test_damaged_video_is_reported_once(
    dataset: Dataset, tmp_path: Path, kind: str, garbled: bool
) -> None:
    options = ("-g", "24", "-preset", "ultrafast")
    path = drawn_video(
        tmp_path / f"film.{kind}", "testsrc2=s=192x108:r=24:d=10", *options
    )
    data = path.read_bytes()
    middle = len(data) // 2
    size = len(data) // 60
    noise = np.random.default_rng(0).bytes(size) if garbled else bytes(size)
    path.write_bytes(data[:middle] + noise + data[middle + size :])
    result = harvest(dataset, path, every=0.5)
    assert result["rejected"] == 0
    [rejection] = dataset.rejections.iterate()
    line = f"{tmp_path.name}/film.{kind}: damaged video ({rejection.detail.partition(': ')[0]})"
    for counted in (result, harvest(dataset, path, every=0.5)):
        assert counted["unreadable_videos"]["files"] == [line]
        assert counted["video_states"] == {
            "sampled in part" if counted is result else "sampled before": 1
        }
    read, of = re.fullmatch(
        r"read ([\d.]+) s of ([\d.]+) s: .+", rejection.detail
    ).groups()  # type: ignore[union-attr]
    assert (float(read), float(of)) == pytest.approx((10, 10), abs=0.2)
    assert len(list_frames(dataset)) >= 17


@pytest.mark.parametrize(
    ("format_", "source"), [("jpeg", "gif"), ("jpeg", "odd"), ("png", "bt709")]
)
def test_frame_colors_are_exact(
    dataset: Dataset, tmp_path: Path, format_: str, source: str
) -> None:
    colours = ((200, 60, 40), (40, 180, 80), (60, 60, 200), (220, 220, 90))
    size = (127, 71) if source == "odd" else (128, 72)
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    for n, colour in enumerate(colours):
        pixels[:, n * size[0] // 4 :] = colour
    Image.fromarray(pixels).save(still := tmp_path / "still.png")
    if source == "gif":
        other = Image.fromarray(255 - pixels)
        Image.fromarray(pixels).save(
            path := tmp_path / "v.gif", save_all=True, append_images=[other]
        )
    else:
        matrix = "bt709" if source == "bt709" else "smpte170m"
        # H.264 with subsampled colors needs even sizes; FFV1 takes any.
        path = tmp_path / "v.mkv"
        drawn = f"movie='{still}':loop=0,setpts=N/5/TB,trim=duration=1,fps=5"
        drawn += f",scale=out_color_matrix={matrix},format=yuv444p"
        drawn_video(path, drawn, "-colorspace", matrix, "-c:v", "ffv1")
    harvest(dataset, path, format=format_, limit=1)
    [image] = dataset.images.iterate()
    with Image.open(dataset.image_path(image.sha256, image.format)) as opened:
        assert opened.size == size
        for n, colour in enumerate(colours):
            pixel = opened.convert("RGB").getpixel(
                (n * size[0] // 4 + size[0] // 8, size[1] // 2)
            )
            assert pixel == pytest.approx(colour, abs=4)


ALL = ("--skip-similar", "off", "--keep-bad")
# Frame N has brightness 30 + 3 N, so no two frames are equal.
COUNTING = "nullsrc=s=64x48:r={rate}:d={seconds},geq=lum='30+3*N':cb=128:cr=128"


def clip(
    path: Path, source: str = "", *options: str, rate: float = 10, seconds: float = 6
) -> Path:
    source = source or COUNTING.format(rate=rate, seconds=seconds)
    return drawn_video(path, source, "-c:v", "mpeg4", "-q:v", "1", "-g", "5", *options)


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clip") / "counting.mp4")


def test_frames_are_added_with_origin(dataset: Dataset, counting: Path) -> None:
    states = {"video_states": {"sampled": 1}}
    assert harvest(dataset, counting, label="cat") == NO_COUNTS | {"added": 6} | states
    origins = [origin for image in dataset.images.iterate() for origin in image.origins]
    assert sorted(o.time or 0.0 for o in origins) == pytest.approx([0, 1, 2, 3, 4, 5])
    for origin in origins:
        assert (origin.source, origin.hint, origin.title) == (
            "video",
            "cat",
            "counting.mp4",
        )
        assert (origin.path, origin.scene) == (str(counting), 0)


def list_hints(dataset: Dataset) -> dict[float, set[str]]:
    """Return the weak labels of each frame by its time."""
    hints: dict[float, set[str]] = {}
    for image in dataset.images.iterate():
        for origin in image.origins:
            frame = hints.setdefault(round(origin.time or 0.0), set())
            if origin.hint:
                frame.add(origin.hint)
    return hints


def test_label_given_later_is_that_of_known_frames(
    dataset: Dataset, counting: Path
) -> None:
    harvest(dataset, counting, end=4.0)
    assert harvest(dataset, counting, end=4.0, label="cat")["known"] == 5
    assert list_hints(dataset) == {n: {"cat"} for n in range(5)}
    # Another sampling of another part, in which some frames are known.
    harvest(dataset, counting, start=2.0, label="owl")
    both = {"cat", "owl"}
    assert list_hints(dataset) == {
        0: {"cat"},
        1: {"cat"},
        2: both,
        3: both,
        4: both,
        5: {"owl"},
    }


def test_label_given_later_withdraws_contradicted_labels(
    dataset: Dataset, counting: Path
) -> None:
    harvest(dataset, counting, label="cat")
    line = ("--json", "-d", dataset.root)
    run_here("facecrop.cli", "run", "--detector", "whole", *line)
    accepted = run_here("labeler.cli", "accept", "hints", *line)
    assert accepted.json["accepted"] == 6
    assert harvest(dataset, counting, label="owl")["taken_back"] == 6


def test_containers_are_read_to_the_end(dataset: Dataset, tmp_path: Path) -> None:
    codecs = {"mpg": "mpeg2video", "h264": "libx264"}
    videos = [
        clip(
            tmp_path / f"v.{suffix}", "", "-c:v", codec, "-q:v", "2", rate=25, seconds=3
        )
        for suffix, codec in codecs.items()
    ]
    harvest(dataset, *videos)
    for video in videos:
        own = [time for title, time, *_ in list_frames(dataset) if title == video.name]
        assert len(own) in (3, 4)
        # Some containers start at a fraction of a second.
        assert np.diff(own)[1:] == pytest.approx([1] * (len(own) - 2), abs=0.05)


def test_non_video_files_are_rejected(
    dataset: Dataset, tmp_path: Path, counting: Path
) -> None:
    shutil.copy(counting, tmp_path / "secret.mp4")
    files = {
        "text": b"no video at all\n" * 100,
        "empty": b"",
        "playlist": f"#EXTM3U\n#EXTINF:1\nfile:{tmp_path}/secret.mp4\n".encode(),
        "picture": picture(1),
        # An mp4 without its end has no index, so nothing can be decoded.
        "half": counting.read_bytes()[:3000],
    }
    for name, data in files.items():
        (tmp_path / f"{name}.mkv").write_bytes(data)
    drawn_video(tmp_path / "sound.mkv", "sine=d=1", "-f", "ogg")
    paths = sorted(tmp_path.glob("*.mkv"))
    with pytest.raises(InputUnusable) as caught:
        harvest(dataset, *paths)
    for path in paths:
        assert re.search(rf"{path.name}: not a video: .+", str(caught.value))
    assert dataset.images.count() == 0
    rejected = {rejection.item: rejection for rejection in dataset.rejections.iterate()}
    assert rejected.keys() == set(map(str, paths))
    assert {rejection.reason for rejection in rejected.values()} == {"not a video"}
    assert all(rejection.detail for rejection in rejected.values())


ODD = [
    b"-y quote'\"[in];,= new\nline.mp4",
    b"pipe:%08d back\\slash*?# latin\xe9.mp4",
    "日本".encode(),
]


def test_unusual_paths_are_sampled(tmp_path: Path, counting: Path) -> None:
    for name in ODD:
        # A few bytes more at the end make it a different file.
        (tmp_path / os.fsdecode(name)).write_bytes(
            counting.read_bytes() + b"\0" * ODD.index(name)
        )
    line = ("frames", "--every", "3s", *ALL, "-d", "d", "--json", "--")
    done = run_here("harvest.cli", *line, *ODD, cwd=tmp_path)
    assert (done.code, done.stderr) == (0, "")
    # The same frames from other files are the same images with other origins.
    states = {"video_states": {"sampled": len(ODD)}}
    assert done.json == NO_COUNTS | {"added": 2, "duplicate": 2 * len(ODD) - 2} | states
    with Dataset.open(tmp_path / "d") as dataset:
        titles = {title for title, *_ in list_frames(dataset)}
        assert titles == {name.decode(errors="backslashreplace") for name in ODD}


@pytest.fixture
def video_folder(tmp_path: Path, counting: Path) -> Path:
    """Make a folder of two videos, one of them in a subfolder, and another file."""
    folder = tmp_path / "in"
    (folder / "extra").mkdir(parents=True)
    for number, name in enumerate(("1.mkv", "extra/2.avi")):
        (folder / name).write_bytes(counting.read_bytes() + b"\0" * number)
    (folder / "notes.txt").write_text("no video")
    return folder


def test_bad_file_does_not_affect_others(video_folder: Path, tmp_path: Path) -> None:
    (video_folder / "broken.mkv").write_bytes(b"\x1aE\xdf\xa3 cut off")
    line = ("frames", "--every", "3s", *ALL, "-d", tmp_path / "d", "--json")
    simulated = run_here("harvest.cli", *line, video_folder, "--simulate").json
    assert (simulated["videos"], simulated["rejected"]) == (2, 1)
    assert "broken.mkv: not a video" in simulated["problems"][0]
    done = run_here("harvest.cli", *line, video_folder).checked()
    counts = {name: done.json[name] for name in ("added", "duplicate", "rejected")}
    assert counts == {"added": 2, "duplicate": 2, "rejected": 1}
    shutil.copy(video_folder / "1.mkv", video_folder / "copy.mkv")
    lines = run_here("harvest.cli", *line[:-1], video_folder).stdout.splitlines()
    assert lines[:3] == [
        "videos: 4 (2 sampled before, 1 rejected, 1 a copy)",
        "new frames: 0, known frames: 4",
        "reasons:",
    ]
    limited = run_here(
        "harvest.cli", *line, "--limit", "1", "--every", "2s", video_folder
    )
    assert sum(limited.json["video_states"].values()) == 4, limited.json
    run_here("harvest.cli", *line, video_folder / "broken.mkv").refused(
        3, "broken.mkv: "
    )


def test_simulation_lists_videos(video_folder: Path, tmp_path: Path) -> None:
    line = ("frames", "--every", "3s", "-d", tmp_path / "d", "--json")
    done = run_here("harvest.cli", *line, "--simulate", video_folder).checked()
    videos = [str(video_folder / name) for name in ("1.mkv", "extra/2.avi")]
    assert done.json == {"videos": 2, "paths": videos}
    assert len(done.stdout.splitlines()) == 1
    assert not (tmp_path / "d").exists()
    assert run_here("harvest.cli", *line, videos[0]).code == 0
    second = run_here("harvest.cli", *line, "--simulate", video_folder)
    assert (second.json["videos"], second.json["known"]) == (1, 1)


def test_full_disk_leaves_video_unfinished(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    disk = small_disk("size=1500k")
    video = clip(
        tmp_path / "v.mp4", "nullsrc=s=320x240:r=10:d=3,geq=random(1)*255:128:128"
    )
    with Dataset.create(disk / "d") as dataset:
        with pytest.raises(DiskFull):
            harvest(dataset, video, every=0.1)
        assert list(dataset.rejections.iterate()) == []
        subprocess.run(["mount", "-o", "remount,size=50m", str(disk)], check=True)
        result = harvest(dataset, video, every=0.1)
        assert (len(list_frames(dataset)), result["rejected"]) == (30, 0)
