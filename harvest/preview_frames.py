"""`harvest frames --simulate`: which videos would be sampled, and about what that gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from gleanset import Dataset
from gleanset.errors import Unreadable
from gleanset.files.store import sha256_of_file
from harvest.video.disk_estimate import VideoLength, bytes_of_all, frames_of, human_bytes
from harvest.video.inputs import VideoFile, VideoInput
from harvest.video.sampler import read_facts
from harvest.video.sampling import Sampling

Say = Callable[[str], None]


@dataclass
class FramesPreview:
    """Shows the videos still to be sampled, one a line; says on the side what is wrong."""

    dataset: Dataset | None
    sampling: Sampling
    show: Say
    say: Say
    numbers: dict[str, int] = field(default_factory=lambda: {"videos": 0, "frames": 0, "bytes": 0})
    _lengths: list[VideoLength] = field(default_factory=list)

    def over(self, inputs: Iterable[VideoInput]) -> dict[str, object]:
        """The numbers: `frames` and `bytes` are estimates, without those of addresses."""
        for one in inputs:
            if isinstance(one, VideoFile):
                self._file(one)
            else:
                self._todo(one.shown)
        frames = sum(frames_of(self.sampling, one.seconds) for one in self._lengths)
        self._count("frames", min(frames, self.sampling.limit or frames))
        self._count("bytes", bytes_of_all(self.sampling, self._lengths))
        about = f"about {self.numbers['frames']} frames, {human_bytes(self.numbers['bytes'])}"
        self.say(f"{self.numbers['videos']} videos, {about} before near-duplicates are left out")
        return dict(self.numbers)

    def _file(self, one: VideoFile) -> None:
        try:
            if self._sampled(sha256_of_file(one.path)):
                self._count("known")
                return
            facts = read_facts(one.path)
        except OSError as error:
            self._wrong(one.shown, f"cannot be read: {error.strerror}")
        except Unreadable as error:
            self._wrong(one.shown, f"{error.reason}: {error.detail}")
        else:
            self._todo(one.shown)
            self._lengths.append(VideoLength(facts.seconds or 0.0, *facts.upright))

    def _sampled(self, sha256: str) -> bool:
        if self.dataset is None:
            return False
        return self.dataset.videos.done(sha256, self.sampling.settings) is not None

    def _todo(self, shown: str) -> None:
        self._count("videos")
        self.show(shown)

    def _wrong(self, shown: str, why: str) -> None:
        self._count("rejected")
        self.say(f"{shown}: {why}")

    def _count(self, what: str, number: int = 1) -> None:
        self.numbers[what] = self.numbers.get(what, 0) + number
