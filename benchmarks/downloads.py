"""`harvest urls` beside other downloaders on one list, 200 ms latency, eight hosts.

    python benchmarks/downloads.py --peers DIR [--count 2000] [--threads 64] [--rounds 3]

`DIR` is a virtual environment with img2dataset, icrawler and gallery-dl. Every tool runs as
a whole process on a list of its own, in turn, several rounds; printed are the medians and
their ratios to ours. The bare pool is the fastest loop one would write by hand: urllib3 and
threads, each picture decoded, nothing recorded. gallery-dl downloads one file at a time, so
it gets a tenth of the list.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from slow_site import HOSTS, SlowSite

OURS = "from harvest.cli import main; main()"
BARE = """
import io, sys, urllib3
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
threads = int(sys.argv[2])
pool = urllib3.PoolManager(num_pools=16, maxsize=threads)
def get(url):
    data = pool.request("GET", url.strip()).data
    with Image.open(io.BytesIO(data)) as image:
        image.convert("RGB")
    return len(data)
with ThreadPoolExecutor(threads) as workers, open(sys.argv[1]) as urls:
    print(sum(workers.map(get, urls)))
"""
ICRAWLER = """
import logging, sys
from icrawler.builtin import UrlListCrawler
crawler = UrlListCrawler(downloader_threads=int(sys.argv[2]), storage={"root_dir": sys.argv[3]},
                         log_level=logging.CRITICAL)
# Left to itself it stops after 1,000.
crawler.crawl(sys.argv[1], max_num=0)
"""


@dataclass(frozen=True)
class Figure:
    """One run: images a second of the whole command, CPU ms an image, MB, most on a host."""

    speed: float
    cpu: float
    memory: float
    most: int


def commands(peers: Path, urls: Path, out: Path, threads: int) -> dict[str, list[str]]:
    """The whole command of every tool."""
    bin_ = peers / "bin"
    return {
        "gleanset": [
            sys.executable,
            "-c",
            OURS,
            "urls",
            str(urls),
            "-q",
            "--allow-private",
            "--workers",
            str(threads),
            "-d",
            str(out),
        ],
        "bare urllib3 pool": [sys.executable, "-c", BARE, str(urls), str(threads)],
        "img2dataset": [
            str(bin_ / "img2dataset"),
            f"--url_list={urls}",
            f"--output_folder={out}",
            "--processes_count=1",
            f"--thread_count={threads}",
            "--output_format=files",
            "--image_size=512",
            "--resize_mode=no",
            "--number_sample_per_shard=100000",
        ],
        "icrawler": [str(bin_ / "python"), "-c", ICRAWLER, str(urls), str(threads), str(out)],
        "gallery-dl": [str(bin_ / "gallery-dl"), "-q", "-d", str(out), "-i", str(urls)],
    }


def measure(command: list[str], count: int, site: SlowSite, per_host: int) -> Figure:
    """Run one command; figures from the operating system and from the server."""
    environment = {**os.environ, "GLEANSET_NET_PER_HOST": str(per_host)}
    start = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    _, _, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    with urllib.request.urlopen(site.figures_url) as answer:
        told = json.load(answer)
    if told["asked"] < count:
        print(f"  ! only {told['asked']} of {count} were asked for: {command[0]}", file=sys.stderr)
    cpu = (usage.ru_utime + usage.ru_stime) / count * 1000
    return Figure(count / wall, cpu, usage.ru_maxrss / 1024, told["most"])


def main() -> None:
    """All tools in turn, so that a noisy machine is noisy for all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, required=True)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found: dict[str, list[Figure]] = {}
    with SlowSite(0.2) as site, tempfile.TemporaryDirectory() as folder:
        for turn in range(given.rounds):
            for number, name in enumerate(commands(given.peers, Path(), Path(), 1)):
                place = Path(folder) / f"{turn}-{number}"
                place.mkdir()
                count = given.count // 10 if name == "gallery-dl" else given.count
                urls = place / "urls.txt"
                urls.write_text("\n".join(site.urls(count)) + "\n")
                command = commands(given.peers, urls, place / "out", given.threads)[name]
                figure = measure(command, count, site, given.threads // len(HOSTS))
                found.setdefault(name, []).append(figure)
    report(found)


def report(found: dict[str, list[Figure]]) -> None:
    """Medians, and the ratios of ours to theirs."""

    def median(name: str, what: str) -> float:
        return statistics.median(getattr(figure, what) for figure in found[name])

    ours_speed, ours_cpu = median("gleanset", "speed"), median("gleanset", "cpu")
    print(f"{'':20} images/s  ours/theirs  CPU ms an image  ours/theirs    MB  most on a host")
    for name in found:
        speed, cpu = median(name, "speed"), median(name, "cpu")
        print(
            f"{name:20} {speed:8.1f}  {ours_speed / speed:11.2f}  {cpu:15.2f}  "
            f"{ours_cpu / cpu:11.2f}  {median(name, 'memory'):4.0f}  {median(name, 'most'):14.0f}"
        )


if __name__ == "__main__":
    main()
