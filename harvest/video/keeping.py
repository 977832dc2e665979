"""Writes what lanes give into the catalogue: frames with their origin, and how far a video is."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gleanset import Dataset
from gleanset.db.fetches import VideoName
from gleanset.files.store import Store, sha256_of
from gleanset.records import Measured, Origin, Rejection
from gleanset.work.pool import Outcome
from gleanset.work.stage import WAITING
from harvest.intake import Intake
from harvest.video.episode import Episode, Picked, Step
from harvest.video.inputs import Video
from harvest.video.lane import Showing
from harvest.video.openings import Repeat, find_repeats
from harvest.video.place import Print
from harvest.video.quota import Quota, in_turns
from harvest.video.sampling import Sampling


class Keeping:
    """The parent's side of a run: the only one that writes rows."""

    def __init__(
        self,
        dataset: Dataset,
        intake: Intake,
        sampling: Sampling,
        label: str | None,
        quota: Quota,
    ) -> None:
        self._dataset, self._intake = dataset, intake
        self._sampling, self._label = sampling, label
        # Where openings are skipped, all is sampled, and the limit is for what is left then.
        self._all = quota
        self.quota = Quota(None) if sampling.skip_openings else quota
        self._cut: dict[str, Showing] = {}
        self.left_out: Counter[str] = Counter()
        self._shown: list[tuple[int, Showing | None, list[Print]]] = []

    def known(self, sha256: str, place: int) -> bool:
        """Whether a video was sampled like this to its end; counts its frames."""
        frames = self._dataset.videos.done(sha256, self._sampling.settings)
        if frames is None:
            return False
        self._intake.tally["known"] += frames
        self._all.before[sha256] = frames
        state = self._dataset.videos.state(sha256, self._sampling.settings) or {}
        # What is in the dataset already was shown first.
        self._shown.append((place - _DONE, None, _prints(state.get("prints", []))))
        return True

    def store(self, sha256: str, scratch: Path) -> Store:
        """Where the frames of a video are staged.

        Those that wait for the end of a run have to outlast one that is stopped.
        """
        if not self._sampling.skip_openings:
            return self._dataset.originals(scratch)
        key = sha256_of(f"{sha256} {self._sampling.settings}".encode())[:16]
        return self._dataset.originals(self._dataset.cache / WAITING / STAGE / key)

    def take_up(self, showing: Showing) -> None:
        """Give a video back what a run before knew of it, if all that waited is still there."""
        state = self._dataset.videos.state(showing.video.sha256, self._sampling.settings) or {}
        waiting = [_picked(one) for one in state.pop("waiting", [])]
        if state and all(
            showing.store.holds(one.measured.sha256, one.measured.format) for one in waiting
        ):
            showing.waiting = waiting
            showing.frames = state.pop("frames", 0)
            showing.state = state
        self._all.before.setdefault(showing.video.sha256, showing.frames)
        if (cut := self._cut.pop(showing.video.sha256, None)) is not None:
            showing.gone = cut.gone

    def step(self, showing: Showing, step: Step) -> None:
        """Store one step in one transaction."""
        with self._dataset.db.write():
            if self._sampling.skip_openings:
                showing.waiting += step.picked
            else:
                self._store(showing, step.picked)
            if step.state is not None:
                waiting = [asdict(one) for one in showing.waiting]
                told = step.state | {"waiting": waiting, "frames": showing.frames}
                self._dataset.videos.checkpoint(
                    _name(showing.video),
                    self._sampling.settings,
                    showing.seconds,
                    showing.frames,
                    told,
                )

    def end(self, showing: Showing, place: int) -> None:
        """A video was sampled to its end."""
        assert showing.episode is not None
        self.left_out.update(showing.episode.chosen.left_out)
        if showing.seconds is not None and self._sampling.earliest >= showing.seconds:
            self.left_out["after the end of the video"] += 1
        self._tell_of_damage(showing, showing.episode)
        if self._sampling.skip_openings:
            self._shown.append((place, showing, showing.episode.prints))
        else:
            self._record(showing, [])

    def cut(self, showing: Showing) -> None:
        """A video has more to give than its share of the limit."""
        self._cut[showing.video.sha256] = showing

    def settle(self) -> None:
        """At the end of a run: nothing of what was asked for is left to be done."""
        for showing in self._cut.values():
            if showing.episode is not None:
                self.left_out.update(showing.episode.chosen.left_out)
                self._tell_of_damage(showing, showing.episode)
            self._record(showing, [])
        self._settle_openings()

    def _settle_openings(self) -> None:
        """Leave out what lies in a stretch that an earlier video, or part of one, showed."""
        ordered = sorted(self._shown, key=lambda one: one[0])
        repeats = find_repeats([prints for _, _, prints in ordered])
        fresh = [
            [] if showing is None else [one for one in showing.waiting if self._is_new(one, parts)]
            for (_, showing, _), parts in zip(ordered, repeats, strict=True)
        ]
        chosen = self._within_limit(fresh)
        for (_, showing, prints), picked in zip(ordered, chosen, strict=True):
            if showing is not None:
                with self._dataset.db.write():
                    self._store(showing, picked)
                    self._record(showing, prints)
                # Only now, and all of it: frames of one video may be the same picture.
                shutil.rmtree(showing.store.scratch, ignore_errors=True)

    def _is_new(self, one: Picked, repeats: list[Repeat]) -> bool:
        if not any(part.start < one.time < part.end for part in repeats):
            return True
        known = self._dataset.images.get(one.measured.sha256)
        if known is not None and known.state == "missing":
            return True
        self.left_out["opening"] += 1
        return False

    def _within_limit(self, fresh: list[list[Picked]]) -> list[list[Picked]]:
        left = self._all.left
        if left is None:
            return fresh
        chosen: list[list[Picked]] = [[] for _ in fresh]
        images: set[str] = set()
        for number, one in in_turns(fresh):
            if one.measured.sha256 in images or len(images) < left:
                images.add(one.measured.sha256)
                chosen[number].append(one)
        return chosen

    def _tell_of_damage(self, showing: Showing, episode: Episode) -> None:
        trouble = episode.trouble
        parts = [one.told(episode.start) for one in episode.damage if not (trouble and one.open)]
        if not (trouble or parts):
            return
        reason = "damaged further on" if trouble else "damaged in between"
        detail = "; ".join([trouble, *parts] if trouble else parts)
        self._dataset.rejections.add(Rejection(STAGE, showing.video.shown, reason, detail))
        self._intake.reasons[reason] += 1

    def _record(self, showing: Showing, prints: list[Print]) -> None:
        video = showing.video
        self._dataset.videos.record(
            video.sha256,
            _name(video).name,
            self._sampling.settings,
            showing.seconds,
            showing.frames,
            video.origin.url,
            {"prints": prints} if prints else None,
        )

    def _store(self, showing: Showing, picked: tuple[Picked, ...] | list[Picked]) -> None:
        for one in picked:
            showing.frames += 1
            origin = self._origin(showing.video, one)
            stamp = f"{one.measured.sha256[:16]}"
            if not self._intake.knows(origin, stamp):
                outcome = Outcome(origin.key, one.measured)
                self._intake.take(origin, outcome, stamp, store=showing.store)

    def _origin(self, video: Video, one: Picked) -> Origin:
        return replace(
            video.origin,
            source="video",
            key=f"{video.sha256[:16]}@{one.time:.3f}",
            video=video.sha256,
            time=round(one.time, 6),
            scene=one.scene,
            frame=one.number,
            hint=self._label,
        )


STAGE = "harvest-frames"
# Places of videos that were done before: in front of all others.
_DONE = 1 << 40


def _name(video: Video) -> VideoName:
    return VideoName(video.sha256, video.origin.title or video.path.name, video.origin.url)


def _prints(told: list[Any]) -> list[Print]:
    return [(time, code) for time, code in told]


def _picked(told: dict[str, Any]) -> Picked:
    return Picked(Measured(**told["measured"]), told["time"], told["scene"], told["number"])
