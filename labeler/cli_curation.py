"""`labeler quality|split|balance`: from labelled samples to what a training takes."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click
import msgspec
from click.core import ParameterSource

from gleanset import Dataset
from gleanset.cli import Command, CommandJob, Result, job_options, workers_option
from gleanset.errors import InputUnusable, UsageError
from gleanset.named_files import FEW, few_files, for_dataset, found_at, short_name
from gleanset.request import options_of
from gleanset.settings import SplitSettings
from labeler.balance import BalanceSettings

if TYPE_CHECKING:
    from labeler.splits.plan import SplitPlan


@click.command(cls=Command, epilog="Example: labeler quality -d my-dataset")
@job_options(simulate=True)
@workers_option
def quality(job: CommandJob, workers: int | None) -> Result:
    """Measure samples and count those that are blurred, black, white, tiny or unlike their class.

    Only what is new or was cut anew is measured; outliers of their class are found anew each
    time. Nothing is decided: list them with `gleanset list samples --where flags=blurred`.
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
@options_of(SplitSettings)
def split(job: CommandJob, request: SplitSettings) -> Result:
    """Assign labelled samples to train, val and test, keeping every moment whole.

    Run again with the same settings it places what is new, and nothing leaves val or test; where
    a new picture ties a moment of train to one of test, that of train is left out. Defaults are
    in [split] of dataset.toml. Labelled samples that labeler dedup has not compared are compared
    first, so that copies stay together; also with --simulate what is found is remembered.
    """
    from labeler.duplicates.conflict_files import conflicting_labels
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
        told = plan.result() | copies | conflicting_labels(dataset)
        if not job.as_json and told.get("tied"):
            told["tied"] = _tied_files(dataset, plan)
        return told if job.as_json else split_summary(told)


def _tied_files(dataset: Dataset, plan: SplitPlan) -> Result:
    """Return what a summary says of samples that are left out because others of test tie them."""
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


COMMANDS = (quality, split, balance)
