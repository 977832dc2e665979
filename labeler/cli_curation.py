"""`labeler quality|split|balance`: from labelled samples to what a training takes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click
import msgspec

from gleanset import Dataset
from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.errors import InputUnusable, UsageError
from gleanset.named_files import FEW, few_files, for_dataset, found_at, short_name
from labeler.balance import METHODS, Method

if TYPE_CHECKING:
    from labeler.splits.plan import SplitPlan


@click.command(cls=Command, epilog="Example: labeler quality -d my-dataset")
@job_options(simulate=True)
@click.option("--workers", type=click.IntRange(1, 256), default=None, help="Worker processes.")
def quality(job: CommandJob, workers: int | None) -> Result:
    """Measure samples and count those that are blurred, black, white, tiny, full of text ...

    Only what is new or was cut anew is measured; outliers of their class are found anew each
    time. Nothing is decided: list them with `gleanset list samples --where flags=blurred`, or
    by a measure: --where 'blur>=0.7'.
    """
    from labeler.quality.assessment import QualityAssessment

    with job.open() as dataset:
        if not dataset.samples.count():
            raise InputUnusable(
                "there are no samples yet, so there is nothing to measure",
                f"see what comes next: gleanset status {dataset.option}",
            )
        session = QualityAssessment(
            dataset, workers=workers or 0, progress=job.progress, simulate=job.simulate
        )
        return dataclasses.asdict(session.run())


@click.command(cls=Command, epilog="Example: labeler split --ratio 8:1:1 --seed 0 -d my-dataset")
@job_options(simulate=True)
@click.option("--ratio", help="train:val:test. Default: dataset.toml, else 8:1:1.")
@click.option(
    "--counts",
    metavar="N:N:N",
    help="Of each class so many in train, val and test, "
    "such as 100:20:20; what is more has no split. rest:20:20 leaves nothing out.",
)
@click.option("--folds", type=int, metavar="K", help="K folds of equal size, to cross-validate.")
@click.option(
    "--fold",
    type=int,
    metavar="N",
    help="The fold that is test now, from 1 on; the next one is val.",
)
@click.option(
    "--hold-out",
    multiple=True,
    metavar="KIND=NAME",
    help="source=pixiv or video=episode-06.mkv: test is all of that and nothing else.",
)
@click.option(
    "--most",
    multiple=True,
    metavar="SOURCE=N%",
    help="Samples that only this source has are at most so much of train: pixiv=20%.",
)
@click.option("--seed", type=int, help="Default: dataset.toml, else 0.")
def split(
    job: CommandJob,
    ratio: str | None,
    counts: str | None,
    folds: int | None,
    fold: int | None,
    hold_out: tuple[str, ...],
    most: tuple[str, ...],
    seed: int | None,
) -> Result:
    """Assign labelled samples to train, val and test, keeping every moment whole.

    Run again with the same settings it places what is new, and nothing leaves val or test; where
    a new picture ties a moment of train to one of test, that of train is left out. Defaults are
    in [split] of dataset.toml. Labelled samples that labeler dedup has not compared are compared
    first, so that copies stay together; also with --simulate what is found is remembered.
    """
    from labeler.duplicates.conflict_files import conflicting_labels
    from labeler.splits.copies import copies_told, look_for_copies
    from labeler.splits.plan import apply_split, plan_split
    from labeler.splits.summary import split_summary

    if sum(option is not None for option in (ratio, counts, folds)) > 1:
        raise UsageError(
            "--ratio, --counts and --folds are three ways of splitting", "give one of them"
        )
    with job.open() as dataset:
        own = dataset.settings.split
        given = {
            "ratio": ratio,
            "counts": counts,
            "folds": folds,
            "fold": fold,
            "hold_out": list(hold_out) or None,
            "most": list(most) or None,
            "seed": seed,
        }
        if ratio or counts or folds is not None:  # another way than that of dataset.toml
            own = msgspec.structs.replace(own, counts=None, folds=0, fold=1)
        changed = {name: value for name, value in given.items() if value is not None}
        copies = look_for_copies(dataset, job.progress)
        plan = plan_split(dataset, msgspec.structs.replace(own, **changed))
        if not job.simulate:
            apply_split(dataset, plan)
        told = plan.result() | copies_told(copies) | conflicting_labels(dataset)
        if not job.as_json and told.get("tied"):
            told["tied"] = _tied_files(dataset, plan)
        return told if job.as_json else split_summary(told)


def _tied_files(dataset: Dataset, plan: SplitPlan) -> Result:
    """Return what a summary says of samples that are left out because others of test tie them."""
    left = plan.left_by_ties()
    few = list(left.items())[:FEW]
    lines = [f"{short_name(found_at(dataset, key))}: {why}" for key, why in few]
    see = "gleanset list samples --where split=null --where moment!=null"
    told = few_files(lines, for_dataset(dataset, see), len(left))
    return {"note": "another --seed splits everything anew and leaves none of them out"} | told


@click.command(cls=Command, epilog="Example: labeler balance --method copies -d my-dataset")
@job_options(simulate=True)
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="weights",
    show_default=True,
    help="down: leave some out. copies: repeat some (exported as NAME_balancing). "
    "augment: repeat them mirrored, shifted and shaded. weights: a column and a loss "
    "that count each class alike. off: as they are.",
)
@click.option(
    "--target",
    type=click.IntRange(1),
    metavar="N",
    help="Samples a class. Default: as the smallest (down), the largest (copies, augment) or the "
    "mean class (weights) has.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Which ones are chosen.")
def balance(job: CommandJob, method: Method, target: int | None, seed: int) -> Result:
    """Bring the classes of train to one size, for exports and training.

    Only after the split and only in train, so that no copy of a picture is on both sides. Says
    what each class lacks and the search that would fill it. Split again, balance again.
    """
    from labeler.balance import apply_balance, parse_target, plan_balance

    with job.open() as dataset:
        plan = plan_balance(dataset, method, parse_target(target, method), seed)
        if not job.simulate:
            apply_balance(dataset, plan)
        return plan.result()


COMMANDS = (quality, split, balance)
