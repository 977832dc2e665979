"""`webapp serve`: from the request of a user to a running server."""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from gleanset.dataset import is_dataset
from gleanset.errors import UsageError
from gleanset.platform import count_cores
from gleanset.web.listening import is_loopback, make_token
from gleanset.web.server import run_server
from gleanset.work.processes import WorkerPool
from gleanset.work.progress import Progress
from webapp.app import create_app
from webapp.computations import JOB, ServedFacts, load_served_facts
from webapp.exports import FILE, find_served_file, private_copy
from webapp.request import ServeRequest
from webapp.settings import RequestLimits, ServeSettings, page_settings

TOKEN_VARIABLE = "GLEANSET_WEB_TOKEN"  # noqa: S105 - not a token, but its name
ADMIN_TOKEN_VARIABLE = "GLEANSET_ADMIN_TOKEN"  # noqa: S105
LOAD_TIMEOUT_SECONDS = 300.0


def load_facts(settings: ServeSettings) -> ServedFacts:
    """Load the model in another process and return its facts. Raises what `load_model` raises."""
    with WorkerPool(1, LOAD_TIMEOUT_SECONDS, JOB) as pool:
        facts: ServedFacts = pool.schedule(load_served_facts, settings).result()
    return facts


def serve_page(
    root: Path, request: ServeRequest, show: Callable[[str], None], progress: Progress
) -> None:
    """Serve a run of the dataset in `root`, or an exported file, until Ctrl-C or SIGTERM.

    Prints the URL with `show`. Raises what `find_served_file`, `load_facts` and `run_server` raise.
    """
    with ExitStack() as stack:
        # SIGTERM ends the `with` as Ctrl-C does: uvicorn raises it again after it has shut down,
        # and by default it would end the process before the private copy is removed.
        previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
        stack.callback(signal.signal, signal.SIGTERM, previous)

        web = page_settings(root)
        request.check()
        file = find_served_file(root, request.run, web.run, progress)
        token = None if request.public else os.environ.get(TOKEN_VARIABLE) or None
        if not (token or request.public or is_loopback(request.host)):
            token = make_token()
        admin = _choose_admin_token(root, token) if request.admin else None
        settings = ServeSettings(
            model=str(file),
            dataset=str(root.resolve()) if is_dataset(root) else None,
            web=web,
            hosts=request.host_name if request.public else request.accepted_hosts(),
            token=token,
            admin=admin,
            on_device=request.on_device is not False,
            origins=request.allow_origin,
            detector=request.detector,
            processes=request.workers or count_cores(),
            limits=RequestLimits(per_minute=request.per_minute),
            # All processes load this copy, also when `file` is replaced while it is served.
            copy=str(stack.enter_context(private_copy(file))),
        )

        # Loaded in one process before, so that errors of the model are reported once, not by each.
        facts = load_facts(settings)
        # Names are fixed now: a class that is renamed later has the same name in all processes,
        # also in those that start again.
        settings = msgspec.structs.replace(settings, names=facts.names)
        progress.say(f"serving {file.parent.name if file.name == FILE else file.stem}")

        def announce(port: int) -> None:
            for link in request.list_links(port, token):
                show(link)
                if admin is not None:
                    base = link.partition("?")[0]
                    show(f"admin: {base}admin?token={admin}")
            progress.say("press Ctrl-C to stop")

        run_server(create_app(settings, facts), request, announce)


def _choose_admin_token(root: Path, token: str | None) -> str:
    if not is_dataset(root):
        raise UsageError("--admin needs a dataset", "add -d DATASET")
    admin = os.environ.get(ADMIN_TOKEN_VARIABLE) or make_token()
    if admin == token or len(admin) < 12:
        raise UsageError(
            f"${ADMIN_TOKEN_VARIABLE} has fewer than 12 characters, or is the token of users",
            "use at least 12 characters of its own",
        )
    return admin
