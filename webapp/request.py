"""Arguments of `webapp serve` and `webapp export`."""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

import msgspec

from facecrop.request import ModelDetector
from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.request import Request, WorkerCount
from webapp.settings import PER_MINUTE

DEFAULT_PORT = 8000


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


class ServeRequest(Request, frozen=True, kw_only=True):
    """Arguments of `webapp serve`."""

    COMMAND = "webapp serve"

    run: Annotated[str | None, Param(argument=True)] = None
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
    workers: Annotated[
        WorkerCount | None, Param("Compute processes. Default: 1 per core.")
    ] = None
    host_name: Annotated[
        tuple[str, ...], Param("Accept requests for this host name.")
    ] = ()
    allow_origin: Annotated[
        tuple[str, ...],
        Param(
            "Allow pages of this site (CORS), such as https://example.org.",
            metavar="ORIGIN",
        ),
    ] = ()
    forwarded_allow_ips: Annotated[
        str,
        Param(
            "Trusted proxies: addresses and networks, separated by commas.",
            metavar="ADDRESS,...",
            parse=check_proxies,
        ),
    ] = ""
    public: Annotated[bool, Param("Do not ask for a token.")] = False
    admin: Annotated[
        bool,
        Param(
            "Also serve the administrator's page, to accept and refuse reports. It needs the "
            "token in $GLEANSET_ADMIN_TOKEN; without it, one is created and printed."
        ),
    ] = False
    tls_cert: Annotated[
        str | None, Param("HTTPS certificate.", metavar="FILE", path=True)
    ] = None
    tls_key: Annotated[str | None, Param("HTTPS key.", metavar="FILE", path=True)] = (
        None
    )
    on_device: Annotated[
        bool | None,
        Param(
            "Let users download the model and run it in the browser. Default: yes.",
            opposite="--not-on-device",
        ),
    ] = None
    per_minute: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1_000_000)],
        Param("Requests per minute and address.", show_default=True),
    ] = PER_MINUTE
    detector: ModelDetector = None

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


class StaticPageRequest(Request, frozen=True, kw_only=True):
    """Arguments of `webapp export`."""

    COMMAND = "webapp export"

    folder: Annotated[str, Param(argument=True, required=True, path=True)]
    run: Annotated[str | None, Param(argument=True)] = None
    detector: ModelDetector = None
