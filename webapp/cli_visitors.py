"""`webapp reports`: accepts and refuses what users of the page reported."""

from __future__ import annotations

import click

from gleanset import Dataset
from gleanset.cli import CommandGroup, CommandJob, Result, job_options
from gleanset.db.visitors import REMOVAL, Reports
from gleanset.errors import UsageError
from webapp.settings import RequestLimits

ALL = "all"
"""In place of numbers: all pending reports of a wrong answer."""


def checked_numbers(
    _: click.Context, __: click.Parameter, numbers: tuple[str, ...]
) -> tuple[str, ...]:
    """Return numbers of reports, or `all`, as they are. Raises `UsageError`."""
    for text in numbers:
        if text != ALL and not (text.isascii() and text.isdecimal()):
            raise UsageError(f"not the number of a report: {text!r}", f"give numbers, or {ALL}")
    return numbers


report_numbers = click.argument(
    "numbers", nargs=-1, required=True, metavar="NUMBER...|all", callback=checked_numbers
)


@click.group(cls=CommandGroup, epilog="Example: webapp reports accept 12 -d my-dataset")
def reports() -> None:
    """Accept and refuse what visitors reported as wrong: `gleanset list reports` shows it."""


@reports.command("accept", epilog="Example: webapp reports accept 12 13 -d my-dataset")
@job_options()
@report_numbers
@click.option(
    "--class",
    "name",
    help="Who it is, where that is not what was claimed.",
)
def accept_claims(job: CommandJob, numbers: tuple[str, ...], name: str | None) -> Result:
    """Take pictures of reports in, labelled as claimed: a step that `labeler undo` takes back.

    Reports that contradict each other wait until you say who it is (--class), or refuse one.
    `all` leaves them out; what it takes in nobody has looked at, so it stays in train. A report
    that asks for a removal is settled by: gleanset forget --report NUMBER.
    """
    from curation.web_reports import accept_reports, disputed

    every = ALL in numbers
    with _open(job) as dataset:
        chosen = _chosen(dataset, numbers)
        removals = Reports(dataset.db).count(kind=REMOVAL)
        left = disputed(dataset).keys() & set(chosen) if every and name is None else set()
        named = dict.fromkeys((number for number in chosen if number not in left), name)
        settled = accept_reports(dataset, named, unseen=every) if named else None
    if left:
        job.say(f"visitors disagree in {len(left)} reports, which wait: gleanset list reports")
    if removals and every:
        job.say(f"{removals} ask for a removal and wait: gleanset forget --report NUMBER")
    counts = {"accepted": settled.reports if settled else 0, "disputed": len(left)}
    if settled and settled.waiting_for_split:
        counts["waiting_for_split"] = settled.waiting_for_split
        job.say(f"not in train, val or test yet: run labeler split {dataset.option}")
    return counts


@reports.command("refuse", epilog="Example: webapp reports refuse 14 -d my-dataset")
@job_options()
@report_numbers
def refuse_claims(job: CommandJob, numbers: tuple[str, ...]) -> Result:
    """Refuse reports. Their pictures are removed by the next `gleanset gc`."""
    from curation.web_reports import refuse_reports

    with _open(job) as dataset:
        chosen = _chosen(dataset, numbers)
        settled = refuse_reports(dataset, chosen) if chosen else None
    return {"refused": settled.reports if settled else 0}


def _open(job: CommandJob) -> Dataset:
    """Open the dataset, which first takes the reports that a server that has ended kept for it."""
    from webapp.report_spool import ReportSpool

    ReportSpool(job.root, RequestLimits()).take()
    return job.open()


def _chosen(dataset: Dataset, numbers: tuple[str, ...]) -> list[int]:
    if ALL in numbers:
        every = Reports(dataset.db).each()
        return [report.id for report in every if report.claim.kind != REMOVAL]
    return list(dict.fromkeys(map(int, numbers)))
