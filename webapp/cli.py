"""The `webapp` command: a page that says who is in a picture, and its REST API."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NoReturn

import click

from gleanset import Dataset
from gleanset.cli import Command, CommandGroup, CommandJob, Result, gone_option, group, job_options
from gleanset.cli import main as run_main
from gleanset.db.reports import REMOVAL, Reports
from gleanset.errors import MissingComponent, UsageError
from gleanset.installation import install_command
from gleanset.request import options_of
from webapp.request import ServeRequest, StaticPageRequest
from webapp.settings import RequestLimits

commands = group("webapp", "Serve a trained model: a page, and a REST API.")


@commands.command(cls=Command, epilog="Example: webapp serve -d my-dataset --port 8080")
@job_options()
@options_of(ServeRequest)
@gone_option("--switch", what="a server answers by one model", hint="restart: webapp serve RUN")
@gone_option(
    "--trust-proxy", what="it is called as uvicorn's", hint="--forwarded-allow-ips ADDRESS"
)
def serve(job: CommandJob, request: ServeRequest) -> None:
    """Serve a RUN (its id or folder), or an exported .onnx file, until Ctrl-C.

    What the page shows stands in [web] of dataset.toml (title, languages, classes, thresholds,
    contact), or in GLEANSET_WEB_TITLE and the like. Without a RUN it is the one named there or the
    newest; to serve another one, start the server again. What visitors must know to be let in
    stands in $GLEANSET_WEB_TOKEN; else a token is made and printed.
    """
    need_web()
    from webapp.serving import serve_page

    serve_page(job.root, request, job.show, job.progress)


@commands.command(cls=Command, epilog="Example: webapp export public -d my-dataset")
@job_options()
@options_of(StaticPageRequest)
def export(job: CommandJob, request: StaticPageRequest) -> Result:
    """Write the page of a RUN into FOLDER, for any web host: it answers without a server.

    Each visitor's own device answers, also without a network; there are no reports. Everybody who
    sees the page may fetch the model. Without a RUN it is the one named in [web], or the newest.
    """
    need_web()
    from webapp.static_export import export_page

    return export_page(job.root, request, job.progress)


def need_web() -> None:
    """Raise `MissingComponent` where what serves the page is not installed."""
    missing = [name for name in ("fastapi", "uvicorn", "httptools") if find_spec(name) is None]
    if missing:
        raise MissingComponent(
            f"serving needs {' and '.join(missing)}, which is not installed",
            install_command("web"),
        )


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
    from curation.web_reports import accept_reports, list_disputed_reports

    every = ALL in numbers
    with _open(job) as dataset:
        chosen = _chosen(dataset, numbers)
        removals = Reports(dataset.db).count(kind=REMOVAL)
        left = (
            list_disputed_reports(dataset).keys() & set(chosen) if every and name is None else set()
        )
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
    from webapp.report_spool import ReportSpool

    ReportSpool(job.root, RequestLimits()).take()
    return job.open()


def _chosen(dataset: Dataset, numbers: tuple[str, ...]) -> list[int]:
    if ALL in numbers:
        every = Reports(dataset.db).iterate()
        return [report.id for report in every if report.claim.kind != REMOVAL]
    return list(dict.fromkeys(map(int, numbers)))


commands.add_command(reports)


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
