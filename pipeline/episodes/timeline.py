"""Who is on screen when: the tracks of each video by their classes, as a page and as CSV."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from gleanset import Dataset
from gleanset.db.faces import StoredTrack, Tracks
from gleanset.db.images import Videos
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.html.charts import nice_step
from gleanset.html.fill import as_bytes, templates
from gleanset.html.thumbnails import Thumbnail, Thumbnails

PAGE, TABLE = "timeline.html", "timeline.csv"
GAP = 1.0
"""Seconds without somebody that end no stretch: they turned away, or were hidden."""
TICKS = 8
FACE = 48
State = Literal["named", "other", "waiting", "left out"]
"""What is known of somebody on screen; also what was left out because it was shown before."""
UNNAMED: dict[State, str] = {
    "other": "other people",
    "waiting": "not named yet",
    "left out": "shown before, left out",
}


class OnScreen(NamedTuple):
    """Somebody is on screen from `begun` to `ended` (seconds); `tracks` are the names of whom."""

    begun: float
    ended: float
    tracks: tuple[str, ...]

    @property
    def seconds(self) -> float:
        """How long that is."""
        return self.ended - self.begun

    @property
    def words(self) -> str:
        """From when to when, for a person."""
        return f"{clock(self.begun)} – {clock(self.ended)}"


@dataclass(frozen=True, slots=True)
class PersonOnScreen:
    """One line of a timeline: a class with all its stretches, or all without a name (None)."""

    name: str | None
    state: State
    stretches: list[OnScreen]
    face: Thumbnail | None

    @property
    def title(self) -> str:
        """The name, or what stands for it."""
        return self.name if self.name is not None else UNNAMED[self.state]

    @property
    def seconds(self) -> float:
        """How long they are on screen together."""
        return sum(one.seconds for one in self.stretches)


@dataclass(frozen=True, slots=True)
class VideoTimeline:
    """The timeline of one video that lasts so many `seconds`; who is longest on screen first."""

    title: str
    seconds: float
    people: list[PersonOnScreen]

    @property
    def ticks(self) -> list[float]:
        """Seconds at which the time is written."""
        step = max(nice_step(self.seconds / 60, TICKS) * 60, 1.0)
        return [number * step for number in range(int(self.seconds / step) + 1)]


def clock(seconds: float) -> str:
    """Return a time as a player shows it: `1:02:03.4`."""
    tenths = round(seconds * 10)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    start = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{start}:{rest // 10:02}.{rest % 10}"


def gather_timelines(dataset: Dataset) -> list[VideoTimeline]:
    """Return the timeline of each video with tracks, by title.

    Raises `InputUnusable` where there are none.
    """
    stored_tracks = Tracks(dataset.db)
    by_video: dict[str, list[StoredTrack]] = defaultdict(list)
    for stored in stored_tracks.iterate():
        by_video[stored.video].append(stored)
    if not by_video:
        raise InputUnusable(
            "nobody was followed in any video of this dataset",
            f"follow the faces of some: gleanset episodes VIDEO {dataset.option}",
        )
    videos = stored_tracks.get_videos()
    left_out = dict(Videos(dataset.db).iter_states("seen"))
    thumbnails = Thumbnails(dataset, FACE)
    timelines = []
    for sha256, tracks in by_video.items():
        title, seconds = videos.get(sha256, (sha256[:12], None))
        last = max(one.track.ended for one in tracks)
        people = list(_people(dataset, tracks, thumbnails))
        if spans := left_out.get(sha256, {}).get("left_out"):
            stretches = [OnScreen(begun, ended, ()) for begun, ended in spans]
            people.append(PersonOnScreen(None, "left out", stretches, None))
        timelines.append(VideoTimeline(title, max(seconds or 0.0, last), people))
    return sorted(timelines, key=lambda timeline: timeline.title)


def _people(
    dataset: Dataset, tracks: Iterable[StoredTrack], thumbnails: Thumbnails
) -> Iterator[PersonOnScreen]:
    by_name: dict[tuple[str | None, State], list[StoredTrack]] = defaultdict(list)
    for stored in tracks:
        if (state := _state(stored)) is not None:
            by_name[stored.label, state].append(stored)
    people = []
    for (name, state), own in by_name.items():
        longest = max(own, key=lambda one: one.track.frames)
        sample = dataset.samples.get(longest.samples[0]) if name is not None else None
        face = thumbnails.of_sample(sample) if sample is not None else None
        people.append(PersonOnScreen(name, state, list(_stretches(own)), face))
    yield from sorted(
        people, key=lambda one: (one.name is None, one.state, -one.seconds, one.title)
    )


def _state(stored: StoredTrack) -> State | None:
    if stored.labels:
        return "named"
    if stored.undecided:
        return "waiting"
    return "other" if stored.others else None


def _stretches(tracks: list[StoredTrack]) -> Iterator[OnScreen]:
    on: OnScreen | None = None
    for track in sorted((one.track for one in tracks), key=lambda one: one.begun):
        if on is not None and track.begun - on.ended <= GAP:
            on = OnScreen(on.begun, max(on.ended, track.ended), (*on.tracks, track.name))
            continue
        if on is not None:
            yield on
        on = OnScreen(track.begun, track.ended, (track.name,))
    if on is not None:
        yield on


def write_timelines(dataset: Dataset, folder: Path) -> dict[str, object]:
    """Write the page and the table into a folder; where they are, and what they hold.

    Raises what `gather_timelines` raises, `NotWritable` or `DiskFull`.
    """
    timelines = gather_timelines(dataset)
    environment = templates("pipeline.episodes")
    environment.globals.update(clock=clock)
    page = environment.get_template(f"{PAGE}.jinja").render(name=dataset.name, timelines=timelines)
    write_atomic(folder / PAGE, as_bytes(page))
    write_atomic(folder / TABLE, _table(timelines).encode("utf-8", "backslashreplace"))
    named = {one.name for timeline in timelines for one in timeline.people if one.name}
    return {
        "timeline": str((folder / PAGE).absolute()),
        "table": str((folder / TABLE).absolute()),
        "videos": len(timelines),
        "people": len(named),
    }


def _table(timelines: Iterable[VideoTimeline]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["video", "person", "from", "to", "begin_s", "end_s", "tracks", "state"])
    for timeline in timelines:
        for person in timeline.people:
            for one in person.stretches:
                times = clock(one.begun), clock(one.ended), f"{one.begun:.3f}", f"{one.ended:.3f}"
                row = [timeline.title, person.name or "", *times, " ".join(one.tracks)]
                rows.writerow([*row, person.state])
    return text.getvalue()
