"""`gleanset merge`: import of another dataset with its decisions."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import msgspec

from gleanset import Dataset
from gleanset.command_result import CommandResult
from gleanset.dataset import check_dataset_exists
from gleanset.db.connection import CATALOGUE, Row, copy_catalogue
from gleanset.db.journal import Choice
from gleanset.db.maintenance import (
    MERGE_KIND,
    UNLISTED,
    CatalogueMerge,
    DecidedState,
)
from gleanset.db.samples import retract_disputed
from gleanset.decisions import UNLISTED_MARK, apply_decisions, set_mark
from gleanset.errors import Unreadable, UsageError
from gleanset.files.store import Store, hash_bytes, read_original
from gleanset.operations import make_operation
from gleanset.terminal import format_result
from gleanset.work.progress import Progress
from pipeline.maintenance.check_files import DAMAGED

STAGE = "merge"
_ACTIONS = {"labelled": "label", "rejected": "reject", UNLISTED: "reject"}
_QUEUE_ACTIONS = ("clear", "add", "remove")


class ImportedStep(NamedTuple):
    """A step of the other dataset, and the id of the same step in ours (None if new)."""

    step: Row
    local_id: int | None


class MergePlan(msgspec.Struct):
    """Steps to import, and the labels and conflicts that follow from them.

    `unlisted` are the rejected samples that show a person without a class.
    """

    origins: int
    samples: int
    forgotten_there: int
    steps: list[ImportedStep] = []
    decisions: int = 0
    choices: list[Choice] = []
    unlisted: list[str] = []
    conflicts: dict[str, str] = {}


class MergeCounts(CommandResult, kw_only=True):
    """What a merge added, and decided by the decisions of the other dataset."""

    WORDS = {
        "decided": "samples decided",
        "conflicts": "labelled differently",
        "taken_back": "labels withdrawn",
        "same_classes": "same classes here",
    }

    images: int
    samples: int
    origins: int
    decisions: int
    decided: int
    conflicts: int
    taken_back: int = 0
    forgotten_there: int
    rejected: int
    same_classes: dict[str, str] = {}


class MergePreview(CommandResult):
    """What a merge would add."""

    would_merge: MergeCounts

    def lines(self) -> list[str]:
        """Return the lines of the counts below a heading."""
        return ["would merge:", *format_result(self.would_merge.summary(), "  ")]


class MergeResult(NamedTuple):
    """Counts, and the two labels of each sample in conflict."""

    result: MergeCounts
    conflicts: dict[str, str]


def merge_dataset(
    dataset: Dataset, other: Path, *, simulate: bool, progress: Progress
) -> MergeResult:
    """Import what the dataset in folder `other` has and `dataset` lacks.

    Files come first, each with its row, so that an interrupted merge can be run again. Decisions
    keep their author and time. If only one side has decided on a sample since both were the same
    dataset, its decision wins; a sample labelled differently in both returns to the queue. The
    new labels are one step, which can be undone. `other` is not changed; a simulation works on
    copies of both. Raises `UsageError` for a dataset and itself.
    """
    check_dataset_exists(other)
    if dataset.root.resolve() == other.resolve():
        raise UsageError(
            "cannot merge a dataset into itself", "use the folder of another dataset"
        )

    with _open_scratch(dataset, simulate) as (dataset, scratch):
        copy = scratch / CATALOGUE
        # A copy, because the other dataset is not changed.
        copy_catalogue(other / CATALOGUE, copy)

        with dataset.db.attach_other(copy):
            merge = CatalogueMerge(dataset.db)
            source = Store(other / "images", scratch)
            if simulate:
                files = _simulate_files(dataset, source, merge)
            else:
                files = _import_files(
                    dataset, source, merge, dataset.originals(scratch), progress
                )

            with dataset.db.transaction():
                same_classes = merge.add_classes()
                plan = plan_merge(merge)
                _apply(dataset, merge, plan, other.resolve().name)
                # The same image may have another weak label there.
                withdrawal_count = retract_disputed(dataset.db)

            return MergeResult(
                MergeCounts(
                    **files._asdict(),
                    taken_back=withdrawal_count,
                    origins=plan.origins,
                    samples=plan.samples,
                    decisions=plan.decisions,
                    decided=len(plan.choices),
                    conflicts=len(plan.conflicts),
                    same_classes=same_classes,
                    forgotten_there=plan.forgotten_there,
                ),
                plan.conflicts,
            )


@contextmanager
def _open_scratch(dataset: Dataset, simulate: bool) -> Iterator[tuple[Dataset, Path]]:
    if not simulate:
        with dataset.stage(STAGE) as scratch:
            yield dataset, scratch
        return

    with (
        TemporaryDirectory() as folder,
        Dataset(dataset.root, temporary=True) as copy,
    ):
        yield copy, Path(folder)


class _ImportedFiles(NamedTuple):
    images: int
    rejected: int


def _simulate_files(
    dataset: Dataset, source: Store, merge: CatalogueMerge
) -> _ImportedFiles:
    """Add the rows of images that have a file, without checking its bytes."""
    new_images = merge.list_new_images()
    present_images = [
        sha256 for sha256, kind in new_images if source.path(sha256, kind).is_file()
    ]
    with dataset.db.transaction():
        for sha256 in present_images:
            merge.add_image(sha256)
    return _ImportedFiles(len(present_images), len(new_images) - len(present_images))


def _import_files(
    dataset: Dataset,
    source: Store,
    merge: CatalogueMerge,
    store: Store,
    progress: Progress,
) -> _ImportedFiles:
    image_count = 0
    rejection_count = 0
    for sha256, kind in progress.over(merge.list_new_images(), "merge"):
        reason = None
        try:
            data = read_original(source.path(sha256, kind))
            if hash_bytes(data) != sha256:
                reason = DAMAGED
        except Unreadable as error:
            reason = error.reason
        dataset.rejections.settle(STAGE, sha256, reason, str(source.root))
        if reason:
            rejection_count += 1
            continue

        with dataset.db.transaction():
            # File and row together, so that an interrupted merge can be run again.
            store.put(sha256, kind, data)
            merge.add_image(sha256)
        image_count += 1

    return _ImportedFiles(image_count, rejection_count)


def plan_merge(merge: CatalogueMerge) -> MergePlan:
    """Compare both catalogues, after `add_classes`; nothing is written."""
    plan = MergePlan(*merge.count_changes())
    decided_keys: dict[str, None] = {}  # in order, without repeats
    for step, new_keys in _iter_other_steps(merge):
        plan.steps.append(step)
        plan.decisions += len(new_keys)
        decided_keys |= new_keys

    common_steps = {step.local_id for step in plan.steps}
    # Steps that the other dataset lacks: what was decided here since both were the same.
    own_steps = {step["id"] for step in merge.list_steps("main")} - common_steps
    for key in decided_keys:
        steps = merge.list_steps_of_sample(key)
        _plan_sample(
            plan,
            merge,
            key,
            is_decided_here=not own_steps.isdisjoint(steps),
        )
    return plan


def _iter_other_steps(
    merge: CatalogueMerge,
) -> Iterator[tuple[ImportedStep, dict[str, None]]]:
    """Yield the other dataset's steps on common samples, with the samples new in each.

    Steps are the same if author, time and kind agree, and their decisions on common samples. One
    side may lack decisions, after a removal or an import of some of its images.
    """
    # Ids of own steps, as far as they have no counterpart yet.
    own_steps = defaultdict[tuple[str, ...], list[int]](list)
    for step in merge.list_steps("main"):
        own_steps[_identify(step)].append(step["id"])

    for step in merge.list_steps("other"):
        decisions = merge.get_decisions("other", step["id"])
        if not decisions:
            continue

        local_id = None
        own_decisions: dict[str, str] = {}
        candidates = own_steps[_identify(step)]
        for candidate in candidates:
            candidate_decisions = merge.get_decisions("main", candidate)
            if _agree(decisions, candidate_decisions):
                local_id = candidate
                own_decisions = candidate_decisions
                break

        if local_id is not None:
            candidates.remove(local_id)
        yield (
            ImportedStep(step, local_id),
            dict.fromkeys([key for key in decisions if key not in own_decisions]),
        )


def _identify(step: Row) -> tuple[str, ...]:
    return tuple(str(step[name]) for name in ("at", "user", "kind", "arguments"))


def _agree(decisions: dict[str, str], others: dict[str, str]) -> bool:
    # Without a common sample, steps of the same author, time and kind are equal by coincidence.
    common = decisions.keys() & others.keys()
    return bool(common) and all(decisions[key] == others[key] for key in common)


def _plan_sample(
    plan: MergePlan, merge: CatalogueMerge, key: str, *, is_decided_here: bool
) -> None:
    """Plan the label of a sample with new decisions there; `is_decided_here`: also here."""
    other = merge.get_state("other", key)
    if other is None:
        return
    # Without a state it was added by this merge.
    local = merge.get_state("main", key) or DecidedState("queue")
    has_local_decision = local.status in _ACTIONS
    has_other_decision = other.status in _ACTIONS
    # The first two fields are status and label: nothing to plan if both sides agree, or if neither
    # has decided.
    if local[:2] == other[:2] or not (has_local_decision or has_other_decision):
        return

    is_local_new = is_decided_here and has_local_decision
    if is_local_new and has_other_decision:
        conflict = f"{local.label or local.status} or {other.label or other.status}"
        plan.conflicts[key] = conflict
        plan.choices.append(Choice(key, "clear", None, conflict))
        return

    # The decisions of the other dataset are appended to the history first, so a last decision is
    # needed, even if it repeats the state that this dataset has.
    state = local if is_local_new else other
    action = _ACTIONS.get(state.status, "clear")
    # For a sample in the queue, repeat the action that put it there.
    if state.status not in _ACTIONS and state.action in _QUEUE_ACTIONS:
        action = state.action
    plan.choices.append(Choice(key, action, state.label, state.provenance))
    if state.status == UNLISTED:
        plan.unlisted.append(key)


def _apply(dataset: Dataset, merge: CatalogueMerge, plan: MergePlan, name: str) -> None:
    merge.add_origins()
    merge.add_samples()
    # Our ids by theirs, because the undo of a step names it. Steps come in their order, so that
    # the step which is undone is already there.
    local_ids: dict[int | None, int] = {}

    for step, local_id in plan.steps:
        local_ids[step["id"]] = merge.add_step(
            step,
            local_id,
            local_ids.get(step["undoes"]),
        )

    if plan.choices:
        merge_step = apply_decisions(
            dataset.db,
            make_operation(MERGE_KIND, dataset=name, count=len(plan.choices)),
            plan.choices,
        )
        set_mark(dataset.db, merge_step, plan.unlisted, UNLISTED_MARK)
