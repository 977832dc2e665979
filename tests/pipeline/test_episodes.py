"""Tracks of faces in episodes, searched and followed frames, and the timeline."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections import defaultdict
from concurrent.futures import Future
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pebble import ProcessExpired
from tools_for_tests import ROOT, eventually, run_here, start_cli

from facecrop.detectors import DetectorSpec
from facecrop.following import DetectedFace, FrameSearch
from facecrop.request import suggest_whole_images
from gleanset import Dataset, Origin
from gleanset.arrays import Pixels
from gleanset.db.classes import Placement, Placements
from gleanset.db.faces import StoredTrack, Tracks
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, UsageError
from gleanset.html.words import clock
from gleanset.records import Box, Face, FaceTrack
from harvest.video.frame import RawFrame
from harvest.video.frame_selector import FrameCandidate
from labeler.sorting.session import Place, SortingSession
from pipeline.episodes.follower import SEARCH_SIDE, FaceFinder, SceneTracker
from pipeline.episodes.request import EpisodesRequest
from pipeline.episodes.timeline import (
    PersonOnScreen,
    Segment,
    VideoTimeline,
    gather_timelines,
    write_subtitles,
)
from tools.sample.clip_ffmpeg import SHOTS

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
EPISODE = ROOT / "datasets" / "sample" / "episode.mp4"


@pytest.fixture(scope="module")
def episode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of the first half: hana, hana and yuki, rei, sora, yuki."""
    root = tmp_path_factory.mktemp("episode") / "dataset"
    done = run_here(
        "pipeline.cli", "episodes", EPISODE, "--to", "19.9s", "-d", root, "--json"
    )
    assert done.code == 0, done.stderr
    assert done.json["rejected"] == 0
    assert (done.json["faces"], done.json["tracks"]) >= (6, 6)
    return root


@pytest.fixture
def tracked(episode: Path, tmp_path: Path) -> Any:
    shutil.copytree(episode, tmp_path / "copy")
    with Dataset.open(tmp_path / "copy") as dataset:
        yield dataset


def stored_tracks(dataset: Dataset) -> list[StoredTrack]:
    return list(Tracks(dataset.db).iterate())


def names_in_shot(track: FaceTrack) -> tuple[str, ...]:
    """Return who is in the shot that contains a track."""
    begin = 0.0
    for shot in SHOTS:
        end = begin + shot.seconds
        if begin - 0.1 <= track.started and track.ended <= end + 0.1:
            return shot.names
        begin = end
    raise AssertionError(f"{track} is in several shots")


def test_track_covers_one_shot(tracked: Dataset) -> None:
    by_shot: dict[int, list[StoredTrack]] = defaultdict(list)
    for stored in stored_tracks(tracked):
        by_shot[stored.scene].append(stored)
    for shot_tracks in by_shot.values():
        names = {names_in_shot(stored.track) for stored in shot_tracks}
        # One track for each person of the shot, nearly as long as the shot.
        assert [len(people) for people in names] == [len(shot_tracks)]
        assert all(
            stored.track.ended - stored.track.started > 2 for stored in shot_tracks
        )
    assert len(by_shot) == 5
    cuts = np.cumsum([shot.seconds for shot in SHOTS])
    for track in (stored.track for tracks in by_shot.values() for stored in tracks):
        # The clip begins with a fade, and the sampling ends at 19.9 s.
        assert track.started < 2 or min(abs(track.started - cuts)) < 0.1
        assert track.ended > 19 or min(abs(track.ended - cuts)) < 0.1
    # The camera moves little within a shot, and so do the faces of a track.
    places = {f.image: f.face.box for f in tracked.faces.iterate()}
    for stored in stored_tracks(tracked):
        samples = [tracked.samples.get(key) for key in stored.samples]
        middles = [sample.box.x + sample.box.width / 2 for sample in samples if sample]
        assert np.ptp(middles) < 80
        assert all(sample is not None and sample.image in places for sample in samples)


def test_frames_record_video_time_and_scene(tracked: Dataset) -> None:
    assert suggest_whole_images(tracked) is None
    tracks = {stored.track.name: stored for stored in stored_tracks(tracked)}
    for sample in tracked.samples.iterate():
        (origin,) = tracked.images.get(sample.image).origins
        stored = tracks[str(sample.track)]
        assert (origin.video, origin.scene) == (stored.video, stored.scene)
        assert stored.track.started <= origin.time <= stored.track.ended
        assert tracked.crop_path(sample.key).exists()


def test_track_is_labelled_at_once_and_corrected_individually(tracked: Dataset) -> None:
    options = ("-d", tracked.root, "--json")

    def list_tracks() -> dict[str, dict[str, Any]]:
        printed = run_here("pipeline.cli", "list", "tracks", "-d", tracked.root).stdout
        return {line["track"]: line for line in map(json.loads, printed.splitlines())}

    track = max(list_tracks().values(), key=lambda line: len(line["samples"]))
    name, samples = track["track"], track["samples"]
    assert len(samples) > 1
    labelling = run_here("labeler.cli", "label", "hana", "--cluster", name, *options)
    assert labelling.json["decided"] == len(samples)
    wrong, *others = samples
    run_here("labeler.cli", "label", "rei", wrong, *options)
    labels = {s.key: s.label for s in tracked.samples.iterate()}
    assert [labels[key] for key in samples] == ["rei", *["hana"] * len(others)]
    assert list_tracks()[name]["waiting"] == 0
    run_here("labeler.cli", "label", "hana", "--cluster", name, *options).refused(
        2, "has nothing to label"
    )


def test_tracks_are_named_without_the_window(tracked: Dataset) -> None:
    tracks = stored_tracks(tracked)
    named, unlisted, rejected, *_ = (stored.track.name for stored in tracks)
    label = ("label", "-d", tracked.root)
    assert (
        "labelled: "
        in run_here("labeler.cli", *label, "hana", "--track", named).checked().stdout
    )
    done = run_here("labeler.cli", *label, "--unlisted", "--track", unlisted).checked()
    assert "unlisted person: " in done.stdout
    assert "unlisted: no" not in done.stdout
    run_here("labeler.cli", *label, "--reject", "--track", rejected).checked()
    states = {stored.track.name: stored for stored in stored_tracks(tracked)}
    assert states[named].label == "hana"
    assert states[unlisted].others == len(states[unlisted].samples)
    assert (states[rejected].others, states[rejected].pending) == (0, ())

    # A decided track cannot be named by mistake.
    run_here("labeler.cli", *label, "rei", "--track", named).refused(
        2, "has nothing to label"
    )
    run_here("labeler.cli", *label, "rei", "--track", "nothing").refused(
        2, "gleanset list tracks"
    )
    both = run_here("labeler.cli", *label, "--unlisted", "--reject", "--track", named)
    both.refused(2, "use --reject or --unlisted")


def test_unlisted_person_is_the_mark_of_the_window_and_ends_with_other_decisions(
    tracked: Dataset,
) -> None:
    """By command: unlisted, then not a face; undo restores each."""

    def decide(*words: str) -> None:
        run_here("labeler.cli", *words, "-d", tracked.root).checked()

    def unlisted() -> list[str]:
        marked = run_here("pipeline.cli", "list", "samples", "-d", tracked.root).stdout
        lines = [json.loads(line) for line in marked.splitlines()]
        return [line["id"] for line in lines if line.get("mark") == "unlisted person"]

    key = stored_tracks(tracked)[0].samples[0]
    session = SortingSession(tracked)
    row = session.tiles.get_ids([key])[key]
    session.decide([row], f":{Place.OTHER}")
    by_window = unlisted()
    session.undo()
    decide("label", "--unlisted", key)
    assert (unlisted(), len(by_window)) == (by_window, 1)
    decide("label", "--reject", key)
    assert unlisted() == []
    decide("undo")
    assert unlisted() == by_window
    decide("label", "hana", key)
    assert unlisted() == []
    decide("undo")
    decide("undo")
    assert (unlisted(), tracked.samples.get(key).status) == ([], "queue")


def test_new_search_keeps_tracks(tracked: Dataset) -> None:
    before = list(tracked.samples.iterate())
    search = ("run", "--detector", "drawnface:size=640", "-d", tracked.root, "--json")
    assert run_here("facecrop.cli", *search).json["images"] > 0
    now = [s for s in tracked.samples.iterate() if s.status != "retired"]
    assert {s.track for s in now if s.track} == {s.track for s in before}
    assert sum(s.track is None for s in now) <= len(now) * 0.6


def read_cues(path: Path) -> list[tuple[float, float, str]]:
    """Return begin, end and text of each cue, as ffmpeg understands them."""
    words = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "srt", "-"]
    output = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    cues = []
    for block in output.strip().split("\n\n"):
        _, times, text = block.split("\n")
        begin, end = (
            sum(
                float(part) * 60**power
                for power, part in enumerate(time.replace(",", ".").split(":")[::-1])
            )
            for time in times.split(" --> ")
        )
        cues.append((round(begin, 3), round(end, 3), text))
    return cues


def test_timeline_lists_people_by_time(tracked: Dataset, tmp_path: Path) -> None:
    tracks = stored_tracks(tracked)
    choices = [
        Choice(
            key,
            "label",
            "Hana & co" if names_in_shot(stored.track) == ("hana",) else "rei",
        )
        for stored in tracks[:3]
        for key in stored.samples
    ]
    tracked.journal.apply("Label", choices)
    run = ("timeline", "--out", tmp_path / "out", "-d", tracked.root, "--json")
    ran = run_here("pipeline.cli", *run, "--subtitles").json
    assert ran["people"] == 2
    rows = list(
        csv.DictReader((tmp_path / "out" / "timeline.csv").read_text().splitlines())
    )
    assert sum(len(row["tracks"].split()) for row in rows) == len(tracks)
    hana = [row for row in rows if row["person"] == "Hana & co"]
    assert [(float(r["begin_s"]) < 2, 4 < float(r["end_s"]) < 4.6) for r in hana] == [
        (True, True)
    ]
    page = (tmp_path / "out" / "timeline.html").read_text()
    assert "Hana &amp; co" in page
    (subtitles,) = ran["subtitles"]
    cues = read_cues(tmp_path / "out" / subtitles)
    named = [row for row in rows if row["state"] == "named"]
    assert sorted(cues) == sorted(
        (float(row["begin_s"]), float(row["end_s"]), row["person"]) for row in named
    )
    (timeline,) = gather_timelines(tracked)
    assert [(person.name, person.state) for person in timeline.people[2:]] == [
        (None, "waiting")
    ]
    assert clock(3723.45) == "1:02:03.4"


def test_subtitles_replace_no_others_and_are_readable(tmp_path: Path) -> None:
    brief = PersonOnScreen("Hana", "named", [Segment(2.0, 2.0, ("1-1",))], None)
    timelines = [VideoTimeline(name, 9.0, [brief]) for name in ("a.mkv", "b.mkv")]
    for _ in range(2):
        assert write_subtitles(tmp_path, timelines) == ["a.vtt", "b.vtt"]
    assert read_cues(tmp_path / "a.vtt") == [(2.0, 3.0, "Hana")]
    film = tmp_path / "b.vtt"
    film.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nHello!\n")
    with pytest.raises(InputUnusable, match=re.escape(str(film))):
        write_subtitles(tmp_path, timelines)
    assert "Hello!" in film.read_text()


@pytest.mark.parametrize(
    ("seconds", "step"), [(0.3, 1), (5.3, 1), (8.1, 2), (250.0, 60), (1440.0, 300)]
)
def test_scale_has_whole_seconds(seconds: float, step: int) -> None:
    ticks = VideoTimeline("", seconds, []).ticks
    assert ticks == [float(tick) for tick in range(0, int(seconds) + 1, step)]


def test_timeline_omits_rejected_and_groups_other_people(tracked: Dataset) -> None:
    first, second, *rest = stored_tracks(tracked)
    ids = tracked.db.fetch_dict("SELECT key, id FROM sample")
    session = SortingSession(tracked)
    session.decide([ids[key] for key in first.samples], f":{Place.REJECT}")
    session.decide([ids[key] for key in second.samples], f":{Place.OTHER}")
    (timeline,) = gather_timelines(tracked)
    assert {(person.title, person.state) for person in timeline.people} == {
        ("other people", "other"),
        ("unlabelled", "waiting"),
    }
    track_names = {
        name
        for person in timeline.people
        for span in person.segments
        for name in span.tracks
    }
    assert track_names == {stored.track.name for stored in (second, *rest)}


def test_timeline_keeps_tracks_of_duplicate_faces(tracked: Dataset) -> None:
    first, second, *rest = stored_tracks(tracked)
    best = first.samples[0]
    ids = tracked.db.fetch_dict("SELECT key, id FROM sample")
    copies = [
        Placement(ids[key], key == best, "set", "") for key in (best, *second.samples)
    ]
    step = tracked.journal.apply("Label", [Choice(best, "label", "hana")])
    with tracked.db.transaction():
        Placements(tracked.db).apply(step, copies)
    (timeline,) = gather_timelines(tracked)
    shown = {
        track: person.title
        for person in timeline.people
        for track in chain.from_iterable(segment.tracks for segment in person.segments)
    }
    assert shown.keys() == {stored.track.name for stored in (first, second, *rest)}
    assert (shown[first.track.name], shown[second.track.name]) == ("hana", "hana")


def test_timeline_shows_skipped_segments(tracked: Dataset) -> None:
    [(sha256, state)] = tracked.videos.iter_states("seen")
    settings = tracked.videos.get_latest_seen_settings()
    name = Origin("video", "", video=sha256, title="e.mp4")
    tracked.videos.record(
        name, settings, 60.0, 9, state | {"left_out": [[-1, 25], [50, 61]]}
    )
    (timeline,) = gather_timelines(tracked)
    left_out = timeline.people[-1]
    assert left_out.title == "repeated, left out"
    times = [(segment.started, segment.ended) for segment in left_out.segments]
    assert times == [(0, 25), (50, 60)], "within the video"


def test_timeline_without_tracks_is_an_error(dataset: Dataset) -> None:
    run_here("pipeline.cli", "timeline", "-d", dataset.root).refused(
        3, "gleanset episodes"
    )


def sample_rows(root: Path) -> list[Any]:
    with Dataset.open(root) as dataset:
        samples = [(s.key, s.image, s.box, s.track) for s in dataset.samples.iterate()]
        return sorted(samples) + [stored.track for stored in stored_tracks(dataset)]


@pytest.mark.slow
@pytest.mark.long
def test_killed_run_resumes_with_same_result(tmp_path: Path) -> None:
    line = ["episodes", EPISODE, "--to", "22s", "--keep-openings", "--json"]
    run_here("pipeline.cli", *line, "-d", tmp_path / "undisturbed").checked()
    process = start_cli("pipeline.cli", *line, "-d", tmp_path / "killed")
    staged = tmp_path / "killed" / "cache" / "scratch"
    assert eventually(lambda: len(list(staged.rglob("*.jpg"))) > 2, 60)
    assert process.poll() is None, "it ended before the kill"
    process.kill()
    process.wait()
    assert run_here("pipeline.cli", *line, "-d", tmp_path / "killed").code == 0
    assert sample_rows(tmp_path / "killed") == sample_rows(tmp_path / "undisturbed")
    repeated = run_here("pipeline.cli", *line, "-d", tmp_path / "killed")
    assert (
        repeated.json["added"],
        repeated.json["faces"],
        repeated.json["tracks"],
    ) == (0, 0, 0)


def test_limit_leaves_no_unused_crops(tmp_path: Path) -> None:
    line = (
        "episodes",
        EPISODE,
        "--to",
        "7s",
        "--limit",
        "2",
        "-d",
        tmp_path / "dataset",
    )
    assert run_here("pipeline.cli", *line, "--json").json["added"] == 2
    with Dataset.open(tmp_path / "dataset") as dataset:
        crops = {file.stem for file, *_ in dataset.crops(dataset.cache).iter_files()}
        assert crops == {sample.key for sample in dataset.samples.iterate()}


def test_simulate_creates_no_dataset(tmp_path: Path) -> None:
    line = ("episodes", EPISODE, "-s", "-d", tmp_path / "none", "--json")
    assert run_here("pipeline.cli", *line).json["videos"] == 1
    assert not (tmp_path / "none").exists()


def test_older_dataset_keeps_its_settings(dataset: Dataset) -> None:
    """Recorded by the version that searched frames at two scales."""
    request = EpisodesRequest(videos=("a.mkv",))
    assert request.sampling(dataset) == request.sampling()
    recorded_detector = (
        "drawnface:close=128,overlap=0.45,size=768,threshold=0.35,weights=0123456789ab"
    )
    recorded = (
        "mode=seen every=0.3333333333 skip_openings=yes "
        f"asked={recorded_detector};per_track=4"
    )
    dataset.videos.record(
        Origin("video", "", video="0" * 64, title="a.mkv"), recorded, 60.0, 9
    )
    dataset.videos.record(
        Origin("video", "", video="1" * 64, title="b.mkv"), "mode=useful", 60.0, 9
    )
    assert request.sampling(dataset).settings == recorded
    assert request._make_spec(dataset) == DetectorSpec.create("drawnface", size="768")
    labelling = EpisodesRequest(videos=("a.mkv",), detector="drawnface")
    assert labelling.sampling(dataset) == request.sampling()


@pytest.mark.parametrize(
    ("recorded_detector", "fix"),
    [
        ("ensemble:threshold=0.5", "--detector drawnface"),
        ("onnx:model=0123456789ab,threshold=0.25", "--detector onnx:model=FILE"),
    ],
)
def test_unavailable_recorded_detector_has_hint(
    dataset: Dataset, recorded_detector: str, fix: str
) -> None:
    recorded = f"mode=seen every=0.3333333333 asked={recorded_detector};per_track=4"
    dataset.videos.record(
        Origin("video", "", video="0" * 64, title="a.mkv"), recorded, 60.0, 9
    )
    with pytest.raises(UsageError) as refused:
        EpisodesRequest(videos=("a.mkv",))._make_spec(dataset)
    assert fix in refused.value.fix


STEP = 1 / 3


def face(x: float, colours: int, y: float = 100, side: float = 60) -> DetectedFace:
    """Return a face with a color layout; different `colours` have a distance of 1.4."""
    layout = np.zeros(12, np.float32)
    layout[colours] = 1.0
    box = Box(round(x), round(y), round(side), round(side))
    return DetectedFace(Face("drawnface", box, 0.6), layout, np.zeros(1, np.float32))


def track_numbers(*frames: list[DetectedFace]) -> list[list[int]]:
    """Return the track number of each face, frame by frame."""
    tracker = SceneTracker()
    return [
        [track.number for track in tracker.add_frame(number * STEP, faces)]
        for number, faces in enumerate(frames)
    ]


def test_moving_and_growing_face_keeps_track() -> None:
    frames = [[face(100 + 30 * n, 1, side=60 + 4 * n)] for n in range(8)]
    assert track_numbers(*frames) == [[1]] * 8


@pytest.mark.parametrize(("colours", "y"), [(2, 100), (1, 130)])
def test_crossing_faces_are_distinguished_by_colors_or_motion(
    colours: int, y: float
) -> None:
    frames = [[face(100 + 40 * n, 1), face(420 - 40 * n, colours, y)] for n in range(9)]
    assert track_numbers(*frames) == [[1, 2]] * 9


def test_briefly_hidden_face_keeps_track() -> None:
    visible = [face(100, 1)]
    assert track_numbers(visible, [], [], visible) == [[1], [], [], [1]]
    hidden = [[] for _ in range(6)]
    assert track_numbers(visible, *hidden, visible)[-1] == [2]


@pytest.mark.parametrize(
    ("x", "side", "track"), [(103, 61, 1), (150, 60, 2), (100, 80, 2)]
)
def test_changed_face_keeps_track_in_same_position(
    x: float, side: float, track: int
) -> None:
    """Closed eyes change the colors; a face next to it is another person's."""
    assert track_numbers([face(100, 1)], [face(x, 2, side=side)]) == [[1], [track]]


SIDE = 48
SIZE = (480, 272)
dice = np.random.default_rng(5)
NOISE = cv2.GaussianBlur(dice.integers(0, 256, (400, 700, 3), np.uint8), (0, 0), 6)
BACKDROP = np.interp(NOISE, (NOISE.min(), NOISE.max()), (40, 160)).astype(np.uint8)
FACES = (
    dice.integers(0, 256, (2, 8, 8, 3), np.uint8).repeat(6, axis=1).repeat(6, axis=2)
)


class FaceTemplates:
    """Detector that finds copies of `FACES`, and the spec that builds it."""

    def build(self) -> FaceTemplates:
        return self

    def detect(self, pixels: Pixels) -> list[Face]:
        results = (
            cv2.matchTemplate(pixels, face, cv2.TM_CCOEFF_NORMED) for face in FACES
        )
        places = [cv2.minMaxLoc(result)[1::2] for result in results]
        boxes = [(Box(at[0], at[1], SIDE, SIDE), best) for best, at in places]
        return [Face("templates", box, best) for box, best in boxes if best > 0.95]


def draw(*positions: tuple[int, int], camera: int = 0) -> Pixels:
    """Return a frame with a face at each position; `camera` moves to the right."""
    pixels = BACKDROP[: SIZE[1], camera : camera + SIZE[0]].copy()
    for face, (x, y) in zip(FACES, positions, strict=False):
        pixels[y : y + SIDE, x : x + SIDE] = face
    return pixels


def find(frames: list[Pixels]) -> tuple[list[list[Box]], int]:
    """Return the boxes of each frame, and how many frames were searched; the first one twice."""
    search = FrameSearch(FaceTemplates())  # type: ignore[arg-type]
    searched = 0

    def submit(pixels: Pixels) -> Future[list[DetectedFace]]:
        nonlocal searched
        searched += 1
        future: Future[list[DetectedFace]] = Future()
        if searched == 1:
            future.set_exception(ProcessExpired("the first worker dies"))
        else:
            future.set_result(search(pixels))
        return future

    finder = FaceFinder(submit, SEARCH_SIDE)
    results = list[Any]()
    for number, pixels in enumerate(frames):
        raw = RawFrame(pixels.tobytes(), pixels.shape[1::-1], rgb=True)
        candidate = FrameCandidate(
            number / 3,
            0,
            number,
            raw,
            fades=False,
            motion=0.0,
            scene_start=None,
            cut=None,
        )
        results += finder.add(candidate)
    results += finder.finish()
    assert [candidate.number for candidate, _ in results] == list(range(len(frames)))
    return [sorted(f.face.box for f in faces) for _, faces in results], searched - 1


def test_still_shot_is_searched_once() -> None:
    assert find([draw((100, 80))] * 14) == ([[Box(100, 80, SIDE, SIDE)]] * 14, 1)


@pytest.mark.parametrize("pan", [0, 4])
def test_moving_faces_are_followed(pan: int) -> None:
    places = [((60 + 6 * n, 80), (330 - 5 * n, 150 + n)) for n in range(13)]
    boxes, searched = find([draw(*two, camera=pan * n) for n, two in enumerate(places)])
    for two, frame_boxes in zip(places, boxes, strict=True):
        assert np.abs(np.array(two) - [box[:2] for box in frame_boxes]).max() <= 3
    assert searched <= 7


@pytest.mark.parametrize("pan", [0, 6])
def test_face_shown_between_two_searches_is_found(pan: int) -> None:
    places = [[(100, 80), (300, 150)][: 2 if n in (5, 6, 7) else 1] for n in range(12)]
    boxes, _ = find([draw(*faces, camera=pan * n) for n, faces in enumerate(places)])
    assert list(map(len, boxes)) == list(map(len, places))


def test_covered_face_is_not_followed() -> None:
    frames = [draw((100, 80)) for _ in range(9)]
    frames[2][60:150, 80:170] = 128
    assert list(map(len, find(frames)[0])) == [1, 1, 0, 1, 1, 1, 1, 1, 1]


def test_frame_size_may_change_within_a_shot() -> None:
    frames = [draw((100, 80))] * 3 + [draw((100, 80))[:200]] * 6
    assert find(frames)[0] == [[Box(100, 80, SIDE, SIDE)]] * 9
