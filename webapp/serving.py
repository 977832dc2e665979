"""Serving a page: which model answers, what is shown, who is let in, and where it listens."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path

from gleanset.dataset import is_dataset
from gleanset.errors import UsageError
from gleanset.platform import cores
from gleanset.work.processes import worker_pool
from gleanset.work.progress import Progress
from webapp.computations import JOB, ServedFacts, facts_of
from webapp.exports import FILE, served_file
from webapp.request import ServeRequest
from webapp.server import ListenAddress, run_server
from webapp.settings import RequestLimits, ServeSettings, page_settings

VARIABLE, OWNER_VARIABLE = "GLEANSET_WEB_TOKEN", "GLEANSET_OWNER_TOKEN"
LOAD_SECONDS = 300.0
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def checked_facts(settings: ServeSettings) -> ServedFacts:
    """Return what is told of the model to serve, which a process of its own loads to see that it
    can be. Raises what `load_model` raises.
    """
    with worker_pool(1, LOAD_SECONDS, JOB) as pool:
        facts: ServedFacts = pool.schedule(facts_of, settings.to_text()).result()
    return facts


def serve_page(
    root: Path, request: ServeRequest, show: Callable[[str], None], progress: Progress
) -> None:
    """Serve a run of the dataset in `root`, or an exported file, until Ctrl-C or SIGTERM.

    `show` gets the page's address, `progress` what goes on.

    Raises what `served_file`, `checked_facts` and `run_server` raise.
    """
    with ExitStack() as stack:
        # uvicorn passes the signal on when it has ended.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        stack.callback(signal.signal, signal.SIGTERM, before)
        web = page_settings(root)
        address = request.address()
        file = served_file(root, request.run, web.run, progress)
        hosts, token = admission(request.host, request.host_name, public=request.public)
        owner = _owner_token(root) if request.owner else None
        settings = ServeSettings(
            model=str(file),
            dataset=str(root.resolve()) if is_dataset(root) else None,
            web=web,
            hosts=hosts,
            token=token,
            owner=owner,
            on_device=request.on_device is not False,
            origins=request.allow_origin,
            detector=request.detector,
            processes=request.workers or cores(),
            limits=RequestLimits(per_minute=request.per_minute),
        )
        # Whatever is wrong with the model is said now, and not by each process.
        facts = checked_facts(settings)
        progress.say(f"{file.parent.name if file.name == FILE else file.stem} is served")

        def announce(port: int) -> None:
            show(_page_address(address, port, "", token))
            if owner is not None:
                show(f"owner: {_page_address(address, port, 'owner', owner)}")
            progress.say("Ctrl-C ends it")

        run_server(settings, facts, address, announce)


def admission(
    host: str, names: tuple[str, ...], *, public: bool
) -> tuple[tuple[str, ...], str | None]:
    """Return the names that may be asked (none: any), and the token that is asked for.

    On this machine alone whoever uses it is let in, elsewhere who has the token.
    """
    token = os.environ.get(VARIABLE) or None
    if public:
        return names, None
    if _is_loopback(host):
        # A page of another site could point a name of its own at this machine.
        return (*LOCAL_NAMES, *names), token
    return names, token or secrets.token_urlsafe(16)


def _is_loopback(host: str) -> bool:
    try:
        return host in LOCAL_NAMES or ip_address(host).is_loopback
    except ValueError:
        return False


def _owner_token(root: Path) -> str:
    if not is_dataset(root):
        raise UsageError("--owner shows the reports of a dataset", "name it: -d DATASET")
    return os.environ.get(OWNER_VARIABLE) or secrets.token_urlsafe(16)


def _page_address(address: ListenAddress, port: int, page: str, token: str | None) -> str:
    name = f"[{address.host}]" if ":" in address.host else address.host
    query = f"?token={token}" if token else ""
    return f"{'https' if address.cert else 'http'}://{name}:{port}/{page}{query}"
