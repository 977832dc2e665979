"""The `webapp` command: a page that says who is in a picture, and its REST API."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn, get_args

import click
import msgspec

from gleanset.cli import Command, CommandJob, Result, group, job_options
from gleanset.cli import main as run_main
from gleanset.completion.values import classes_here, runs_here
from gleanset.dataset import is_dataset
from gleanset.errors import MissingComponent, UsageError
from gleanset.settings import PageLanguage, WebSettings, read_settings
from gleanset.work.progress import Progress
from webapp.cli_reports import reports
from webapp.cli_take_downs import takedowns

BACK, NEWEST = "back", "newest"
commands = group("webapp", "Serve a trained model: a page, and a REST API.")
commands.add_command(reports)
commands.add_command(takedowns)


@commands.command(cls=Command, epilog="Example: webapp serve -d my-dataset --port 8080")
@job_options()
@click.argument("run", required=False, shell_complete=runs_here)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The address to listen at. Any but this machine's own asks visitors for a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    envvar="PORT",
    help="The port to listen at, 0 for any that is free; else $PORT.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=None,
    help="Processes that answer. Default: one for each core.",
)
@click.option("--host-name", "names", multiple=True, help="A name that it may be asked under.")
@click.option("--public", is_flag=True, help="Let everybody in, without a token.")
@click.option(
    "--tls-cert", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="For HTTPS."
)
@click.option(
    "--tls-key", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Its key."
)
@click.option("--title", help="The title of the page.")
@click.option(
    "--language",
    "languages",
    type=click.Choice(get_args(PageLanguage)),
    multiple=True,
    help="A language that the page offers; give it again for more. Default: all.",
)
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="NAME",
    shell_complete=classes_here,
    help="A class that is shown; give it again for more. Default: all.",
)
@click.option(
    "--unknown-below",
    type=click.FloatRange(0, 1),
    help='The probability below which the answer is "unknown". Default: as the run has it.',
)
@click.option(
    "--sure-from",
    type=click.FloatRange(0, 1),
    help="The probability from which pictures of a whole folder are ticked. Default: 0.95.",
)
@click.option("--contact", help="How to reach you, for whoever wants a picture removed.")
@click.option(
    "--on-device/--not-on-device",
    default=True,
    help="Let visitors fetch the model, and ask it without the server. Default: they may.",
)
@click.option(
    "--per-minute",
    type=click.IntRange(1, 1_000_000),
    default=240,
    show_default=True,
    help="Requests that one address may make.",
)
@click.option(
    "--faces/--whole",
    default=None,
    help="Find the faces in each picture, or take it whole. Default: as the pictures that the "
    "model learnt from were cut.",
)
@click.option(
    "--switch",
    metavar="RUN",
    shell_complete=runs_here,
    help="Have the servers of this dataset answer by another run, at once and without a dropped "
    f"request, and end: its id, {BACK!r} for the one before, {NEWEST!r} for the newest that "
    "[web] allows and newer ones as they come.",
)
def serve(
    job: CommandJob,
    run: str | None,
    switch: str | None,
    host: str,
    port: int,
    workers: int | None,
    names: tuple[str, ...],
    public: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    title: str | None,
    languages: tuple[str, ...],
    classes: tuple[str, ...],
    unknown_below: float | None,
    sure_from: float | None,
    contact: str | None,
    on_device: bool,
    per_minute: int,
    faces: bool | None,
) -> Result | None:
    """Serve a RUN (its id or folder), or an exported .onnx file, until Ctrl-C.

    What the page shows stands in [web] of dataset.toml; options win. Without a RUN it is the one
    named there or the newest, and newer ones take over while the server runs, unless --switch has
    named one. What visitors must know to be let in stands in $GLEANSET_WEB_TOKEN; else a token
    is made and printed.
    """
    need_web()
    if switch is not None:
        return _switch(job.root, switch, _web(job.root).run, job.progress)
    if bool(tls_cert) != bool(tls_key):
        raise UsageError("--tls-cert and --tls-key belong together", "give both")
    from webapp.server import ListenAddress
    from webapp.serving import ServeRequest, admission, serve_page

    options = {
        "title": title,
        "languages": list(languages) or None,
        "classes": list(classes) or None,
        "unknown_below": unknown_below,
        "sure_from": sure_from,
        "contact": contact,
    }
    request = ServeRequest(
        job.root,
        ListenAddress(host, port, tls_cert, tls_key),
        admission(host, names, public=public),
        _web(job.root, options),
        run,
        workers,
        on_device,
        per_minute,
        faces,
    )
    serve_page(request, job.show, job.progress)
    return None


def _web(root: Path, options: Mapping[str, object] | None = None) -> WebSettings:
    """Return the dataset's `[web]`, and over it what was given. Raises `RecipeError`."""
    table = read_settings(root).page if is_dataset(root) else WebSettings()
    own = {key: value for key, value in (options or {}).items() if value is not None}
    try:
        return msgspec.convert(msgspec.to_builtins(table) | own, WebSettings)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        raise UsageError(f"--{place.rstrip('`')}: {problem}", "give another one") from error


def need_web() -> None:
    """Raise `MissingComponent` where what serves the page is not installed."""
    missing = [name for name in ("fastapi", "uvicorn", "httptools") if find_spec(name) is None]
    if missing:
        raise MissingComponent(
            f"serving needs {' and '.join(missing)}, which is not installed",
            "pip install 'gleanset[web]'",
        )


def _switch(root: Path, run: str, wanted: str | None, progress: Progress) -> Result:
    """Let servers of a dataset answer by another run."""
    from webapp.served import read_served, served_place, write_served
    from webapp.served_runs import put_run_in_force

    place = served_place(root)
    if run == BACK:
        write_served(place, read_served(place).taken_back())
    else:
        put_run_in_force(root, None if run == NEWEST else run, wanted, progress)
    served = read_served(place)
    return {"run": served.in_force.run, "follows_newer_runs": served.follow}


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
