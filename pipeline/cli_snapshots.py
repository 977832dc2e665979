"""`gleanset snapshot|diff|restore`: states of a dataset that are kept, compared and put back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.completion import snapshots_here
from gleanset.errors import UsageError

if TYPE_CHECKING:
    from curation.snapshots import Difference


limit_option = click.option(
    "--limit",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="So many pictures and samples are listed of each kind.",
)


@click.command(
    cls=Command, epilog="Example: gleanset snapshot audited --note checked -d my-dataset"
)
@job_options()
@click.argument("name", required=False, shell_complete=snapshots_here)
@click.option("--note", default="", help="A few words to be kept with it.")
@click.option("--remove", is_flag=True, help="Remove that snapshot; pictures and labels stay.")
def snapshot(job: CommandJob, name: str | None, note: str, remove: bool) -> Result | None:
    """Keep the present state of the dataset under a NAME, or list what was kept.

    Kept are labels, rejections, copies set aside, marks, splits, balance, classes and
    dataset.toml, and which pictures there are. No file is copied, and only what differs from the
    snapshot before takes room.
    """
    from curation.snapshots import take_snapshot
    from pipeline.snapshot_lines import snapshot_result, snapshot_table

    if name is None:
        if remove or note:
            raise UsageError("no snapshot was named", "write for instance: gleanset snapshot v1")
        return snapshot_table(job)
    with job.open() as dataset:
        if remove:
            from gleanset.db.snapshots import Snapshots

            Snapshots(dataset.db).remove(name)
            return {"removed": name}
        return snapshot_result(take_snapshot(dataset, name, note))


@click.command(cls=Command, epilog="Example: gleanset diff audited -d my-dataset")
@job_options()
@click.argument("a", shell_complete=snapshots_here)
@click.argument("b", default="now", shell_complete=snapshots_here)
@limit_option
def diff(job: CommandJob, a: str, b: str, limit: int) -> Result | None:
    """Show what differs from snapshot A to snapshot B, or to what is now.

    Pictures, labels, splits, copies set aside, classes and settings; "now" may also be A.
    """
    from curation.snapshots import difference
    from pipeline.snapshot_lines import difference_lines, difference_result

    with job.open() as dataset:
        found = difference(dataset, a, b, limit)
    if job.as_json:
        return difference_result(found)
    for line in difference_lines(found):
        job.show(line)
    return None


@click.command(cls=Command, epilog="Example: gleanset restore audited --simulate -d my-dataset")
@job_options(simulate=True)
@click.argument("name", shell_complete=snapshots_here)
@click.option(
    "--settings",
    "with_settings",
    is_flag=True,
    help="Also write dataset.toml as it was; the present one is kept beside it.",
)
@limit_option
def restore(job: CommandJob, name: str, with_settings: bool, limit: int) -> Result | None:
    """Put back what was decided when a snapshot was taken.

    It is one step, which labeler undo takes back. A window can decide meanwhile, and that stays;
    what was cut short goes on when the command is given again. Nothing is deleted: pictures that
    came later stay, in the queue and without a split. What was forgotten does not come back.
    dataset.toml is no part of the step; see --settings. With --simulate it is shown what differs,
    --limit of each.
    """
    from curation import snapshots
    from pipeline.snapshot_lines import difference_lines, difference_result

    with job.open() as dataset:
        if job.simulate:
            found, changed = snapshots.rehearse_restore(
                dataset, name, limit, with_settings=with_settings
            )
            if job.as_json:
                return {"would_change": changed, "difference": difference_result(found)}
            for line in difference_lines(found):
                job.show(line)
            return {"would_change": changed}
        aside = snapshots.restore_settings(dataset, name) if with_settings else None
        done = snapshots.restore(dataset, name)
        rest = snapshots.difference(dataset, name, limit=0)
        since = snapshots.decided_otherwise(dataset, name)
    result: Result = {"restored": name, "changed": done or 0}
    result |= {"settings_before": aside} if aside else {}
    return result | ({"notes": notes} if (notes := list(_notes(rest, done, aside, since))) else {})


def _notes(rest: Difference, done: int | None, aside: str | None, since: int) -> Iterator[str]:
    """Yield what a person has to know after a restore; `rest` is what still differs."""
    if since:
        yield f"decided since it was begun, and left so: {since}; once more puts them back, too"
    if done is not None:
        yield "labeler undo takes this back"
    if aside is not None:
        yield f"dataset.toml is as it was; the one before is {aside}, which no undo puts back"
    elif rest.settings:
        keys = ", ".join(one.key for one in rest.settings)
        yield f"dataset.toml is left as it is (--settings puts it back): {keys} differ"
    if rest.pictures.added:
        yield f"pictures that came later stay, undecided: {rest.pictures.added}"


COMMANDS = (snapshot, diff, restore)
