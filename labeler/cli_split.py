"""`labeler split`: train, val and test that do not leak."""

from __future__ import annotations

import click
import msgspec

from gleanset.cli import Command, Job, Result, job_options
from gleanset.errors import UsageError


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
    job: Job,
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
    in [split] of dataset.toml. Find duplicates first, so that copies stay together.
    """
    from labeler.splits.plan import apply_split, plan_split

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
        plan = plan_split(dataset, msgspec.structs.replace(own, **changed))
        if not job.simulate:
            apply_split(dataset, plan)
        return plan.result()
