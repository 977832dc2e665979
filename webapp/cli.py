"""The `webapp` command."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import click
import msgspec

from gleanset import Dataset
from gleanset.cli import CommandJob, create_program
from gleanset.command_result import AliasedResult, CommandResult
from gleanset.db.reports import REMOVAL, Report, list_spooled_reports
from gleanset.errors import UsageError
from gleanset.installation import require_extra
from gleanset.request import request_options
from gleanset.terminal import replace_controls
from webapp.request import ServeRequest, StaticPageRequest
from webapp.settings import RequestLimits

if TYPE_CHECKING:
    from webapp.report_decisions import Obstacle
    from webapp.static_export import StaticPage

commands = create_program(
    "webapp", "Serve a trained model as a web page and a REST API."
)


@commands.job()
@request_options(ServeRequest)
def serve(job: CommandJob, request: ServeRequest) -> None:
    """Serve a RUN, or an exported .onnx file, until Ctrl-C.

    RUN is an id or a folder; the default is the one named in [web] of dataset.toml, else the
    latest. [web] also configures the page (title, languages, classes, thresholds, contact).
    Users need the token in $GLEANSET_WEB_TOKEN. Without it, one is created and printed if --host
    lets other machines in.

    Example: webapp serve -d my-dataset --port 8080
    """
    need_web()
    job.warn_of_lost_settings()
    from webapp.serving import serve_page

    serve_page(job.root, request, job.show, job.progress)


@commands.job()
@request_options(StaticPageRequest)
def export(job: CommandJob, request: StaticPageRequest) -> StaticPage:
    """Export the page of a RUN as static files for any web host.

    The model runs in the browser, also offline. There are no reports, and everyone who can open the
    page can download the model. The default run is the one named in [web], else the latest.

    Example: webapp export public -d my-dataset
    """
    need_web()
    job.warn_of_lost_settings()
    from webapp.static_export import export_page

    return export_page(job.root, request, job.progress)


def need_web() -> None:
    """Raise `MissingComponent` if packages for serving are missing."""
    require_extra("the page", ("starlette", "uvicorn", "httptools"), "web")


ALL = "all"
"""Argument instead of numbers: all pending reports of wrong answers."""


def check_numbers(
    _: click.Context, __: click.Parameter, numbers: tuple[str, ...]
) -> tuple[str, ...]:
    """Check the numbers of reports, or `all`. Raises `UsageError`.

    A callback of click, which also passes context and parameter.
    """
    for text in numbers:
        if text != ALL and not re.fullmatch("[0-9]{1,18}", text):
            raise UsageError(
                f"not the number of a report: {text!r}",
                f"use numbers, or {ALL}",
            )
    return numbers


report_numbers = click.argument(
    "numbers",
    nargs=-1,
    required=True,
    metavar="NUMBER...|all",
    callback=check_numbers,
)


@commands.subgroup
def reports() -> None:
    """List the pending reports of users, and accept or refuse them.

    Example: webapp reports accept 12 -d my-dataset
    """


class PendingReports(CommandResult, kw_only=True):
    """The pending reports, one line each."""

    pending: int
    reports: list[str]


@reports.job("list")
def list_pending(job: CommandJob) -> PendingReports:
    """List the pending reports, and why `accept all` would skip one.

    `gleanset list reports` prints all reports with every field.

    Example: webapp reports list -d my-dataset
    """
    from webapp.report_decisions import find_unclear_reports

    with _open(job) as dataset:
        unclear = find_unclear_reports(
            dataset,
            _select_reports(job, dataset, (ALL,)),
        )
        pending = list(dataset.reports.iterate())

    lines = []
    for report in pending:
        obstacles = [reason for reason, ids in unclear.items() if report.id in ids]
        lines.append(_describe(report, obstacles))
    return PendingReports(pending=len(pending), reports=lines)


def _describe(report: Report, obstacles: Iterable[Obstacle]) -> str:
    """Describe a report on one line, without control characters: users wrote some of it."""
    from webapp.report_decisions import NONE, NOT_A_FACE

    claim = report.claim
    if claim.kind == REMOVAL:
        subject = "removal"
    else:
        name = {"": NONE, NOT_A_FACE: "not a face"}.get(claim.claimed, claim.claimed)
        confidence = "no face"
        if claim.confidence is not None:
            confidence = f"{claim.confidence:.0%}"
        subject = f"{name}? (predicted: {claim.answer or 'unknown'}, {confidence})"

    reasons = [obstacle.value for obstacle in obstacles]
    parts = [subject, *reasons, f"{report.at[:16].replace('T', ' ')} UTC", claim.note]
    return replace_controls(
        f"{report.id}  {'; '.join(filter(None, parts))}",
        " ",
    )


def _report_unlisted(job: CommandJob, pending: list[Report], option: str) -> None:
    """Print how many reports are removal requests, or not in the catalogue yet."""
    removals = sum(report.claim.kind == REMOVAL for report in pending)
    if removals:
        job.say(
            f"pending removals: {removals} (gleanset forget --report NUMBER {option})"
        )
    spool_size = len(list_spooled_reports(job.root))
    if spool_size:
        job.say(f"not listed before another program has finished writing: {spool_size}")


class AcceptedReports(AliasedResult, kw_only=True):
    """Reports whose images were imported, and contradictory ones, which stay pending.

    `label` is the class that was given for all.
    """

    accepted: int
    disputed: int
    label: str = msgspec.field(default="", name="class")
    new_classes: list[str] = []
    waiting_for_split: int = 0


@reports.job("accept")
@report_numbers
@click.option(
    "--class", "name", help='The correct class, "" for none, if the reported is wrong.'
)
def accept_claims(
    job: CommandJob, numbers: tuple[str, ...], name: str | None
) -> AcceptedReports:
    """Import the images of reports with the reported class. `labeler undo` reverts it.

    Contradictory reports stay pending until you choose a class (--class) or refuse one; `all`
    skips them, new classes, images like those of the dataset, whole images in a dataset of faces
    (and parts in one of whole images), boxes without a face, and faces of none of the classes,
    which become unlisted persons. Labels of faces in the dataset stay unless you choose a class.
    Labels accepted by `all` are unreviewed and only used for training. To settle a removal request,
    run gleanset forget --report NUMBER.

    Example: webapp reports accept 12 13 -d my-dataset
    """
    from webapp.report_decisions import (
        Obstacle,
        accept_reports,
        find_unclear_reports,
        refuse_similar_names,
    )

    is_all = ALL in numbers
    with _open(job) as dataset:
        option = dataset.option
        requested_reports = _select_reports(job, dataset, numbers)
        unclear = find_unclear_reports(dataset, requested_reports)
        skipped_reports = set[int]()
        if is_all and name is None:
            skipped_reports.update(*unclear.values())
        claims = {
            number: name
            for number in requested_reports
            if number not in skipped_reports
        }
        refuse_similar_names(dataset, claims)
        # No person has looked at each of `all`: their labels stay unreviewed.
        step = accept_reports(dataset, claims, unseen=is_all) if claims else None
        aliases = dataset.classes.explain_aliases(
            [name] if name else [],
            option,
        )

    _report_obstacles(job, unclear, skipped_reports, option)
    result = AcceptedReports(
        accepted=len(claims),
        disputed=len(unclear[Obstacle.CONTRADICTORY] & skipped_reports),
    )
    if step is None:
        return result

    result.new_classes = list(step.new_classes)
    result.waiting_for_split = step.waiting_for_split
    if name:
        result = result.with_facts(aliases)
        # With --class, all reports have the same class; it may differ from `name`, an alias.
        result.label = next(iter(step.classes.values()))
    if step.new_classes:
        job.say(
            f"new classes: {', '.join(step.new_classes)} (labeler undo takes them back)"
        )
    if step.waiting_for_split:
        job.say(f"not in train, val or test yet: run labeler split {option}")
    return result


def _report_obstacles(
    job: CommandJob,
    unclear: Mapping[Obstacle, set[int]],
    skipped_reports: set[int],
    option: str,
) -> None:
    """Print how many unclear reports stay pending, and which were accepted all the same."""
    from webapp.report_decisions import Obstacle

    for obstacle, numbers in unclear.items():
        text = f"{obstacle.value}: {len(numbers)}"
        if numbers & skipped_reports:
            job.say(f"pending, {text} (webapp reports list {option})")
        elif numbers and obstacle in (Obstacle.SIMILAR, Obstacle.MISFIT):
            job.say(f"accepted, {text} (labeler undo takes them back)")


class RefusedReports(CommandResult, kw_only=True):
    """Reports that were refused."""

    refused: int


@reports.job("refuse")
@report_numbers
def refuse_claims(job: CommandJob, numbers: tuple[str, ...]) -> RefusedReports:
    """Refuse reports; `gleanset gc` deletes their images a day later.

    Example: webapp reports refuse 14 -d my-dataset
    """
    from webapp.report_decisions import refuse_reports

    with _open(job) as dataset:
        requested_reports = _select_reports(job, dataset, numbers)
        if requested_reports:
            refuse_reports(dataset, requested_reports)
    return RefusedReports(refused=len(requested_reports))


def _open(job: CommandJob) -> Dataset:
    from webapp.report_spool import ReportSpool

    ReportSpool(job.root, RequestLimits()).import_all()
    return job.open()


def _select_reports(
    job: CommandJob, dataset: Dataset, numbers: tuple[str, ...]
) -> list[int]:
    """Return the numbers of reports, each once; `all` are those of wrong answers."""
    if ALL in numbers:
        pending = list(dataset.reports.iterate())
        _report_unlisted(job, pending, dataset.option)
        return [report.id for report in pending if report.claim.kind != REMOVAL]
    return list(dict.fromkeys(map(int, numbers)))
