"""`gleanset merge`: two people's datasets become one."""

from __future__ import annotations

import hashlib
from contextlib import suppress

from gleanset import Dataset
from gleanset.dataset import CATALOGUE
from gleanset.db.connection import Row
from gleanset.db.merging import Merging, Opinion, beside
from gleanset.db.steps import operation_of
from gleanset.db.values import dump
from gleanset.errors import UsageError
from gleanset.files.store import Store, sha256_of
from gleanset.records import Rejection
from gleanset.work.progress import Progress

STAGE = "merge"
_UNDECIDED = ("queue", "retired")


def merge(
    ours: Dataset, theirs: Dataset, *, simulate: bool, progress: Progress
) -> dict[str, object]:
    """Take in what the other dataset has and we have not; the counts.

    Files come first, each with its row, so that a stopped merge is simply given again.
    Decisions keep who made them and when; a sample that was labelled differently goes back
    into the queue. Raises `UsageError` for a dataset and itself.
    """
    if ours.root.resolve() == theirs.root.resolve():
        raise UsageError("a dataset cannot be merged into itself", "name another folder")
    with beside(ours.db, theirs.root / CATALOGUE) as both:
        if simulate:
            return {"would_add": sum(1 for _ in both.new_images())}
        with ours.stage(STAGE) as scratch:
            found = _take_files(ours, theirs, both, ours.originals(scratch), progress)
            with ours.db.write():
                found["origins"] = both.add_places()
                found["samples"] = both.add_samples()
                found |= _take_decisions(both, ours.journal.who)
            found["forgotten_there"] = both.forgotten_there()
    return found


def _take_files(
    ours: Dataset, theirs: Dataset, both: Merging, store: Store, progress: Progress
) -> dict[str, object]:
    found = {"images": 0, "rejected": 0}
    for sha256, kind in progress.over(list(both.new_images()), "merge"):
        data = b""
        with suppress(OSError):
            data = theirs.image_path(sha256, kind).read_bytes()
        if sha256_of(data) != sha256:
            why = "file is gone" if not data else "damaged"
            ours.rejections.add(Rejection(STAGE, sha256, why, str(theirs.root)))
            found["rejected"] += 1
            continue
        with ours.db.write():
            store.put(sha256, kind, data)
            both.add_image(sha256)
        found["images"] += 1
    return dict(found)


def _take_decisions(both: Merging, who: str) -> dict[str, object]:
    """Append their steps that we do not have, and settle what each sample is now."""
    known: dict[str, int] = {}
    decided: set[str] = set()
    for step, decisions in both.steps("main"):
        known[_identity(step, decisions)] = step["id"]
        decided |= {row["key"] for row in decisions}
    here: dict[int, int] = {}
    touched: dict[str, None] = {}
    added = 0
    for step, decisions in both.steps("other"):
        number = known.get(_identity(step, decisions))
        if number is None:
            undoes = here.get(step["undoes"]) if step["undoes"] is not None else None
            number = both.add_step(step, decisions, undoes)
            touched |= dict.fromkeys(row["key"] for row in decisions)
            added += len(decisions)
        here[step["id"]] = number
    return {"decisions": added, "conflicts": _settle(both, who, list(touched), decided)}


def _settle(both: Merging, who: str, keys: list[str], decided: set[str]) -> int:
    conflicts: list[tuple[Opinion, str]] = []
    for key in keys:
        opinion = both.opinion(key, decided_here=key in decided)
        if opinion is None or opinion.ours == opinion.theirs:
            continue
        if opinion.ours is None or opinion.ours[0] in _UNDECIDED:
            both.set_state(opinion.sample, *opinion.theirs)
        elif opinion.theirs[0] not in _UNDECIDED:
            conflicts.append((opinion, f"{_said(opinion.ours)} or {_said(opinion.theirs)}"))
    if conflicts:
        both.queue(who, conflicts)
    return len(conflicts)


def _said(state: tuple[str, str | None]) -> str:
    return state[1] or state[0]


def _identity(step: Row, decisions: list[Row]) -> str:
    """The same for a step wherever it was copied to."""
    told = [(row["key"], row["action"], row["value"]) for row in decisions]
    did = operation_of(step)
    what = [step["at"], step["who"], did.kind, did.arguments, told]
    return hashlib.sha256(dump(what).encode()).hexdigest()
