"""Serving a page: which model answers, what is shown, who is let in, and where it listens."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from gleanset.dataset import is_dataset
from gleanset.platform import cores
from gleanset.settings import WebSettings
from gleanset.work.progress import Progress
from webapp.rate_limit import SALT, make_counters
from webapp.served import ModelInForce
from webapp.served_runs import following, put_in_force
from webapp.server import ListenAddress, run_server
from webapp.settings import RequestLimits, ServeSettings
from webapp.shown import refuse_unknown_classes

VARIABLE = "GLEANSET_WEB_TOKEN"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Admission(NamedTuple):
    """Who is let in: who asks one of these names (none for any), and knows the token."""

    hosts: tuple[str, ...]
    token: str | None


@dataclass(frozen=True, slots=True)
class ServeRequest:
    """What `webapp serve` is asked for.

    `run` names a run of the dataset in `root`, or an exported file; None for what `web` says.
    `workers` None is one for each core. `faces` says what `baseline.load` means by it.
    """

    root: Path
    address: ListenAddress
    who: Admission
    web: WebSettings
    run: str | None = None
    workers: int | None = None
    on_device: bool = True
    per_minute: int = RequestLimits().per_minute
    faces: bool | None = None


def serve_page(request: ServeRequest, show: Callable[[str], None], progress: Progress) -> None:
    """Serve until Ctrl-C; `show` gets the page's address, `progress` what goes on.

    Raises what `put_in_force`, `ModelInForce` and `run_server` raise.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="gleanset-web-")))
        web = request.web
        place, said = put_in_force(request.root, request.run, folder, web.run, progress)
        # Whatever is wrong with it is said now, and not by each worker.
        now = ModelInForce(place, request.faces, request.web).now
        refuse_unknown_classes(now.model.classes, request.web)
        progress.say(said)
        if place.parent != folder:
            stack.enter_context(following(request.root, place, request.web.run))
        settings = _settings(request, place, folder)
        run_server(
            settings,
            request.address,
            request.workers or cores(),
            lambda port: _announce(request, port, show, progress.say),
        )


def _settings(request: ServeRequest, place: Path, folder: Path) -> ServeSettings:
    make_counters(counters := folder / "counters", secrets.token_bytes(SALT))
    return ServeSettings(
        served=str(place.resolve()),
        counters=str(counters),
        dataset=str(request.root.resolve()) if is_dataset(request.root) else None,
        web=request.web,
        hosts=request.who.hosts,
        token=request.who.token,
        on_device=request.on_device,
        faces=request.faces,
        limits=RequestLimits(per_minute=request.per_minute),
    )


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


def _announce(
    request: ServeRequest, port: int, show: Callable[[str], None], say: Callable[[str], None]
) -> None:
    """Print where the page is, with the token that opens it."""
    address, token = request.address, request.who.token
    name = f"[{address.host}]" if ":" in address.host else address.host
    query = f"/?token={token}" if token else "/"
    show(f"{'https' if address.cert else 'http'}://{name}:{port}{query}")
    say("Ctrl-C ends it")
