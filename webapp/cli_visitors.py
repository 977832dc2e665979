"""`webapp reports` and `takedowns`: what visitors said and asked, settled without a window."""

from __future__ import annotations

from typing import Annotated

import click

from curation.take_downs import (
    accept_take_down,
    meant_by,
    plan_take_down,
    refuse_take_downs,
    waiting_request,
)
from gleanset import Dataset
from gleanset.cli import CommandGroup, CommandJob, Result, confirmed, job_options
from gleanset.config import Param
from gleanset.db.visitors import Reports, TakeDownWish
from gleanset.errors import UsageError
from gleanset.request import Request, options_of
from webapp.settings import RequestLimits

ALL = "all"
"""In place of the numbers of reports: all that wait."""


def checked_number(text: str) -> str:
    """Return the number of a report, or `all`, as it is. Raises `UsageError`."""
    if text != ALL and not (text.isascii() and text.isdecimal()):
        raise UsageError(f"{text!r} is no number of a report", f"give numbers, or {ALL}")
    return text


ReportNumbers = Annotated[
    tuple[str, ...],
    Param(argument=True, required=True, metavar="NUMBER...|all", parse=checked_number),
]


class ReportsRefused(Request, frozen=True, kw_only=True):
    """What `webapp reports refuse` is asked."""

    COMMAND = "webapp reports refuse"
    numbers: ReportNumbers = ()


class ReportsAccepted(Request, frozen=True, kw_only=True):
    """What `webapp reports accept` is asked."""

    COMMAND = "webapp reports accept"
    numbers: ReportNumbers = ()
    label: Annotated[
        str | None,
        Param(
            "Who it is, where that is not what was claimed.",
            option="--class",
        ),
    ] = None


class TakeDownAccepted(Request, frozen=True, kw_only=True):
    """What `webapp takedowns accept` is asked."""

    COMMAND = "webapp takedowns accept"
    number: Annotated[int, Param(argument=True, required=True)]
    pictures: Annotated[tuple[str, ...], Param(argument=True, metavar="[PICTURE]...")] = ()
    alike: Annotated[bool, Param("Also what only looks like the picture that was sent.")] = False
    yes: Annotated[bool, Param("Do not ask.", short="-y")] = False


@click.group(cls=CommandGroup, epilog="Example: webapp reports accept 12 -d my-dataset")
def reports() -> None:
    """Accept and refuse what visitors reported as wrong: `gleanset list reports` shows it."""


@reports.command("accept", epilog="Example: webapp reports accept 12 13 -d my-dataset")
@job_options()
@options_of(ReportsAccepted)
def accept_claims(job: CommandJob, request: ReportsAccepted) -> Result:
    """Take pictures of reports in, labelled as claimed: a step that `labeler undo` takes back.

    Reports that contradict each other wait until you say who it is (--class), or refuse one.
    `all` leaves them out; what it takes in nobody has looked at, so it stays in train.
    """
    from curation.web_reports import accept_reports, disputed

    every, name = ALL in request.numbers, request.label
    with _open(job) as dataset:
        chosen = _chosen(dataset, request.numbers)
        left = disputed(dataset).keys() & set(chosen) if every and name is None else set()
        named = dict.fromkeys((number for number in chosen if number not in left), name)
        settled = accept_reports(dataset, named, unseen=every) if named else None
    if left:
        job.say(f"visitors disagree in {len(left)} reports, which wait: gleanset list reports")
    counts = {"accepted": settled.reports if settled else 0, "disputed": len(left)}
    if settled and settled.waiting_for_split:
        counts["waiting_for_split"] = settled.waiting_for_split
        job.say(f"not in train, val or test yet: run labeler split {dataset.option}")
    return counts


@reports.command("refuse", epilog="Example: webapp reports refuse 14 -d my-dataset")
@job_options()
@options_of(ReportsRefused)
def refuse_claims(job: CommandJob, request: ReportsRefused) -> Result:
    """Refuse reports. Their pictures are removed by the next `gleanset gc`."""
    from curation.web_reports import refuse_reports

    with _open(job) as dataset:
        chosen = _chosen(dataset, request.numbers)
        settled = refuse_reports(dataset, chosen) if chosen else None
    return {"refused": settled.reports if settled else 0}


def _open(job: CommandJob) -> Dataset:
    """Open the dataset, which first takes the reports that a server that has ended kept for it."""
    from webapp.report_spool import ReportSpool

    ReportSpool(job.root, RequestLimits()).take()
    return job.open()


def _chosen(dataset: Dataset, numbers: tuple[str, ...]) -> list[int]:
    if ALL in numbers:
        return [report.id for report in Reports(dataset.db).each()]
    return list(dict.fromkeys(map(int, numbers)))


@click.group(cls=CommandGroup, epilog="Example: webapp takedowns accept 3 -d my-dataset")
def takedowns() -> None:
    """Accept and refuse what visitors asked to be removed: `gleanset list takedowns` shows it."""


@takedowns.command("accept", epilog="Example: webapp takedowns accept 3 -d my-dataset")
@job_options(simulate=True)
@options_of(TakeDownAccepted)
def accept_removal(job: CommandJob, request: TakeDownAccepted) -> Result:
    """Take the pictures of a request down for good, as `gleanset forget` does.

    They are those that it means for certain; or the PICTUREs that are named (files, or hashes by
    their beginnings) and no others. Only a tombstone of each stays, so that no harvest brings them
    back. This cannot be undone.
    """
    with job.open() as dataset:
        asked = waiting_request(dataset, request.number)
        pictures = request.pictures or _meant(dataset, asked.wish, request)
        plan = plan_take_down(dataset, pictures, [], [])
        if job.simulate:
            return {"would_forget": plan.result()}
        question = f"Remove {len(plan.images)} images and {plan.samples} samples for good?"
        if not request.yes and not confirmed(question):
            raise UsageError(
                "nothing was removed", "answer y, give -y, or name less: --simulate shows what"
            )
        settled = accept_take_down(dataset, request.number, plan)
    return {"forgotten": plan.result(), "requests": len(settled.requests)}


def _meant(dataset: Dataset, wish: TakeDownWish, request: TakeDownAccepted) -> list[str]:
    """Return the pictures that a request means. Raises `UsageError` where it means none."""
    meant = meant_by(dataset, wish)
    chosen = [*meant.same, *(image.sha256 for image in meant.alike if request.alike)]
    if not chosen:
        near = "look at what it looks like and give --alike, or " if meant.alike else ""
        refuse = f"webapp takedowns refuse {request.number}"
        raise UsageError(
            f"request {request.number} means no picture of this dataset for certain",
            f"{near}name it: webapp takedowns accept {request.number} PICTURE; else: {refuse}",
        )
    return chosen


@takedowns.command("refuse", epilog="Example: webapp takedowns refuse 4 -d my-dataset")
@job_options()
@click.argument("numbers", nargs=-1, type=int, required=True, metavar="NUMBER...")
def refuse_removal(job: CommandJob, numbers: tuple[int, ...]) -> Result:
    """Refuse requests: a step that `labeler undo` takes back."""
    with job.open() as dataset:
        return {"refused": len(refuse_take_downs(dataset, numbers).requests)}
