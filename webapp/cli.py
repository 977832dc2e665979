"""The `webapp` command: a page that says who is in a picture, and its REST API."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NoReturn

from gleanset.cli import Command, CommandJob, Result, gone_option, group, job_options
from gleanset.cli import main as run_main
from gleanset.errors import MissingComponent
from gleanset.installation import install_command
from gleanset.request import options_of
from webapp.cli_visitors import reports
from webapp.request import ServeRequest, StaticPageRequest

commands = group("webapp", "Serve a trained model: a page, and a REST API.")
commands.add_command(reports)


@commands.command(cls=Command, epilog="Example: webapp serve -d my-dataset --port 8080")
@job_options()
@options_of(ServeRequest)
@gone_option("--switch", what="a server answers by one model", hint="restart: webapp serve RUN")
@gone_option(
    "--trust-proxy", what="it is called as uvicorn's", hint="--forwarded-allow-ips ADDRESS"
)
def serve(job: CommandJob, request: ServeRequest) -> None:
    """Serve a RUN (its id or folder), or an exported .onnx file, until Ctrl-C.

    What the page shows stands in [web] of dataset.toml (title, languages, classes, thresholds,
    contact), or in GLEANSET_WEB_TITLE and the like. Without a RUN it is the one named there or the
    newest; to serve another one, start the server again. What visitors must know to be let in
    stands in $GLEANSET_WEB_TOKEN; else a token is made and printed.
    """
    need_web()
    from webapp.serving import serve_page

    serve_page(job.root, request, job.show, job.progress)


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


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
