"""A real S3 server: OpenStack Swift, its four parts in one process on free ports of this machine.

`python swift_server.py FOLDER` keeps all data in FOLDER, prints the server's address, and ends
when its stdin is closed. Keys are `test:tester` and `testing`.
"""

from __future__ import annotations

import eventlet

eventlet.monkey_patch()

import logging  # noqa: E402
import socket  # noqa: E402
import sys  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Iterable  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

warnings.simplefilter("ignore")

from eventlet import wsgi  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.wsgi import loadapp  # noqa: E402

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck listing_formats bulk s3api tempauth \
    slo dlo copy proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin .reseller_admin
"""
PLAIN = (
    "catch_errors",
    "gatekeeper",
    "healthcheck",
    "listing_formats",
    "bulk",
    "slo",
    "dlo",
    "copy",
)
SHARED = """[DEFAULT]
swift_dir = {folder}
devices = {folder}/disks
mount_check = false
disable_fallocate = true
log_level = CRITICAL
"""


def serve(folder: Path) -> None:
    """Serve until stdin is closed."""
    (folder / "disks" / "sdb1").mkdir(parents=True, exist_ok=True)
    names = "swift_hash_path_suffix = tests\nswift_hash_path_prefix = tests\n"
    (folder / "swift.conf").write_text(
        f"[swift-hash]\n{names}[storage-policy:0]\nname=one\ndefault=yes\n"
    )
    from swift.common import utils

    utils.SWIFT_CONF_FILE = str(folder / "swift.conf")
    utils.config.SWIFT_CONF_FILE = utils.SWIFT_CONF_FILE  # type: ignore[attr-defined]
    sockets = {name: listening() for name in ("account", "container", "object", "proxy")}
    for name in ("account", "container", "object"):
        ring = RingBuilder(0, 1, 0)
        place = {"ip": "127.0.0.1", "port": sockets[name].getsockname()[1], "device": "sdb1"}
        ring.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0, **place})
        ring.rebalance()
        ring.get_ring().save(str(folder / f"{name}.ring.gz"))
    shared = SHARED.format(folder=folder)
    for name, opened in sockets.items():
        config = PROXY + "".join(f"[filter:{part}]\nuse = egg:swift#{part}\n" for part in PLAIN)
        if name != "proxy":
            config = f"[pipeline:main]\npipeline = {name}-server\n"
            config += f"[app:{name}-server]\nuse = egg:swift#{name}\n"
        file = folder / f"{name}.conf"
        file.write_text(shared + config)
        app = with_memory(loadapp(str(file), global_conf={"log_name": name}), Memory())
        eventlet.spawn(wsgi.server, opened, app, log=logging.getLogger("quiet"), debug=False)
    port = sockets["proxy"].getsockname()[1]
    sys.stdout.write(f"http://127.0.0.1:{port}\n")
    sys.stdout.flush()
    eventlet.hubs.trampoline(sys.stdin.fileno(), read=True)


class Memory:
    """A replacement for memcached in Swift's single process."""

    def __init__(self) -> None:
        self.kept: dict[str, object] = {}

    def get(self, key: str, **_: object) -> object:
        return self.kept.get(key)

    def set(self, key: str, value: object, *_: object, **__: object) -> None:
        self.kept[key] = value

    def delete(self, key: str, *_: object, **__: object) -> None:
        self.kept.pop(key, None)


def with_memory(app: WSGIApplication, memory: Memory) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        environ["swift.cache"] = memory
        return app(environ, start)

    return answer


def listening() -> socket.socket:
    result: socket.socket = eventlet.listen(("127.0.0.1", 0), backlog=128)
    result.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return result


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    serve(Path(sys.argv[1]).resolve())
