"""A minute of two attackers against `webapp serve`, while users send ordinary images.

    python benchmarks/web_attackers.py MODEL.onnx HOSTILE [--seconds 60]

Each attacker has one address and several threads, and forges X-Forwarded-For in each request. They
send images with many faces, PNGs of 49 megapixels without waiting for the response, parallel
uploads of 19 MB (forms, JSON, images), unfinished headers and bodies, thousands of parts, deep
JSON, the files of the folder HOSTILE, and reports with trailing bytes after the image. Three users
with their own addresses send a drawing with two faces every other second. The server has default
settings and the animeface detector. The last line is JSON: the share and latency of the users'
successful requests, the status codes of the attackers, the peak memory of all server processes
(proportional set size, sampled twice a second), and the number of processes left after the first
one was killed.
"""

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
from process_usage import iter_processes, read_memory
from web_throughput import run_server

from gleanset import Dataset
from tools.sample.character import random_character, random_expression
from tools.sample.scene import Figure, Scene, paint_scene

API = "/api/v1"
ATTACKER_ADDRESSES = ("127.0.0.2", "127.0.0.3")
USER_ADDRESSES = ("127.0.0.4", "127.0.0.5", "127.0.0.6")
UPLOAD_BYTES = 19_000_000
THREADS_PER_ATTACKER = 4
HEAD = (
    "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: {}\r\n"
    "Content-Type: {}\r\nContent-Length: {}\r\n\r\n"
)
FORM = "multipart/form-data; boundary=x"


def encode_part(name: str, data: bytes) -> bytes:
    """Encode a file as a part of a form."""
    head = f'--x\r\nContent-Disposition: form-data; name="{name}"; filename="a.png"\r\n\r\n'
    return head.encode() + data + b"\r\n"


def open_post(
    port: int, *parts: bytes, source: str, path: str = f"{API}/predict", length: int = 0
) -> socket.socket:
    """Send a form from a local address; return the open connection."""
    return open_body(port, b"".join(parts) + b"--x--\r\n", FORM, source, path, length)


def open_body(
    port: int,
    body: bytes,
    kind: str,
    source: str,
    path: str = f"{API}/predict",
    length: int = 0,
) -> socket.socket:
    """Send a body of a content type from a local address; return the open connection."""
    forged = f"10.{random.randrange(256)}.{random.randrange(256)}.1"
    connection = socket.create_connection(("127.0.0.1", port), 60, (source, 0))
    with ExitStack() as refused:
        refused.enter_context(connection)
        connection.sendall(
            HEAD.format(path, forged, kind, length or len(body)).encode() + body
        )
        refused.pop_all()
    return connection


def read_response(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Return status (0: no response), headers and JSON."""
    response = b""
    with connection, suppress(OSError):
        while not response.endswith(b"}") and (chunk := connection.recv(65536)):
            response += chunk
    if not response:
        return 0, {}, None
    head, _, body = response.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), headers, json.loads(body)


@cache
def draw_scene() -> bytes:
    """Return a scene with two faces, as PNG."""
    rng = random.Random(3)
    figures = tuple(
        Figure(random_character(x), x, 60, 260, 0, random_expression(rng))
        for x in (60, 400)
    )
    return _encode_image(
        paint_scene(Scene((720, 400), "room", 1, (1.0, 1.0, 1.0), figures)), "PNG"
    )


@cache
def draw_crowd() -> bytes:
    """Return 144 faces, for which animeface holds the GIL for seconds."""
    face = (
        Image.open(io.BytesIO(draw_scene())).crop((60, 60, 320, 320)).resize((160, 160))
    )
    sheet = Image.new("RGB", (1920, 1920))
    for place in range(144):
        sheet.paste(face, (place % 12 * 160, place // 12 * 160))
    return _encode_image(sheet, "JPEG")


@cache
def draw_bomb() -> bytes:
    """Return a PNG of 49 megapixels in 0.15 MB."""
    return _encode_image(Image.new("RGB", (7000, 7000)), "PNG")


def encode_json(*images: bytes) -> bytes:
    """Encode images as the JSON of a request."""
    encoded = [{"data": base64.b64encode(image).decode()} for image in images]
    return json.dumps({"images": encoded}).encode()


def _encode_image(image: Image.Image, kind: str) -> bytes:
    image.convert("RGB").save(buffer := io.BytesIO(), kind)
    return buffer.getvalue()


class Attacker:
    """Attacks from one address in several threads; `statuses` counts the responses."""

    def __init__(self, port: int, source: str, hostile: Path) -> None:
        self.statuses: Counter[int] = Counter()
        self._port = port
        self._source = source
        files = [
            path.read_bytes() for path in sorted(hostile.iterdir()) if path.is_file()
        ]
        self._hostile = [encode_part("files", data) for data in files]
        upload = bytes(UPLOAD_BYTES)
        image = _encode_image(Image.new("RGB", (60, 40), "red"), "JPEG")
        report = encode_part("file", image + upload)
        claim = (
            b'--x\r\nContent-Disposition: form-data; name="report"\r\n\r\n'
            b'{"claimed": "mei"}\r\n'
        )
        crowds = [encode_part("files", draw_crowd())] * 2
        large = encode_part("files", upload)
        encoded = encode_json(bytes(UPLOAD_BYTES * 3 // 4))
        self._attacks: list[Callable[[], object]] = [
            lambda: self._post_form(*crowds),
            lambda: self._abandon_form(encode_part("files", draw_bomb()) * 20),
            lambda: self._run_parallel(10, lambda: self._post_form(large)),
            lambda: self._run_parallel(50, lambda: self._abandon_form(length=1000)),
            lambda: self._run_parallel(50, self._abandon_head),
            lambda: self._post_form(encode_part("files", b"") * 5000),
            lambda: list(map(self._post_form, self._hostile)),
            lambda: self._post_form(report, claim, path=f"{API}/reports"),
            lambda: self._post_body(
                encode_json(draw_crowd(), draw_crowd()), "application/json"
            ),
            lambda: self._run_parallel(
                10, lambda: self._post_body(encoded, "application/json")
            ),
            lambda: self._post_body(b"[" * UPLOAD_BYTES, "application/json"),
            lambda: self._run_parallel(
                10, lambda: self._post_body(upload, "image/jpeg")
            ),
        ]

    def attack(self, ended: threading.Event) -> None:
        """Run all attacks repeatedly, in random order."""
        while not ended.is_set():
            for attack in random.sample(self._attacks, len(self._attacks)):
                if not ended.is_set():
                    attack()

    def _post_form(self, *parts: bytes, path: str = f"{API}/predict") -> None:
        with suppress(OSError):
            connection = open_post(self._port, *parts, source=self._source, path=path)
            self.statuses[read_response(connection)[0]] += 1

    def _post_body(self, body: bytes, kind: str) -> None:
        with suppress(OSError):
            connection = open_body(self._port, body, kind, self._source)
            self.statuses[read_response(connection)[0]] += 1

    def _abandon_form(self, *parts: bytes, length: int = 0) -> None:
        with (
            suppress(OSError),
            open_post(self._port, *parts, source=self._source, length=length),
        ):
            time.sleep(2)

    def _abandon_head(self) -> None:
        address = ("127.0.0.1", self._port)
        source = (self._source, 0)
        with (
            suppress(OSError),
            socket.create_connection(address, 60, source) as connection,
        ):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: local")
            time.sleep(2)

    def _run_parallel(self, times: int, work: Callable[[], None]) -> None:
        with ThreadPoolExecutor(times) as threads:
            for _ in range(times):
                threads.submit(work)


def run_user(port: int, source: str, until: float) -> list[tuple[int, float]]:
    """Send drawings until a time; return status and seconds of each request."""
    requests = []
    scene = encode_part("files", draw_scene())
    while (start := time.monotonic()) < until:
        status = read_response(open_post(port, scene, source=source))[0]
        requests.append((status, time.monotonic() - start))
        time.sleep(max(0.0, 2 - requests[-1][1]))
    return requests


def measure_attack(
    model: Path, hostile: Path, seconds: float, root: Path
) -> dict[str, Any]:
    """Serve a model to users during an attack; reports go to `root`."""
    Dataset.create(root).close()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "webapp", "serve", str(model), "-d", str(root)]
    command += ["--port", str(port), "--detector", "animeface"]
    with run_server(command, port) as group, ThreadPoolExecutor(64) as pool:
        run_user(port, USER_ADDRESSES[0], time.monotonic() + 3)
        attackers = [Attacker(port, source, hostile) for source in ATTACKER_ADDRESSES]
        ended = threading.Event()
        memory = list[float]()
        until = time.monotonic() + seconds
        for attacker in attackers * THREADS_PER_ATTACKER:
            pool.submit(attacker.attack, ended)
        users = [
            pool.submit(run_user, port, source, until) for source in USER_ADDRESSES
        ]
        while time.monotonic() < until:
            memory.append(read_memory(group))
            time.sleep(0.5)
        requests = [request for user in users for request in user.result()]
        os.kill(group, signal.SIGKILL)
        survivors = _count_survivors(group)
        ended.set()
    latencies = [latency for _, latency in requests]
    p95 = quantiles(latencies, n=20)[-1]
    return {
        "requests": len(requests),
        "answered": round(
            sum(status == 200 for status, _ in requests) / len(requests), 3
        ),
        "seconds": {"median": round(median(latencies), 2), "p95": round(p95, 2)},
        "users": dict(Counter(status for status, _ in requests)),
        "attackers": dict(
            sum((attacker.statuses for attacker in attackers), Counter())
        ),
        "memory_mb": {"before": memory[0], "peak": max(memory)},
        "left_after_kill": survivors,
    }


def _count_survivors(group: int) -> int:
    """Count the group's processes still running after up to 30 seconds."""
    for _ in range(60):
        survivors = sum((folder / "exe").exists() for folder in iter_processes(group))
        if not survivors:
            break
        time.sleep(0.5)
    return survivors


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("hostile", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        root = Path(scratch)
        figures = measure_attack(
            arguments.model, arguments.hostile, arguments.seconds, root
        )
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
