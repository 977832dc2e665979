"""`webapp takedowns`: what visitors asked to be removed, accepted or refused by a person."""

from __future__ import annotations

from typing import Annotated

import click

from curation.take_downs import (
    TakeDown,
    accept_take_down,
    meant_by,
    plan_take_down,
    refuse_take_downs,
    waiting_request,
)
from gleanset import Dataset
from gleanset.cli import CommandGroup, CommandJob, Result, confirmed, job_options
from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.request import Request, options_of


class TakeDownAnswer(Request, frozen=True, kw_only=True):
    """`webapp takedowns accept`: which request, and the pictures that are meant by it."""

    COMMAND = "webapp takedowns accept"

    number: Annotated[int, Param(argument=True, required=True)]
    alike: Annotated[bool, Param("Also what only looks like the picture that was sent.")] = False
    image: Annotated[
        tuple[str, ...],
        Param(
            "This image. Where one is named here, only what is named goes.", metavar="SHA256|FILE"
        ),
    ] = ()
    origin: Annotated[tuple[str, ...], Param("As in forget.", metavar="URL|SOURCE:ID")] = ()
    author: Annotated[tuple[str, ...], Param("As in forget.")] = ()
    yes: Annotated[bool, Param("Do not ask.", short="-y")] = False


@click.group(cls=CommandGroup, epilog="Example: webapp takedowns accept 3 -d my-dataset")
def takedowns() -> None:
    """Accept and refuse what visitors asked to be removed: `gleanset list takedowns` shows it."""


@takedowns.command(epilog="Example: webapp takedowns accept 3 -d my-dataset")
@job_options(simulate=True)
@options_of(TakeDownAnswer)
def accept(job: CommandJob, request: TakeDownAnswer) -> Result:
    """Take the pictures of a request down for good, as `gleanset forget` does.

    Only a tombstone of each stays, so that no harvest brings them back. This cannot be undone.
    """
    with job.open() as dataset:
        if named := (request.image or request.origin or request.author):
            waiting_request(dataset, request.number)
        plan = (
            plan_take_down(dataset, request.image, request.origin, request.author)
            if named
            else _plan(dataset, request.number, request.alike)
        )
        if job.simulate:
            return {"would_forget": plan.result()}
        question = f"Remove {len(plan.images)} images and {plan.samples} samples for good?"
        if not request.yes and not confirmed(question):
            raise UsageError(
                "nothing was removed", "answer y, give -y, or name less: --simulate shows what"
            )
        settled = accept_take_down(dataset, request.number, plan)
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
