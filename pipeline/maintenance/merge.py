"""`gleanset merge`: two people's datasets become one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from gleanset import Dataset
from gleanset.dataset import refuse_missing
from gleanset.db.connection import CATALOGUE, Row, copy_catalogue
from gleanset.db.journal import Choice
from gleanset.db.maintenance import MERGE_KIND, CatalogueMerge, SampleState, open_merge
from gleanset.db.samples import retract_disputed
from gleanset.errors import UsageError
from gleanset.files.store import GONE, Store, sha256_of
from gleanset.operations import operation
from gleanset.records import Rejection
from gleanset.settings import read_settings
from gleanset.work.progress import Progress

STAGE = "merge"
_ACTIONS = {"labelled": "label", "rejected": "reject"}
_UNDECIDED = ("clear", "add", "remove")


class TakenStep(NamedTuple):
    """A step of theirs, and ours that is the same one; None where it is new here."""

    step: Row
    here: int | None


@dataclass
class MergePlan:
    """What a merge does besides taking pictures: steps to take over, and what they lead to."""

    origins: int
    samples: int
    forgotten_there: int
    steps: list[TakenStep] = field(default_factory=list)
    decisions: int = 0
    choices: list[Choice] = field(default_factory=list)
    conflicts: dict[str, str] = field(default_factory=dict)

    def result(self) -> dict[str, object]:
        """As a command returns it: numbers."""
        return {
            "origins": self.origins,
            "samples": self.samples,
            "decisions": self.decisions,
            "decided": len(self.choices),
            "conflicts": len(self.conflicts),
            "forgotten_there": self.forgotten_there,
        }


class MergeResult(NamedTuple):
    """What came, or would come: numbers, and what is said of each sample in conflict."""

    result: dict[str, object]
    conflicts: dict[str, str]


def merge(ours: Dataset, other: Path, *, simulate: bool, progress: Progress) -> MergeResult:
    """Take in what the dataset in folder `other` has and we have not.

    Files come first, each with its row, so that a stopped merge is simply given again.
    Decisions keep who made them and when. Where only one side has decided on a sample since
    both were the same, that counts; what both labelled differently goes back into the queue.
    What samples become is one step, which can be undone. Nothing is written to `other`, whose
    catalogue is copied. A simulation does the same to a copy of ours. Raises `UsageError` for a
    dataset and itself.
    """
    refuse_missing(other)
    if ours.root.resolve() == other.resolve():
        raise UsageError("a dataset cannot be merged into itself", "name another folder")
    with _scratch(ours, simulate) as (ours, scratch):
        copy = scratch / CATALOGUE
        copy_catalogue(other / CATALOGUE, copy)
        with open_merge(ours.db, copy) as both:
            theirs = Store(other / read_settings(other).store.images, scratch)
            files = (
                _look_at_files(ours, theirs, both)
                if simulate
                else _take_files(ours, theirs, both, ours.originals(scratch), progress)
            )
            with ours.db.transaction():
                plan = plan_merge(both)
                _apply(ours, both, plan, other.resolve().name)
                # Their pictures may have been found as something else than ours.
                back = retract_disputed(ours.db)
            told = files | ({"taken_back": back} if back else {}) | plan.result()
            return MergeResult(told, plan.conflicts)


@contextmanager
def _scratch(ours: Dataset, simulate: bool) -> Iterator[tuple[Dataset, Path]]:
    if simulate:
        with TemporaryDirectory() as folder, ours.rehearsal() as copy:
            yield copy, Path(folder)
    else:
        with ours.stage(STAGE) as scratch:
            yield ours, scratch


def _look_at_files(ours: Dataset, theirs: Store, both: CatalogueMerge) -> dict[str, object]:
    """Take rows alone; only a merge sees whether the bytes of their pictures are whole."""
    new = both.iter_new_images()
    there = [sha256 for sha256, kind in new if theirs.path(sha256, kind).is_file()]
    with ours.db.transaction():
        for sha256 in there:
            both.add_image(sha256)
    return {"images": len(there), "rejected": len(new) - len(there)}


def _take_files(
    ours: Dataset, theirs: Store, both: CatalogueMerge, store: Store, progress: Progress
) -> dict[str, object]:
    counts = {"images": 0, "rejected": 0}
    for sha256, kind in progress.over(both.iter_new_images(), "merge"):
        data = b""
        with suppress(OSError):
            data = theirs.path(sha256, kind).read_bytes()
        if sha256_of(data) != sha256:
            why = GONE if not data else "damaged"
            ours.rejections.add(Rejection(STAGE, sha256, why, str(theirs.root)))
            counts["rejected"] += 1
            continue
        with ours.db.transaction():
            store.put(sha256, kind, data)
            both.add_image(sha256)
        ours.rejections.remove(STAGE, sha256)
        counts["images"] += 1
    return dict(counts)


def plan_merge(both: CatalogueMerge) -> MergePlan:
    """Look at both catalogues, and change nothing."""
    plan = MergePlan(both.count_origins(), both.count_samples(), both.count_forgotten_there())
    touched: dict[str, None] = {}
    for taking, new in _their_steps(both):
        plan.steps.append(taking)
        plan.decisions += len(new)
        touched |= new
    shared = {taking.here for taking in plan.steps}
    own = {step["id"] for step in both.list_steps("main")} - shared
    for key in touched:
        _settle(plan, both, key, decided_here=not own.isdisjoint(both.list_steps_of_sample(key)))
    return plan


def _their_steps(both: CatalogueMerge) -> Iterator[tuple[TakenStep, dict[str, None]]]:
    """Yield their steps about samples that both have, and the samples that are new in each.

    A step is the same in both where who, when and what are, and what it did to any sample: one
    may have lost lines by a take-down, or have come when not all of its pictures did.
    """
    waiting: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for step in both.list_steps("main"):
        waiting[_identity(step)].append(step["id"])
    for step in both.list_steps("other"):
        lines = both.get_decisions("other", step["id"])
        if not lines:
            continue
        alike = waiting[_identity(step)]
        known = {here: both.get_decisions("main", here) for here in alike}
        here = next((one for one in alike if _same(lines, known[one])), None)
        if here is not None:
            alike.remove(here)
        had = known[here] if here is not None else {}
        yield TakenStep(step, here), dict.fromkeys(key for key in lines if key not in had)


def _identity(step: Row) -> tuple[str, ...]:
    return tuple(str(step[name]) for name in ("at", "who", "kind", "arguments"))


def _same(lines: dict[str, str], others: dict[str, str]) -> bool:
    common = lines.keys() & others.keys()
    return bool(common) and all(lines[key] == others[key] for key in common)


def _settle(plan: MergePlan, both: CatalogueMerge, key: str, *, decided_here: bool) -> None:
    """Find what a sample becomes about which they have decided something that we do not know.

    `decided_here`: so have we, about what they do not know.
    """
    ours, theirs = both.get_state("main", key), both.get_state("other", key)
    if theirs is None:
        return
    if ours is None:  # it comes with this merge
        ours = SampleState("queue", None, "", "")
    labelled = [one.status in _ACTIONS for one in (ours, theirs)]
    if ours[:2] == theirs[:2] or not any(labelled):
        return
    if decided_here and all(labelled):
        plan.conflicts[key] = f"{ours.label or ours.status} or {theirs.label or theirs.status}"
        plan.choices.append(Choice(key, "clear", None, plan.conflicts[key]))
    else:
        plan.choices.append(_kept(key, ours if decided_here and labelled[0] else theirs))


def _kept(key: str, state: SampleState) -> Choice:
    undecided = state.action if state.action in _UNDECIDED else "clear"
    return Choice(key, _ACTIONS.get(state.status, undecided), state.label, state.provenance)


def _apply(ours: Dataset, both: CatalogueMerge, plan: MergePlan, name: str) -> None:
    both.add_origins()
    both.add_samples()
    here: dict[int | None, int] = {}
    for step, known in plan.steps:
        here[step["id"]] = both.add_step(step, known, here.get(step["undoes"]))
    if plan.choices:
        ours.journal.apply(
            operation(MERGE_KIND, dataset=name, count=len(plan.choices)), plan.choices
        )
