"""Maintenance commands of `gleanset`, from `verify` to `doctor`."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import click

from gleanset.cli import Command, CommandJob, Result, confirm, job_options
from gleanset.config import Param
from gleanset.errors import DoneInPart, MissingComponent, UsageError
from gleanset.html.words import number
from gleanset.records import Snapshot
from gleanset.request import Count, Request, request_options

_MAX_PRINTED_CONFLICTS = 20
_SECONDS = {"h": 3600.0, "d": 86400.0, "w": 604800.0}


@click.command(cls=Command, epilog="Example: gleanset verify --repair -d my-dataset")
@job_options()
@click.option(
    "--repair", is_flag=True, help="Repair what can be; damaged files are moved to damaged/."
)
def verify(job: CommandJob, repair: bool) -> Result:
    """Check files against their hashes, and rows against their files.

    Contradictions within the catalogue are counted, with examples: rows that point to nothing,
    duplicate faces, labels from disputed weak labels, and groups in more than one split. Nothing
    is changed.

    With --repair, missing or damaged images are copied again from their local file, or marked as
    missing, so that their harvest downloads them again. Unreadable files stay as they are.

    The exit code is 3 if missing, damaged or unreadable files remain.
    """
    from pipeline.maintenance.verify import summarize_damage
    from pipeline.maintenance.verify import verify as verify_dataset

    with job.open(rehearse=not repair) as dataset:
        counts = verify_dataset(dataset, repair=repair, progress=job.progress)
    for name, fix in _FIXES.items():
        if counts[name]:
            job.say(f"{name.replace('_', ' ')}: {fix}")
    if damage := summarize_damage(counts):
        fix = "run the harvest of these images again" if repair else "gleanset verify --repair"
        raise DoneInPart(damage, f"{fix}, or restore the files from a backup", counts)
    if job.as_json:
        return counts
    return {name: value for name, value in counts.items() if value or name in ("images", "sound")}


_FIXES = {
    "gone_crops": "crop again with facecrop run",
    "damaged_crops": "move them away with --repair, then crop again with facecrop run",
    "disputed_labels": "return them to the queue with labeler accept hints",
    "straddling_groups": "assign each group to one split with labeler split",
}


class ForgetRequest(Request, frozen=True, kw_only=True):
    """The images that `gleanset forget` removes."""

    COMMAND = "gleanset forget"

    images: Annotated[
        tuple[str, ...], Param("This image.", option="--image", metavar="SHA256|FILE")
    ] = ()
    origins: Annotated[
        tuple[str, ...],
        Param(
            "All images from this page, post or source.", option="--origin", metavar="URL|SOURCE:ID"
        ),
    ] = ()
    authors: Annotated[tuple[str, ...], Param("All images by this author.", option="--author")] = ()
    reports: Annotated[
        tuple[Count, ...],
        Param(
            "The image of this removal request; settles the request.",
            option="--report",
            metavar="NUMBER",
        ),
    ] = ()
    reason: Annotated[str, Param("Reason to record.", show_default=True)] = "asked to"
    yes: Annotated[bool, Param("Do not ask for confirmation.", short="-y")] = False


@click.command(cls=Command, epilog="Example: gleanset forget --author Hokusai -d my-dataset")
@job_options(simulate=True)
@request_options(ForgetRequest)
def forget(job: CommandJob, request: ForgetRequest) -> Result:
    """Remove images for good: files, faces, samples and decisions.

    A tombstone keeps harvests from downloading them again. This cannot be undone.
    Earlier exports and trained models are not changed: export and train again.
    """
    from pipeline.maintenance.removals import plan_removal, remove_images

    with job.open() as dataset:
        plan = plan_removal(
            dataset, request.images, request.origins, request.authors, request.reports
        )
        if job.simulate:
            return {"would_forget": plan.result()}
        question = f"Remove {len(plan.images)} images and {plan.samples} samples for good?"
        if not request.yes and not confirm(question):
            raise UsageError(
                "nothing was removed", "answer y or add --yes; --simulate lists the images"
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
    help="Keep files younger than this, such as 12h, 1d or 2w.",
)
def gc(job: CommandJob, older: str) -> Result:
    """Remove unreferenced files and leftovers of killed runs.

    Also old copies of the catalogue; the one made by the last upgrade is always kept.
    --simulate prints the paths.
    """
    from pipeline.maintenance.gc import collect_garbage

    age = parse_age(older)
    show = (lambda path: job.show(str(path))) if job.simulate else (lambda path: None)
    with job.open() as dataset:
        return collect_garbage(dataset, age, simulate=job.simulate, show=show)


@click.command(cls=Command, epilog="Example: gleanset merge ../anas-dataset -d my-dataset")
@job_options(simulate=True)
@click.argument("other", type=click.Path(path_type=Path, file_okay=False))
def merge(job: CommandJob, other: Path) -> Result:
    """Import images, faces, samples and decisions of another dataset.

    A sample labelled differently in both returns to the queue and keeps both decisions. If only
    one side has decided since both were the same dataset, its decision wins. Merging again adds
    only what is new. OTHER is not changed. labeler undo reverts the decisions of a merge, not
    the images, faces and samples it added.
    """
    from pipeline.maintenance.merge import merge_dataset

    with job.open() as dataset:
        result, conflicts = merge_dataset(
            dataset, other, simulate=job.simulate, progress=job.progress
        )
    for sample, labels in list(conflicts.items())[:_MAX_PRINTED_CONFLICTS]:
        job.say(f"labelled differently: {sample} is {labels}")
    if len(conflicts) > _MAX_PRINTED_CONFLICTS:
        job.say(f"and {len(conflicts) - _MAX_PRINTED_CONFLICTS} more")
    if result["decided"] and not job.simulate:
        job.say("to undo the merged labels: labeler undo (images and samples stay)")
    return {"would_merge": result} if job.simulate else result


def parse_age(text: str) -> float:
    """Return seconds for '12h', '1d' or '2w'. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text.strip())
    if match is None:
        raise UsageError(f"not an age: {text!r}", "use a number and a unit: 12h, 1d or 2w")
    return float(match.group(1)) * _SECONDS[match.group(2)]


@click.command(cls=Command, epilog="Example: gleanset doctor")
@job_options()
def doctor(job: CommandJob) -> None:
    """Check which components work here, and how to fix the others.

    Nothing is downloaded, started or changed, and no site is contacted. The exit code is 6 if a
    required component is missing.
    """
    from pipeline.doctor import examine_components

    components = []
    for component in examine_components(job.root):
        components.append(component)
        if not job.as_json:
            mark = "ok" if component.ok else "--"
            job.tell(f"{mark}  {component.name:<10}  {component.finding}")
            if not component.ok:
                job.tell(f"    needed for: {component.purpose}")
                job.tell(f"    hint: {component.hint}")
    if job.as_json:
        job.show_json({"parts": [asdict(component) for component in components]})
    if missing := [component for component in components if component.needed and not component.ok]:
        names = ", ".join(component.name for component in missing)
        raise MissingComponent(f"required component missing: {names}", missing[0].hint)


@click.command(
    cls=Command, epilog="Example: gleanset snapshot audited --note checked -d my-dataset"
)
@job_options()
@click.argument("name", required=False)
@click.option("--note", default="", help="A note to store with the snapshot.")
@click.option("--remove", is_flag=True, help="Remove this snapshot.")
def snapshot(job: CommandJob, name: str | None, note: str, remove: bool) -> Result | None:
    """Save a copy of the catalogue as NAME, or list the snapshots.

    Images are not copied, but gc keeps those a snapshot needs. dataset.toml is not included.
    """
    from gleanset.db.snapshots import Snapshots
    from pipeline.maintenance.snapshots import create_snapshot

    with job.open() as dataset:
        snapshots = Snapshots(dataset.root)
        if name is not None and remove:
            dataset.db.check_writable()
            snapshots.remove(name)
            return {"removed": name}
        if name is not None:
            return _snapshot_result(create_snapshot(dataset, name, note))
        if remove or note:
            raise UsageError("no name for the snapshot", "add one: gleanset snapshot v1")
        listed = list(snapshots.iterate())
    if job.as_json:
        return {"snapshots": [_snapshot_result(record) for record in listed]}
    for record in listed:
        date = record.at[:16].replace("T", " ")
        counts = f"{number(record.images)} images, {number(record.labelled)} labelled"
        job.tell(f"{record.name}  {date} UTC  {counts}  {record.note}".rstrip())
    if not listed:
        job.tell("no snapshots; create one: gleanset snapshot NAME")
    return None


@click.command(cls=Command, epilog="Example: gleanset restore audited -d my-dataset")
@job_options(simulate=True)
@click.argument("name")
def restore(job: CommandJob, name: str) -> Result:
    """Restore the catalogue from a snapshot.

    The current one is saved as a snapshot first. Fails while another program has the dataset
    open. Forgotten images stay forgotten. To undo, restore the snapshot saved first.
    """
    from gleanset.db.snapshots import Snapshots
    from pipeline.maintenance.snapshots import restore_snapshot

    with job.open() as dataset:
        if job.simulate:
            return {"would_restore": _snapshot_result(Snapshots(dataset.root).get(name))}
        saved = restore_snapshot(dataset, name)
    return {"restored": name, "before": saved.name, "undo": f"gleanset restore {saved.name}"}


def _snapshot_result(snapshot: Snapshot) -> Result:
    fields = asdict(snapshot)
    return {"snapshot": fields.pop("name")} | {k: v for k, v in fields.items() if v != ""}


COMMANDS = (doctor, verify, forget, gc, merge, snapshot, restore)
