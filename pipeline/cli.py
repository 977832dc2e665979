"""The `gleanset` command."""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import NoReturn

import click
import msgspec
from click.core import ParameterSource

from gleanset import Dataset
from gleanset.cli import (
    CommandGroup,
    CommandJob,
    Result,
    create_program,
    job_options,
    parse_key_values,
    prompt_text,
)
from gleanset.cli import main as run_main
from gleanset.errors import UsageError
from gleanset.request import request_options
from gleanset.settings import Settings, write_settings
from pipeline.cli_maintenance import COMMANDS as MAINTENANCE
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command; the error for an unknown one suggests programs that have it."""
        if self.get_command(ctx, args[0]) is None and (
            similar := self._programs_with(ctx, args[0])
        ):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {' or '.join(similar)}?")
        return super().resolve_command(ctx, args)

    def _programs_with(self, ctx: click.Context, name: str) -> list[str]:
        groups = {program: self.get_command(ctx, program) for program in PROGRAMS}
        return [
            f"gleanset {program} {name}"
            for program, group in groups.items()
            if isinstance(group, click.Group) and name in group.list_commands(ctx)
        ]


commands = create_program(
    "gleanset", "Build, inspect and maintain image datasets.", ProgramGroup, SECTIONS
)
for command in MAINTENANCE:
    commands.add_command(command)
KINDS = (
    "images",
    "faces",
    "samples",
    "decisions",
    "groups",
    "rejections",
    "yields",
    "runs",
    "predictions",
    "clusters",
    "tracks",
    "label-issues",
    "confusion",
    "snapshots",
    "reports",
    "missed",
)


@commands.command(epilog="Example: gleanset init my-dataset")
@job_options()
@click.argument(
    "folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False)
)
@click.option("--name", help="Name of the dataset. Default: the name of its folder.")
@click.option("--description", help="What the dataset contains, in a sentence or two.")
@click.option("--contact", help="How to contact you about the dataset.")
def init(job: CommandJob, folder: Path | None, **texts: str | None) -> Result:
    """Create an empty dataset in DIR (the same as -d DIR).

    Name, description and contact appear in dataset cards, reports and on the page. In a terminal,
    gleanset asks for them; Enter skips a question. They are stored in dataset.toml.
    """
    if folder is not None:
        source = click.get_current_context().get_parameter_source("dataset")
        if source is ParameterSource.COMMANDLINE:
            raise UsageError("two dataset folders: DIR and -d", "use only one of them")
        job = replace(job, root=folder)
    with job.create() as dataset:
        if answers := _ask_descriptions(job, dataset.settings, texts):
            _save_descriptions(dataset, answers)
        return {"dataset": str(dataset.root.absolute()), "images": dataset.images.count()}


def _ask_descriptions(
    job: CommandJob, settings: Settings, options: dict[str, str | None]
) -> dict[str, str | None]:
    texts = {name: text for name, text in options.items() if text is not None}
    silent = job.as_json or job.progress.quiet or not _is_interactive()
    if not texts and not silent and not (settings.name or settings.description or settings.contact):
        for name, question in _QUESTIONS.items():
            texts[name] = prompt_text(question)
    return {name: " ".join(text.split()) or None for name, text in texts.items()}


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def _save_descriptions(dataset: Dataset, texts: dict[str, str | None]) -> None:
    changed = msgspec.to_builtins(dataset.settings) | texts
    try:
        settings = msgspec.convert(changed, Settings)
    except msgspec.ValidationError as error:
        raise UsageError(f"text too long: {error}", "shorten it") from error
    write_settings(dataset.root, settings)


_QUESTIONS = {
    "name": "Name of the dataset (Enter: name of its folder)",
    "description": "What does it contain, in a sentence? (Enter: skip)",
    "contact": "How can people contact you about it? (Enter: skip)",
}


@commands.command(epilog="Example: gleanset status -d my-dataset --json")
@job_options()
def status(job: CommandJob) -> Result:
    """Show the counts of a dataset and the command to run next."""
    from pipeline.status import readable_status
    from pipeline.status import status as gather_status

    with job.open() as dataset:
        return gather_status(dataset) if job.as_json else readable_status(dataset)


@commands.command(
    "list",
    epilog="Example: gleanset list samples --where label=hana | jq -c 'select(.score > 0.8)'",
)
@job_options()
@click.argument("kind", type=click.Choice(KINDS))
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only lines with this value; also searches lists, as in origins.source=bing.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to this file (atomically) instead of stdout.",
)
def list_(
    job: CommandJob, kind: str, conditions: tuple[str, ...], out: Path | None
) -> Result | None:
    """Print records as JSON Lines, with every field of the catalogue."""
    from pipeline.listing import list_records, write_lines

    with job.open() as dataset:
        lines = list_records(dataset, kind, conditions)
        if out is not None:
            return {"written": write_lines(lines, out), "to": str(out)}
        for line in lines:
            job.show_json(line)
    return None


@commands.command(epilog="Example: gleanset run my-recipe.toml --into my-dataset")
@job_options(simulate=True, on=True)
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
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
) -> Result:
    """Run a recipe stage by stage, or resume it.

    RECIPE is a file, or the name of a bundled recipe (see gleanset recipes).
    """
    from labeler.cli_curation import unreadable_images_error
    from labeler.splits.split_spec import split_summary
    from pipeline.recipe import find_recipe, read_recipe
    from pipeline.report import write_report
    from pipeline.stages import RecipeSources, Stages, run_recipe
    from pipeline.status import page_command

    file = find_recipe(recipe)
    extra = parse_key_values(options, "bing.size=large")
    sources = RecipeSources(read_recipe(file), file.parent, job.progress, allow_private, extra)
    stages = Stages(sources, job.say)
    root = into or job.root
    result: Result = run_recipe(
        stages, root, job.say, start=start, simulate=job.simulate, on=job.on
    )
    if not job.simulate:
        with Dataset.open(root) as dataset:
            result["report"] = str(write_report(dataset, title=stages.recipe.title))
            result |= page_command(dataset)
    summary = result
    if not job.as_json and "classes" in (split := result.get("split", {})):
        summary = result | {"split": split_summary(split)}
    exported = result.get("export")
    if isinstance(exported, dict) and exported.get("failed"):
        raise unreadable_images_error(len(exported["failed"]), summary)
    return summary


@commands.command(epilog="Example: gleanset recipes memes")
@job_options(dataset=False)
@click.argument("name", required=False)
def recipes(job: CommandJob, name: str | None) -> Result | None:
    """List the bundled recipes, or print one to start your own."""
    from pipeline.recipe import bundled_recipe, bundled_titles

    if name is not None:
        text = bundled_recipe(name).read_text(encoding="utf-8")
        if job.as_json:
            return {"name": name, "recipe": text}
        job.show(text.rstrip("\n"))
        return None
    titles = bundled_titles()
    if job.as_json:
        return {"recipes": titles}
    for recipe, title in titles.items():
        job.tell(f"{recipe:<20} {title}")
    return None


@commands.command(epilog="Example: gleanset report -d my-dataset")
@job_options()
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
def report(job: CommandJob, title: str | None, out: Path | None, run_id: str | None) -> Result:
    """Write a report on the dataset and its model as one HTML page."""
    from pipeline.report import write_report

    with job.open() as dataset:
        return {"report": str(write_report(dataset, out, title=title, run_id=run_id))}


@commands.command(epilog="Example: gleanset demo --into demo")
@job_options(dataset=False)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo"),
    show_default=True,
    help="Folder for the sample dataset.",
)
@click.option(
    "--serve",
    is_flag=True,
    help="Serve its page on this machine until Ctrl-C, and print the address.",
)
@click.option(
    "--site",
    is_flag=True,
    help="Only serve its image searches, Bing's and Flickr's, and print commands to try them.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    envvar="PORT",
    help="Port for --serve ($PORT if set).",
)
def demo(job: CommandJob, into: Path, serve: bool, site: bool, port: int) -> Result | None:
    """Build the bundled sample dataset and train a model on it.

    Works offline, and prints the path of the report. With --serve, an existing model is used again.
    """
    from pipeline.demo import run_demo, serve_demo, serve_sample_site

    if site:
        serve_sample_site(job.show)
        return None
    if serve:
        serve_demo(into, port, job.progress, job.show)
        return None
    result = run_demo(into, job.progress, job.say)
    if job.as_json:
        return result
    job.show(str(result["report"]))
    return None


@commands.command(epilog="Example: gleanset episodes ~/episodes -d my-dataset")
@job_options(simulate=True, on=True)
@request_options(EpisodesRequest)
def episodes(job: CommandJob, request: EpisodesRequest) -> Result | None:
    """Detect the faces in videos and track each within its shot.

    For each track, gleanset keeps the few frames that show the face best: large, sharp, and
    different in pose and expression. The faces of a track are one cluster, labelled together
    (labeler label NAME --cluster TRACK). Repeated intros and outros are used once.

    VIDEO is a file, a folder (searched recursively), a glob pattern, or the URL of a page with a
    video.
    """
    from harvest.cli import carry_out

    return carry_out(job, request)


@commands.command(epilog="Example: gleanset timeline -d my-dataset")
@job_options()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder to write to. Default: the dataset.",
)
def timeline(job: CommandJob, out: Path | None) -> Result:
    """Write who is on screen when, as a page and a table.

    It shows the tracks of gleanset episodes; most of its faces decide the class of a track.
    """
    from pipeline.episodes.timeline import write_timelines

    with job.open() as dataset:
        return write_timelines(dataset, out or dataset.root)


def main() -> NoReturn:
    """Run the console script."""
    run_main(commands)
