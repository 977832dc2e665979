"""The `webapp` command: a page that says who is in a picture, and its REST API."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from gleanset.cli import Command, CommandJob, Result, group, job_options
from gleanset.cli import main as run_main
from gleanset.errors import MissingComponent
from gleanset.installation import install_command
from gleanset.request import options_of
from gleanset.work.progress import Progress
from webapp.cli_visitors import reports, takedowns
from webapp.request import BACK, NEWEST, ServeRequest, StaticPageRequest
from webapp.settings import page_settings

commands = group("webapp", "Serve a trained model: a page, and a REST API.")
commands.add_command(reports)
commands.add_command(takedowns)


@commands.command(cls=Command, epilog="Example: webapp serve -d my-dataset --port 8080")
@job_options()
@options_of(ServeRequest)
def serve(job: CommandJob, request: ServeRequest) -> Result | None:
    """Serve a RUN (its id or folder), or an exported .onnx file, until Ctrl-C.

    What the page shows stands in [web] of dataset.toml (title, languages, classes, thresholds,
    contact), or in GLEANSET_WEB_TITLE and the like. Without a RUN it is the one named there or the
    newest, and newer ones take over while the server runs, unless --switch has named one. What
    visitors must know to be let in stands in $GLEANSET_WEB_TOKEN; else a token is made and printed.
    """
    need_web()
    if request.switch is not None:
        return _switch(job.root, request.switch, job.progress)
    from webapp.serving import serve_page

    serve_page(job.root, request, job.show, job.progress)
    return None


@commands.command(cls=Command, epilog="Example: webapp export public -d my-dataset")
@job_options()
@options_of(StaticPageRequest)
def export(job: CommandJob, request: StaticPageRequest) -> Result:
    """Write the page of a RUN into FOLDER, for any web host: it answers without a server.

    Each visitor's own device answers, also without a network; there are no reports. Everybody who
    sees the page may fetch the model. Without a RUN it is the one named in [web], or the newest.
    """
    need_web()
    from webapp.static_export import export_page

    return export_page(job.root, request, job.progress)


def need_web() -> None:
    """Raise `MissingComponent` where what serves the page is not installed."""
    missing = [name for name in ("fastapi", "uvicorn", "httptools") if find_spec(name) is None]
    if missing:
        raise MissingComponent(
            f"serving needs {' and '.join(missing)}, which is not installed",
            install_command("web"),
        )


def _switch(root: Path, run: str, progress: Progress) -> Result:
    """Let servers of a dataset answer by another run."""
    from webapp.served import read_served, served_place, write_served
    from webapp.served_runs import put_run_in_force

    place = served_place(root)
    if run == BACK:
        write_served(place, read_served(place).taken_back())
    else:
        wanted = page_settings(root).run
        put_run_in_force(root, None if run == NEWEST else run, wanted, progress)
    served = read_served(place)
    return {"run": served.in_force.run, "follows_newer_runs": served.follow}


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
