"""The `gleanset` command."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
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
    answered,
    gone_option,
    group,
    job_options,
    key_values,
)
from gleanset.cli import main as run_main
from gleanset.errors import UsageError
from gleanset.request import options_of
from gleanset.settings import Settings, write_settings
from pipeline.cli_maintenance import COMMANDS as HOUSE
from pipeline.cli_maintenance import doctor
from pipeline.episodes.request import EpisodesRequest

PROGRAMS = ("harvest", "facecrop", "labeler", "baseline", "webapp")


class Programs(CommandGroup):
    """The commands of whole datasets, and those of each program: `gleanset harvest urls`.

    A program is imported when it is asked for. Its own name is the short form of its group.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the programs first."""
        return [*PROGRAMS, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of whole datasets, or a program."""
        if cmd_name in PROGRAMS:
            program: click.Command = import_module(f"{cmd_name}.cli").commands
            return program
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return what is meant. Raises `UsageError` with the programs that have such a command."""
        if self.get_command(ctx, args[0]) is None and (meant := self._programs_with(ctx, args[0])):
            ctx.fail(f"No such command {args[0]!r}: {' or '.join(meant)}?")
        return super().resolve_command(ctx, args)

    def _programs_with(self, ctx: click.Context, name: str) -> list[str]:
        groups = {program: self.get_command(ctx, program) for program in PROGRAMS}
        return [
            f"gleanset {program} {name}"
            for program, group in groups.items()
            if isinstance(group, click.Group) and name in group.list_commands(ctx)
        ]


commands = group(
    "gleanset", "Whole datasets: make, run a recipe, look inside, see the demo.", Programs
)
for command in (doctor, *HOUSE):
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
    "proposals",
    "stacks",
    "tracks",
    "doubts",
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
@gone_option(
    "--store",
    what="a dataset is a folder",
    hint="gleanset init DIR; exports go to a URL: labeler export s3://BUCKET/PREFIX",
)
@click.option("--name", help="What the dataset is called. Default: as its folder.")
@click.option("--description", help="What is in it, in a sentence or two.")
@click.option("--contact", help="How to reach you about it.")
def init(job: CommandJob, folder: Path | None, **texts: str | None) -> Result:
    """Make an empty dataset in DIR, the same as -d DIR.

    Name, description and contact stand in cards, reports and on the page; in a terminal they are
    asked for (Enter skips one), and dataset.toml has them.
    """
    if folder is not None:
        source = click.get_current_context().get_parameter_source("dataset")
        if source is ParameterSource.COMMANDLINE:
            raise UsageError("the dataset is named twice", "name it as DIR or by -d, not both")
        job = replace(job, root=folder)
    with job.create() as dataset:
        if answers := _told(job, dataset.settings, texts):
            _write_down(dataset, answers)
        return {"dataset": str(dataset.root.absolute()), "images": dataset.images.count()}


def _told(
    job: CommandJob, settings: Settings, options: dict[str, str | None]
) -> dict[str, str | None]:
    texts = {name: text for name, text in options.items() if text is not None}
    silent = job.as_json or job.progress.quiet or not _at_a_terminal()
    if not texts and not silent and not (settings.name or settings.description or settings.contact):
        for name, question in _QUESTIONS.items():
            texts[name] = answered(question)
    return {name: " ".join(text.split()) or None for name, text in texts.items()}


def _at_a_terminal() -> bool:
    return sys.stdin.isatty()


def _write_down(dataset: Dataset, texts: dict[str, str | None]) -> None:
    changed = msgspec.to_builtins(dataset.settings) | texts
    try:
        settings = msgspec.convert(changed, Settings)
    except msgspec.ValidationError as error:
        raise UsageError(f"too long to be kept: {error}", "say it in fewer words") from error
    write_settings(dataset.root, settings)


_QUESTIONS = {
    "name": "Name of the dataset (Enter: that of its folder)",
    "description": "What is in it, in a sentence (Enter: nothing)",
    "contact": "How to reach you about it (Enter: nothing)",
}


@commands.command(epilog="Example: gleanset status -d my-dataset --json")
@job_options()
def status(job: CommandJob) -> Result:
    """Show how far a dataset has come, and the next command."""
    from pipeline.status import status as numbers
    from pipeline.status import status_words

    with job.open() as dataset:
        return numbers(dataset) if job.as_json else status_words(dataset)


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
    help="Only lines with this value, also within lists: origins.source=bing.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("json", "parquet")),
    default="json",
    show_default=True,
    help="An object a line, or a table with the same columns.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write it there, whole or not at all, instead of printing it.",
)
def list_(
    job: CommandJob, kind: str, conditions: tuple[str, ...], format_: str, out: Path | None
) -> Result | None:
    """Print one JSON object a line, with every field the catalogue has."""
    from pipeline.listing import listing, write_lines, write_table

    if out is None and format_ == "parquet":
        raise UsageError("a Parquet file is not printed", f"name it: --out {kind}.parquet")
    with job.open() as dataset:
        lines = listing(dataset, kind, conditions)
        if out is not None:
            write = write_lines if format_ == "json" else partial(write_table, kind=kind)
            return {"written": write(lines, out=out), "to": str(out)}
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
    help="The dataset folder (the same as -d).",
)
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="SOURCE.KEY=VALUE",
    help="A setting of a source that wins over the recipe's.",
)
@click.option(
    "--from",
    "start",
    metavar="STAGE",
    help="Leave out what comes before this stage, such as split.",
)
@click.option(
    "--allow-private", is_flag=True, help="Also fetch from this machine and private networks."
)
def run(
    job: CommandJob,
    recipe: Path,
    into: Path | None,
    options: tuple[str, ...],
    start: str | None,
    allow_private: bool,
) -> Result:
    """Carry out a recipe, stage by stage; run it again to go on where it stopped.

    RECIPE is a file, or the name of one that comes with Gleanset (gleanset recipes).
    """
    from gleanset import Dataset
    from labeler.cli_exchange import unreadable_images_error
    from pipeline.recipe import read_recipe, recipe_at
    from pipeline.report import write_report
    from pipeline.stages import Gathering, Stages, run_recipe
    from pipeline.status import page_command

    file = recipe_at(recipe)
    chosen = key_values(options, "bing.size=large")
    sources = Gathering(read_recipe(file), file.parent, job.progress, allow_private, chosen)
    stages = Stages(sources, job.say)
    root = into or job.root
    result = run_recipe(stages, root, job.say, start=start, simulate=job.simulate, on=job.on)
    if not job.simulate:
        with Dataset.open(root) as dataset:
            result["report"] = str(write_report(dataset, title=stages.recipe.title))
            result |= page_command(dataset)
    told = result if job.as_json else _for_a_person(result)
    exported = result.get("export")
    if isinstance(exported, dict) and exported.get("failed"):
        raise unreadable_images_error(len(exported["failed"]), told)
    return told


def _for_a_person(result: Result) -> Result:
    from labeler.splits.split_spec import split_summary

    if "classes" in (told := result.get("split", {})):
        return result | {"split": split_summary(told)}
    return result


@commands.command(epilog="Example: gleanset recipes memes")
@job_options(dataset=False)
@click.argument("name", required=False)
def recipes(job: CommandJob, name: str | None) -> Result | None:
    """List the recipes that come with Gleanset, or print one to change and run."""
    from pipeline.recipe import shipped_recipe, shipped_titles

    if name is not None:
        text = shipped_recipe(name).read_text(encoding="utf-8")
        if job.as_json:
            return {"name": name, "recipe": text}
        job.show(text.rstrip("\n"))
        return None
    titles = shipped_titles()
    if job.as_json:
        return {"recipes": titles}
    for known, title in titles.items():
        job.tell(f"{known:<20} {title}")
    return None


@commands.command(epilog="Example: gleanset report -d my-dataset")
@job_options()
@click.option("--title", help="The title. Default: the dataset's name.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to write it. Default: report.html in the dataset.",
)
@click.option(
    "--run",
    "run_id",
    metavar="RUN",
    help="The training run. Default: the newest.",
)
def report(job: CommandJob, title: str | None, out: Path | None, run_id: str | None) -> Result:
    """Write what is in a dataset and how good its model is as one HTML page."""
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
    help="Where to build the sample dataset.",
)
@click.option(
    "--serve",
    is_flag=True,
    help="Then serve its page at this machine until Ctrl-C, and print the address.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    envvar="PORT",
    help="Where --serve listens; else $PORT.",
)
def demo(job: CommandJob, into: Path, serve: bool, port: int) -> Result | None:
    """Build, train and judge the bundled sample, offline; print the report's path.

    With --serve nothing is built anew where its model is there already.
    """
    from pipeline.demo import run_demo, serve_demo

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
@options_of(EpisodesRequest)
def episodes(job: CommandJob, request: EpisodesRequest) -> Result | None:
    """Find the faces of videos while they are decoded, and follow each through its scene.

    Of each face that is followed, its track, the few frames are kept that show it best: large,
    sharp, and different in pose and mouth. All faces of a track are one stack: one gesture names
    them (labeler label NAME --stack TRACK). Openings and endings are taken once.

    VIDEO is a file, a folder (searched with all below it), a pattern, or the address of a page
    with a video.
    """
    from harvest.cli import carry_out

    return carry_out(job, request)


@commands.command(epilog="Example: gleanset timeline -d my-dataset")
@job_options()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to write them. Default: in the dataset.",
)
def timeline(job: CommandJob, out: Path | None) -> Result:
    """Write who is on screen when: a page, timeline.html, and the cut list of each person as CSV.

    Of the tracks of gleanset episodes: each is who most of it are labelled.
    """
    from pipeline.episodes.timeline import write_timelines

    with job.open() as dataset:
        return write_timelines(dataset, out or dataset.root)


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
