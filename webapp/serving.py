"""Serving a page: which model answers, what is shown, who is let in, and where it listens."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Callable
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from gleanset.dataset import is_dataset
from gleanset.errors import UsageError
from gleanset.platform import cores
from gleanset.work.progress import Progress
from webapp.request import ServeRequest
from webapp.served import checked_facts, refuse_unknown_classes
from webapp.served_runs import following, put_in_force
from webapp.server import ListenAddress, run_server
from webapp.settings import RequestLimits, ServeSettings, page_settings

VARIABLE, OWNER_VARIABLE = "GLEANSET_WEB_TOKEN", "GLEANSET_OWNER_TOKEN"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Admission(NamedTuple):
    """Who is let in: who asks one of these names (none for any), and knows the token."""

    hosts: tuple[str, ...]
    token: str | None


def serve_page(
    root: Path, request: ServeRequest, show: Callable[[str], None], progress: Progress
) -> None:
    """Serve a run of the dataset in `root`, or an exported file, until Ctrl-C or SIGTERM.

    `show` gets the page's address, `progress` what goes on.

    Raises what `put_in_force`, `checked_facts` and `run_server` raise.
    """
    with ExitStack() as stack:
        # uvicorn passes the signal on when it has ended, and the folder is removed all the same.
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
        stack.callback(signal.signal, signal.SIGTERM, before)
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="gleanset-web-")))
        web = page_settings(root)
        address = request.address()
        place, line = put_in_force(root, request.run, folder, web.run, progress)
        admitted = admission(request.host, request.host_name, public=request.public)
        owner = _owner_token(root) if request.owner else None
        settings = ServeSettings(
            served=str(place.resolve()),
            dataset=str(root.resolve()) if is_dataset(root) else None,
            web=web,
            hosts=admitted.hosts,
            token=admitted.token,
            owner=owner,
            on_device=request.on_device is not False,
            origins=request.allow_origin,
            detector=request.detector,
            processes=request.workers or cores(),
            limits=RequestLimits(per_minute=request.per_minute),
        )
        # Whatever is wrong with the model is said now, and not by each process.
        refuse_unknown_classes(checked_facts(settings).device["classes"], web)
        progress.say(line)
        if place.parent != folder:
            stack.enter_context(following(root, place, web.run))

        def announce(port: int) -> None:
            show(_page_address(address, port, "", admitted.token))
            if owner is not None:
                show(f"owner: {_page_address(address, port, 'owner', owner)}")
            progress.say("Ctrl-C ends it")

        run_server(settings, address, announce)


def admission(host: str, names: tuple[str, ...] = (), *, public: bool = False) -> Admission:
    """Return who is let in: on this machine alone whoever uses it, elsewhere who has the token."""
    token = os.environ.get(VARIABLE) or None
    if public:
        return Admission(names, None)
    if _is_loopback(host):
        # A page of another site could point a name of its own at this machine.
        return Admission((*LOCAL_NAMES, *names), token)
    return Admission(names, token or secrets.token_urlsafe(16))


def _is_loopback(host: str) -> bool:
    try:
        return host in LOCAL_NAMES or ip_address(host).is_loopback
    except ValueError:
        return False


def _owner_token(root: Path) -> str:
    """Return what opens the owner's page. Raises `UsageError` where there is nothing to own."""
    if not is_dataset(root):
        raise UsageError("--owner shows the reports of a dataset", "name it: -d DATASET")
    return os.environ.get(OWNER_VARIABLE) or secrets.token_urlsafe(16)


def _page_address(address: ListenAddress, port: int, page: str, token: str | None) -> str:
    """Return where a page is, with the token that opens it."""
    name = f"[{address.host}]" if ":" in address.host else address.host
    query = f"?token={token}" if token else ""
    return f"{'https' if address.cert else 'http'}://{name}:{port}/{page}{query}"
