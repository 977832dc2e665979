"""`labeler classes`: see and edit the classes of a dataset without the window."""

from __future__ import annotations

import copy
import shlex
from pathlib import Path

import click

from gleanset.cli import CommandGroup, CommandJob, Result, job_options
from gleanset.errors import UsageError


@click.group(cls=CommandGroup, epilog="Example: labeler classes list -d my-dataset")
def classes() -> None:
    """See, make, rename, merge and delete classes; `labeler undo` takes an edit back.

    Their order stands in dataset.toml, under [keys].
    """


@classes.command("list", epilog="Example: labeler classes list --json -d my-dataset")
@job_options()
def list_classes(job: CommandJob) -> Result:
    """List the classes in their order: key in the window, samples, show, other names."""
    from gleanset.db.classes import aliases
    from gleanset.db.sorting import SampleTiles
    from labeler.sorting.keys import ClassKeys

    with job.open() as dataset:
        counts = {row.name: row for row in SampleTiles(dataset.db).counts().classes}
        keys, others = ClassKeys(dataset).of(list(counts)), aliases(dataset.db)
    if not job.as_json:
        for name, key in keys.items():
            more = f"  of {show}" if (show := counts[name].show) else ""
            also = f"  also {', '.join(others[name])}" if name in others else ""
            job.tell(f"{counts[name].count:7}  {key:2}  {name}{more}{also}")
        return {"classes": len(keys)}
    rows = [
        {
            "name": name,
            "samples": counts[name].count,
            "key": key or None,
            "show": counts[name].show,
            "aliases": others.get(name, []),
        }
        for name, key in keys.items()
    ]
    return {"classes": rows}


@classes.command(epilog="Example: labeler classes add hana --show K-On --alias はな -d my-dataset")
@job_options()
@click.argument("name", required=False)
@click.option("--show", help="The show that it is of; an empty one for none.")
@click.option(
    "--alias",
    "aliases",
    multiple=True,
    metavar="NAME",
    help="Another name that means it, in hints, in imports, and where names are typed.",
)
@click.option(
    "--from",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help='Make those of a text file instead: one a line, "name" or "name: alias, alias".',
)
def add(
    job: CommandJob, name: str | None, show: str | None, aliases: tuple[str, ...], file: Path | None
) -> Result:
    """Make a class, which has no samples yet; or say more of one that is there."""
    from labeler.classes import ClassEditor, read_classes

    if (name is None) == (file is None) or (file is not None and (show or aliases)):
        raise UsageError("say which class to make", "name it, or a list of classes: --from FILE")
    if name is None:
        assert file is not None
        lines = read_classes(file)
        with job.open() as dataset:
            edit = ClassEditor(dataset).take_in(lines)
        return {"step": edit.step, "added": edit.changed, "there_before": len(lines) - edit.changed}
    with job.open() as dataset:
        editor, edits = ClassEditor(dataset), []
        if (show is None and not aliases) or dataset.classes.resolved(name) not in (
            dataset.classes.names()
        ):
            edits.append(editor.add(name))
        edits += [editor.add_alias(alias, name) for alias in aliases]
        edits += [] if show is None else [editor.set_show(name, show)]
        return {"step": edits[-1].step}


@classes.command(epilog="Example: labeler classes rename hana hanako -d my-dataset")
@job_options()
@click.argument("old")
@click.argument("new")
def rename(job: CommandJob, old: str, new: str) -> Result:
    """Give a class another name; its old one still means it."""
    from labeler.classes import ClassEditor

    with job.open() as dataset:
        return {"step": ClassEditor(dataset).rename(old, new).step}


@classes.command(epilog="Example: labeler classes merge hanna hana -d my-dataset")
@job_options()
@click.argument("old")
@click.argument("into")
def merge(job: CommandJob, old: str, into: str) -> Result:
    """Put all samples of class OLD into class INTO; OLD means INTO from now on."""
    from labeler.classes import ClassEditor

    with job.open() as dataset:
        edit = ClassEditor(dataset).merge(old, into)
    return {"step": edit.step, "moved": edit.changed}


@classes.command(epilog="Example: labeler classes delete hana -d my-dataset")
@job_options()
@click.argument("name")
def delete(job: CommandJob, name: str) -> Result:
    """Delete a class: its samples go back to the queue, and are in no split.

    Of an alias only the alias goes: it means the class no more. `labeler classes remove` means
    the same.
    """
    from gleanset.db.classes import aliases
    from gleanset.db.samples import Hints
    from labeler.classes import ClassEditor

    with job.open() as dataset:
        editor = ClassEditor(dataset)
        if any(name in others for others in aliases(dataset.db).values()):
            return {"step": editor.remove_alias(name).step}
        edit = editor.delete(name)
        hinted = name in Hints(dataset.db).names()
    drop = {"next": f"labeler hints drop {shlex.quote(name)} {dataset.option}"} if hinted else {}
    return {"step": edit.step, "back_in_queue": edit.changed} | drop


@click.group(cls=CommandGroup, epilog="Example: labeler hints drop Downloads -d my-dataset")
def hints() -> None:
    """Names of classes that folders, lists and searches gave images."""


@hints.command(epilog="Example: labeler hints drop Downloads -d my-dataset")
@job_options()
@click.argument("name")
def drop(job: CommandJob, name: str) -> Result:
    """Forget a hint for good: `labeler accept hints` makes no class of it any more.

    Labels stay as they are. Only a harvest with other options, or of new files, brings it back.
    """
    from gleanset.db.samples import Hints

    with job.open() as dataset:
        if not (number := Hints(dataset.db).drop(name)):
            known = ", ".join(Hints(dataset.db).names()[:10]) or "none"
            raise UsageError(f"there is no hint {name!r}", f"the hints are: {known}")
    return {"dropped_from_images": number}


remove = copy.copy(delete)
remove.name, remove.hidden = "remove", True
remove.epilog = "Example: labeler classes remove hana -d my-dataset"
classes.add_command(remove)
