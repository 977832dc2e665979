"""Load for a server: so many clients ask one after the other, over kept connections.

    python benchmarks/web_load.py http://127.0.0.1:8000/api/v1/predict PICTURE --requests 4000

Raw sockets of asyncio, so that the load costs little of the machine it shares with the server.
Prints requests a second and the 50th and 95th percentile of their time as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
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


async def client(host: str, port: int, request: bytes, left: list[int], took: list[float]) -> None:
    """Ask until nothing is left; the seconds of each request go to `took`."""
    reader, writer = await asyncio.open_connection(host, port)
    while left[0] > 0:
        left[0] -= 1
        begun = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = next(
            int(line.split(b":")[1])
            for line in head.splitlines()
            if line.lower().startswith(b"content-length:")
        )
        await reader.readexactly(length)
        took.append(time.perf_counter() - begun)
        if b"connection: close" in head.lower():
            writer.close()
            reader, writer = await asyncio.open_connection(host, port)
    writer.close()


async def load(
    url: str, picture: bytes, clients: int, requests: int, field: str
) -> dict[str, float]:
    """Return the figures of so many requests."""
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or 80
    request = request_bytes(f"{host}:{port}", place.path, field, picture)
    left, took = [requests], list[float]()
    begun = time.perf_counter()
    await asyncio.gather(*(client(host, port, request, left, took) for _ in range(clients)))
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
    print(
        json.dumps(
            asyncio.run(load(given.url, picture, given.clients, given.requests, given.field))
        )
    )


if __name__ == "__main__":
    main()
