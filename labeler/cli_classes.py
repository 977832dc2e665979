"""`labeler classes`: see and edit the classes of a dataset without the window."""

from __future__ import annotations

import copy
from pathlib import Path

import click

from gleanset.cli import CommandGroup, CommandJob, Result, job_options
from gleanset.completion.values import classes_here, hints_here
from gleanset.errors import UsageError


@click.group(cls=CommandGroup, epilog="Example: labeler classes list -d my-dataset")
def classes() -> None:
    """See, make, rename, merge, delete and sort classes; `labeler undo` takes an edit back."""


@classes.command("list", epilog="Example: labeler classes list --json -d my-dataset")
@job_options()
def list_classes(job: CommandJob) -> Result:
    """List the classes in their order: key in the window, samples, show, other names."""
    from gleanset.db.names import aliases
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
    found = [
        {
            "name": name,
            "samples": counts[name].count,
            "key": key or None,
            "show": counts[name].show,
            "aliases": others.get(name, []),
        }
        for name, key in keys.items()
    ]
    return {"classes": found}


@classes.command(epilog="Example: labeler classes add hana -d my-dataset")
@job_options()
@click.argument("name", shell_complete=hints_here)
def add(job: CommandJob, name: str) -> Result:
    """Make a class, which has no samples yet; `labeler classes import` makes many."""
    from labeler.classes import ClassEditor

    with job.open() as dataset:
        return {"step": ClassEditor(dataset).add(name).step}


@classes.command(epilog="Example: labeler classes rename hana hanako -d my-dataset")
@job_options()
@click.argument("old", shell_complete=classes_here)
@click.argument("new")
def rename(job: CommandJob, old: str, new: str) -> Result:
    """Give a class another name; its old one still means it."""
    from labeler.classes import ClassEditor

    with job.open() as dataset:
        return {"step": ClassEditor(dataset).rename(old, new).step}


@classes.command(epilog="Example: labeler classes merge hanna hana -d my-dataset")
@job_options()
@click.argument("old", shell_complete=classes_here)
@click.argument("into", shell_complete=classes_here)
def merge(job: CommandJob, old: str, into: str) -> Result:
    """Put all samples of class OLD into class INTO; OLD means INTO from now on."""
    from labeler.classes import ClassEditor

    with job.open() as dataset:
        edit = ClassEditor(dataset).merge(old, into)
    return {"step": edit.step, "moved": edit.changed}


@classes.command(epilog="Example: labeler classes delete hana -d my-dataset")
@job_options()
@click.argument("name", shell_complete=classes_here)
def delete(job: CommandJob, name: str) -> Result:
    """Delete a class: its samples go back to the queue, and are in no split.

    `labeler classes remove` means the same.
    """
    from labeler.classes import ClassEditor

    with job.open() as dataset:
        edit = ClassEditor(dataset).delete(name)
    return {"step": edit.step, "back_in_queue": edit.changed}


remove = copy.copy(delete)
remove.name, remove.hidden = "remove", True
remove.epilog = "Example: labeler classes remove hana -d my-dataset"
classes.add_command(remove)


@classes.command(epilog="Example: labeler classes show hana K-On -d my-dataset")
@job_options()
@click.argument("name", shell_complete=classes_here)
@click.argument("show", default="")
def show(job: CommandJob, name: str, show: str) -> Result:
    """Say which show a class is of; without SHOW, of none."""
    from labeler.classes import ClassEditor

    with job.open() as dataset:
        return {"step": ClassEditor(dataset).set_show(name, show).step}


@classes.command(epilog="Example: labeler classes alias hana はな -d my-dataset")
@job_options()
@click.argument("name", shell_complete=classes_here)
@click.argument("alias")
@click.option("--remove", is_flag=True, help="It means this class no more.")
def alias(job: CommandJob, name: str, alias: str, remove: bool) -> Result:
    """Let another name mean a class: in hints, in imports, and where names are typed."""
    from labeler.classes import ClassEditor

    with job.open() as dataset:
        editor = ClassEditor(dataset)
        if remove and dataset.classes.resolved(alias) != dataset.classes.resolved(name):
            raise UsageError(f"{alias!r} does not mean {name!r}", "see: labeler classes list")
        edit = editor.remove_alias(alias) if remove else editor.add_alias(alias, name)
    return {"step": edit.step}


@classes.command("import", epilog="Example: labeler classes import classes.txt -d my-dataset")
@job_options()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def import_classes(job: CommandJob, file: Path) -> Result:
    """Make the classes of a text file: one a line, "name" or "name: alias, alias"."""
    from labeler.classes import ClassEditor, read_classes

    lines = read_classes(file)
    with job.open() as dataset:
        edit = ClassEditor(dataset).take_in(lines)
    return {"step": edit.step, "added": edit.changed, "there_before": len(lines) - edit.changed}


@classes.command(epilog="Example: labeler classes order hana rei -d my-dataset")
@job_options()
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=classes_here)
@click.option("--by", type=click.Choice(["name", "samples"]), help="Sort all of them.")
def order(job: CommandJob, names: tuple[str, ...], by: str | None) -> Result:
    """Put classes first, in this order, or sort all; the others follow as they were.

    The order stands in dataset.toml, under [keys]: it is no step, so undo does not change it.
    """
    from gleanset.db.sorting import SampleTiles
    from labeler.sorting.keys import ClassKeys

    if bool(names) == (by is not None):
        raise UsageError("say which classes come first, or --by name or samples")
    with job.open() as dataset:
        counts = {row.name: row.count for row in SampleTiles(dataset.db).counts().classes}
        keys = ClassKeys(dataset)
        known = list(keys.of(list(counts)))
        first = list(dict.fromkeys(dataset.classes.resolved(name) for name in names))
        if missing := [name for name in first if name not in counts]:
            raise UsageError(f"there is no class {missing[0]!r}", "see: labeler classes list")
        if by is not None:
            first = sorted(known, key=lambda name: (-counts[name] if by == "samples" else 0, name))
        keys.set_order([*first, *(name for name in known if name not in first)])
        return {"order": list(keys.of(list(counts)))}
