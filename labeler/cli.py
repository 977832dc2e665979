"""The `labeler` command: classes, decisions, splits and exports."""

from __future__ import annotations

import shlex
from typing import NoReturn

import click

from gleanset import Dataset
from gleanset.cli import CommandGroup, CommandJob, Result, gone_option, group, job_options
from gleanset.cli import main as run_main
from gleanset.errors import InputUnusable, UsageError
from gleanset.operations import operation
from labeler.cli_curation import COMMANDS as CURATION
from labeler.cli_exchange import COMMANDS as EXCHANGE
from labeler.cli_window import WindowGroup, add_window


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
@click.argument("name")
@click.option("--show", help="The show that it is of; an empty one for none.")
@click.option(
    "--alias",
    "aliases",
    multiple=True,
    metavar="NAME",
    help="Another name that means it, in hints, in imports, and where names are typed.",
)
@gone_option(
    "--from",
    is_flag=False,
    what="it makes one class",
    hint="for each line of a file: xargs -d '\\n' -n 1 labeler classes add < FILE",
)
def add(job: CommandJob, name: str, show: str | None, aliases: tuple[str, ...]) -> Result:
    """Make a class, which has no samples yet; or say more of one that is there."""
    from labeler.classes import ClassEditor

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

    Of an alias only the alias goes: it means the class no more.
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


commands = group(
    "labeler",
    "Label, split and export a dataset. Without a command, or with a folder in its place, it opens "
    "the window.",
    WindowGroup,
)
for part in (classes, hints, *CURATION, *EXCHANGE):
    commands.add_command(part)
add_window(commands)


@commands.command(epilog="Example: labeler accept proposals --above 0.98 -d my-dataset")
@job_options(simulate=True)
@click.argument("what", type=click.Choice(("hints", "proposals")))
@click.option(
    "--above",
    type=click.FloatRange(0, 1),
    default=0.95,
    show_default=True,
    help="Least confidence of a proposal that is accepted, 0 to 1.",
)
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="NAME",
    help="Only proposals of this class; may be given again.",
)
def accept(job: CommandJob, what: str, above: float, classes: tuple[str, ...]) -> Result:
    """Label samples without a look at them: by their hints, or by what a model proposes.

    \b
    hints      samples whose image has one undisputed hint and one face
    proposals  samples whose proposal is sure enough

    The hints of a picture and of all its copies are one question; a label from a hint is taken
    back where another hint disputes it since. `baseline presort` makes the proposals, `gleanset
    list proposals` prints them. Their labels are marked as the model's, and `likely_wrong` says how
    many are expected to be wrong, if all are of a class that has labels. All others stay in the
    queue, by reason; one `labeler undo` takes all of it back.
    """
    from labeler.acceptance import accept_proposals

    with job.open() as dataset:
        if what == "proposals":
            return accept_proposals(dataset, above, classes, simulate=job.simulate).result()
        return _accept_hints(dataset, simulate=job.simulate)


def _accept_hints(dataset: Dataset, *, simulate: bool) -> Result:
    from labeler.acceptance import apply_hints, plan_hints

    if not dataset.samples.count():
        raise InputUnusable(
            "there are no samples yet, so there is nothing to label",
            f"see what comes next: gleanset status {dataset.option}",
        )
    plan = plan_hints(dataset)
    if not simulate:
        apply_hints(dataset, plan)
    # Who is sent here for labels, and finds none, is told where to look.
    then = {} if plan.choices else {"next": f"gleanset status {dataset.option}"}
    if plan.left["disputed hint"]:
        see = f"labeler groups --conflicts {dataset.option}"
        then["disputed"] = f"{see}; without a folder: labeler hints drop NAME {dataset.option}"
    return plan.result() | then


@commands.command(epilog="Example: labeler label hana --stack 5d0c2e71 -d my-dataset")
@job_options()
@click.argument("label", metavar="LABEL", required=False)
@click.argument("samples", nargs=-1, metavar="[SAMPLE]...")
@click.option(
    "--stack",
    "stacks",
    multiple=True,
    metavar="ID",
    help="All that wait in a stack of look-alikes, as of `labeler gallery OUT --stacks`.",
)
@click.option(
    "--reject", is_flag=True, help="Without LABEL: set the SAMPLEs aside, they are no face of it."
)
def label(
    job: CommandJob,
    label: str | None,
    samples: tuple[str, ...],
    stacks: tuple[str, ...],
    reject: bool,
) -> Result:
    """Give samples a label by hand; their ids, or beginnings, as of `gleanset list samples`.

    A class that is not there yet is made. One whose name is nearly that of another class, or of a
    hint, is taken for a slip and refused until `labeler classes add` has made it. What strayed
    into a stack is named by its own id afterwards.
    """
    from gleanset.db.journal import Choice
    from gleanset.db.proposals import stack_named

    if reject:
        samples = (label, *samples) if label else samples
    elif label is None:
        raise UsageError("no label is named", "write: labeler label LABEL SAMPLE, or add --reject")
    if not samples and not stacks:
        raise UsageError("nothing is named to label", "name SAMPLEs, or a stack: --stack ID")
    with job.open() as dataset:
        waiting = (key for stack in stacks for key in stack_named(dataset.db, stack).waiting)
        keys = [dataset.samples.named(name) for name in dict.fromkeys([*samples, *waiting])]
        if reject or label is None:
            choices = [Choice(key, "reject") for key in keys]
            did = operation("reject-by-command", count=len(keys))
        else:
            _refuse_slips(dataset, label)
            choices = [Choice(key, "label", label) for key in keys]
            did = operation("label-by-command", count=len(keys), label=label)
        return {"step": dataset.journal.step(did, choices), "decided": len(keys)}


def _refuse_slips(dataset: Dataset, label: str) -> None:
    """Refuse a name that nothing ever had and that is nearly one that is known (`UsageError`)."""
    from gleanset.db.samples import Hints
    from labeler.sorting.names import nearly

    name = dataset.classes.resolved(label)
    known = {*dataset.classes.names(), *Hints(dataset.db).names()}
    if dataset.classes.id_of(label) is not None or name in known:
        return
    if (meant := nearly(name, sorted(known))) is not None:
        raise UsageError(
            f"there is no class {name!r}",
            f"did you mean {meant!r}? Else make it: labeler classes add {shlex.quote(name)}",
        )


@commands.command(epilog="Example: labeler undo -d my-dataset")
@job_options()
def undo(job: CommandJob) -> Result:
    """Undo the last step of decisions that was not undone yet."""
    with job.open() as dataset:
        done = dataset.journal.undo()
    result = {"undone": done.name, "restored": done.restored, "changed_since": done.changed_since}
    return result | ({"splits_put_back": done.splits} if done.splits else {})


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
