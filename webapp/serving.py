"""`webapp serve`: from the request of a user to a running server."""

import os
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from ipaddress import ip_address
from pathlib import Path

import msgspec

from gleanset.dataset import is_dataset
from gleanset.errors import UsageError
from gleanset.platform import count_cores
from gleanset.work.processes import WorkerPool
from gleanset.work.progress import Progress
from webapp.computations import JOB, ServedFacts, load_served_facts
from webapp.exports import FILE, find_served_file, private_copy
from webapp.request import ServeRequest
from webapp.server import run_server
from webapp.settings import RequestLimits, ServeSettings, page_settings

TOKEN_VARIABLE = "GLEANSET_WEB_TOKEN"  # noqa: S105 - not a token, but its name
ADMIN_TOKEN_VARIABLE = "GLEANSET_ADMIN_TOKEN"  # noqa: S105
LOAD_TIMEOUT_SECONDS = 300.0
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


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
        hosts, token = choose_access_rules(
            request.host,
            request.host_name,
            public=request.public,
        )
        admin = _choose_admin_token(root, token) if request.admin else None
        settings = ServeSettings(
            model=str(file),
            dataset=str(root.resolve()) if is_dataset(root) else None,
            web=web,
            hosts=hosts,
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

        # Errors of the model are reported once, not by each process.
        facts = load_facts(settings)
        # A class that is renamed from now on has one name in all processes.
        settings = msgspec.structs.replace(settings, names=facts.names)
        progress.say(f"serving {file.parent.name if file.name == FILE else file.stem}")

        def announce(port: int) -> None:
            for host in list_reachable_hosts(request.host, request.host_name):
                base = _make_base_url(request, host, port)
                show(f"{base}?token={token}" if token else base)
                if admin is not None:
                    show(f"admin: {base}admin?token={admin}")
            progress.say("press Ctrl-C to stop")

        run_server(settings, facts, request, announce)


def choose_access_rules(
    host: str, names: tuple[str, ...], *, public: bool
) -> tuple[tuple[str, ...], str | None]:
    """Return the accepted host names (none: any) and the token (None: not needed).

    A server that others can reach needs a token unless it is `public`.
    """
    token = os.environ.get(TOKEN_VARIABLE) or None
    if public:
        return names, None
    if _is_loopback(host):
        # Against DNS rebinding: another site could point its name at this machine.
        return (*LOCAL_NAMES, *names), token
    return names, token or secrets.token_urlsafe(16)


def _is_loopback(host: str) -> bool:
    try:
        return host in LOCAL_NAMES or ip_address(host).is_loopback
    except ValueError:
        return False


def _choose_admin_token(root: Path, token: str | None) -> str:
    if not is_dataset(root):
        raise UsageError("--admin needs a dataset", "add -d DATASET")
    admin = os.environ.get(ADMIN_TOKEN_VARIABLE) or secrets.token_urlsafe(16)
    if admin == token or len(admin) < 12:
        raise UsageError(
            f"${ADMIN_TOKEN_VARIABLE} has fewer than 12 characters, or is the token of users",
            "use at least 12 characters of its own",
        )
    return admin


def list_reachable_hosts(host: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the hosts of the page's URLs: if it listens everywhere, those for other devices."""
    if host not in ("0.0.0.0", "::"):  # noqa: S104
        return (host,)
    with suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as probe:
        # Sends nothing: it selects the address of this device in its network.
        probe.connect(("192.0.2.1", 9))
        return names or (probe.getsockname()[0], socket.gethostname())
    return names or (socket.gethostname(),)


def _make_base_url(request: ServeRequest, host: str, port: int) -> str:
    scheme = "https" if request.tls_cert else "http"
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{port}/"
