"""The `gleanset` command."""

from __future__ import annotations

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

    Name, description and contact appear in dataset cards, reports and on the page. They are stored
    in dataset.toml.
    """
    if folder is not None:
        source = click.get_current_context().get_parameter_source("dataset")
        if source is ParameterSource.COMMANDLINE:
            raise UsageError("two dataset folders: DIR and -d", "use only one of them")
        job = replace(job, root=folder)
    with job.create() as dataset:
        if descriptions := {key: text for key, text in texts.items() if text is not None}:
            _save_descriptions(dataset, descriptions)
        return {"dataset": str(dataset.root.absolute()), "images": dataset.images.count()}


def _save_descriptions(dataset: Dataset, texts: dict[str, str]) -> None:
    lines = {name: " ".join(text.split()) or None for name, text in texts.items()}
    changed = msgspec.to_builtins(dataset.settings) | lines
    try:
        settings = msgspec.convert(changed, Settings)
    except msgspec.ValidationError as error:
        raise UsageError(f"text too long: {error}", "shorten it") from error
    write_settings(dataset.root, settings)


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
def list_(job: CommandJob, kind: str, conditions: tuple[str, ...]) -> None:
    """Print records as JSON Lines, with every field of the catalogue."""
    from pipeline.listing import list_records

    with job.open() as dataset:
        for line in list_records(dataset, kind, conditions):
            job.show_json(line)


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
    from pipeline.stages import Stages, run_recipe
    from pipeline.status import page_command

    file = find_recipe(recipe)
    extra = parse_key_values(options, "bing.size=large")
    recipe_table = read_recipe(file)
    stages = Stages(recipe_table, file.parent, job.progress, allow_private, extra, job.say)
    root = into or job.root
    result: Result = run_recipe(
        stages, root, job.say, start=start, simulate=job.simulate, on=job.on
    )
    if not job.simulate:
        with Dataset.open(root) as dataset:
            result["report"] = str(write_report(dataset, title=recipe_table.title))
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
    "--site",
    is_flag=True,
    help="Only serve its image searches, Bing's and Flickr's, and print commands to try them.",
)
def demo(job: CommandJob, into: Path, site: bool) -> Result | None:
    """Build the bundled sample dataset and train a model on it.

    Works offline, and prints the path of the report.
    """
    from pipeline.demo import run_demo, serve_sample_site

    if site:
        serve_sample_site(job.show)
        return None
    result = run_demo(into, job.progress, job.say)
    if job.as_json:
        return result
    job.say(f"to see its page: {result['serve']}")
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
