"""`gleanset status`: counts of a dataset, and the command to run next."""

import shlex
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from importlib.util import find_spec
from typing import Any

from baseline.data.runs import find_latest_model
from baseline.extras import can_transfer
from baseline.prelabel import MIN_ACCEPT_CONFIDENCE
from curation.labelling_command import (
    PRELABEL_COMMAND,
    has_window,
    suggest_labelling_command,
    suggest_training_command,
)
from facecrop.request import suggest_whole_images
from gleanset import Dataset
from gleanset.command_result import CommandResult
from gleanset.db.duplicates import Pairs
from gleanset.db.faces import WHOLE
from gleanset.db.journal import count_unseen_in_evaluation, get_unseen_labels
from gleanset.db.opinions import DISAGREEMENTS, Agreement, list_agreements
from gleanset.db.proposals import count_confident_proposals
from gleanset.db.reports import REMOVAL, list_spooled_reports
from gleanset.db.samples import Hints, SplitEvidence
from gleanset.db.statistics import Statistics
from gleanset.errors import GleansetError, InputUnusable
from gleanset.named_files import rejections_command
from gleanset.records import SPLITS, Run
from labeler.acceptance import find_obstacle, plan_acceptance
from labeler.duplicates.plan import DuplicatePlan, conflicting_label_summary, make_plan
from labeler.requests import SOURCE as IMPORT

MIN_SHARE_TO_LABEL = 10
"""With a model, labeling comes next if at least 1 of this many labelled samples is pending."""


def next_step(dataset: Dataset, duplicates: DuplicatePlan | None = None) -> str:
    """Return the command to run next; it works as printed.

    The only placeholder is DIR, a folder of images that only the user can name. What was just
    undone is not advised again. `duplicates` is the present plan, if the caller has made it.
    """
    if dataset.read_only:
        return f"gleanset list samples {dataset.option}"
    if dataset.reports.count(kind=REMOVAL):
        # Someone waits for an answer, perhaps with a legal right to it.
        return f"webapp reports list {dataset.option}"

    counts = _SampleCounts(dataset)
    # A first model needs two classes. Once there is a model, the present labels may be of a single
    # class.
    needs_classes = counts.classes < 2 and find_latest_model(dataset) is None
    if not counts.labelled or needs_classes:
        return _next_labeling_step(dataset, counts)
    if duplicates is None:
        duplicates = _plan_duplicates(dataset)
    return _next_model_step(dataset, counts, duplicates)


def _plan_duplicates(dataset: Dataset) -> DuplicatePlan:
    pairs = Pairs(dataset.db)
    return make_plan(pairs) if pairs.may_be_open() else DuplicatePlan()


class _SampleCounts:
    """Numbers of labelled and pending samples, and of classes with a label."""

    def __init__(self, dataset: Dataset):
        counts = dataset.samples.count_by("kept", "status", "label")
        self.pending = counts.get(("kept", "queue", None), 0)
        labels = {
            label: number
            for (duplicate_status, status, label), number in counts.items()
            if (duplicate_status, status) == ("kept", "labelled")
        }
        self.classes = len(labels)
        self.labelled = sum(labels.values())


def _next_labeling_step(dataset: Dataset, counts: _SampleCounts) -> str:
    """Return the command to run next while there are not enough labels for a model."""
    if command := _find_detection_command(dataset):
        return command
    if not counts.labelled and (suggestion := suggest_whole_images(dataset)):
        return suggestion[0]  # the command, without why

    # Not what was just undone.
    if dataset.journal.find_undone_kind() != "accept-hints" and any(
        find_obstacle(sample) is None for sample in Hints(dataset.db).iter_waiting()
    ):
        return f"labeler accept hints {dataset.option}"

    if counts.pending and (command := _find_labelling_command(dataset)):
        return command
    return f"harvest folder DIR --hints-from-folders {dataset.option}"


def _next_model_step(
    dataset: Dataset, counts: _SampleCounts, duplicates: DuplicatePlan
) -> str:
    steps = [
        partial(_find_accept_command, dataset, counts),
        partial(_find_split_command, dataset, duplicates),
        partial(_find_detection_command, dataset),
    ]
    # The first split waits until new images are searched for faces. Later splits do not wait for
    # the search, so that new labels can be used at once.
    if not dataset.samples.has_splits():
        steps.insert(0, steps.pop())
    for find_command in steps:
        if command := find_command():
            return command

    latest_run = find_latest_model(dataset)
    can_serve = latest_run is not None and find_spec("starlette") is not None
    if (latest_run is None or _is_outdated(dataset, latest_run)) and can_transfer():
        return suggest_training_command(dataset)
    if dataset.reports.count():
        command = "webapp serve --admin" if can_serve else "webapp reports list"
        return f"{command} {dataset.option}"

    # Pending samples come next if there is no model yet, or if they are many.
    has_many = counts.pending * MIN_SHARE_TO_LABEL >= counts.labelled
    is_next = counts.pending and (has_many or latest_run is None)
    if is_next and (command := _find_labelling_command(dataset)):
        return command
    command = "webapp serve" if can_serve else "labeler export"
    return f"{command} {dataset.option}"


def _find_split_command(dataset: Dataset, duplicates: DuplicatePlan) -> str | None:
    """Return the command that new labels need before a training, if any."""
    if _has_unmarked_duplicates(dataset, duplicates):
        return f"labeler dedup {dataset.option}"
    return f"labeler split {dataset.option}" if _count_unsplit(dataset) else None


def _has_unmarked_duplicates(dataset: Dataset, duplicates: DuplicatePlan) -> bool:
    """Return whether `labeler dedup` has images to search or copies to mark.

    Copies whose marking was just undone are left as they are.
    """
    if SplitEvidence(dataset.db).count_not_searched(with_failed=False):
        return True
    is_undone = dataset.journal.find_undone_kind() == "set-aside"
    # `places` has only the samples whose duplicate set in the catalogue is to be changed.
    return bool(duplicates.places) and not is_undone


def _find_accept_command(dataset: Dataset, counts: _SampleCounts) -> str | None:
    """Return the command that accepts predictions, if enough of them are confident."""
    if dataset.journal.find_undone_kind() == "accept-proposals":
        return None
    # A quick count first: making the plan is slower, because it compares vectors.
    confident = count_confident_proposals(dataset.db)
    if confident * MIN_SHARE_TO_LABEL < counts.labelled:
        return None

    with suppress(InputUnusable):  # no predictions, or a class is newer than they are
        if plan_acceptance(dataset, MIN_ACCEPT_CONFIDENCE, classes=()).choices:
            if has_window():
                return f"labeler {dataset.option}"
            return f"labeler accept predictions {dataset.option}"
    return None


def _find_labelling_command(dataset: Dataset) -> str | None:
    """Return the command that labels pending samples, if it can run here."""
    command = suggest_labelling_command(dataset)
    is_prelabel = command is not None and command.startswith(PRELABEL_COMMAND)
    return None if is_prelabel and not can_transfer() else command


def _find_detection_command(dataset: Dataset) -> str | None:
    """Return the command that searches new images for faces, if there are any."""
    if not dataset.images.count_new():
        return None
    folder = dataset.images.find_interrupted_import(IMPORT)
    if folder is not None and folder.exists():
        # A face search would add samples beside those of the interrupted import.
        return f"labeler import {shlex.quote(str(folder))} {dataset.option}"

    return dataset.search_command


def _count_new_reports(dataset: Dataset) -> int:
    """Return the number of reports accepted since the latest run started; without a run, all."""
    latest_run = find_latest_model(dataset)
    return dataset.reports.count_accepted_since(
        latest_run.started if latest_run else ""
    )


def _is_outdated(dataset: Dataset, latest_run: Run) -> bool:
    """Return whether labels or splits have changed since the run was trained.

    A changed split counts because images the run was trained on may be in test now.
    """
    from baseline.evaluation.metrics import read_metrics

    try:
        metrics = read_metrics(dataset.runs_folder / latest_run.id)
    except GleansetError:
        # The dataset was copied without the files of the run, so there is no hash to compare. Newly
        # accepted reports still show that there are new labels.
        return _count_new_reports(dataset) > 0
    return bool(metrics.data.get("splits") != dataset.samples.hash_splits())


def _count_unsplit(dataset: Dataset) -> int:
    """Return the number of samples that the next `labeler split` would assign.

    They were labelled after the last split, or are in val or test with an unreviewed label.
    """
    return dataset.samples.count_unsplit() + count_unseen_in_evaluation(dataset.db)


class StatusResult(CommandResult, kw_only=True):
    """All counts of a dataset, and the command to run next."""

    ONLY_PRINTED = ("is_whole",)
    WORDS = {
        "rejections_are_listed_by": "rejected files",
        "undecided_pairs_are_listed_by": "pairs to decide",
    }

    dataset: str
    next: str
    rejections_are_listed_by: str = ""
    undecided_pairs_are_listed_by: str = ""
    images: int
    faces: int
    decisions: int
    waiting_for_split: int = 0
    undecided_pairs: int = 0
    disagreements: int = 0
    runs: int
    samples: dict[str, int]
    labels: dict[str, int]
    splits: dict[str, dict[str, int]]
    origins: dict[str, dict[str, int]]
    rejections: dict[str, dict[str, int]]
    labelled_differently: dict[str, Any] = {}
    agreements: list[Agreement] = []
    reports: dict[str, int]
    is_whole: bool = False

    def summary(self) -> dict[str, Any]:
        """Return the counts that are not zero, in plain words."""
        summary = dict(super().summary())
        summary["samples"] = _describe_counts(self.samples)
        summary["reports"] = _describe_counts(self.reports)
        summary["agreements"] = {
            f"{pair.person} and {pair.other}": {
                "Cohen's kappa": pair.kappa,
                "faces": pair.faces,
            }
            for pair in self.agreements
        }
        if not self.is_whole:
            return summary
        # A new dict keeps the order of the lines.
        return {
            "whole images" if name == "faces" else name: value
            for name, value in summary.items()
        }


_WORDS = {
    "set_aside": "duplicates",
    "queue": "unlabelled",
    "retired": "not in the dataset",
    "of_them_removals": "including removal requests",
}


def _describe_counts(counts: Mapping[str, int]) -> dict[str, int]:
    return {
        _WORDS.get(name, name.replace("_", " ")): number
        for name, number in counts.items()
        if number
    }


def gather_status(dataset: Dataset) -> StatusResult:
    """Return all counts, and the next command."""
    counts_by_label = Statistics(dataset.db).count_labelled()
    splits = {}
    for split in SPLITS:
        by_label = {
            label: by_split[split]
            for label, by_split in counts_by_label.items()
            if split in by_split
        }
        if by_label:
            splits[split] = by_label

    rejections = dataset.rejections.count_by_reason()
    duplicates = _plan_duplicates(dataset)

    result = StatusResult(
        dataset=str(dataset.root.absolute()),
        images=dataset.images.count(),
        faces=dataset.faces.count(),
        samples=_count_samples(dataset),
        labels={label: by_split.total() for label, by_split in counts_by_label.items()},
        splits=splits,
        decisions=dataset.journal.count(),
        origins=_count_images_by_query(dataset),
        waiting_for_split=_count_unsplit(dataset),
        disagreements=dataset.db.fetch_int(
            f"SELECT count(*) FROM {DISAGREEMENTS}"  # noqa: S608 - a constant
        ),
        agreements=list_agreements(dataset.db),
        rejections=rejections,
        rejections_are_listed_by=rejections_command(dataset) if rejections else "",
        runs=sum(1 for _ in dataset.runs.iterate()),
        reports={
            "waiting": dataset.reports.count()
            + len(list_spooled_reports(dataset.root)),
            "of_them_removals": dataset.reports.count(kind=REMOVAL),
            "accepted_since_training": _count_new_reports(dataset),
        },
        next=next_step(dataset, duplicates),
        is_whole=dataset.list_detectors() == {WHOLE},
    )
    if duplicates.doubts:
        result.undecided_pairs = len(duplicates.doubts)
        result.undecided_pairs_are_listed_by = (
            f"labeler groups --doubtful {dataset.option}"
        )

    return result.with_facts(conflicting_label_summary(dataset))


def _count_samples(dataset: Dataset) -> dict[str, int]:
    """Count the samples by status; duplicates are counted as such."""
    counts = Counter[str]()
    for (status, duplicate_status), number in dataset.samples.count_by(
        "status", "kept"
    ).items():
        is_duplicate = duplicate_status == "duplicate" and status != "retired"
        counts["set_aside" if is_duplicate else str(status)] += number

    unseen = len(get_unseen_labels(dataset.db))
    if unseen:
        counts["unreviewed_labels"] = unseen
    return dict(counts)


def _count_images_by_query(dataset: Dataset) -> dict[str, dict[str, int]]:
    counts = defaultdict[str, dict[str, int]](dict)
    for row in dataset.fetches.list_yields():
        if row.images:
            counts[row.source][row.asked or "(no weak label)"] = row.images
    return dict(counts)


def suggest_page_command(dataset: Dataset) -> str:
    """Return the command that serves the page; "" without a model."""
    if find_latest_model(dataset) is None:
        return ""
    return f"webapp serve {dataset.option}"
