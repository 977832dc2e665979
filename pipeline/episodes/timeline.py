"""`gleanset timeline`: who is on screen when in each video, as a page and as CSV."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Literal, NamedTuple

from gleanset import Dataset
from gleanset.command_result import CommandResult
from gleanset.db.faces import StoredTrack
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.files.names import make_portable_name
from gleanset.html.fill import encode_page, get_templates
from gleanset.html.thumbnails import Thumbnails
from gleanset.html.words import clock
from gleanset.images.data_uri import Thumbnail

PAGE = "timeline.html"
TABLE = "timeline.csv"
MAX_GAP_SECONDS = 1.0
"""A shorter absence does not end a segment: people turn away, or are hidden."""
MIN_CUE_SECONDS = 1.0
"""A name that is shown for less cannot be read; players leave out a cue without duration."""
SUBTITLES = "WEBVTT by gleanset timeline"
"""First line of subtitles: other files are not replaced."""
MAX_TICKS = 8
TICK_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
"""Seconds between labels of the scale, which have whole seconds."""
FACE_SIZE = 48
State = Literal["named", "other", "waiting", "left out"]
"""Whether a person is named; "left out" are repeated segments such as intros."""
STATE_WORDS: dict[State, str] = {
    "other": "other people",
    "waiting": "unlabelled",
    "left out": "repeated, left out",
}


class Segment(NamedTuple):
    """Time on screen of a person from `started` to `ended` (seconds), in these `tracks`."""

    started: float
    ended: float
    tracks: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.ended - self.started

    @property
    def words(self) -> str:
        """The times as text."""
        return f"{clock(self.started)} – {clock(self.ended)}"


class PersonOnScreen(NamedTuple):
    """Row of a timeline: a class, or all people in a state without a name."""

    name: str | None
    state: State
    segments: list[Segment]
    face: Thumbnail | None

    @property
    def title(self) -> str:
        """The name, or a description of the state."""
        return self.name if self.name is not None else STATE_WORDS[self.state]

    @property
    def seconds(self) -> float:
        """Total duration on screen."""
        return sum(segment.seconds for segment in self.segments)


class VideoTimeline(NamedTuple):
    """Timeline of a video; `seconds` is its duration, named people are sorted by time on screen."""

    title: str
    seconds: float
    people: list[PersonOnScreen]

    @property
    def ticks(self) -> list[float]:
        """Times of the labels on the scale, in seconds."""
        steps = (step for step in TICK_STEPS if self.seconds <= MAX_TICKS * step)
        step = next(steps, TICK_STEPS[-1])
        return [float(number * step) for number in range(1 + int(self.seconds / step))]


def gather_timelines(dataset: Dataset) -> list[VideoTimeline]:
    """Return the timelines of all videos with tracks, by title.

    Raises `InputUnusable` if there are none.
    """
    tracks_by_video = defaultdict[str, list[StoredTrack]](list)
    for row in dataset.tracks.iterate(with_duplicates=True):
        tracks_by_video[row.video].append(row)

    if not tracks_by_video:
        raise InputUnusable(
            "no tracks in this dataset",
            f"track the faces of a video: gleanset episodes VIDEO {dataset.option}",
        )

    videos = dataset.tracks.get_videos()
    states = dict(dataset.videos.iter_states("seen"))
    thumbnails = Thumbnails(dataset, FACE_SIZE)
    timelines = []
    for sha256, tracks in tracks_by_video.items():
        title, seconds = videos.get(sha256, (sha256[:12], None))
        length = max(seconds or 0.0, *(row.track.ended for row in tracks))
        people = _list_people(dataset, tracks, thumbnails)
        spans = states.get(sha256, {}).get("left_out")
        if spans:
            # Segments are clipped to the video: they may begin before the first fingerprint, and
            # end after the last.
            segments = [
                Segment(max(start, 0.0), min(end, length), tracks=())
                for start, end in spans
            ]
            # A row without a person, for the repeated intros and outros.
            people.append(PersonOnScreen(None, "left out", segments, face=None))
        timelines.append(VideoTimeline(title, length, people))

    return sorted(timelines, key=lambda timeline: timeline.title)


def _list_people(
    dataset: Dataset, tracks: Iterable[StoredTrack], thumbnails: Thumbnails
) -> list[PersonOnScreen]:
    """Return the people of a video, those with a name first."""
    by_name = defaultdict[tuple[str | None, State], list[StoredTrack]](list)
    for row in tracks:
        state = _get_state(row)
        if state is not None:
            by_name[row.label, state].append(row)

    people = []
    for (name, state), own_tracks in by_name.items():
        face = None
        if name is not None:
            # The face beside the name is from the longest track, by its number of frames.
            main_track = max(own_tracks, key=lambda row: row.track.frames)
            sample = dataset.samples.get(main_track.samples[0])
            face = thumbnails.of_sample(sample) if sample else None
        people.append(PersonOnScreen(name, state, _join_segments(own_tracks), face))
    return sorted(people, key=_rank_person)


def _rank_person(person: PersonOnScreen) -> tuple[bool, str, float, str]:
    return person.name is None, person.state, -person.seconds, person.title


def _get_state(row: StoredTrack) -> State | None:
    """Return the state of a track's person; None for a track without a person."""
    if row.labels:
        return "named"
    if row.undecided:
        return "waiting"
    return "other" if row.others else None


def _join_segments(rows: list[StoredTrack]) -> list[Segment]:
    """Return the times of tracks, joined over short gaps."""
    tracks = (row.track for row in rows)
    segments: list[Segment] = []
    for track in sorted(tracks, key=lambda track: track.started):
        segment = Segment(track.started, track.ended, (track.name,))
        if segments and segment.started - segments[-1].ended <= MAX_GAP_SECONDS:
            last = segments.pop()
            segment = Segment(
                last.started,
                max(last.ended, segment.ended),
                last.tracks + segment.tracks,
            )
        segments.append(segment)
    return segments


class TimelineResult(CommandResult, kw_only=True):
    """The written page, table and subtitles, and numbers of videos and named people."""

    timeline: str
    table: str
    subtitles: list[str] = []
    videos: int
    people: int


def write_timelines(
    dataset: Dataset, folder: Path, *, subtitles: bool
) -> TimelineResult:
    """Write page, table and, if wanted, subtitles to a folder; return paths and counts.

    Raises what `gather_timelines` raises, `NotWritable` or `DiskFull`.
    """
    timelines = gather_timelines(dataset)
    environment = get_templates("pipeline.episodes")
    environment.globals.update(clock=clock)
    template = environment.get_template(f"{PAGE}.jinja")
    write_atomic(
        folder / PAGE,
        encode_page(template.render(name=dataset.name, timelines=timelines)),
    )
    # Names of files may have bytes that are not UTF-8.
    write_atomic(
        folder / TABLE, _write_table(timelines).encode("utf-8", "backslashreplace")
    )

    names = set[str | None]()
    for timeline in timelines:
        names.update(person.name for person in timeline.people)
    return TimelineResult(
        timeline=str((folder / PAGE).absolute()),
        table=str((folder / TABLE).absolute()),
        subtitles=write_subtitles(folder, timelines) if subtitles else [],
        videos=len(timelines),
        people=len(names - {None}),
    )


COLUMNS = ("video", "person", "from", "to", "begin_s", "end_s", "tracks", "state")


def _write_table(timelines: Iterable[VideoTimeline]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(COLUMNS)
    for timeline in timelines:
        for person in timeline.people:
            for started, ended, tracks in person.segments:
                rows.writerow(
                    (
                        timeline.title,
                        person.name or "",
                        clock(started),
                        clock(ended),
                        f"{started:.3f}",
                        f"{ended:.3f}",
                        " ".join(tracks),
                        person.state,
                    )
                )

    return text.getvalue()


def write_subtitles(folder: Path, timelines: Iterable[VideoTimeline]) -> list[str]:
    """Write the names on screen as WebVTT, a file for each video; return the file names."""
    files: dict[str, str] = {}  # by name in one case: some file systems ignore it
    for timeline in timelines:
        stem = make_portable_name(Path(timeline.title).stem)
        file = f"{stem}.vtt"
        number = 1
        while file.casefold() in files:
            number += 1
            file = f"{stem} ({number}).vtt"
        files[file.casefold()] = file
        cues = sorted(
            (segment.started, segment.ended, person.name)
            for person in timeline.people
            if person.name is not None
            for segment in person.segments
        )
        path = folder / file
        if path.exists() and not path.read_bytes().startswith(SUBTITLES.encode()):
            raise InputUnusable(
                f"other subtitles are in the way: {path}",
                "move them, or write to another folder: --out DIR",
            )
        lines = [f"{SUBTITLES}\n"]
        for started, ended, name in cues:
            ended = max(ended, started + MIN_CUE_SECONDS)
            times = f"{_format_cue_time(started)} --> {_format_cue_time(ended)}"
            lines.append(f"{times}\n{escape(name, quote=False)}\n")
        write_atomic(path, "\n".join(lines).encode())
    return list(files.values())


def _format_cue_time(seconds: float) -> str:
    """Return a time of WebVTT, such as 01:02:03.450."""
    minutes, thousandths = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, thousandths = divmod(thousandths, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}.{thousandths:03}"
