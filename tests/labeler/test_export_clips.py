"""Clips of tracks: every frame is of the track's shot, the crop holds the face, splits are kept."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from labelled_images import run_export, run_labeler
from tools_for_tests import ROOT, WITHOUT_POSIX, read_files, run_here

from gleanset import Dataset
from gleanset.arrays import Pixels
from gleanset.db.faces import StoredTrack
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.names import format_path, parse_path
from labeler.export.options import ExportOptions

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
EPISODE = ROOT / "datasets" / "sample" / "episode.mp4"
SECONDS = "12.4"
NEXT = "next.ts" if WITHOUT_POSIX else os.fsdecode(b"n\xe9xt.ts")
"""A name that is not UTF-8."""
SHORT_SECONDS = "0.5"
"""Length of clips of which only the number matters: most time goes to compressing frames."""
EDGE_TOLERANCE = 2
"""Pixels: a crop begins at an even column and row."""


@pytest.fixture(scope="module")
def tracked_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of two videos with a labelled track for each person of a shot."""
    folder = tmp_path_factory.mktemp("clips")
    shutil.copy(EPISODE, folder / "episode.mp4")
    # Of another container, whose times begin at 100 seconds, with the shots from 12.5 s on.
    options = ["-ss", "12.5", "-i", "episode.mp4", "-t", "7.5", "-qscale", "2"]
    subprocess.run(
        ["ffmpeg", "-v", "error", *options, "-output_ts_offset", "100", f"file:{NEXT}"],
        check=True,
        cwd=folder,
        stdin=subprocess.DEVNULL,
    )
    for video in ("episode.mp4", NEXT):
        run_here(
            "pipeline.cli",
            *("episodes", folder / video, "--to", SECONDS, "-d", folder / "dataset"),
        ).checked()
    with Dataset.open(folder / "dataset") as dataset:
        rows = list(dataset.tracks.iterate())
        assert len(rows) == 6
        for number, row in enumerate(rows):
            label_track(dataset, row, ("hana", "rei 花")[number % 2])
    return folder


@pytest.fixture
def tracked(tracked_root: Path, tmp_path: Path) -> Iterator[Dataset]:
    shutil.copytree(tracked_root / "dataset", tmp_path / "dataset")
    with Dataset.open(tmp_path / "dataset") as dataset:
        yield dataset


def label_track(dataset: Dataset, row: StoredTrack, label: str) -> None:
    dataset.journal.apply("Label", [Choice(key, "label", label) for key in row.samples])


@pytest.fixture(scope="module")
def read_source() -> Callable[[Path], tuple[list[Pixels], float]]:
    """Return `read_video` for the part of a source with tracks, which is read once."""
    return cache(partial(read_video, seconds=float(SECONDS)))


def read_video(path: Path, seconds: float = np.inf) -> tuple[list[Pixels], float]:
    """Return the first frames of a video (height x width x 3) and their number per second."""
    # OpenCV opens no name that is not UTF-8.
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copy(path, Path(folder) / f"video{path.suffix}")
        return read_frames(cv2.VideoCapture(str(copy)), seconds)


def read_frames(
    capture: cv2.VideoCapture, seconds: float
) -> tuple[list[Pixels], float]:
    fps = capture.get(cv2.CAP_PROP_FPS)
    frames: list[Pixels] = []
    while len(frames) <= seconds * fps:
        is_frame, frame = capture.read()
        if not is_frame:
            break
        frames.append(np.asarray(frame))
    return frames, fps


def find_part(image: Pixels, part: Pixels) -> tuple[int, int]:
    """Return the column and row of an image at which it is most like a part of it."""
    # In gray, which takes a quarter of the time.
    grays = [cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) for pixels in (image, part)]
    _, _, (x, y), _ = cv2.minMaxLoc(cv2.matchTemplate(*grays, cv2.TM_SQDIFF))
    return x, y


def find_clips(dataset: Dataset, out: Path) -> list[tuple[Path, StoredTrack]]:
    """Return the clips of an export with their tracks."""
    rows = {row.track.name: row for row in dataset.tracks.iterate()}
    clips = []
    for path in sorted(out.rglob("*.mp4")):
        (name,) = [name for name in rows if path.stem.endswith(name)]
        clips.append((path, rows[name]))
    return clips


@pytest.mark.parametrize(
    ("crop", "fps", "length"),
    [("face", 15, None), ("whole", 16, 2.0), ("half-body", 20, None)],
)
def test_each_frame_of_clips(
    tracked: Dataset,
    tmp_path: Path,
    read_source: Callable[[Path], tuple[list[Pixels], float]],
    crop: str,
    fps: int,
    length: float | None,
) -> None:
    out = tmp_path / "out"
    options = {"crop": crop, "fps": fps, "length": length, "no_split": True}
    result = run_export(tracked, out, format="clips", **options)
    assert result["exported"] == 6
    sources = {}
    for origin in (o for i in tracked.images.iterate() for o in i.origins):
        sources[origin.video] = parse_path(str(origin.path))

    clips = find_clips(tracked, out)
    assert len(clips) == 6
    for path, row in clips:
        track = row.track
        source, source_fps = read_source(sources[row.video])
        frames, clip_fps = read_video(path)
        seconds = (len(frames) - 1) / fps
        wanted = min(length or np.inf, track.ended - track.started)
        assert clip_fps == fps
        assert len(frames) % 4 == 1
        assert wanted - 4.1 / fps < seconds <= wanted
        boxes_checked = 0
        # The last one, some between, and those with a known box: matching takes long.
        numbers = {*range(0, len(frames), 6), len(frames) - 1}
        numbers |= {round((box.time - track.started) * fps) for box in track.boxes}
        for number in sorted(number for number in numbers if number < len(frames)):
            frame = frames[number]
            time = track.started + number / fps
            # The source frame that a player shows at that time, which is of the track's shot.
            index = int(time * source_fps + 0.05)
            assert track.started - 0.01 < index / source_fps < track.ended
            height, width = frame.shape[:2]
            x, y = find_part(source[index], frame)
            part = source[index][y : y + height, x : x + width]
            assert np.abs(part.astype(int) - frame).mean() < 5, (path, number)
            for box in track.boxes:
                if abs(box.time - time) < 0.5 / fps:
                    boxes_checked += 1
                    assert x <= box.x + EDGE_TOLERANCE
                    assert y <= box.y + EDGE_TOLERANCE
                    assert x + width >= box.x + box.width - EDGE_TOLERANCE
                    assert y + height >= box.y + box.height - EDGE_TOLERANCE
        assert boxes_checked >= 4
        if crop == "whole":
            assert frames[0].shape == source[0].shape


def test_clips_follow_a_moving_face(tmp_path: Path) -> None:
    # The stored frame of a face that moves without a change says little about where it goes.
    video = tmp_path / "moving.mp4"
    still = "select='eq(n,110)',loop=60:1,setpts=N/12/TB"
    pan = "scale=1280:-2,crop=640:360:'150+t*70':200"
    line = ["ffmpeg", "-v", "error", "-i", EPISODE, "-vf", f"{still},{pan}", "-r", "12"]
    subprocess.run([*line, video], check=True, stdin=subprocess.DEVNULL)
    root = tmp_path / "dataset"
    run_here("pipeline.cli", "episodes", video, "-d", root).checked()
    with Dataset.open(root) as dataset:
        row = max(dataset.tracks.iterate(), key=lambda row: row.track.frames)
        assert row.track.boxes[0].x - row.track.boxes[-1].x > 200
        label_track(dataset, row, "rei")
        run_export(dataset, tmp_path / "out", format="clips", no_split=True)
    (path,) = (tmp_path / "out").rglob("*.mp4")
    frames, _ = read_video(path)
    # Once it is far from the border of the video, the face stays in its place within the crop.
    del frames[: len(frames) // 3]
    height, width = frames[0].shape[:2]
    middle = frames[0][height // 4 : -height // 4, width // 4 : -width // 4]
    for frame in frames:
        _, score, _, (x, y) = cv2.minMaxLoc(
            cv2.matchTemplate(frame, middle, cv2.TM_CCOEFF_NORMED)
        )
        assert score > 0.9
        assert abs(x - width // 4) < width / 8
        assert abs(y - height // 4) < width / 8


def test_clips_are_in_the_split_of_their_track(
    tracked: Dataset, tmp_path: Path
) -> None:
    run_labeler("split", "--ratio", "2:1:1", "-d", tracked.root).checked()
    out = tmp_path / "out"
    line = ("export", out, "--format", "clips", "--repeats", "3")
    line += ("--length", SHORT_SECONDS)
    ran = run_labeler(
        *line, "--caption", "clip of {class}, {split}", "-d", tracked.root, "--json"
    ).checked()
    assert sum(ran.json["splits"].values()) == ran.json["exported"] == 6

    splits = {s.key: (s.split, s.split_group) for s in tracked.samples.iterate()}
    split_of_group = {}
    for path, row in find_clips(tracked, out):
        split, folder, _ = path.relative_to(out).parts
        assert folder in ("3_hana", "3_rei 花")
        for key in row.samples:
            assert splits[key][0] in (split, None)
            assert split_of_group.setdefault(splits[key][1], split) == split
        assert path.with_suffix(".txt").read_text() == f"clip of {row.label}, {split}\n"

    # Equal bytes at the second export, which replaces the first one.
    before = read_files(out)
    run_labeler(*line, "-q", "-d", tracked.root)
    after = read_files(out)
    assert {n: b for n, b in after.items() if n.endswith("mp4")} == {
        n: b for n, b in before.items() if n.endswith("mp4")
    }


def test_every_track_is_accounted_for(tracked: Dataset, tmp_path: Path) -> None:
    rows = list(tracked.tracks.iterate())
    choices = [Choice(key, "reject", None) for key in rows[0].samples]
    choices += [Choice(key, "clear", None) for key in rows[1].samples]
    tracked.journal.apply("Reject", choices)
    options = {"format": "clips", "no_split": True}
    seconds = float(SHORT_SECONDS)
    result = run_export(tracked, tmp_path / "out", length=seconds, **options)
    assert result["exported"] == 4
    assert result["left_out"] == {"rejected": 1, "unlabelled": 1}

    with pytest.raises(InputUnusable, match="no track of a video has a class"):
        run_export(tracked, tmp_path / "short", length=0.1, **options)
    with pytest.raises(InputUnusable, match="no labelled sample has a split"):
        run_export(tracked, tmp_path / "unsplit", format="clips")
    preview = run_labeler(
        *("export", tmp_path / "new", "--format", "clips", "--no-split", "--simulate"),
        *("-d", tracked.root, "--json"),
    ).checked()
    assert preview.json["would_export"] == 4
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("is_gone", [True, False])
def test_missing_and_changed_videos_are_named(
    tracked_root: Path, tracked: Dataset, tmp_path: Path, is_gone: bool
) -> None:
    video = tracked_root / NEXT
    data = video.read_bytes()
    out = tmp_path / "out"
    line = ("export", out, "--format", "clips", "--no-split", "-d", tracked.root)
    line += ("--length", SHORT_SECONDS)
    try:
        if is_gone:
            video.unlink()
        else:
            video.write_bytes(data + b"\0")
        ran = run_labeler(*line, "--json")
    finally:
        video.write_bytes(data)
    reason = "file is gone" if is_gone else "not the video whose faces were tracked"
    ran.refused(3, "unreadable files are left out: 2", "put videos back at their paths")
    assert ran.json["exported"] == 4
    assert list(ran.json["failed"].values()) == [f"{reason}: {format_path(video)}"] * 2
    rejections = Counter(r.detail for r in tracked.rejections.iterate())
    assert rejections == {f"{reason}: {format_path(video)}": 2}
    # Once the video is back, its clips are exported as well.
    assert run_labeler(*line, "--json").checked().json["exported"] == 6


def test_croissant_and_card_speak_of_clips(tracked: Dataset, tmp_path: Path) -> None:
    options = {"no_split": True, "length": float(SHORT_SECONDS)}
    run_export(tracked, tmp_path / "out", format="clips", **options)
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "6 clips of 2 classes" in card
    assert "- video-classification" in card
    croissant = json.loads((tmp_path / "out" / "croissant.json").read_bytes())
    files = croissant["distribution"][1]
    assert (files["encodingFormat"], files["includes"]) == (["video/mp4"], ["*.mp4"])
    run_labeler("import", tmp_path / "out", "-d", tracked.root).refused(
        3, "is a clips export"
    )


def test_tracks_of_an_earlier_version_have_stored_boxes(
    tracked: Dataset, tmp_path: Path
) -> None:
    catalogue = tmp_path / "dataset" / "catalog.sqlite"
    boxes = {row.track.name: row.track.boxes for row in tracked.tracks.iterate()}
    tracked.close()
    with sqlite3.connect(catalogue) as file:
        file.execute("ALTER TABLE track DROP COLUMN boxes")
        # Added by later migrations.
        file.execute("DROP INDEX change_tags")
        file.execute("DROP INDEX step_request")
        file.execute("DROP TABLE handed_page")
        for column in ("person", "request"):
            file.execute(f"ALTER TABLE step DROP COLUMN {column}")
        file.execute("UPDATE migration SET name='0040-chosen-copies'")
    file.close()
    with Dataset.open(tmp_path / "dataset") as dataset:
        rows = list(dataset.tracks.iterate())
        assert len(rows) == 6
        for row in rows:
            assert len(row.track.boxes) == len(row.samples)
            assert {box[1:] for box in row.track.boxes} <= {
                box[1:] for box in boxes[row.track.name]
            }
        options = {"no_split": True, "length": float(SHORT_SECONDS)}
        result = run_export(dataset, tmp_path / "out", format="clips", **options)
        assert result["exported"] == 6


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"format": "csv", "length": 3.0}, "the format csv has no videos"),
        ({"format": "csv", "fps": 16}, "the format csv has no videos"),
        ({"format": "clips", "size": "64x64"}, "in their size"),
        ({"format": "clips", "balance": "copies"}, "in their size"),
        ({"format": "clips", "link": True}, "in their size"),
        ({"format": "yolo-detect", "crop": "whole"}, "has whole images"),
    ],
)
def test_options_of_other_formats_are_refused(
    options: dict[str, object], problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        msgspec.convert(options, ExportOptions)


def test_whole_images_in_class_folders(tracked: Dataset, tmp_path: Path) -> None:
    run_export(
        tracked, tmp_path / "out", format="captions", no_split=True, crop="whole"
    )
    sizes = {
        cv2.imread(str(path)).shape[:2] for path in (tmp_path / "out").rglob("*.jpg")
    }
    assert sizes == {(360, 640)}
