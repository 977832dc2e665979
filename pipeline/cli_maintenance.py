"""`gleanset verify`, `forget`, `gc`, `merge`, `snapshot`, `restore`: keeping a dataset in order."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import click

from gleanset.cli import Command, CommandJob, Result, confirmed, gone_option, job_options
from gleanset.config import Param
from gleanset.errors import DoneInPart, MissingComponent, UsageError
from gleanset.html.words import number
from gleanset.records import Snapshot
from gleanset.request import Count, Request, options_of

_CONFLICTS_TOLD = 20
_UNITS = {"h": 3600.0, "d": 86400.0, "w": 604800.0}


@click.command(cls=Command, epilog="Example: gleanset verify --repair -d my-dataset")
@job_options()
@click.option(
    "--repair", is_flag=True, help="Mend what can be; what is damaged is kept beside, in damaged/."
)
def verify(job: CommandJob, repair: bool) -> Result:
    """Check every file against its hash and every row against its file.

    What the catalogue contradicts itself in is counted, with examples: rows that point to nothing,
    faces that are there twice, labels taken from hints that name several classes, and moments that
    straddle a split. Nothing is changed.

    With --repair a picture that is gone or damaged is taken again from the local file it came from,
    or else marked as missing, so that its harvest fetches it again. What cannot be read is left
    alone: it may be sound.

    The exit code is 3 where something is gone, damaged or cannot be read, and was not mended.
    """
    from pipeline.maintenance.verify import unsound
    from pipeline.maintenance.verify import verify as check

    with job.open(rehearse=not repair) as dataset:
        counts = check(dataset, repair=repair, progress=job.progress)
    for finding, fix in _FIXES.items():
        if counts[finding]:
            job.say(f"{finding}: {fix}")
    if wrong := unsound(counts):
        fix = "run again the harvest that they came from" if repair else "gleanset verify --repair"
        raise DoneInPart(wrong, f"{fix}; a copy elsewhere helps where neither can", counts)
    return counts


_FIXES = {
    "gone_crops": "facecrop run cuts them again",
    "damaged_crops": "facecrop run cuts them again, once they are put aside (--repair)",
    "disputed_labels": "labeler accept hints leaves them to you again",
    "straddling_moments": "labeler split brings them together",
}


class ForgetRequest(Request, frozen=True, kw_only=True):
    """The images that `gleanset forget` removes."""

    COMMAND = "gleanset forget"

    images: Annotated[
        tuple[str, ...], Param("This image.", option="--image", metavar="SHA256|FILE")
    ] = ()
    origins: Annotated[
        tuple[str, ...],
        Param("Every image that was found there.", option="--origin", metavar="URL|SOURCE:ID"),
    ] = ()
    authors: Annotated[
        tuple[str, ...], Param("Every image by this author.", option="--author")
    ] = ()
    reports: Annotated[
        tuple[Count, ...],
        Param(
            "The image that a user of the page asks to be removed; settles the report.",
            option="--report",
            metavar="NUMBER",
        ),
    ] = ()
    reason: Annotated[str, Param("Kept with the tombstone.", show_default=True)] = "asked to"
    yes: Annotated[bool, Param("Do not ask.", short="-y")] = False


@click.command(cls=Command, epilog="Example: gleanset forget --author Hokusai -d my-dataset")
@job_options(simulate=True)
@options_of(ForgetRequest)
def forget(job: CommandJob, request: ForgetRequest) -> Result:
    """Take pictures out of the dataset for good: files, faces, samples and decisions.

    Only a tombstone stays, so that no harvest brings them back. This cannot be undone.
    Export again afterwards: earlier exports and trained models are not touched.
    """
    from curation.removals import plan_removal, remove_images

    with job.open() as dataset:
        plan = plan_removal(
            dataset, request.images, request.origins, request.authors, request.reports
        )
        if job.simulate:
            return {"would_forget": plan.result()}
        question = f"Remove {len(plan.images)} images and {plan.samples} samples for good?"
        if not request.yes and not confirmed(question):
            raise UsageError(
                "nothing was removed", "answer y, give -y, or name less: --simulate shows what"
            )
        remove_images(dataset, plan, request.reason)
        return {"forgotten": plan.result()}


@click.command(cls=Command, epilog="Example: gleanset gc --older 1d --simulate -d my-dataset")
@job_options(simulate=True)
@click.option(
    "--older",
    default="1d",
    show_default=True,
    metavar="AGE",
    help="Spare files that are younger, such as 12h, 1d or 2w.",
)
def gc(job: CommandJob, older: str) -> Result:
    """Remove files that no row knows, what killed runs left, and old copies of the catalogue.

    The copy made by the last upgrade is kept, however old. With --simulate the paths are shown.
    """
    from pipeline.maintenance.gc import collect

    age = parse_age(older)
    show = (lambda path: job.show(str(path))) if job.simulate else (lambda path: None)
    with job.open() as dataset:
        return collect(dataset, age, simulate=job.simulate, show=show)


@click.command(cls=Command, epilog="Example: gleanset merge ../anas-dataset -d my-dataset")
@job_options(simulate=True)
@click.argument("other", type=click.Path(path_type=Path, file_okay=False))
def merge(job: CommandJob, other: Path) -> Result:
    """Take in another dataset: its pictures, faces, samples, and who decided what and when.

    A sample that the two label differently goes back into the queue, with both opinions in
    its decisions; where only one of the two has decided since they were the same dataset, that
    counts. Merging the same dataset again adds what is new in it. Nothing is written to OTHER.
    labeler undo takes back what a merge decided; the pictures, faces and samples that came stay.
    """
    from pipeline.maintenance.merge import merge as take_in

    with job.open() as dataset:
        result, conflicts = take_in(dataset, other, simulate=job.simulate, progress=job.progress)
    for sample, said in list(conflicts.items())[:_CONFLICTS_TOLD]:
        job.say(f"labelled differently: {sample} is {said}")
    if len(conflicts) > _CONFLICTS_TOLD:
        job.say(f"and {len(conflicts) - _CONFLICTS_TOLD} more")
    if result["decided"] and not job.simulate:
        job.say("labeler undo takes back what this merge decided; what it added stays")
    return {"would_merge": result} if job.simulate else result


def parse_age(text: str) -> float:
    """'12h', '1d' or '2w' in seconds. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not an age", "write for instance 12h, 1d or 2w")
    return float(match.group(1)) * _UNITS[match.group(2)]


@click.command(cls=Command, epilog="Example: gleanset doctor")
@job_options()
def doctor(job: CommandJob) -> None:
    """Say which parts are there on this machine, what each is for, and what mends it.

    Nothing is fetched, started or changed, and no site is asked. The exit code is 6 where a
    part is missing without which little works.
    """
    from pipeline.doctor import Component, examine_components

    def lines_of(part: Component) -> list[str]:
        line = f"{'ok' if part.ok else '--'}  {part.name:<10}  {part.there}"
        return [line] if part.ok else [line, f"    for {part.purpose}", f"    -> {part.hint}"]

    parts = []
    for part in examine_components(job.root):
        parts.append(part)
        if not job.as_json:
            for line in lines_of(part):
                job.tell(line)
    if job.as_json:
        job.show_json({"parts": [asdict(part) for part in parts]})
    if lacking := [part for part in parts if part.needed and not part.ok]:
        names = " and ".join(part.name for part in lacking)
        raise MissingComponent(f"{names}: little works without", lacking[0].hint)


@click.command(
    cls=Command, epilog="Example: gleanset snapshot audited --note checked -d my-dataset"
)
@job_options()
@click.argument("name", required=False)
@click.option("--note", default="", help="A note to store with it.")
@click.option("--remove", is_flag=True, help="Remove that snapshot.")
def snapshot(job: CommandJob, name: str | None, note: str, remove: bool) -> Result | None:
    """Copy the catalogue under a NAME, or list the snapshots.

    Images are not copied: gc keeps those that a snapshot names. dataset.toml is not part of it.
    """
    from curation.snapshots import create_snapshot
    from gleanset.db.snapshots import Snapshots

    with job.open() as dataset:
        snapshots = Snapshots(dataset.root)
        if name is not None and remove:
            dataset.db.check_writable()
            snapshots.remove(name)
            return {"removed": name}
        if name is not None:
            return _result(create_snapshot(dataset, name, note))
        if remove or note:
            raise UsageError("no snapshot was named", "write for instance: gleanset snapshot v1")
        listed = list(snapshots.iterate())
    if job.as_json:
        return {"snapshots": [_result(record) for record in listed]}
    for record in listed:
        date = record.at[:16].replace("T", " ")
        counts = f"{number(record.images)} images, {number(record.labelled)} labelled"
        job.tell(f"{record.name}  {date} UTC  {counts}  {record.note}".rstrip())
    if not listed:
        job.tell("no snapshot yet; make one: gleanset snapshot NAME")
    return None


@click.command(cls=Command, epilog="Example: gleanset restore audited -d my-dataset")
@job_options(simulate=True)
@click.argument("name")
@gone_option(
    "--settings",
    what="a snapshot holds no settings",
    hint="keep copies of dataset.toml yourself, for instance with git",
)
@gone_option("--limit", what="nothing is listed", hint="see the counts: gleanset snapshot")
def restore(job: CommandJob, name: str) -> Result:
    """Replace the catalogue by a snapshot; the present one is kept as a snapshot first.

    Refused while another program has the dataset open. Images that were forgotten do not come
    back. To take it back, restore the snapshot it made.
    """
    from curation.snapshots import restore_snapshot
    from gleanset.db.snapshots import Snapshots

    with job.open() as dataset:
        if job.simulate:
            return {"would_restore": _result(Snapshots(dataset.root).get(name))}
        kept = restore_snapshot(dataset, name)
    return {"restored": name, "before": kept.name, "undo": f"gleanset restore {kept.name}"}


def _result(snapshot: Snapshot) -> Result:
    fields = asdict(snapshot)
    return {"snapshot": fields.pop("name")} | {k: v for k, v in fields.items() if v != ""}


COMMANDS = (verify, forget, gc, merge, snapshot, restore)
