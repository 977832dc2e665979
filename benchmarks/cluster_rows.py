"""Whether three nodes of a cluster make the catalogue that this machine alone makes, row for row.

    python benchmarks/cluster_rows.py --count 5000
    python benchmarks/cluster_rows.py --count 300 --kills 10

Pictures are drawn (one in ten shows a face, one in twenty is a smaller copy of another) and served
by a loopback server. The stages that can run elsewhere go over them, once here and once with
`--on`: downloads, faces, copies, features, export. Three nodes of Ray, each a process tree and a
loopback address of its own, stand for machines. With `--kills N` a node is killed N times at random
moments and another joins, and then, in a dataset of its own, the driver is killed N times and
started again. What `gleanset list` prints, times aside, and the exported files are compared; at the
end nothing of the commands may run. The last line is one JSON object. Needs Ray and openssl.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from ray_nodes import RayCluster, ray_cluster  # noqa: E402

from tools.sample.scene import draw_scene, random_character  # noqa: E402

HOSTS = 8
KINDS = ("images", "faces", "samples", "decisions", "groups", "rejections")
TIMES = ("at", "started", "ended", "fetched", "added", "id")
Stage = tuple[str, Sequence[str]]


@lru_cache(maxsize=64)
def drawn(number: int) -> bytes:
    """One picture of the collection, as a JPEG of some 10 kB; a few are no pictures."""
    if number % 97 == 96:
        return b"<html>gone</html>"
    file = io.BytesIO()
    original = number - 1 if number % 20 == 1 else number
    picture = _scene(original)
    if original != number:
        picture = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4))
    picture.save(file, "JPEG", quality=90)
    return file.getvalue()


def _scene(number: int) -> Image.Image:
    if number % 10 == 0:
        scene, _ = draw_scene([random_character(number % 70)], number, (320, 240))
        return scene.convert("RGB")
    rng = np.random.default_rng(number)
    rough = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((320, 240), Image.Resampling.BICUBIC)


class Pictures(BaseHTTPRequestHandler):
    """Serves them; counts how many connections a host has at once."""

    protocol_version = "HTTP/1.1"
    most: ClassVar[dict[str, int]] = {}
    now: ClassVar[dict[str, int]] = {}
    lock = threading.Lock()

    def setup(self) -> None:
        """Note the connection."""
        super().setup()
        host = self.connection.getsockname()[0]
        with self.lock:
            self.now[host] = self.now.get(host, 0) + 1
            self.most[host] = max(self.most.get(host, 0), self.now[host])

    def finish(self) -> None:
        """Forget it."""
        with self.lock:
            self.now[self.connection.getsockname()[0]] -= 1
        super().finish()

    def do_GET(self) -> None:
        """Send a picture; nobody has rules for robots."""
        name = self.path.strip("/").partition(".")[0]
        found = name.isdigit()
        body = drawn(int(name)) if found else b""
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # of a driver that was killed
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@contextmanager
def served(count: int, folder: Path) -> Iterator[Path]:
    """Serve the pictures from several hosts; the list of their addresses, with hints."""
    servers = [ThreadingHTTPServer((f"127.0.1.{n + 1}", 0), Pictures) for n in range(HOSTS)]
    for server in servers:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
    names = [f"http://{server.server_address[0]}:{server.server_address[1]}" for server in servers]
    lines = [f"{names[n % HOSTS]}/{n}.jpg\tkind{n % 3}" for n in range(count)]
    urls = folder / "urls.txt"
    urls.write_text("\n".join(lines))
    yield urls
    for server in servers:
        server.shutdown()


def stages(urls: Path) -> list[Stage]:
    """The commands, one after the other; those that take `--on` get it."""
    return [
        ("harvest", ["urls", str(urls), "--allow-private"]),
        ("facecrop", ["run", "--detector", "drawnface"]),
        ("labeler", ["dedup"]),
        ("labeler", ["accept-hints"]),
        ("baseline", ["presort"]),
        ("labeler", ["split"]),
        ("labeler", ["export", "exports/tree"]),
    ]


LOCAL = ("accept-hints", "split")


def begin(stage: Stage, root: Path, on: str | None) -> subprocess.Popen[str]:
    """Start one command."""
    program, words = stage
    line = [sys.executable, "-c", f"from {program}.cli import main; main()", *words]
    line += ["-d", str(root), "-q", "--json"]
    line += ["--on", on] if on and words[0] not in LOCAL else []
    if words[0] == "export":
        line[line.index("exports/tree")] = str(root / "exports" / "tree")
    return subprocess.Popen(
        line,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(stage: Stage, root: Path, on: str | None) -> float:
    """Run one command to its end; the seconds it took."""
    begun = time.monotonic()
    process = begin(stage, root, on)
    _, said = process.communicate()
    if process.returncode:
        raise SystemExit(f"{stage}: {process.returncode}: {said[-2000:]}")
    return time.monotonic() - begun


def go(urls: Path, root: Path, on: str | None) -> dict[str, float]:
    """Run all stages; the seconds of each."""
    return {f"{s[0]} {s[1][0]}": round(finish(s, root, on), 1) for s in stages(urls)}


def go_with_dying_nodes(urls: Path, root: Path, cluster: RayCluster, kills: int) -> int:
    """Run all stages while nodes are killed and others join; how many were killed."""
    dice, ended, killed = random.Random(1), threading.Event(), 0

    def kill() -> None:
        nonlocal killed
        while killed < kills and not ended.wait(dice.uniform(1, 8)):
            others = [node for node in cluster.nodes[1:] if node.process.poll() is None]
            dice.choice(others).kill()
            killed += 1
            cluster.add()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        while True:
            go(urls, root, cluster.address)
            if killed >= kills:
                return killed
            # What is done is done: the rest of the kills meets a dataset of its own.
            shutil.rmtree(root)
    finally:
        ended.set()
        killer.join()


def go_with_dying_driver(urls: Path, root: Path, on: str, kills: int) -> int:
    """Run all stages, the driver killed so often at random moments; how often it was."""
    dice, killed = random.Random(2), 0
    todo = stages(urls)
    while todo:
        process = begin(todo[0], root, on)
        wait = dice.uniform(2, 10) if killed < kills else None
        try:
            _, said = process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            continue
        if process.returncode:
            raise SystemExit(f"{todo[0]}: {process.returncode}: {said[-2000:]}")
        todo = todo[1:]
        if not todo and killed < kills:
            shutil.rmtree(root)
            todo = stages(urls)
    return killed


def rows(root: Path) -> dict[str, str]:
    """A hash of what each list prints, times aside, and of the exported tree."""
    found = {}
    for kind in KINDS:
        line = [sys.executable, "-m", "pipeline", "list", kind, "-d", str(root)]
        told = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True).stdout
        kept = [_without_times(json.loads(row)) for row in told.splitlines()]
        found[kind] = f"{len(kept)} {_hash(json.dumps(kept, sort_keys=True).encode())}"
    tree = root / "exports" / "tree"
    files = sorted(path for path in tree.rglob("*") if path.suffix in (".jpg", ".png", ".csv"))
    whole = b"".join(
        path.relative_to(tree).as_posix().encode() + path.read_bytes() for path in files
    )
    return found | {"export": f"{len(files)} {_hash(whole)}"}


def _without_times(row: object) -> object:
    if isinstance(row, dict):
        return {name: _without_times(one) for name, one in row.items() if name not in TIMES}
    if isinstance(row, list):
        return [_without_times(one) for one in row]
    return row


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def still_running(root: Path) -> list[str]:
    """Processes whose command line or folder names the dataset."""
    left = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(root) in line and int(entry.name) != os.getpid():
            left.append(line[:120])
    return left


def main() -> None:
    """Run, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where to work; by default a temporary one")
    args = parser.parse_args()
    result: dict[str, object] = {"pictures": args.count}
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        folder = Path(scratch)
        with served(args.count, folder) as urls, ray_cluster(1, 1, 1) as cluster:
            result["here, s"] = go(urls, folder / "here", None)
            print(result, flush=True)
            expected = rows(folder / "here")
            result["rows"] = expected
            Pictures.most.clear()
            result["cluster, s"] = go(urls, folder / "there", cluster.address)
            result["most connections to a host"] = max(Pictures.most.values())
            there = rows(folder / "there")
            result["cluster equal"] = there == expected
            result["differ"] = {
                kind: there[kind] for kind in there if there[kind] != expected[kind]
            }
            print(result, flush=True)
            if args.kills:
                root = folder / "nodes"
                result["nodes killed"] = go_with_dying_nodes(urls, root, cluster, args.kills)
                result["nodes killed, equal"] = rows(root) == expected
                print(result, flush=True)
                root = folder / "driver"
                address = cluster.address
                result["driver killed"] = go_with_dying_driver(urls, root, address, args.kills)
                result["driver killed, equal"] = rows(root) == expected
            result["most connections to a host"] = max(Pictures.most.values())
            time.sleep(5)
            result["still running"] = still_running(folder)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
