"""Import images: the one way into a dataset, wherever they come from.

Workers read or download, decode, measure and stage the bytes; here the parent publishes each
file with its rows, so that a run may be killed at any moment and simply be started again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import partial
from itertools import islice
from pathlib import PurePath
from typing import Any, NamedTuple

import msgspec

from gleanset import Dataset
from gleanset.db.images import FetchEnd
from gleanset.db.samples import retract_disputed
from gleanset.errors import Unreadable
from gleanset.file_groups import FileGroups
from gleanset.files.store import Store
from gleanset.named_files import short_name
from gleanset.records import Candidate, Measured, Origin, Rejection
from gleanset.work.pool import Outcome
from harvest.host_answers import NOT_ASKED, NOTICE, RedirectedOutcome, RedirectTargets

# Reasons that tell of us and not of the item: the next run tries again.
UNSETTLED = frozenset({"private address", "cannot be read", "internal error", NOT_ASKED})
# Reasons that pass: runs that come upon the item again try it again, a few times.
PASSING = frozenset(
    {
        "connection failed",
        "timed out",
        "too slow",
        "cut off",
        "http 429",
        "robots.txt could not be read",
    }
)


# Places looked up at a time.
_LOOKED_UP = 64


class VisitState(Enum):
    """What earlier runs know of a place."""

    NEW = "new"
    AGAIN = "again"
    KNOWN = "known"


def visit_state(state: str | None) -> VisitState:
    """Return what a state of `Fetches` says of a place."""
    if state is None or state == "unsettled":
        return VisitState.NEW
    return VisitState.AGAIN if state == "failed" else VisitState.KNOWN


class FileNotes(NamedTuple):
    """What is noted of files: `groups` that are met, and `refused`, which were rejected and why.

    With `by_folder` hints are names of folders: a file has one, which another run may change.
    """

    groups: FileGroups | None = None
    refused: list[str] | None = None
    by_folder: bool = False


NO_NOTES = FileNotes()


class Importer:
    """Records what became of each candidate and counts it.

    What it takes was staged in `store`. `images`, where there is one, takes up the hashes that
    are met, for callers that stop at a number of them; several importers may share it.
    """

    def __init__(
        self,
        dataset: Dataset,
        stage: str,
        store: Store,
        images: set[str] | None = None,
        notes: FileNotes = NO_NOTES,
        targets: RedirectTargets | None = None,
    ) -> None:
        self._targets = targets or RedirectTargets()
        self._dataset = dataset
        self._stage = stage
        self._store = store
        self._images = images
        self._notes = notes
        self._hinted: set[str] = set()
        self._replaced: list[tuple[str, Origin]] = []
        self._states: dict[str, str | None] = {}
        self.tally: Counter[str] = Counter(added=0, duplicate=0, known=0, rejected=0)
        self.reasons: Counter[str] = Counter()
        self.hints: Counter[str] = Counter()

    def prefetch_states(self, candidates: Iterable[Candidate], source: str) -> Iterator[Candidate]:
        """Yield candidates of one source, whose places are looked up some at a time.

        `seen` knows them then: asking the catalogue for each would hold up the downloads.
        """
        for chunk in _chunks(candidates, _LOOKED_UP):
            self._states |= self._dataset.fetches.states(source, [c.origin.key for c in chunk])
            yield from chunk

    def knows(self, origin: Origin, stamp: str = "") -> bool:
        """Return whether a place was visited before; a known image gets the new origin as well."""
        return self.seen(origin, stamp) is VisitState.KNOWN

    def seen(self, origin: Origin, stamp: str = "") -> VisitState:
        """Return what is known of a place; `AGAIN` where a reason to fail may have passed."""
        fetches = self._dataset.fetches
        if origin.key in self._states:
            # Once: the second time it may have been recorded meanwhile.
            state = self._states.pop(origin.key)
        else:
            state = fetches.state(origin.source, origin.key, stamp)
        if (seen := visit_state(state)) is not VisitState.KNOWN:
            return seen
        self.tally["known"] += 1
        image = fetches.image(origin.source, origin.key) if state == "done" else None
        if image is not None:
            # A file with the same stamp has its origin: a hint that was dropped since stays away.
            if not stamp:
                with self._dataset.db.write():
                    if self._dataset.images.add_origin(image, origin):
                        self._note_hint(image, origin)
            self._note_replaced(image, origin)
            self._met(image, origin)
        return VisitState.KNOWN

    def count_repeat(self, origin: Origin) -> None:
        """Note a place that this run has just visited: nobody is asked for it twice."""
        if self.seen(origin) is not VisitState.KNOWN:
            self.tally["known"] += 1

    def record_download(self, outcome: Outcome[Candidate, Measured]) -> bool:
        """Record what became of a download; a failed one is kept for another try.

        An address to which several different results are sent is a notice of their host, such as
        "removed.png", and an image of none of them.
        """
        candidate = outcome.item
        kept = None if outcome.result else json.dumps(msgspec.to_builtins(candidate))
        if isinstance(outcome, RedirectedOutcome) and outcome.result is not None:
            image = outcome.result.sha256
            if self._targets.is_notice(outcome.final_url, candidate.url):
                self._store.discard(image, outcome.result.format)
                self._targets.undo_imports(outcome.final_url)
                self._dataset.remove_notice(image, f"{NOTICE}: {outcome.final_url}")
                self._reject(candidate.origin, NOTICE, outcome.final_url, "", None)
                return False
            added = self.tally["added"]
            if taken := self.take(candidate.origin, outcome):
                was_new = self.tally["added"] > added
                undo = partial(self._retract, image, candidate.origin, outcome.final_url, was_new)
                self._targets.note_import(outcome.final_url, undo)
            return taken
        return self.take(candidate.origin, outcome, candidate=kept)

    def _retract(self, image: str, origin: Origin, target: str, was_new: bool) -> None:
        with self._dataset.db.write():
            self._dataset.images.drop_origin(image, origin)
            self._reject(origin, NOTICE, target, "", None)
        self.tally["added" if was_new else "duplicate"] -= 1
        self._hinted.discard(image)
        if self._images is not None:
            self._images.discard(image)

    def take(
        self,
        origin: Origin,
        outcome: Outcome[Any, Measured],
        stamp: str = "",
        candidate: str | None = None,
        store: Store | None = None,
    ) -> bool:
        """Record one outcome in one transaction; return whether it gave an image.

        `candidate` is kept with a failure, for another try. `store` is where it was staged, if
        not in that of all.
        """
        try:
            measured = outcome.unwrap()
            new = self._publish(measured, origin, stamp, store or self._store)
        except Unreadable as refused:
            self._reject(origin, refused.reason, refused.detail, stamp, candidate)
            return False
        self.tally["added" if new else "duplicate"] += 1
        self._met(measured.sha256, origin)
        if not new:
            self._note_hint(measured.sha256, origin)
            self._note_replaced(measured.sha256, origin)
        if self._notes.by_folder and origin.hint is None:
            self.tally["without_hint"] += 1
        return True

    def _publish(self, measured: Measured, origin: Origin, stamp: str, store: Store) -> bool:
        with self._dataset.db.write():
            new = self._dataset.take_original(store, measured, origin)
            if not new:
                self._dataset.images.note_said(measured.sha256, origin)
            self._record(origin, "done", stamp, measured.sha256)
            self._dataset.rejections.clear(self._stage, origin.key, origin.source)
        return new

    def _reject(
        self, origin: Origin, reason: str, detail: str, stamp: str, candidate: str | None
    ) -> None:
        state = _state_after(reason, of_the_net=origin.url is not None)
        with self._dataset.db.write():
            self._dataset.rejections.add(
                Rejection(self._stage, origin.key, reason, detail, origin.source)
            )
            if state is not None:
                self._record(origin, state, stamp, None, candidate)
        if reason == NOT_ASKED:
            self.tally["not_asked"] += 1
            return
        self.tally["rejected"] += 1
        self.reasons[f"{reason}{_fix(reason, detail)}"] += 1
        if self._notes.refused is not None:
            self._notes.refused.append(f"{short_name(origin.key)}: {reason}{_fix(reason, detail)}")

    def _record(
        self,
        origin: Origin,
        state: str,
        stamp: str,
        image: str | None,
        candidate: str | None = None,
    ) -> None:
        self._states.pop(origin.key, None)  # looked up before
        place = (origin.url, origin.query)
        self._dataset.fetches.record(
            FetchEnd(origin.source, origin.key, state, stamp, image, *place, candidate)
        )

    def _met(self, image: str, origin: Origin) -> None:
        if self._images is not None:
            self._images.add(image)
        if self._notes.groups is not None:
            self._notes.groups.note(origin)
        if self._notes.by_folder and origin.hint is not None:
            self.hints[origin.hint] += 1

    def _note_hint(self, image: str, origin: Origin) -> None:
        if origin.hint is not None:
            self._hinted.add(image)

    def _note_replaced(self, image: str, origin: Origin) -> None:
        is_file = origin.source in ("folder", "archive")
        if is_file and self._dataset.images.hinted_otherwise(image, origin):
            self._hinted.add(image)
            self._replaced.append((image, origin))

    def finish(self) -> None:
        """Take labels back that were accepted from hints, where those of this run disagree.

        Then what another folder hinted of the same file before is forgotten.
        """
        if back := retract_disputed(self._dataset.db, self._hinted):
            self.tally["taken_back"] = back
        self._hinted.clear()
        with self._dataset.db.write():
            for image, origin in self._replaced:
                # What a folder above a file, or the archive it is in, may have hinted.
                inside = origin.key.partition(":")[2] if origin.source == "archive" else ""
                above = PurePath(origin.path or "")
                names = {*above.parts, *PurePath(inside).parts, above.name.partition(".")[0]}
                self._dataset.images.drop_hints(image, origin, names)
        self._replaced.clear()

    def result(self) -> dict[str, object]:
        """Return the numbers of this run, as commands return them."""
        hints = {"hints": dict(self.hints.most_common())} if self.hints else {}
        return counts(self.tally, self.reasons) | hints


def _chunks(items: Iterable[Candidate], most: int) -> Iterator[list[Candidate]]:
    """Yield items so many at a time; what is raised in between comes after those before it."""
    some = iter(items)
    trouble: Exception | None = None
    while trouble is None:
        chunk: list[Candidate] = []
        try:
            chunk.extend(islice(some, most))
        except Exception as error:
            trouble = error
        if not chunk:
            break
        yield chunk
    if trouble is not None:
        raise trouble


def _fix(reason: str, detail: str) -> str:
    return f" ({detail})" if reason == "unsupported format" else ""


def counts(tally: Mapping[str, int], reasons: Counter[str]) -> dict[str, object]:
    """Return the numbers of a run, with the most frequent reasons first where there are any."""
    result: dict[str, object] = dict(tally)
    if reasons:
        result["reasons"] = dict(reasons.most_common())
    return result


def combined(*results: dict[str, object]) -> dict[str, object]:
    """Return the counts of several runs as those of one."""
    total: Counter[str] = Counter()
    tables: dict[str, Counter[str]] = {}
    for result in results:
        for name, value in result.items():
            if isinstance(value, int):
                total[name] += value
            elif isinstance(value, dict):
                tables.setdefault(name, Counter()).update(value)
    # Not most_common for the counts: they keep the order that every command shows.
    return {**total, **{name: dict(table.most_common()) for name, table in tables.items()}}


def _state_after(reason: str, *, of_the_net: bool) -> str | None:
    """Return the state to be recorded for a rejected item; None where nothing is."""
    if not of_the_net:
        return None if reason in UNSETTLED else "rejected"
    if reason in UNSETTLED:
        return "unsettled"
    return "failed" if reason in PASSING or reason.startswith("http 5") else "rejected"
