"""`webapp reports`: what visitors said, accepted or refused without a window."""

from __future__ import annotations

import click

from gleanset.cli import CommandGroup, CommandJob, Result, job_options
from gleanset.completion import classes_here
from gleanset.db.visitors import Reports
from gleanset.errors import UsageError


@click.group(cls=CommandGroup, epilog="Example: webapp reports accept 12 -d my-dataset")
def reports() -> None:
    """Accept and refuse what visitors reported as wrong: `gleanset list reports` shows it."""


@reports.command(epilog="Example: webapp reports accept 12 13 -d my-dataset")
@job_options()
@click.argument("numbers", nargs=-1, type=int, metavar="[NUMBER]...")
@click.option("--all", "every", is_flag=True, help="All that wait.")
@click.option(
    "--class",
    "name",
    shell_complete=classes_here,
    help="Who it is, where that is not what was claimed.",
)
def accept(job: CommandJob, numbers: tuple[int, ...], every: bool, name: str | None) -> Result:
    """Take pictures of reports in, labelled as claimed: a step that `labeler undo` takes back.

    Reports that contradict each other wait until you say who it is (--class), or refuse one;
    --all leaves them out; what it takes in nobody has looked at, so it stays in train.
    """
    from curation.web_reports import accept_reports, disputed

    with job.open() as dataset:
        chosen = _chosen(Reports(dataset.db), numbers, every)
        left = disputed(dataset).keys() & set(chosen) if every and name is None else set()
        chosen = [number for number in chosen if number not in left]
        named = dict.fromkeys(chosen, name)
        settled = accept_reports(dataset, named, unseen=every) if chosen else None
    if left:
        job.say(f"visitors disagree in {len(left)} reports, which wait: gleanset list reports")
    return {"accepted": settled.reports if settled else 0, "disputed": len(left)}


@reports.command(epilog="Example: webapp reports refuse 14 -d my-dataset")
@job_options()
@click.argument("numbers", nargs=-1, type=int, metavar="[NUMBER]...")
@click.option("--all", "every", is_flag=True, help="All that wait.")
def refuse(job: CommandJob, numbers: tuple[int, ...], every: bool) -> Result:
    """Refuse reports. Their pictures are removed by the next `gleanset gc`."""
    from curation.web_reports import refuse_reports

    with job.open() as dataset:
        chosen = _chosen(Reports(dataset.db), numbers, every)
        settled = refuse_reports(dataset, chosen) if chosen else None
    return {"refused": settled.reports if settled else 0}


def _chosen(stored: Reports, numbers: tuple[int, ...], every: bool) -> list[int]:
    if bool(numbers) == every:
        raise UsageError("which reports?", "give their numbers, or --all")
    return [one.id for one in stored.each()] if every else list(dict.fromkeys(numbers))
