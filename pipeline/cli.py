"""The `gleanset` command."""

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Annotated

import click
import msgspec
from click.core import ParameterSource

from gleanset import Dataset
from gleanset.cli import (
    FOLDER,
    CommandGroup,
    CommandJob,
    confirm,
    create_program,
    parse_key_values,
)
from gleanset.command_result import CommandResult
from gleanset.config import Param
from gleanset.dataset import is_dataset
from gleanset.errors import DoneInPart, MissingComponent, UsageError
from gleanset.named_files import locate
from gleanset.request import Count, Request, request_options
from gleanset.settings import (
    Settings,
    restore_settings_file,
    set_texts,
)
from gleanset.terminal import escape_name
from pipeline.episodes.request import EpisodesRequest

PROGRAMS = ("harvest", "facecrop", "labeler", "baseline", "webapp")
SECTIONS = {
    "Start here": "demo init status doctor recipes run",
    "Collect": "harvest episodes timeline merge",
    "Label": "facecrop labeler",
    "Train and use": "baseline webapp report",
    "Maintain": "list verify snapshot restore forget gc",
}


class ProgramGroup(CommandGroup):
    """Commands of `gleanset`, and those of the other programs: `gleanset harvest urls`.

    A program is imported only when it is used.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the programs first."""
        return [*PROGRAMS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of `gleanset`, or a program."""
        if cmd_name in PROGRAMS:
            program: click.Command = import_module(f"{cmd_name}.cli").commands
            return program
        return super().get_command(ctx, cmd_name)


commands = create_program(
    "gleanset", "Build, inspect and maintain image datasets.", ProgramGroup, SECTIONS
)
KINDS = (
    "images faces samples decisions groups rejections yields runs predictions clusters tracks "
    "label-issues confusion snapshots reports missed"
)


class InitResult(CommandResult):
    """The dataset, the number of its images, and the command to run next."""

    dataset: str
    images: int
    next: str


@commands.job()
@click.argument("folder", metavar="[DIR]", required=False, type=FOLDER)
@click.option("--name", help="Name of the dataset. Default: the name of its folder.")
@click.option("--title", help="Full title, for citing it. Default: the name.")
@click.option("--author", help="Who made it, for citing it; several: 'A and B'.")
@click.option("--citation", help="How to cite it: a sentence, or an entry of BibTeX.")
@click.option("--description", help="What the dataset contains, in a sentence or two.")
@click.option("--contact", help="How to contact you about the dataset.")
def init(job: CommandJob, folder: Path | None, **texts: str | None) -> InitResult:
    """Create an empty dataset in DIR (the same as -d DIR).

    Name, description and contact appear in dataset cards, reports and on the page; title, author
    and citation in the exports. They are stored in dataset.toml.

    Example: gleanset init my-dataset
    """
    from pipeline.status import next_step

    if folder is not None:
        if (
            click.get_current_context().get_parameter_source("dataset")
            is ParameterSource.COMMANDLINE
        ):
            raise UsageError("two dataset folders: DIR and -d", "use only one of them")
        job = job._replace(root=folder)

    if is_dataset(job.root):
        restore_settings_file(job.root)

    # An empty text removes an earlier one.
    lines = {
        key: " ".join(text.split()) or None
        for key, text in texts.items()
        if text is not None
    }
    with job.create() as dataset:
        if lines:
            try:
                msgspec.convert(lines, Settings)
            except msgspec.ValidationError as error:
                raise UsageError(f"text too long: {error}", "shorten it") from error
            set_texts(dataset.root, "", lines)

        return InitResult(
            str(dataset.root.absolute()), dataset.images.count(), next_step(dataset)
        )


@commands.job()
def status(job: CommandJob) -> CommandResult:
    """Show the counts of a dataset and the command to run next.

    Example: gleanset status -d my-dataset --json
    """
    from pipeline.status import gather_status

    with job.open() as dataset:
        return gather_status(dataset)


@commands.job("list")
@click.argument("kind", metavar="KIND", type=click.Choice(KINDS.split()))
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only lines with this value; also searches lists, as in origins.source=bing.",
)
def list_(job: CommandJob, kind: str, conditions: tuple[str, ...]) -> None:
    """Print records as JSON Lines, with every field of the catalogue.

    KIND is images, faces, samples, decisions, groups, rejections, yields, runs, predictions,
    clusters, tracks, label-issues, confusion, snapshots, reports or missed.

    Example: gleanset list samples --where label=hana | jq -c 'select(.score > 0.8)'
    """
    from pipeline.listing import list_records

    with job.open() as dataset:
        for line in list_records(dataset, kind, conditions):
            job.show_json(line)


@commands.job(simulate=True)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--into",
    type=FOLDER,
    metavar="DIR",
    help="Dataset folder (the same as -d).",
)
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="SOURCE.KEY=VALUE",
    help="Override a source's setting in the recipe.",
)
@click.option(
    "--from",
    "start",
    metavar="STAGE",
    help="Skip the stages before this one, such as split.",
)
@click.option(
    "--allow-private",
    is_flag=True,
    help="Allow downloads from this machine and private networks.",
)
def run(
    job: CommandJob,
    recipe: Path,
    into: Path | None,
    options: tuple[str, ...],
    start: str | None,
    allow_private: bool,
) -> CommandResult:
    """Run a recipe stage by stage, or resume it.

    RECIPE is a file, or the name of a bundled recipe (see gleanset recipes).

    Example: gleanset run my-recipe.toml --into my-dataset
    """
    from labeler.export.result import ExportResult, unreadable_images_error
    from pipeline.recipe import find_recipe, read_recipe
    from pipeline.stages import RecipePreview, Stages, run_recipe

    file = find_recipe(recipe)
    recipe_table = read_recipe(file)
    root = into or job.root
    job._replace(root=root).warn_of_lost_settings()
    stages = Stages(
        recipe=recipe_table,
        recipe_folder=file.parent,
        progress=job.progress,
        allow_private=allow_private,
        options=parse_key_values(options, "bing.size=large"),
        say=job.say,
        command=shlex.join(["gleanset", "run", str(recipe), "-d", str(root)]),
    )
    if job.simulate:
        return RecipePreview([name for name, _ in stages.check(root, start)])
    result = run_recipe(stages, root, start)
    export_result = result.stages.get("export")
    if isinstance(export_result, ExportResult) and export_result.failed:
        raise unreadable_images_error(len(export_result.failed), result)
    return result


@commands.job(dataset=False)
@click.argument("name", required=False)
def recipes(job: CommandJob, name: str | None) -> CommandResult:
    """List the bundled recipes, or print one to start your own.

    Example: gleanset recipes memes
    """
    from pipeline.recipe import (
        RecipeList,
        RecipeText,
        find_bundled_recipe,
        read_bundled_titles,
    )

    if name is None:
        return RecipeList(read_bundled_titles())
    return RecipeText(name, find_bundled_recipe(name).read_text(encoding="utf-8"))


class ReportResult(CommandResult):
    """The report that was written."""

    report: str


@commands.job()
@click.option("--title", help="Title of the report. Default: the name of the dataset.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="File to write. Default: report.html in the dataset.",
)
@click.option(
    "--run",
    "run_id",
    metavar="RUN",
    help="Training run to report on. Default: the latest.",
)
def report(
    job: CommandJob, title: str | None, out: Path | None, run_id: str | None
) -> ReportResult:
    """Write a report on the dataset and its model as one HTML page.

    Example: gleanset report -d my-dataset
    """
    from pipeline.report.page import write_report

    with job.open() as dataset:
        return ReportResult(
            str(
                write_report(
                    dataset,
                    out,
                    title=title,
                    run_id=run_id,
                )
            )
        )


@commands.job(dataset=False)
@click.option(
    "--into",
    type=FOLDER,
    default=Path("demo"),
    show_default=True,
    help="Folder for the sample dataset.",
)
def demo(job: CommandJob, into: Path) -> CommandResult:
    """Build the bundled sample dataset and train a model on it.

    Works offline, and prints the path of the report.

    Example: gleanset demo --into demo
    """
    from pipeline.demo import run_demo

    return run_demo(into, job.progress, job.say)


@commands.job(simulate=True)
@request_options(EpisodesRequest)
def episodes(job: CommandJob, request: EpisodesRequest) -> CommandResult:
    """Detect the faces in videos and track each within its shot.

    For each track, gleanset keeps the few frames that show the face best: large, sharp, and
    different in pose and expression. The faces of a track are one cluster, labelled together
    (labeler label NAME --cluster TRACK). Repeated intros and outros are used once.

    VIDEO is a file, a folder (searched recursively) or a pattern.

    Example: gleanset episodes ~/episodes -d my-dataset
    """
    from harvest.cli import carry_out

    return carry_out(job, request)


@commands.job()
@click.option(
    "--out",
    type=FOLDER,
    metavar="DIR",
    help="Folder to write to. Default: the dataset.",
)
@click.option(
    "--subtitles",
    is_flag=True,
    help="Also write VIDEO.vtt, with which players show the names of who is on screen.",
)
def timeline(job: CommandJob, out: Path | None, *, subtitles: bool) -> CommandResult:
    """Write who is on screen when, as a page and a table.

    It shows the tracks of gleanset episodes; most of its faces decide the class of a track.

    Example: gleanset timeline -d my-dataset
    """
    from pipeline.episodes.timeline import write_timelines

    with job.open() as dataset:
        return write_timelines(dataset, out or dataset.root, subtitles=subtitles)


_SECONDS = {"h": 3600.0, "d": 86400.0, "w": 604800.0}


@commands.job()
@click.option(
    "--repair",
    is_flag=True,
    help="Repair what can be; damaged files are moved to damaged/.",
)
def verify(job: CommandJob, repair: bool) -> CommandResult:
    """Check files against their hashes, and rows against their files.

    Contradictions within the catalogue are counted, with examples: rows that point to nothing,
    duplicate faces, labels from disputed weak labels, and groups in more than one split. Nothing
    is changed.

    With --repair, missing or damaged images are copied again from their local file, or marked as
    missing, so that their harvest downloads them again. Unreadable files stay as they are.

    The exit code is 3 if missing, damaged or unreadable files remain.

    Example: gleanset verify --repair -d my-dataset
    """
    from pipeline.maintenance.check_files import verify as verify_dataset

    with job.open(rehearse=not repair) as dataset:
        result = verify_dataset(dataset, repair=repair, progress=job.progress)

    for line in result.list_fixes():
        job.say(line)

    if not result.damage:
        return result
    fix = "run the harvest of these images again"
    if not repair:
        fix = "copy them from where they were: gleanset verify --repair"
    raise DoneInPart(
        result.damage, f"restore the files from a backup, or {fix}", result
    )


class ForgetRequest(Request, frozen=True, kw_only=True):
    """The images that `gleanset forget` removes."""

    COMMAND = "gleanset forget"

    images: Annotated[
        tuple[str, ...], Param("This image.", option="--image", metavar="SHA256|FILE")
    ] = ()
    origins: Annotated[
        tuple[str, ...],
        Param(
            "All images from this page, post or source.",
            option="--origin",
            metavar="URL|SOURCE:ID",
        ),
    ] = ()
    authors: Annotated[
        tuple[str, ...], Param("All images by this author.", option="--author")
    ] = ()
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


@commands.job(simulate=True)
@request_options(ForgetRequest)
def forget(job: CommandJob, request: ForgetRequest) -> CommandResult:
    """Remove images for good: files, faces, samples and decisions.

    Reports about them are removed, too. A tombstone keeps harvests from downloading them again.
    This cannot be undone. Earlier exports and trained models are not changed: export and train
    again.

    Example: gleanset forget --author Hokusai -d my-dataset
    """
    from pipeline.maintenance.removals import (
        RemovalPreview,
        RemovalResult,
        plan_removal,
        remove_images,
    )

    with job.open() as dataset:
        plan = plan_removal(
            dataset, request.images, request.origins, request.authors, request.reports
        )
        if job.simulate:
            return RemovalPreview(
                would_forget=plan.counts(),
                list={sha256: _name_image(dataset, sha256) for sha256 in plan.images},
                description=plan.describe(),
            )

        if not request.yes and not confirm(f"Remove {plan.describe()} for good?"):
            raise UsageError(
                "nothing was removed",
                "answer y or add --yes; --simulate lists the images",
            )

        remove_images(dataset, plan, request.reason)
        return RemovalResult(plan.counts(), plan.describe())


def _name_image(dataset: Dataset, sha256: str) -> str:
    image = dataset.images.get(sha256)
    if not image or not image.origins:
        return sha256[:12]
    location = locate(image.origins[0]).describe()
    return f"{sha256[:12]} {escape_name(location)}".rstrip()


@commands.job(simulate=True)
@click.option(
    "--older",
    default="1d",
    show_default=True,
    metavar="AGE",
    help="Delete only files older than this, such as 12h, 1d or 2w.",
)
def gc(job: CommandJob, older: str) -> CommandResult:
    """Delete unreferenced files and leftovers of killed runs.

    Also old copies of the catalogue; the one made by the last upgrade is always kept.
    --simulate lists the first paths, with --json all of them.

    Example: gleanset gc --older 1d --simulate -d my-dataset
    """
    from pipeline.maintenance.check_files import collect_garbage

    age = parse_age(older)
    with job.open() as dataset:
        return collect_garbage(dataset, age, simulate=job.simulate)


@commands.job(simulate=True)
@click.argument("other", type=FOLDER)
def merge(job: CommandJob, other: Path) -> CommandResult:
    """Import images, faces, samples and decisions of another dataset.

    A sample labelled differently in both returns to the queue and keeps both decisions. If only
    one side has decided since both were the same dataset, its decision wins. Merging again adds
    only what is new. OTHER is not changed. labeler undo reverts the decisions of a merge, not
    the images, faces and samples it added.

    Example: gleanset merge ../anas-dataset -d my-dataset
    """
    from pipeline.maintenance.merge import MergePreview, merge_dataset

    with job.open() as dataset:
        result, conflicts = merge_dataset(
            dataset,
            other,
            simulate=job.simulate,
            progress=job.progress,
        )

    for sample, labels in conflicts.items():
        job.say(f"labelled differently: {sample} is {labels}")

    if job.simulate:
        return MergePreview(result)

    if result.decided:
        job.say(
            "images and samples stay; to undo the merged labels: "
            f"labeler undo {dataset.option}"
        )

    return result


def parse_age(text: str) -> float:
    """Return seconds for '12h', '1d' or '2w'. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([hdw])", text.strip())
    if not match:
        raise UsageError(
            f"not an age: {text!r}", "use a number and a unit: 12h, 1d or 2w"
        )
    return float(match[1]) * _SECONDS[match[2]]


@commands.job()
def doctor(job: CommandJob) -> CommandResult:
    """Check which components work here, and how to fix the others.

    Nothing is downloaded, started or changed, and no site is contacted. The exit code is 6 if a
    required component is missing.

    Example: gleanset doctor
    """
    from pipeline.doctor import DoctorResult, examine_components

    result = DoctorResult(list(examine_components(job.root)))
    missing = [part for part in result.parts if part.needed and not part.ok]
    if missing:
        names = ", ".join(part.name for part in missing)
        raise MissingComponent(
            f"required component missing: {names}", missing[0].hint, result
        )
    return result


@commands.job()
@click.argument("name", required=False)
@click.option("--note", default="", help="A note to store with the snapshot.")
@click.option("--delete", is_flag=True, help="Delete this snapshot.")
def snapshot(
    job: CommandJob, name: str | None, note: str, delete: bool
) -> CommandResult:
    """Save a copy of the catalogue as NAME, or list the snapshots.

    Images are not copied, but gc keeps those a snapshot needs. dataset.toml is not included.

    Example: gleanset snapshot audited --note checked -d my-dataset
    """
    from pipeline.maintenance.snapshots import (
        SnapshotDeletion,
        SnapshotList,
        SnapshotResult,
        create_snapshot,
    )

    with job.open() as dataset:
        if name is not None and delete:
            if note:
                raise UsageError(
                    "--delete and --note do not go together", "leave out --note"
                )
            dataset.db.check_writable()
            dataset.snapshots.delete(name)
            return SnapshotDeletion(name)

        if name is not None:
            return create_snapshot(dataset, name, note)
        if delete or note:
            raise UsageError(
                "no name for the snapshot", "add one: gleanset snapshot v1"
            )

        return SnapshotList(
            list(map(SnapshotResult.from_record, dataset.snapshots.iterate())),
            dataset.option,
        )


@commands.job(simulate=True)
@click.argument("name")
def restore(job: CommandJob, name: str) -> CommandResult:
    """Restore the catalogue from a snapshot.

    The current one is saved as a snapshot first. Fails while another program has the dataset
    open. Forgotten images stay forgotten. To undo, restore the snapshot saved first.

    Example: gleanset restore audited -d my-dataset
    """
    from pipeline.maintenance.snapshots import (
        RestorePreview,
        SnapshotResult,
        restore_snapshot,
    )

    with job.open() as dataset:
        if job.simulate:
            return RestorePreview(
                SnapshotResult.from_record(dataset.snapshots.get(name))
            )
        return restore_snapshot(dataset, name)
