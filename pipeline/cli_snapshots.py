"""`gleanset snapshot|restore`: copies of the catalogue that are kept, and put back."""

from __future__ import annotations

import dataclasses

import click

from gleanset.cli import Command, CommandJob, Result, gone_option, job_options
from gleanset.errors import UsageError
from gleanset.html.words import number
from gleanset.records import Snapshot


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
    from curation.snapshots import take_snapshot
    from gleanset.db.snapshots import Snapshots

    with job.open() as dataset:
        snapshots = Snapshots(dataset.root)
        if name is not None and remove:
            dataset.db.refuse_if_read_only()
            snapshots.remove(name)
            return {"removed": name}
        if name is not None:
            return _result(take_snapshot(dataset, name, note))
        if remove or note:
            raise UsageError("no snapshot was named", "write for instance: gleanset snapshot v1")
        listed = list(snapshots.each())
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
    fields = dataclasses.asdict(snapshot)
    return {"snapshot": fields.pop("name")} | {k: v for k, v in fields.items() if v != ""}


COMMANDS = (snapshot, restore)
