"""Site for download benchmarks: up to eight hosts on loopback, a fixed latency, keep-alive.

A single asyncio process, so that it takes little of the measured CPU time. It counts requests and
the maximum of parallel requests on each host.
"""

from __future__ import annotations

import asyncio
import io
import json
import multiprocessing
import zlib
from collections import Counter
from contextlib import suppress
from queue import Queue

import numpy as np
from PIL import Image

HOSTS = tuple(f"127.0.0.{number}" for number in range(1, 9))


# Typical sizes of search results for characters: mostly one or two megapixels.
Sizes = tuple[tuple[int, int], ...]
FAULTS = ("404", "page", "truncated", "hangs")
"""Missing file, HTML page instead of an image, truncated image, and no response for a long time."""
HANGS = 60.0
SIZES: Sizes = ((800, 600), (1280, 720), (1000, 1500), (1920, 1080))
# 62, 88, 101 and 139 kB.
SMALL_SIZES: Sizes = ((800, 600), (960, 720), (1024, 768), (900, 1200))


def pictures(sizes: Sizes = SIZES) -> list[bytes]:
    """Return one JPEG of each size: soft shapes with light grain."""
    random = np.random.default_rng(0)
    return [_picture(random, width, height) for width, height in sizes]


def _picture(random: np.random.Generator, width: int, height: int) -> bytes:
    coarse = random.integers(0, 256, (height // 32, width // 32, 3), dtype=np.uint8)
    soft = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    grain = random.normal(0, 4, (height, width, 1))
    pixels = np.clip(np.asarray(soft) + grain, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


class _Site:
    def __init__(self, latency: float, sizes: Sizes, faults: float) -> None:
        self._latency = latency
        self._pictures = pictures(sizes)
        self._faults = faults
        self._under_way: Counter[str] = Counter()
        self._most: Counter[str] = Counter()
        self._asked = 0

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = writer.get_extra_info("sockname")[0]
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while line := (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2):
                await self._answer(line[1].decode(), host, writer)
        writer.close()

    async def _answer(self, path: str, host: str, writer: asyncio.StreamWriter) -> None:
        if path == "/figures":
            body = json.dumps({"asked": self._asked, "most": max(self._most.values(), default=0)})
            self._most.clear()
            self._asked = 0
            return self._send(writer, body.encode(), "application/json")
        if path == "/robots.txt":
            return self._send(writer, b"User-agent: *\nAllow: /\n", "text/plain")
        self._under_way[host] += 1
        self._most[host] = max(self._most[host], self._under_way[host])
        self._asked += 1
        fault = fault_of(path, self._faults)
        await asyncio.sleep(self._latency)
        self._under_way[host] -= 1
        if fault == "hangs":  # the server does not notice when the client disconnects
            await asyncio.sleep(HANGS)
        # The path appended to the image makes every file unique.
        picture = self._pictures[zlib.crc32(path.encode()) % len(self._pictures)]
        body = picture + path.encode()
        if fault == "404":
            return self._send(writer, b"gone", "text/plain", "404 Not Found")
        if fault == "page":
            body = b"<!DOCTYPE html><title>moved</title>" + path.encode()
        elif fault == "truncated":
            body = path.encode().join((picture[: len(picture) // 2], b""))
        return self._send(writer, body, "image/jpeg")

    @staticmethod
    def _send(writer: asyncio.StreamWriter, body: bytes, kind: str, status: str = "200 OK") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)


def fault_of(path: str, share: float) -> str:
    """Return the fault of an address, "" if it has none."""
    number = zlib.crc32(f"{path} fault".encode())
    return FAULTS[number % len(FAULTS)] if number / 2**32 < share else ""


def _serve(site_of: tuple[float, Sizes, float], hosts: int, port: Queue[int]) -> None:
    async def run() -> None:
        site = _Site(*site_of)
        first = await asyncio.start_server(site.talk, HOSTS[0], 0, backlog=1024)
        number = first.sockets[0].getsockname()[1]
        for host in HOSTS[1:hosts]:
            await asyncio.start_server(site.talk, host, number, backlog=1024)
        port.put(number)
        await asyncio.Event().wait()

    asyncio.run(run())


class SlowSite:
    """Context manager that runs the site in a separate process."""

    def __init__(
        self,
        latency: float,
        hosts: int = len(HOSTS),
        sizes: Sizes = SIZES,
        faults: float = 0.0,
    ) -> None:
        self._hosts = HOSTS[:hosts]
        context = multiprocessing.get_context("spawn")
        port: Queue[int] = context.Queue()  # type: ignore[assignment]
        self._process = context.Process(
            target=_serve, args=((latency, sizes, faults), hosts, port), daemon=True
        )
        self._process.start()
        self.port = port.get(timeout=20)

    def urls(self, count: int, start: int = 0) -> list[str]:
        """Return `count` distinct image addresses, spread over the hosts."""
        return [
            f"http://{self._hosts[n % len(self._hosts)]}:{self.port}/{n}.jpg"
            for n in range(start, start + count)
        ]

    @property
    def figures_url(self) -> str:
        """The address that returns and resets the counts."""
        return f"http://{HOSTS[0]}:{self.port}/figures"

    def __enter__(self) -> SlowSite:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join()
