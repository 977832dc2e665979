"""The `webapp` command: a page that says who is in a picture, and its REST API."""

from __future__ import annotations

import os
import secrets
from contextlib import ExitStack
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import click

from gleanset.cli import Command, CommandJob, Result, group, job_options
from gleanset.cli import main as run_main
from gleanset.dataset import is_dataset
from gleanset.errors import MissingComponent, UsageError
from gleanset.platform import cores
from webapp.cli_reports import reports

if TYPE_CHECKING:
    from webapp.server import ListenAddress

VARIABLE = "GLEANSET_WEB_TOKEN"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
commands = group("webapp", "Serve a trained model: a page, and a REST API.")
commands.add_command(reports)


@commands.command(cls=Command, epilog="Example: webapp serve -d my-dataset --port 8080")
@job_options()
@click.argument("run", required=False)
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
    help="The port to listen at; else $PORT.",
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
@click.option("--title", default="", help="The title of the page.")
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
def serve(
    job: CommandJob,
    run: str | None,
    host: str,
    port: int,
    workers: int | None,
    names: tuple[str, ...],
    public: bool,
    tls_cert: Path | None,
    tls_key: Path | None,
    title: str,
    on_device: bool,
    per_minute: int,
    faces: bool | None,
) -> None:
    """Serve a RUN (its id or folder), or an exported .onnx file, until Ctrl-C.

    Without a RUN it is the newest, and newer ones take over while the server runs, unless `webapp
    use` has named one. What visitors must know to be let in stands in $GLEANSET_WEB_TOKEN; else a
    token is made and printed.
    """
    _need_extra()
    if bool(tls_cert) != bool(tls_key):
        raise UsageError("--tls-cert and --tls-key belong together", "give both")
    from webapp.served import ModelInForce
    from webapp.served_runs import following, put_in_force
    from webapp.server import ListenAddress, run_server
    from webapp.settings import RequestLimits, ServeSettings

    who, address = _admission(host, names, public), ListenAddress(host, port, tls_cert, tls_key)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="gleanset-web-")))
        job.say("looking at the model ...")
        place, said = put_in_force(job.root, run, folder)
        job.say(said)
        settings = ServeSettings(
            served=str(place.resolve()),
            counters=_counters(folder),
            dataset=str(job.root.resolve()) if is_dataset(job.root) else None,
            title=title,
            hosts=who.hosts,
            token=who.token,
            on_device=on_device,
            faces=faces,
            limits=RequestLimits(per_minute=per_minute),
        )
        # Whatever is wrong with it is said now, and not by each worker.
        ModelInForce(place, faces)
        if place.parent != folder:
            stack.enter_context(following(job.root, place))
        _announce(job, address, who)
        run_server(settings, address, workers or cores())


class Admission(NamedTuple):
    """Who is let in: who asks one of these names (none for any), and knows the token."""

    hosts: tuple[str, ...]
    token: str | None


def _admission(host: str, names: tuple[str, ...], public: bool) -> Admission:
    """Return who is let in: on this machine alone whoever uses it, elsewhere who has the token."""
    token = os.environ.get(VARIABLE) or None
    if public:
        return Admission(names, None)
    if _is_loopback(host):
        # A page of another site could point a name of its own at this machine.
        return Admission((*LOCAL_NAMES, *names), token)
    return Admission(names, token or secrets.token_urlsafe(16))


def _need_extra() -> None:
    missing = [name for name in ("fastapi", "uvicorn", "httptools") if find_spec(name) is None]
    if missing:
        raise MissingComponent(
            f"serving needs {' and '.join(missing)}, which is not installed",
            "pip install 'gleanset[web]'",
        )


def _is_loopback(host: str) -> bool:
    try:
        return host in LOCAL_NAMES or ip_address(host).is_loopback
    except ValueError:
        return False


def _counters(folder: Path) -> str:
    """Return the file in which workers count requests together."""
    from webapp.rate_limit import SALT, make_counters

    make_counters(place := folder / "counters", secrets.token_bytes(SALT))
    return str(place)


def _announce(job: CommandJob, address: ListenAddress, who: Admission) -> None:
    """Print where the page is, with the token that opens it."""
    name = f"[{address.host}]" if ":" in address.host else address.host
    query = f"/?token={who.token}" if who.token else "/"
    job.show(f"{'https' if address.cert else 'http'}://{name}:{address.port}{query}")
    job.say("Ctrl-C ends it")


@commands.command(cls=Command, epilog="Example: webapp use --back -d my-dataset")
@job_options()
@click.argument("run", required=False)
@click.option("--back", is_flag=True, help="The model that was served before.")
@click.option("--newest", is_flag=True, help="The newest run, and newer ones as they come.")
def use(job: CommandJob, run: str | None, back: bool, newest: bool) -> Result:
    """Let servers of a dataset answer by another RUN, at once and without a dropped request."""
    _need_extra()
    if (run is not None) + back + newest != 1:
        raise UsageError("which model?", "name a RUN, or give --back or --newest")
    from webapp.served import read_served, served_place, write_served
    from webapp.served_runs import put_run_in_force

    place = served_place(job.root)
    if back:
        write_served(place, read_served(place).taken_back())
    else:
        put_run_in_force(job.root, run)
    served = read_served(place)
    return {"run": served.in_force.run, "follows_newer_runs": served.follow}


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
