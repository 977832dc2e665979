"""The `labeler` command: the window, classes, decisions, splits and exports."""

import shlex
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
from click.core import ParameterSource

from curation.labelling_command import suggest_labelling_command
from gleanset import Dataset
from gleanset.class_names import fold_name
from gleanset.cli import CommandGroup, CommandJob, create_program
from gleanset.command_result import AliasedResult, CommandResult, JsonDict
from gleanset.db.classes import list_aliases, normalize_alias
from gleanset.db.journal import PERSON, TOGETHER, Choice, SampleState
from gleanset.db.proposals import get_cluster
from gleanset.db.samples import Hints
from gleanset.db.sorting import SampleTiles
from gleanset.decisions import UNLISTED_MARK, apply_decisions
from gleanset.errors import DatasetMissing, InputUnusable, MissingComponent, UsageError
from gleanset.installation import install_command, require_extra
from gleanset.operations import make_operation
from gleanset.request import request_options
from gleanset.terminal import format_table
from labeler.acceptance import AcceptanceResult, accept_hints, accept_proposals
from labeler.classes import ClassEdit, ClassEditor
from labeler.cli_curation import commands as curation_commands
from labeler.requests import LabelerServeRequest
from labeler.sorting.keys import ClassKeys
from labeler.sorting.name_matching import find_similar_name

VIEWS = ("grid", "pages", "duplicates", "crop", "review", "statistics")


class WindowGroup(CommandGroup):
    """Accepts a folder instead of a command: `labeler my-dataset` opens it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command with a name, or the command that opens a folder."""
        first, *rest = args
        if self.get_command(ctx, first) is not None or not Path(first).is_dir():
            return super().resolve_command(ctx, args)

        # Of a folder and -d, before or after it, click would silently ignore one.
        source = ctx.get_parameter_source("dataset")
        is_repeated = any(word.startswith(("-d", "--dataset")) for word in rest)
        if is_repeated or source is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{first!r} and -d both name a dataset: leave out one"
            )
        return open_.name, open_, ["-d", first, *rest]


SECTIONS = {
    "Label": "open serve label accept hints classes undo",
    "Clean up": "dedup groups quality",
    "Split": "split audit",
    "Import and export": "import export",
}
commands = create_program(
    "labeler",
    "Label, split and export a dataset. Without a command, or with a folder instead, it opens the "
    "window.",
    WindowGroup,
    SECTIONS,
)
commands.commands.update(curation_commands.commands)


@commands.job("open")
@click.option(
    "--view",
    type=click.Choice(VIEWS),
    help="The first view. Default: the last one used.",
)
def open_(job: CommandJob, view: str | None) -> None:
    """Open the window to sort, check duplicates, review and export.

    If there is no dataset, the window offers to create one and to import the files of the folder.
    Language and colors are in its settings (Ctrl+,).

    Example: labeler open -d my-dataset
    """
    try:
        from gleanset.platform import has_display
        from labeler.qt.app import open_window
    except ImportError as error:
        raise MissingComponent(
            f"the window needs PySide6, which cannot be loaded ({error})",
            install_command("gui"),
        ) from error

    try:
        with job.open():
            pass  # reports errors of the dataset before there is a window
    except DatasetMissing:
        if not has_display():
            raise

    open_window(job.root, view)


@commands.job()
@request_options(LabelerServeRequest)
def serve(job: CommandJob, request: LabelerServeRequest) -> CommandResult | None:
    """Label in the browser, several people at once, until Ctrl-C.

    It prints an address with a token that is new each time, or the one in $GLEANSET_LABELER_TOKEN.
    Other devices reach it with --host 0.0.0.0. --invite prints a link for another person: to the
    server that runs, or else with this --host and --port. What two people decide differently is
    shown in the review; gleanset status measures their agreement.

    Example: labeler serve -d my-dataset
    """
    require_extra("the page", ("starlette", "uvicorn", "httptools"), "web")
    with job.open():
        pass  # reports errors of the dataset
    from labeler.web.serving import serve_labeler

    return serve_labeler(job, request)


def open_by_default(**values: Any) -> None:
    """Open the window, unless a command is named."""
    context = click.get_current_context()
    name = context.invoked_subcommand
    if name is None:
        context.invoke(open_, **values)
        return

    # Options before a command are defaults of the command, or of those of a group.
    defaults = {
        option: value
        for option, value in values.items()
        if context.get_parameter_source(option) == ParameterSource.COMMANDLINE
    }
    command = commands.commands[name]
    # A group, such as `classes`, has commands of its own.
    subcommands = getattr(command, "commands", {})
    all_commands = (command, *subcommands.values())
    params = chain.from_iterable(part.params for part in all_commands)
    unknown_options = sorted(defaults.keys() - {param.name for param in params})
    if unknown_options:
        raise click.UsageError(f"{name!r} has no option --{unknown_options[0]}")
    context.default_map = {name: defaults | dict.fromkeys(subcommands, defaults)}


commands.invoke_without_command = True
commands.no_args_is_help = False
commands.params += open_.params
commands.callback = open_by_default


@commands.subgroup
def classes() -> None:
    """List, create, rename, merge and delete classes. `labeler undo` reverts an edit.

    Their order is in dataset.toml, under [keys].

    Example: labeler classes list -d my-dataset
    """


class ClassRow(msgspec.Struct):
    """A class with the number of its samples, its key in the window, and its aliases."""

    name: str
    samples: int
    key: str | None
    aliases: list[str]


class ClassList(CommandResult):
    """All classes, in the order of their keys."""

    classes: list[ClassRow]

    def lines(self) -> list[str]:
        """Return a table of the classes with their other names, and their number."""
        rows = [["class", "samples", "key", "other names"]]
        for row in self.classes:
            cells = [
                row.name,
                str(row.samples),
                row.key or "",
                ", ".join(row.aliases),
            ]
            rows.append(cells)

        # Most datasets have no aliases, and so no last column.
        if not any(row.aliases for row in self.classes):
            rows = [cells[:-1] for cells in rows]
        return [*format_table(rows), f"classes: {len(self.classes)}"]


@classes.job("list")
def list_classes(job: CommandJob) -> ClassList:
    """List the classes with counts, keys and aliases.

    Example: labeler classes list --json -d my-dataset
    """
    with job.open() as dataset:
        sizes = {
            row.name: row.count for row in SampleTiles(dataset.db).get_counts().classes
        }
        keys = ClassKeys(dataset).assign(list(sizes))
        aliases_of = list_aliases(dataset.db, with_former_names=True)

    return ClassList(
        [
            ClassRow(name, sizes[name], key or None, list(aliases_of.get(name, [])))
            for name, key in keys.items()
        ]
    )


class ClassEditResult(AliasedResult):
    """Edits of classes: what was done, and the last step."""

    WORDS = {"back_in_queue": "unlabelled again"}

    done: str
    step: int
    moved: int | None = None
    back_in_queue: int | None = None
    next: str = ""


@classes.job()
@click.argument("name")
@click.option(
    "--alias",
    "aliases",
    multiple=True,
    metavar="NAME",
    help="Another name of the class in weak labels, imports and typed names; repeatable.",
)
def add(job: CommandJob, name: str, aliases: tuple[str, ...]) -> ClassEditResult:
    """Create a class, or add aliases to one.

    Example: labeler classes add hana --alias はな -d my-dataset
    """
    with job.open() as dataset:
        editor = ClassEditor(dataset)
        edits = []
        current = dataset.classes.resolve(name)
        notes = dataset.classes.explain_aliases([name], dataset.option)
        # Without aliases the class is what is asked for: an error if it exists.
        if not aliases or current not in dataset.classes.list_names():
            edits.append(editor.add(name))
            if notes:
                notes = {"alias": f"{name} was another name of {current} until now"}
        edits += [editor.add_alias(alias, name) for alias in aliases]
        return _edit_result(dataset, *edits).with_facts(notes)


def _edit_result(dataset: Dataset, *edits: ClassEdit) -> ClassEditResult:
    """Return the result of one or more edits, which were just made."""
    texts = {
        step.id: step.operation.text()
        for step in SampleTiles(dataset.db).list_steps(edits[0].step - 1)
    }
    return ClassEditResult(
        done="; ".join(texts[edit.step] for edit in edits), step=edits[-1].step
    )


@classes.job()
@click.argument("old")
@click.argument("new")
def rename(job: CommandJob, old: str, new: str) -> ClassEditResult:
    """Rename a class; its old name becomes an alias.

    Example: labeler classes rename hana hanako -d my-dataset
    """
    with job.open() as dataset:
        return _edit_result(
            dataset,
            ClassEditor(dataset).rename(old, new),
        )


@classes.job()
@click.argument("old")
@click.argument("into")
def merge(job: CommandJob, old: str, into: str) -> ClassEditResult:
    """Move all samples of class OLD to class INTO. OLD becomes an alias of INTO.

    Example: labeler classes merge hanna hana -d my-dataset
    """
    with job.open() as dataset:
        edit = ClassEditor(dataset).merge(old, into)
        result = _edit_result(dataset, edit)
        result.moved = edit.sample_count
        return result


@classes.job()
@click.argument("name")
def delete(job: CommandJob, name: str) -> ClassEditResult:
    """Delete a class, or an alias. Samples of a class lose their label and split.

    Example: labeler classes delete hana -d my-dataset
    """
    name = normalize_alias(name)
    with job.open() as dataset:
        editor = ClassEditor(dataset)
        aliases = set(chain.from_iterable(list_aliases(dataset.db).values()))
        if name in aliases:
            return _edit_result(dataset, editor.remove_alias(name))

        # A former name is not taken for the class, whose labels would be lost.
        known_names = {*dataset.classes.list_names(), *aliases}
        current = dataset.classes.find_renamed(name)
        if current and current in known_names and name not in known_names:
            command = f"labeler classes delete {shlex.quote(current)} {dataset.option}"
            raise UsageError(
                f"{name!r} is a former name of {current!r}",
                f"to delete {current!r} itself, with its labels: {command}",
            )

        edit = editor.delete(name)
        result = _edit_result(dataset, edit)
        result.back_in_queue = edit.sample_count
        if name in Hints(dataset.db).list_names():
            result.next = f"labeler hints drop {shlex.quote(name)} {dataset.option}"
        return result


@commands.subgroup
def hints() -> None:
    """Weak labels: class names from folders, lists and searches.

    Example: labeler hints drop Downloads -d my-dataset
    """


class HintDropped(CommandResult):
    """A weak label that was dropped from images."""

    dropped_from_images: int


@hints.job()
@click.argument("name")
def drop(job: CommandJob, name: str) -> HintDropped:
    """Drop a weak label. `labeler accept hints` then no longer creates its class.

    Labels do not change. Only a harvest with other options, or of new files, adds it again.

    Example: labeler hints drop Downloads -d my-dataset
    """
    with job.open() as dataset:
        hints = Hints(dataset.db)
        number = hints.remove(name)
        if not number:
            hint_names = ", ".join(hints.list_names()[:10])
            raise UsageError(
                f"there is no weak label {name!r}",
                f"use one of: {hint_names}" if hint_names else "",
            )
    return HintDropped(number)


@commands.job(simulate=True)
@click.argument("kind", type=click.Choice(("hints", "predictions")))
@click.option(
    "--above",
    type=click.FloatRange(0, 1),
    default=0.95,
    show_default=True,
    help="Minimum confidence of accepted predictions, 0 to 1.",
)
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="NAME",
    help="Only predictions of this class; repeatable.",
)
def accept(
    job: CommandJob, kind: str, above: float, classes: tuple[str, ...]
) -> AcceptanceResult:
    """Label samples by their weak labels, or by predictions of a model.

    \b
    hints        samples whose image has one undisputed weak label and one face
    predictions  samples with a prediction of at least --above

    Weak labels of all copies of an image are considered together; if one disputes an accepted label
    later, the label is withdrawn. `baseline prelabel` makes the predictions, `gleanset list
    predictions` prints them. Their labels have the provenance "model", and `likely_wrong` is the
    expected number of errors among samples of known classes. Other samples stay in the queue, by
    reason. `labeler undo` reverts everything.

    Example: labeler accept predictions --above 0.98 -d my-dataset
    """
    with job.open() as dataset:
        if not dataset.samples.count():
            raise InputUnusable(
                "nothing to label: there are no samples yet",
                dataset.status_advice,
            )
        if kind == "predictions":
            plan = accept_proposals(dataset, above, classes, simulate=job.simulate)
        else:
            plan = accept_hints(dataset, simulate=job.simulate)
        result = plan.result()
        result.next = f"gleanset status {dataset.option}"
        return result


class LabelResult(AliasedResult, kw_only=True):
    """Samples that were labelled, or rejected if there is no `label`.

    Samples of an `unlisted` person are rejected, too.
    """

    WORDS = {"left_in_queue": "still unlabelled"}

    label: str = msgspec.field(default="", name="class")
    unlisted: bool = False
    next: str
    decided: int
    left_in_queue: int
    step: int

    def summary(self) -> JsonDict:
        """Return the result with the decision as a word."""
        decision = "labelled" if self.label else "rejected"
        if self.unlisted:
            decision = "unlisted person"
        facts = dict(super().summary())
        facts.pop("unlisted", None)
        return {
            decision if name == "decided" else name: fact
            for name, fact in facts.items()
        }


@commands.job()
@click.argument("label", metavar="LABEL", required=False)
@click.argument("samples", nargs=-1, metavar="[SAMPLE]...")
@click.option(
    "--cluster",
    "clusters",
    multiple=True,
    metavar="ID",
    help="All unlabelled samples of a cluster, see `gleanset list clusters`.",
)
@click.option(
    "--track",
    "tracks",
    multiple=True,
    metavar="ID",
    help="All unlabelled samples of a track, see `gleanset list tracks`.",
)
@click.option(
    "--reject",
    is_flag=True,
    help="Without LABEL: reject the SAMPLEs, which show no class.",
)
@click.option(
    "--unlisted",
    is_flag=True,
    help="Without LABEL: the SAMPLEs show a person who has no class, as in the window.",
)
def label(job: CommandJob, label: str | None, **options: Any) -> LabelResult:
    """Label samples by id. The beginning of an id is enough; see `gleanset list samples`.

    An unknown class is created. If its name is nearly that of another class or weak label, such as
    with a letter missing, added or swapped, it is refused as a typo until `labeler classes add` has
    created it. Wrong samples of a cluster or a track can be labelled by id afterwards. The kept
    copy of a duplicate gets its label, too, unless it was decided otherwise.

    Example: labeler label hana --cluster 5d0c2e71 -d my-dataset
    """
    selection = Selection(**options)
    if selection.has_no_class and label is not None:
        # The first argument is a sample, too.
        selection = selection._replace(samples=(label, *selection.samples))
        label = None
    elif label is None and not selection.has_no_class:
        raise UsageError(
            "missing LABEL",
            "add --reject or --unlisted, or name a class: labeler label LABEL SAMPLE",
        )

    with job.open() as dataset:
        in_clusters = selection.list_cluster_keys(dataset)
        keys = selection.list_keys(dataset, in_clusters)
        samples = dataset.samples.add_undecided_copies(keys)

        name = ""
        notes = {}
        if label is None:
            operation = make_operation(
                "other" if selection.unlisted else "reject-by-command", count=len(keys)
            )
            choices = [Choice(key, "reject") for key in samples]
        else:
            check_typo(dataset, label)
            name = dataset.classes.resolve(label)
            notes = dataset.classes.explain_aliases([label], dataset.option)
            operation = make_operation("label-by-command", count=len(keys), label=name)
            # Samples of a cluster were not looked at one by one.
            choices = [
                Choice(key, "label", name, TOGETHER if key in in_clusters else PERSON)
                for key in samples
            ]
        step = apply_decisions(
            dataset.db,
            operation,
            choices,
            UNLISTED_MARK if selection.unlisted else None,
        )

        pending = SampleTiles(dataset.db).get_counts().pending
        next_step = suggest_labelling_command(dataset) if pending else None
        return LabelResult(
            label=name,
            unlisted=selection.unlisted,
            next=next_step or f"gleanset status {dataset.option}",
            decided=len(keys),
            left_in_queue=pending,
            step=step,
        ).with_facts(notes)


class Selection(NamedTuple):
    """Samples that a command decides about, and whether they show none of the classes."""

    samples: tuple[str, ...]
    clusters: tuple[str, ...]
    tracks: tuple[str, ...]
    reject: bool
    unlisted: bool

    @property
    def has_no_class(self) -> bool:
        """Whether the samples are rejected. Raises `UsageError` for two reasons."""
        if self.reject and self.unlisted:
            raise UsageError(
                "a sample is either rejected or an unlisted person",
                "use --reject or --unlisted",
            )
        return self.reject or self.unlisted

    def list_cluster_keys(self, dataset: Dataset) -> dict[str, None]:
        """Return the keys of the pending samples of all clusters. Raises `UsageError`."""
        return dict.fromkeys(
            chain.from_iterable(
                get_cluster(dataset.db, name).pending for name in self.clusters
            )
        )

    def list_keys(self, dataset: Dataset, in_clusters: Iterable[str]) -> list[str]:
        """Return the keys of all samples, each once. Raises `UsageError`."""
        names = [*self.samples, *in_clusters]
        for track in self.tracks:
            names += _list_pending_in_track(dataset, track)
        if not names:
            raise UsageError(
                "missing SAMPLE",
                "name samples, a cluster: --cluster ID, or a track: --track ID",
            )
        return list(dict.fromkeys(map(dataset.samples.resolve_key, names)))


def _is_typo(name: str, other: str) -> bool:
    """Return whether one name has an extra letter before its end, or two letters are swapped.

    An extra letter at the end is not a typo: numbered names have one.
    """
    short, long = sorted((fold_name(name), fold_name(other)), key=len)
    if len(short) < 2:
        return False

    for position, letter in enumerate(long[: len(short)]):
        start = long[:position]
        rest = long[position + 1 :]
        # Without the letter, and with the next one before it.
        if short in (start + rest, start + rest[:1] + letter + rest[1:]):
            return True
    return False


def check_typo(dataset: Dataset, label: str) -> None:
    """Raise `UsageError` for a new class name that is similar to a known one."""
    name = dataset.classes.resolve(label)
    names = {*dataset.classes.list_names(), *Hints(dataset.db).list_names()}
    if dataset.classes.get_id(label) is not None or name in names:
        return

    typos = (other for other in names if _is_typo(name, other))
    similar_name = find_similar_name(name, sorted(names)) or next(typos, None)
    if similar_name:
        raise UsageError(
            f"there is no class {name!r}",
            f"did you mean {similar_name!r}? To create it: labeler classes add {shlex.quote(name)}",
        )


_STATES = {
    SampleState.LABELLED: "labelled",
    SampleState.UNSPLIT: "waiting for split",
    SampleState.QUEUE: "unlabelled",
    SampleState.REJECTED: "rejected",
    SampleState.DUPLICATE: "duplicates",
    SampleState.RETIRED: "not in the dataset (the images stay)",
}


class UndoneStep(AliasedResult):
    """A step that was undone: samples restored, and those changed since, which stay.

    `now` are the states of the samples that the undo changed.
    """

    undone: str
    restored: int
    changed_since: int
    splits_put_back: int = 0
    now: dict[SampleState, int] = {}
    next: str = ""

    def summary(self) -> JsonDict:
        """Return the result without counts that are all zero, in plain words."""
        facts = {name: fact for name, fact in self.to_json().items() if fact}
        if self.now:
            facts["now"] = {_STATES[state]: count for state, count in self.now.items()}
        return facts


@commands.job()
def undo(job: CommandJob) -> UndoneStep:
    """Undo the last step that is not undone yet.

    Example: labeler undo -d my-dataset
    """
    with job.open() as dataset:
        step = dataset.journal.undo()
        operation = step.operation.first()
        notes = {}
        if operation.kind == "new-class":
            # The name may be an alias again.
            notes = dataset.classes.explain_aliases(
                [operation.arguments["name"]],
                dataset.option,
            )
        states = dataset.journal.count_states()

    command = "labeler split" if SampleState.UNSPLIT in states else "gleanset status"
    return UndoneStep(
        undone=step.name,
        restored=step.restored,
        changed_since=step.changed_since,
        splits_put_back=step.splits,
        now=dict(sorted(states.items())),
        next=f"{command} {dataset.option}" if states else "",
    ).with_facts(notes)


def _list_pending_in_track(dataset: Dataset, name: str) -> tuple[str, ...]:
    """Return the pending samples of a track. Raises `UsageError` if there are none."""
    list_command = f"gleanset list tracks {dataset.option}"
    track = dataset.tracks.get(name)
    if track is None:
        raise UsageError(
            f"there is no track {name!r}",
            f"list them: {list_command}",
        )
    if not track.pending:
        raise UsageError(
            f"track {name} has nothing to label: all {len(track.samples)} are decided or not sure",
            f"list the tracks: {list_command}; undo the last step: labeler undo {dataset.option}",
        )
    return track.pending
