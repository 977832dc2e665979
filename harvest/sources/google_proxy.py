"""The proxy settings of the environment, as switches of Chrome."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from gleanset.errors import UsageError


def proxy_switches(environment: Mapping[str, str]) -> list[str]:
    """`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, lower case first, as curl does.

    Raises `UsageError` for a proxy with a login, which Chrome does not take.
    """

    def named(name: str) -> str:
        return environment.get(name.lower()) or environment.get(name.upper()) or ""

    proxies = {scheme: named(f"{scheme}_proxy") or named("all_proxy") for scheme in _SCHEMES}
    servers = ";".join(f"{scheme}={_plain(url)}" for scheme, url in proxies.items() if url)
    spared = named("no_proxy")
    if not servers or spared.strip() == "*":
        return ["--no-proxy-server"]
    return [f"--proxy-server={servers}", f"--proxy-bypass-list={_spared(spared)}"]


_SCHEMES = ("http", "https")


def _plain(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.username:
        raise UsageError(
            f"Chrome cannot log in at the proxy {parts.hostname}.",
            "Use a proxy without a login for google, or another source.",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _spared(no_proxy: str) -> str:
    """A name of NO_PROXY covers what is below it as well; Chrome wants both written."""
    # Chrome never asks a proxy for this machine, unless told so; curl and we do.
    rules = ["<-loopback>"]
    for entry in filter(None, (part.strip() for part in no_proxy.split(","))):
        name = entry.lstrip("*.")
        rules += [name] if name[0].isdigit() or ":" in name else [name, f"*.{name}"]
    return ";".join(rules)
