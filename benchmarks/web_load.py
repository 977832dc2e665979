"""Load for a server: so many clients ask one after the other, over kept connections.

    python benchmarks/web_load.py http://127.0.0.1:8000/api/v1/predict PICTURE --requests 4000

A thread and a plain socket for each, so that the load costs little of the machine that it shares
with the server.
Prints requests a second and the 50th and 95th percentile of their time as JSON.
"""

from __future__ import annotations

import argparse
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

BOUNDARY = "gleanset-load"


def request_bytes(host: str, path: str, field: str, picture: bytes) -> bytes:
    """Return a whole request with one picture in a form."""
    head = f'Content-Disposition: form-data; name="{field}"; filename="a.jpg"\r\n'
    body = (
        f"--{BOUNDARY}\r\n{head}Content-Type: image/jpeg\r\n\r\n".encode()
        + picture
        + f"\r\n--{BOUNDARY}--\r\n".encode()
    )
    start = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return start.encode() + body


class Connection:
    """A connection to a server that is kept, as long as the server keeps it."""

    def __init__(self, host: str, port: int) -> None:
        self._address = (host, port)
        self._socket = socket.create_connection(self._address)

    def ask(self, request: bytes) -> None:
        """Send a request and read its answer whole. Raises RuntimeError if it is not a 200."""
        self._socket.sendall(request)
        told = b""
        while b"\r\n\r\n" not in told:
            told += self._read()
        head, _, body = told.partition(b"\r\n\r\n")
        if not head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
            raise RuntimeError(head.decode())
        fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:])
        missing = int(fields[b"content-length"]) - len(body)
        while missing > 0:
            missing -= len(self._read())
        if fields.get(b"connection") == b"close":
            self._socket.close()
            self._socket = socket.create_connection(self._address)

    def _read(self) -> bytes:
        got = self._socket.recv(65536)
        if not got:
            raise RuntimeError("the server hung up")
        return got


def client(connection: Connection, request: bytes, left: Iterator[int], took: list[float]) -> None:
    """Ask until nothing is `left`; the seconds of each request go to `took`."""
    for _ in left:
        begun = time.perf_counter()
        connection.ask(request)
        took.append(time.perf_counter() - begun)


def load(url: str, picture: bytes, clients: int, requests: int, field: str) -> dict[str, float]:
    """Return the figures of so many requests."""
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or 80
    request = request_bytes(f"{host}:{port}", place.path, field, picture)
    left, took = iter(range(requests)), list[float]()
    connections = [Connection(host, port) for _ in range(clients)]
    begun = time.perf_counter()
    with ThreadPoolExecutor(clients) as threads:
        asking = [threads.submit(client, one, request, left, took) for one in connections]
        for one in asking:
            one.result()
    seconds = time.perf_counter() - begun
    low, high = np.quantile(took, (0.5, 0.95))
    return {
        "requests": len(took),
        "per_second": round(len(took) / seconds, 1),
        "p50_ms": round(1000 * low, 1),
        "p95_ms": round(1000 * high, 1),
    }


def main() -> None:
    """Load a server and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--field", default="files")
    given = parser.parse_args()
    picture = given.picture.read_bytes()
    print(json.dumps(load(given.url, picture, given.clients, given.requests, given.field)))


if __name__ == "__main__":
    main()
