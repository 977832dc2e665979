"""`labeler balance`: classes of train that count alike."""

from __future__ import annotations

import click

from gleanset.cli import Command, Job, Result, job_options
from labeler.balance import METHODS, Method


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
def balance(job: Job, method: Method, target: int | None, seed: int) -> Result:
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
