"""A minute of two attackers against `webapp serve`, while users send ordinary images.

    python benchmarks/web_attackers.py MODEL.onnx HOSTILE [--seconds 60]

Each attacker has one address and several threads, and forges X-Forwarded-For in each request. They
send images with many faces, PNGs of 49 megapixels without waiting for the response, parallel
uploads of 19 MB (forms, JSON, images), unfinished headers and bodies, thousands of parts, deep
JSON, the files of the folder HOSTILE, and reports with trailing junk after the image. Three users
with their own addresses send a drawing with two faces every other second. The server has default
settings and the animeface detector. The last line is JSON: the share and latency of the users'
successful requests, the status codes of the attackers, the peak memory of all server processes
(proportional set size, sampled twice a second), and the number of processes left after the first
one was killed.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from PIL import Image
from web_throughput import iter_processes, read_memory, run_server

from gleanset import Dataset
from tools.sample.character import random_character, random_expression
from tools.sample.scene import Figure, Scene, paint_scene

API = "/api/v1"
ATTACKERS, VISITORS = ("127.0.0.2", "127.0.0.3"), ("127.0.0.4", "127.0.0.5", "127.0.0.6")
UPLOAD, THREADS = 19_000_000, 4
HEAD = (
    "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: {}\r\n"
    "Content-Type: {}\r\nContent-Length: {}\r\n\r\n"
)
FORM = "multipart/form-data; boundary=x"


def part(name: str, data: bytes) -> bytes:
    """Encode a file as a part of a form."""
    about = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
    return about.encode() + data + b"\r\n"


def open_post(
    port: int, *parts: bytes, source: str, path: str = f"{API}/predict", length: int = 0
) -> socket.socket:
    """Send a form from a local address; return the open connection."""
    return open_body(port, b"".join(parts) + b"--x--\r\n", FORM, source, path, length)


def open_body(
    port: int, body: bytes, kind: str, source: str, path: str = f"{API}/predict", length: int = 0
) -> socket.socket:
    """Send a body of a content type from a local address; return the open connection."""
    asker = f"10.{random.randrange(256)}.{random.randrange(256)}.1"
    connection = socket.create_connection(("127.0.0.1", port), 60, (source, 0))
    with ExitStack() as refused:
        refused.enter_context(connection)
        connection.sendall(HEAD.format(path, asker, kind, length or len(body)).encode() + body)
        refused.pop_all()
    return connection


def read_response(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Return status (0: no response), headers and JSON."""
    answer = b""
    with connection, suppress(OSError):
        while not answer.endswith(b"}") and (more := connection.recv(65536)):
            answer += more
    if not answer:
        return 0, {}, None
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, json.loads(body)


@cache
def drawing() -> bytes:
    """Return a scene with two faces, as PNG."""
    dice = random.Random(3)
    figures = tuple(
        Figure(random_character(x), x, 60, 260, 0, random_expression(dice)) for x in (60, 400)
    )
    return _encode(paint_scene(Scene((720, 400), "room", 1, (1.0, 1.0, 1.0), figures)), "PNG")


@cache
def crowd() -> bytes:
    """Return 144 faces, for which animeface holds the GIL for seconds."""
    face = Image.open(io.BytesIO(drawing())).crop((60, 60, 320, 320)).resize((160, 160))
    sheet = Image.new("RGB", (1920, 1920))
    for place in range(144):
        sheet.paste(face, (place % 12 * 160, place // 12 * 160))
    return _encode(sheet, "JPEG")


@cache
def bomb() -> bytes:
    """Return a PNG of 49 megapixels in 0.15 MB."""
    return _encode(Image.new("RGB", (7000, 7000)), "PNG")


def encode_json(*images: bytes) -> bytes:
    """Encode images as the JSON of a request."""
    encoded = [{"data": base64.b64encode(image).decode()} for image in images]
    return json.dumps({"images": encoded}).encode()


def _encode(picture: Image.Image, kind: str) -> bytes:
    picture.convert("RGB").save(buffer := io.BytesIO(), kind)
    return buffer.getvalue()


class Attacker:
    """Attacks from one address in several threads; `answers` counts the status codes."""

    def __init__(self, port: int, source: str, hostile: Path) -> None:
        self.answers: Counter[int] = Counter()
        self._port, self._source = port, source
        files = [path.read_bytes() for path in sorted(hostile.iterdir()) if path.is_file()]
        self._hostile = [part("files", data) for data in files]
        report = part("file", _encode(Image.new("RGB", (60, 40), "red"), "JPEG") + bytes(UPLOAD))
        claim = (
            b'--x\r\nContent-Disposition: form-data; name="report"\r\n\r\n{"claimed": "mei"}\r\n'
        )
        crowds, large = [part("files", crowd())] * 2, part("files", bytes(UPLOAD))
        encoded = encode_json(bytes(UPLOAD * 3 // 4))
        self._attacks: list[Callable[[], object]] = [
            lambda: self._ask(*crowds),
            lambda: self._go(part("files", bomb()) * 20),
            lambda: self._run_parallel(10, lambda: self._ask(large)),
            lambda: self._run_parallel(50, lambda: self._go(length=1000)),
            lambda: self._run_parallel(50, self._send_half_head),
            lambda: self._ask(part("files", b"") * 5000),
            lambda: list(map(self._ask, self._hostile)),
            lambda: self._ask(report, claim, path=f"{API}/reports"),
            lambda: self._send(encode_json(crowd(), crowd()), "application/json"),
            lambda: self._run_parallel(10, lambda: self._send(encoded, "application/json")),
            lambda: self._send(b"[" * UPLOAD, "application/json"),
            lambda: self._run_parallel(10, lambda: self._send(bytes(UPLOAD), "image/jpeg")),
        ]

    def attack(self, ended: threading.Event) -> None:
        """Run all attacks repeatedly, in random order."""
        while not ended.is_set():
            for each in random.sample(self._attacks, len(self._attacks)):
                if not ended.is_set():
                    each()

    def _ask(self, *parts: bytes, path: str = f"{API}/predict") -> None:
        with suppress(OSError):
            connection = open_post(self._port, *parts, source=self._source, path=path)
            self.answers[read_response(connection)[0]] += 1

    def _send(self, body: bytes, kind: str) -> None:
        with suppress(OSError):
            connection = open_body(self._port, body, kind, self._source)
            self.answers[read_response(connection)[0]] += 1

    def _go(self, *parts: bytes, length: int = 0) -> None:
        with suppress(OSError), open_post(self._port, *parts, source=self._source, length=length):
            time.sleep(2)

    def _send_half_head(self) -> None:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port), 60, (self._source, 0)) as one,
        ):
            one.sendall(b"GET / HTTP/1.1\r\nHost: local")
            time.sleep(2)

    def _run_parallel(self, times: int, work: Callable[[], None]) -> None:
        with ThreadPoolExecutor(times) as threads:
            for _ in range(times):
                threads.submit(work)


def run_visitor(port: int, source: str, until: float) -> list[tuple[int, float]]:
    """Send drawings until a time; return status and seconds of each."""
    taken = []
    while (begun := time.monotonic()) < until:
        status = read_response(open_post(port, part("files", drawing()), source=source))[0]
        taken.append((status, time.monotonic() - begun))
        time.sleep(max(0.0, 2 - taken[-1][1]))
    return taken


def measure_attack(model: Path, hostile: Path, seconds: float, root: Path) -> dict[str, Any]:
    """Serve a model to users during an attack; reports go to `root`."""
    Dataset.create(root).close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [sys.executable, "-m", "webapp", "serve", str(model), "-d", str(root)]
    line += ["--port", str(port), "--detector", "animeface"]
    with run_server(line, port) as group, ThreadPoolExecutor(64) as pool:
        run_visitor(port, VISITORS[0], time.monotonic() + 3)
        attackers = [Attacker(port, source, hostile) for source in ATTACKERS]
        ended, most, until = threading.Event(), list[float](), time.monotonic() + seconds
        for attacker in attackers * THREADS:
            pool.submit(attacker.attack, ended)
        visits = [pool.submit(run_visitor, port, source, until) for source in VISITORS]
        while time.monotonic() < until:
            most.append(read_memory(group))
            time.sleep(0.5)
        taken = [each for one in visits for each in one.result()]
        os.kill(group, signal.SIGKILL)
        left = _count_left(group)
        ended.set()
    took = [second for _, second in taken]
    return {
        "asked": len(taken),
        "answered": round(sum(status == 200 for status, _ in taken) / len(taken), 3),
        "seconds": {"median": round(median(took), 2), "p95": round(quantiles(took, n=20)[-1], 2)},
        "visitors": dict(Counter(status for status, _ in taken)),
        "attackers": dict(sum((one.answers for one in attackers), Counter())),
        "memory_mb": {"before": most[0], "most": max(most)},
        "left_after_kill": left,
    }


def _count_left(group: int) -> int:
    """Count the group's processes still running after up to 30 seconds."""
    for _ in range(60):
        left = sum((place / "exe").exists() for place in iter_processes(group))
        if not left:
            break
        time.sleep(0.5)
    return left


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("hostile", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        print(
            json.dumps(
                measure_attack(arguments.model, arguments.hostile, arguments.seconds, Path(scratch))
            )
        )


if __name__ == "__main__":
    main()
