"""The four sites under their real names, which commands reach through a proxy.

    with fake_internet(DrawnSites(kinds, each=30), scratch) as environment:
        subprocess.run(["harvest", "keyword", "cat"], env={**os.environ, **environment})

A proxy on loopback takes every connection to a site's real address, shows a certificate that the
environment trusts, and lets the sites of tests/harvest answer. No other name is known to it.
"""

import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from tools_for_tests import LoopbackServer, QuietHandler, running, self_signed

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "harvest"))

from faulty_server import Handler
from four_sites import FourSites

SITES = {
    "www.bing.com": "/bing",
    "www.google.com": "/google",
    "api.flickr.com": "/flickr",
    "app-api.pixiv.net": "/pixiv",
    "oauth.secure.pixiv.net": "/pixiv-auth",
}
# Variables that may be set on this machine.
_TRUST = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")


@contextmanager
def fake_internet(sites: FourSites, scratch: Path) -> Iterator[dict[str, str]]:
    """Serve `sites`; yield the environment of commands."""
    certificate = self_signed(scratch, *(f"DNS:{name}" for name in SITES))
    _Tunnel.trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _Tunnel.trusted.load_cert_chain(certificate, scratch / "key.pem")
    _Tunnel.sites = sites
    with running(sites), running(LoopbackServer(_Tunnel)) as tunnel:
        yield {
            **sites.environment,
            "HTTPS_PROXY": tunnel.url,
            "NO_PROXY": "127.0.0.1,localhost",
            **dict.fromkeys(_TRUST, str(certificate)),
        }


class _Tunnel(QuietHandler):
    """Proxy that answers CONNECT and serves inside the tunnel."""

    trusted: ClassVar[ssl.SSLContext]
    sites: ClassVar[FourSites]

    def do_CONNECT(self) -> None:
        host = self.path.rpartition(":")[0]
        if host not in SITES:
            self.send_error(502, f"no stand-in for {host}")
            return
        self.begin_answer(200)
        try:
            with self.trusted.wrap_socket(self.connection, server_side=True) as inside:
                _Site(inside, self.client_address, self.sites)
        except OSError:
            """A client that hangs up has what it wanted."""
        self.close_connection = True


class _Site(Handler):
    """Request handler that maps a real host to the path of its stand-in."""

    def parse_request(self) -> bool:
        sound = super().parse_request()
        if sound and self.path != "/robots.txt":
            self.path = SITES[self.headers["Host"].partition(":")[0]] + self.path
        return sound


def trust_in_chromium(home: Path, certificate: Path) -> bool:
    """Let Chromium with this home folder trust the sites; return whether it does."""
    certutil = shutil.which("certutil")
    if certutil is None:
        return False
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    place = ["-d", f"sql:{store}"]
    for line in (
        [certutil, *place, "-N", "--empty-password"],
        [certutil, *place, "-A", "-t", "C,,", "-n", "stand-in", "-i", str(certificate)],
    ):
        subprocess.run(line, check=True, capture_output=True)
    return True
