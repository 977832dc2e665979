"""`webapp takedowns`: what visitors asked to be removed, accepted or refused by a person."""

from __future__ import annotations

import click

from curation.take_down import TakeDown, plan_take_down
from curation.web_take_downs import (
    accept_take_down,
    meant_by,
    refuse_take_downs,
    waiting_request,
)
from gleanset import Dataset
from gleanset.cli import CommandGroup, CommandJob, Result, confirmed, job_options
from gleanset.errors import UsageError


@click.group(cls=CommandGroup, epilog="Example: webapp takedowns accept 3 -d my-dataset")
def takedowns() -> None:
    """Accept and refuse what visitors asked to be removed: `gleanset list takedowns` shows it."""


@takedowns.command(epilog="Example: webapp takedowns accept 3 -d my-dataset")
@job_options(simulate=True)
@click.argument("number", type=int)
@click.option("--alike", is_flag=True, help="Also what only looks like the picture that was sent.")
@click.option(
    "--image",
    "images",
    multiple=True,
    metavar="SHA256|FILE",
    help="This image. Where one is named here, only what is named goes.",
)
@click.option("--origin", "origins", multiple=True, metavar="URL|SOURCE:ID", help="As in forget.")
@click.option("--author", "authors", multiple=True, help="As in forget.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def accept(
    job: CommandJob,
    number: int,
    alike: bool,
    images: tuple[str, ...],
    origins: tuple[str, ...],
    authors: tuple[str, ...],
    yes: bool,
) -> Result:
    """Take the pictures of a request down for good, as `gleanset forget` does.

    Only a tombstone of each stays, so that no harvest brings them back. This cannot be undone.
    """
    with job.open() as dataset:
        if images or origins or authors:
            waiting_request(dataset, number)
            plan = plan_take_down(dataset, images, origins, authors)
        else:
            plan = _plan(dataset, number, alike)
        if job.simulate:
            return {"would_forget": plan.result()}
        question = f"Remove {len(plan.images)} images and {plan.samples} samples for good?"
        if not yes and not confirmed(question):
            raise UsageError(
                "nothing was removed", "answer y, give -y, or name less: --simulate shows what"
            )
        settled = accept_take_down(dataset, number, plan)
    return {"forgotten": plan.result(), "requests": len(settled.requests)}


def _plan(dataset: Dataset, number: int, alike: bool) -> TakeDown:
    meant = meant_by(dataset, waiting_request(dataset, number).wish)
    chosen = [*meant.same, *(one.sha256 for one in meant.alike if alike)]
    if not chosen:
        near = "look at what it looks like and give --alike, or " if meant.alike else ""
        raise UsageError(
            f"request {number} means no picture of this dataset for certain",
            f"{near}name it: --image, --origin or --author; else: webapp takedowns refuse {number}",
        )
    return plan_take_down(dataset, chosen, [], [])


@takedowns.command(epilog="Example: webapp takedowns refuse 4 -d my-dataset")
@job_options()
@click.argument("numbers", nargs=-1, type=int, required=True, metavar="NUMBER...")
def refuse(job: CommandJob, numbers: tuple[int, ...]) -> Result:
    """Refuse requests: a step that `labeler undo` takes back."""
    with job.open() as dataset:
        return {"refused": len(refuse_take_downs(dataset, numbers).requests)}
