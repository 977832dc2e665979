"""`labeler dedup|groups|audit|quality|split|balance`: from samples to a training set."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.core import ParameterSource

from gleanset import Dataset
from gleanset.cli import Command, CommandJob, Result, gone_option, job_options, workers_option
from gleanset.errors import DoneInPart, InputUnusable, UsageError
from gleanset.named_files import FEW, few_files, for_dataset, found_at, short_name
from gleanset.request import options_of
from gleanset.settings import FILE, SplitSettings
from gleanset.terminal import shown_name
from labeler.balance import BalanceSettings

if TYPE_CHECKING:
    from labeler.audit import Audit
    from labeler.splits.plan import SplitPlan


_SHOWN = 50
_KNOWN = (
    "no sample is new: what an earlier labeler dedup, or its --simulate, found of them was kept"
)
_SMALL = "the same but for a small place, or for what is laid over it"
_CONTESTED = "they share a part, which images that are not the same have as well"
_PERHAPS = (
    "all but a small place is the same. dedup sets nobody aside for that, and the next split "
    "keeps both on one side; labeler groups --same or --differ says what it is"
)
_FOLDER = click.Path(path_type=Path)


@click.command(cls=Command, epilog="Example: labeler dedup --simulate -d my-dataset")
@job_options(simulate=True, on=True)
@workers_option
def dedup(job: CommandJob, workers: int | None) -> Result:
    """Find copies of one picture, keep the best of each and set the others aside.

    Copies may be cropped, framed, mirrored, marked, recoloured or compressed again. Where only a
    small place differs, nothing is set aside and the pair waits for you (labeler groups
    --doubtful); of faces under a hundred pixels a side such a change may be too small to see.
    Labels move to the copy that is kept; copies with different labels or hints wait for you
    (labeler groups --conflicts). Nothing is deleted, and labeler undo takes it back. With
    --simulate what was found is remembered, and nothing is set aside.
    """
    from labeler.duplicates.decisions import conflict_summary
    from labeler.duplicates.finder import DuplicateFinder

    with job.open() as dataset:
        finder = DuplicateFinder(dataset, workers=workers or 0, progress=job.progress)
        known, counts = finder.known(), finder.search()
        plan = finder.plan()
        if not job.simulate:
            finder.apply(plan)
        result: Result = {"looked_at": counts.described}
        result |= {"looked_at_before": known} if known else {}
        result |= {"pairs": counts.compared, **plan.result()}
        result |= {"unreadable": counts.failed} if counts.failed else {}
        if known and not counts.described:
            result["note"] = _KNOWN if job.simulate else f"{_KNOWN}; what it calls for is done"
        return result | conflict_summary(dataset, plan)


_PAIR = "SAMPLE SAMPLE"


@click.command(cls=Command, epilog="Example: labeler groups --conflicts -d my-dataset | jq .")
@job_options()
@click.option(
    "--conflicts", is_flag=True, help="Only those whose copies are labelled or hinted differently."
)
@click.option("--doubtful", is_flag=True, help="Only pairs of which you have to say what they are.")
@click.option("--same", nargs=2, metavar=_PAIR, help="Say that two samples show the same picture.")
@click.option("--differ", nargs=2, metavar=_PAIR, help="Say that two samples are not the same.")
def groups(
    job: CommandJob,
    conflicts: bool,
    doubtful: bool,
    same: tuple[str, str] | None,
    differ: tuple[str, str] | None,
) -> Result | None:
    """Print the duplicate groups, one JSON object a line: who is kept, and why.

    Where the copies are labelled differently, say which label is right: labeler label CLASS SAMPLE.
    `files` are where they came from, the kept one first. Last come the doubtful pairs, both of
    which are kept: say what they are with --same or --differ. That is remembered for ever;
    labeler dedup carries it out.
    """
    from labeler.duplicates.decisions import judge
    from labeler.duplicates.finder import DuplicateFinder

    if pair := same or differ:
        with job.open() as dataset:
            a, b = map(dataset.samples.named, pair)
            return {"step": judge(dataset, a, b, same=bool(same)), "same": bool(same)}
    with job.open(rehearse=True) as dataset:
        plan = DuplicateFinder(dataset, progress=job.progress).plan()
        for group in plan.sets:
            contradictory = group.conflict or group.hints
            if (conflicts and contradictory) or not (conflicts or doubtful):
                line = {
                    "kept": group.kept,
                    "others": group.others,
                    "reason": group.reason,
                    "conflict": group.conflict,
                    "decisions": group.decisions,
                    "files": [found_at(dataset, member.key) for member in group.members],
                }
                line |= {"hints": group.hints} if group.hints else {}
                job.show_json(line)
        for doubt in [] if conflicts and not doubtful else plan.doubts:
            samples = [member.key for member in sorted(doubt.members, key=lambda m: m.id)]
            reason = _CONTESTED if doubt.contested else _SMALL
            line = {"doubtful": True, "samples": samples, "reason": reason}
            line["files"] = [found_at(dataset, key) for key in samples]
            job.show_json(line)
    return None


@click.command(cls=Command, epilog="Example: labeler audit ~/their-dataset --fail")
@job_options()
@click.argument("tree", required=False, type=_FOLDER)
@click.argument("other", required=False, type=_FOLDER)
@gone_option(
    "--sheet",
    is_flag=False,
    what="it prints the pairs",
    hint="their files, for any viewer: labeler audit --json | jq .pairs",
)
@click.option("--fail", is_flag=True, help="End with exit code 3 where there is a leak.")
@workers_option
def audit(
    job: CommandJob,
    tree: Path | None,
    other: Path | None,
    fail: bool,
    workers: int | None,
) -> Result:
    """Find pictures of one split that are in another one as well.

    TREE has folders train, val or test on its first level (or images/train and so on), of any
    tool. Without TREE it is the dataset itself. With OTHER all pictures of TREE, which may be a
    dataset, are compared with all of OTHER. Nothing is changed. What differs in a small place only
    is perhaps a copy; what is only alike is not a leak.
    """
    result: dict[str, Any] = _audit(job, tree, other, workers or 0).result()
    shown = result if job.as_json else _readable(result)
    if fail and result["leaks"]:
        raise DoneInPart(
            f"{result['leaks']} pairs of pictures are in two splits",
            "see the pairs above; split by moments: labeler dedup, then labeler split",
            shown,
        )
    return shown


def _audit(job: CommandJob, tree: Path | None, other: Path | None, workers: int) -> Audit:
    from labeler.audit import (
        AuditSet,
        KnownPairs,
        add_tree,
        find_leaks,
        of_dataset,
        of_tree,
        straddling,
    )

    root = tree if tree is not None and (tree / FILE).is_file() else None
    if tree is not None and root is None:
        audited = of_tree(tree) if other is None else AuditSet()
        if other is not None:
            add_tree(audited, tree, "first")
            add_tree(audited, other, "second")
        return find_leaks(audited, workers=workers, progress=job.progress)
    with Dataset.open(root) if root else job.open() as dataset:
        audited = of_dataset(dataset, None if other is None else "dataset")
        if other is not None:
            add_tree(audited, other, "second")
            return find_leaks(audited, workers=workers, progress=job.progress)
        also = list(straddling(dataset, audited.pictures))
        before = KnownPairs.of(dataset, audited.pictures)
        return find_leaks(audited, workers=workers, progress=job.progress, also=also, before=before)


def _readable(result: dict[str, Any]) -> Result:
    from labeler.audit import PERHAPS

    lines = [
        f"{shown_name(pair['a'])}  =  {shown_name(pair['b'])}  ({pair['kind']}"
        + (", other labels" if pair["labels"][0] != pair["labels"][1] else "")
        + ")"
        for pair in result["pairs"]
    ]
    files = [f"{shown_name(row['file'])}: {row['reason']}" for row in result["not_read"]]
    note = {"note": f"{PERHAPS}: {_PERHAPS}"} if PERHAPS in result["kinds"] else {}
    return note | result | {"pairs": _few(lines), "not_read": _few(files)}


def _few(lines: list[str]) -> list[str]:
    more = [f"and {len(lines) - _SHOWN} more: see --json"] if len(lines) > _SHOWN else []
    return lines[:_SHOWN] + more


@click.command(cls=Command, epilog="Example: labeler quality -d my-dataset")
@job_options()
@gone_option(
    "--simulate", "-s", what="it decides nothing, it only measures", hint="leave --simulate out"
)
@workers_option
def quality(job: CommandJob, workers: int | None) -> Result:
    """Measure samples and count those that are blurred, black, white or tiny.

    Only what is new or was cut anew is measured. Nothing is decided: list them with
    `gleanset list samples --where flags=blurred`.
    """
    from labeler.quality.assessment import assess_quality

    with job.open() as dataset:
        if not dataset.samples.count():
            raise InputUnusable(
                "there are no samples yet, so there is nothing to measure",
                f"see what comes next: gleanset status {dataset.option}",
            )
        counts = assess_quality(dataset, workers=workers or 0, progress=job.progress)
        return dataclasses.asdict(counts)


@click.command(cls=Command, epilog="Example: labeler split --ratio 8:1:1 --seed 0 -d my-dataset")
@job_options(simulate=True)
@gone_option(
    "--most",
    is_flag=False,
    what="samples are split whatever their source",
    hint="harvest less of that source: --limit N",
)
@options_of(SplitSettings)
def split(job: CommandJob, request: SplitSettings) -> Result:
    """Assign labelled samples to train, val and test, keeping every moment whole.

    Run again with the same settings it places what is new, and nothing leaves val or test; where
    a new picture ties a moment of train to one of test, that of train is left out. Defaults are
    in [split] of dataset.toml. Labelled samples that labeler dedup has not compared are compared
    first, so that copies stay together; also with --simulate what is found is remembered.
    """
    from labeler.duplicates.decisions import conflicting_label_summary
    from labeler.duplicates.finder import DuplicateFinder
    from labeler.splits.plan import apply_split, plan_split
    from labeler.splits.split_spec import split_summary

    asked = {
        name: getattr(request, name)
        for name in request.__struct_fields__
        if click.get_current_context().get_parameter_source(name) == ParameterSource.COMMANDLINE
    }
    ways = {"ratio", "counts", "folds"} & asked.keys()
    if len(ways) > 1:
        raise UsageError(
            "--ratio, --counts and --folds are three ways of splitting", "give one of them"
        )
    with job.open() as dataset:
        own = dataset.settings.split
        if ways:  # another way than that of dataset.toml
            own = msgspec.structs.replace(own, counts=None, folds=0, fold=1)
        copies = DuplicateFinder(dataset, progress=job.progress).search_labelled()
        plan = plan_split(dataset, msgspec.structs.replace(own, **asked))
        if not job.simulate:
            apply_split(dataset, plan)
        told = plan.result() | copies | conflicting_label_summary(dataset)
        if not job.as_json and told.get("tied"):
            told["tied"] = _tied_files(dataset, plan)
        return told if job.as_json else split_summary(told)


def _tied_files(dataset: Dataset, plan: SplitPlan) -> Result:
    left = plan.left_by_ties()
    few = list(left.items())[:FEW]
    lines = [f"{short_name(found_at(dataset, key))}: {why}" for key, why in few]
    see = "gleanset list samples --where split=null"
    told = few_files(lines, for_dataset(dataset, see), len(left))
    return {"note": "another --seed splits everything anew and leaves none of them out"} | told


@click.command(cls=Command, epilog="Example: labeler balance --method copies -d my-dataset")
@job_options(simulate=True)
@options_of(BalanceSettings)
def balance(job: CommandJob, request: BalanceSettings) -> Result:
    """Bring the classes of train to one size, for exports and training.

    Only after the split and only in train, so that no copy of a picture is on both sides. Says
    what each class lacks and the search that would fill it. Split again, balance again.
    """
    from labeler.balance import apply_balance, plan_balance

    with job.open() as dataset:
        plan = plan_balance(dataset, request)
        if not job.simulate:
            apply_balance(dataset, plan)
        return plan.result()


COMMANDS = (dedup, groups, audit, quality, split, balance)
