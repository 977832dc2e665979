"""One input on its way through the run: its videos one after another, each step by step.

A lane is only ever at work in one thread. It touches no catalogue: what it needs to know
is handed to it, what it gives are values.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gleanset.errors import Unreadable
from gleanset.files.store import Store
from gleanset.records import Measured
from harvest.video.episode import Episode, Picked, Step, facts_of
from harvest.video.inputs import Found, Input, Video
from harvest.video.quota import Share
from harvest.video.sampling import Sampling

State = dict[str, Any]


@dataclass
class Showing:
    """One video that is being sampled. `state` is where it goes on, `waiting` what it has given.

    Frames are staged in `store`, and wait where it is not yet known whether they lie in an
    opening. `most` is how many more it may give, None where all are wanted.
    """

    video: Video
    sampling: Sampling
    store: Store
    state: State | None = None
    most: int | None = None
    waiting: list[Picked] = field(default_factory=list)
    frames: int = 0
    seconds: float | None = None
    gone: float = 0.0
    episode: Episode | None = None
    _steps: Iterator[Step] | None = None

    def advance(self) -> Step | None:
        """The next step; None at the end. Raises `Unreadable` and `GleansetError`s."""
        if self._steps is None:
            self._steps = self._begin()
        return next(self._steps, None)

    def _begin(self) -> Generator[Step, None, None]:
        facts = facts_of(self.video.path)
        self.seconds = facts.seconds
        given = self.state["chosen"]["count"] if self.state else 0
        limit = None if self.most is None else given + self.most
        wanted = replace(self.sampling, limit=limit)
        self.episode = Episode(self.video.path, facts, wanted, self._stage, self.state)
        yield from self.episode.steps()

    def _stage(self, data: bytes, measured: Measured) -> None:
        self.store.stage(measured.sha256, measured.format, data)

    @property
    def is_cut(self) -> bool:
        """Whether it gave as many as it may before its end."""
        return self.most is not None and self.episode is not None and self.episode.full

    def close(self) -> None:
        """End ffmpeg."""
        if isinstance(self._steps, Generator):
            self._steps.close()


class Lane:
    """The videos of one input. `place` is its number among the inputs."""

    def __init__(self, given: Input, place: int, folder: Path, share: Share) -> None:
        self.place = place
        self.given = given
        self.share = share
        self.showing: Showing | None = None
        self._found = given.videos(folder)

    def find(self) -> Found | None:
        """The next video of the input; None after the last."""
        return next(self._found, None)

    def close(self) -> None:
        """End what is at work; a download is removed."""
        if self.showing is not None:
            self.showing.close()
        if isinstance(self._found, Generator):
            self._found.close()


def advanced(lane: Lane) -> Step | None:
    """For `run_over`: one step of the video that a lane shows."""
    if lane.showing is None:
        raise Unreadable("internal error", "nothing to sample")
    return lane.showing.advance()
