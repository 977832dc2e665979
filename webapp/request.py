"""What `webapp serve` is asked. What the page shows stands in [web] of dataset.toml."""

from __future__ import annotations

import os
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec

from facecrop.request import ModelDetector
from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.request import Request, WorkerCount
from webapp.settings import PER_MINUTE

if TYPE_CHECKING:
    from webapp.server import ListenAddress

PORT = 8000


def checked_proxies(text: str) -> str:
    """Return addresses of proxies as they are. Raises `UsageError` for what is not an address."""
    for address in filter(None, map(str.strip, text.split(","))):
        try:
            ip_network(address, strict=False)
        except ValueError as error:
            hint = "name an address as 127.0.0.1, or a network as 172.16.0.0/12"
            raise UsageError(f"not an address: {address}", hint) from error
    return text


class ServeRequest(Request, frozen=True, kw_only=True):
    """`webapp serve`: which run answers, at which address, and who is let in."""

    COMMAND = "webapp serve"

    run: Annotated[str | None, Param(argument=True)] = None
    host: Annotated[
        str,
        Param(
            "The address to listen at. Any but this machine's own asks visitors for a token.",
            show_default=True,
        ),
    ] = "127.0.0.1"
    port: Annotated[
        Annotated[int, msgspec.Meta(ge=0, le=65535)] | None,
        Param("The port to listen at, 0 for any that is free.", show_default=f"$PORT, else {PORT}"),
    ] = None
    workers: Annotated[
        WorkerCount | None,
        Param("Processes that compute. Default: one for each core."),
    ] = None
    host_name: Annotated[tuple[str, ...], Param("A name that it may be asked under.")] = ()
    allow_origin: Annotated[
        tuple[str, ...],
        Param("A site whose pages may ask, as https://example.org.", metavar="ORIGIN"),
    ] = ()
    forwarded_allow_ips: Annotated[
        str,
        Param(
            "Proxies in front, which say who asks: addresses and networks, with commas between.",
            metavar="ADDRESS,...",
            parse=checked_proxies,
        ),
    ] = ""
    public: Annotated[bool, Param("Let everybody in, without a token.")] = False
    owner: Annotated[
        bool,
        Param(
            "Serve the owner's page as well, where reports are accepted and refused. It asks for "
            "the token in $GLEANSET_OWNER_TOKEN; else one is made and printed."
        ),
    ] = False
    tls_cert: Annotated[str | None, Param("For HTTPS.", metavar="FILE", path=True)] = None
    tls_key: Annotated[str | None, Param("Its key.", metavar="FILE", path=True)] = None
    on_device: Annotated[
        bool | None,
        Param(
            "Let visitors fetch the model, and ask it without the server. Default: they may.",
            opposite="--not-on-device",
        ),
    ] = None
    per_minute: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1_000_000)],
        Param("Requests that one address may make.", show_default=True),
    ] = PER_MINUTE
    detector: ModelDetector = None

    def address(self) -> ListenAddress:
        """Return where it listens. Raises `UsageError`."""
        from webapp.server import ListenAddress

        if bool(self.tls_cert) != bool(self.tls_key):
            raise UsageError("--tls-cert and --tls-key belong together", "give both")
        cert, key = (None if name is None else Path(name) for name in (self.tls_cert, self.tls_key))
        for file in (cert, key):
            if file is not None and not file.is_file():
                raise UsageError(f"{file} is no file", "check its name")
        return ListenAddress(self.host, self._port(), cert, key, self.forwarded_allow_ips)

    def _port(self) -> int:
        if self.port is not None:
            return self.port
        text = os.environ.get("PORT") or str(PORT)
        if not text.isascii() or not text.isdecimal() or int(text) > 65535:
            raise UsageError(f"$PORT is {text!r}, no number of a port", "give --port")
        return int(text)


class StaticPageRequest(Request, frozen=True, kw_only=True):
    """`webapp export`: where the page goes, and which run answers on it."""

    COMMAND = "webapp export"

    folder: Annotated[str, Param(argument=True, path=True)]
    run: Annotated[str | None, Param(argument=True)] = None
    detector: ModelDetector = None
