"""Memory and speed of `harvest urls` as lists grow: `python benchmarks/harvest_urls.py [1000 …]`.

A local server gives every URL its own 60 kB picture. For each list the whole command runs as
a process of its own; printed are its peak memory (the operating system's figure), CPU
seconds and images per second. Memory must not grow with the list.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from slow_site import pictures

HARVEST = "from harvest.cli import main; main()"


class Pictures(BaseHTTPRequestHandler):
    """Answers `/N.jpg` with the picture and N behind its end, so that all bytes differ."""

    protocol_version = "HTTP/1.1"
    picture = pictures()[0]

    def do_GET(self) -> None:
        """One picture."""
        body = self.picture + self.path.encode()
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def serve(port: multiprocessing.Queue[int]) -> None:
    """A server process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    port.put(server.server_port)
    server.serve_forever()


def measure(count: int, address: str, folder: Path) -> tuple[float, float, float]:
    """Peak memory in MB, CPU seconds and wall seconds of one whole command."""
    urls = folder / f"{count}.txt"
    urls.write_text("".join(f"{address}/{number}.jpg\n" for number in range(count)))
    command = [
        sys.executable,
        "-c",
        HARVEST,
        "urls",
        str(urls),
        "--allow-private",
        "-q",
        "-d",
        str(folder / f"dataset-{count}"),
    ]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"harvest failed with status {status}")
    wall = time.perf_counter() - start
    return usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, wall


def main() -> None:
    """Measure every length named on the command line."""
    lengths = [int(text) for text in sys.argv[1:]] or [1_000, 5_000, 20_000]
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    server = context.Process(target=serve, args=(port,), daemon=True)
    server.start()
    address = f"http://127.0.0.1:{port.get()}"
    print(f"a picture has {len(Pictures.picture) / 1000:.0f} kB")
    with tempfile.TemporaryDirectory() as folder:
        for count in lengths:
            memory, cpu, wall = measure(count, address, Path(folder))
            print(
                f"{count:7,} URLs: peak memory {memory:6.1f} MB, "
                f"{cpu / count * 1000:5.1f} CPU ms an image, {count / wall:6.1f} images/s"
            )
    server.terminate()


if __name__ == "__main__":
    main()
