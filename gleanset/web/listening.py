"""Where a server listens: options that all servers have, tokens, and printed addresses."""

import os
import secrets
import socket
from contextlib import suppress
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated

import msgspec

from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.request import Request

DEFAULT_PORT = 8000
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


def check_proxies(text: str) -> str:
    """Check a list of addresses. Raises `UsageError`."""
    for part in text.split(","):
        address = part.strip()
        if not address:
            continue
        try:
            ip_network(address, strict=False)
        except ValueError as error:
            raise UsageError(
                f"not an address: {address}",
                "use an address such as 127.0.0.1, or a network such as 172.16.0.0/12",
            ) from error
    return text


class ListenRequest(Request, frozen=True, kw_only=True):
    """Arguments of a command that serves a page."""

    host: Annotated[
        str,
        Param(
            "Address to listen on. It needs a token if others reach it.",
            show_default=True,
        ),
    ] = "127.0.0.1"
    port: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=65535)] | None,
        Param(
            "Port to listen on; 0: any free one.",
            show_default=f"$PORT, else {DEFAULT_PORT}",
        ),
    ] = None
    host_name: Annotated[
        # Browsers send names in lower case.
        tuple[str, ...],
        Param("Accept requests for this host name.", parse=str.lower),
    ] = ()
    forwarded_allow_ips: Annotated[
        str,
        Param(
            "Trusted proxies: addresses and networks, separated by commas.",
            metavar="ADDRESS,...",
            parse=check_proxies,
        ),
    ] = ""
    tls_cert: Annotated[
        str | None, Param("HTTPS certificate.", metavar="FILE", path=True)
    ] = None
    tls_key: Annotated[str | None, Param("HTTPS key.", metavar="FILE", path=True)] = (
        None
    )

    def check(self) -> None:
        """Raise `UsageError` if the port, the certificate or its key is unusable."""
        self.find_port()
        if bool(self.tls_cert) != bool(self.tls_key):
            raise UsageError("only one of --tls-cert and --tls-key", "use both")
        for name in (self.tls_cert, self.tls_key):
            if name and not Path(name).is_file():
                raise UsageError(f"not a file: {name}", "check the path")

    def find_port(self) -> int:
        """Return the port to listen on. Raises `UsageError`."""
        if self.port is not None:
            return self.port
        text = os.environ.get("PORT") or str(DEFAULT_PORT)
        if not text.isascii() or not text.isdecimal() or int(text) > 65535:
            raise UsageError(f"$PORT is not a port: {text!r}", "use --port PORT")
        return int(text)

    def accepted_hosts(self) -> tuple[str, ...]:
        """Return the accepted host names; none: any."""
        # Against DNS rebinding: another site could point its name at this machine.
        local_names = LOCAL_NAMES if is_loopback(self.host) else ()
        return (*local_names, *self.host_name)

    def list_links(self, port: int, token: str | None) -> list[str]:
        """Return the URLs of the page: if it listens everywhere, those for other devices."""
        scheme = "https" if self.tls_cert else "http"
        hosts = list_reachable_hosts(self.host, self.host_name)
        names = [f"[{host}]" if ":" in host else host for host in hosts]
        query = f"?token={token}" if token else ""
        return [f"{scheme}://{name}:{port}/{query}" for name in names]


def make_token() -> str:
    """Return a new token."""
    return secrets.token_urlsafe(16)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a host."""
    try:
        return host in LOCAL_NAMES or ip_address(host).is_loopback
    except ValueError:
        return False


def list_reachable_hosts(host: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the hosts of the page's URLs: if it listens everywhere, those for other devices.

    Where names are given, requests for others are refused, except from this machine.
    """
    if names and not is_loopback(host):
        return names
    if host not in ("0.0.0.0", "::"):  # noqa: S104
        return (host,)
    with suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as probe:
        # Sends nothing: it selects the address of this device in its network.
        probe.connect(("192.0.2.1", 9))
        return (probe.getsockname()[0], socket.gethostname())
    return (socket.gethostname(),)
