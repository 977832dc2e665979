"""`harvest urls` compared with other downloaders on the same list, as whole commands on a slow
site.

    python benchmarks/downloads.py --shape small [--rounds 5] [--against CHECKOUT]
    python benchmarks/downloads.py --peers DIR [--count 2000] [--threads 64] [--rounds 3]

Shape `small`: 1,000 JPEGs of 50 to 150 kB, 50 ms latency, four hosts, 16 threads; startup takes a
large share of it. Shape `large` (default): 5,000 JPEGs of one to two megapixels, 200 ms, eight
hosts, 64 threads. `DIR` is a virtual environment with any of img2dataset, icrawler and gallery-dl;
`CHECKOUT` is another checkout of this project.

Each tool runs as a whole process on its own list, in turns over several rounds. A warm-up round, in
which Python compiles the imported modules, does not count. The output has medians, and the medians
of the ratios of ours to theirs within a round (below 1: ours is better). The decoding loop is the
minimum that rejects broken images: urllib3 and threads; Pillow verifies and loads each image, and
its bytes are written without sync or records. The bare pool decodes and stores nothing. gallery-dl
downloads one file at a time, so it gets a tenth of the list.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

from slow_site import SIZES, SMALL_SIZES, SlowSite

OURS = "gleanset"
HERE = Path(__file__).resolve().parents[1]
HARVEST = "from harvest.__main__ import main; main()"
LOOP = """
import io, os, sys, urllib3
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
threads, out = int(sys.argv[2]), sys.argv[3]
os.makedirs(out)
pool = urllib3.PoolManager(num_pools=16, maxsize=threads)
def get(numbered):
    number, url = numbered
    data = pool.request("GET", url.strip()).data
    with Image.open(io.BytesIO(data)) as image:
        image.verify()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    with open(f"{out}/{number}.jpg", "wb") as file:
        file.write(data)
    return len(data)
with ThreadPoolExecutor(threads) as workers, open(sys.argv[1]) as urls:
    print(sum(workers.map(get, enumerate(urls))))
"""
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
class Shape:
    """List of images and its site; `per_host` None is our default."""

    count: int
    latency: float
    hosts: int
    threads: int
    sizes: tuple[tuple[int, int], ...]
    per_host: int | None


SHAPES = {
    "large": Shape(5000, 0.2, 8, 64, SIZES, per_host=8),
    "small": Shape(1000, 0.05, 4, 16, SMALL_SIZES, per_host=None),
}
FIRST = 20
"""Number of images in the warm-up round."""


@dataclass(frozen=True)
class Figure:
    """One run: seconds of wall and CPU of the whole command, MB, most requests on a host."""

    count: int
    wall: float
    cpu: float
    memory: float
    most: int


def commands(
    given: argparse.Namespace, urls: Path, out: Path, threads: int
) -> dict[str, list[str]]:
    """Return the command of every available tool."""
    python, line = sys.executable, [str(urls), str(threads), str(out)]
    ours = [python, "-c", HARVEST, "urls", str(urls), "-q", "--allow-private"]
    ours += ["-d", str(out)]
    made = {OURS: ours}
    if given.against:
        made[given.against.name] = ours
    made |= {"decoding loop": [python, "-c", LOOP, *line], "bare pool": [python, "-c", BARE, *line]}
    if given.peers:
        made |= _peers(given.peers / "bin", urls, out, threads)
    return made


def _peers(bin_: Path, urls: Path, out: Path, threads: int) -> dict[str, list[str]]:
    python, line = str(bin_ / "python"), [str(urls), str(threads), str(out)]
    made = {}
    if (bin_ / "img2dataset").exists():
        made["img2dataset"] = [
            str(bin_ / "img2dataset"),
            f"--url_list={urls}",
            f"--output_folder={out}",
            "--processes_count=1",
            f"--thread_count={threads}",
            "--output_format=files",
            "--image_size=512",
            "--resize_mode=no",
            "--number_sample_per_shard=100000",
        ]
    if list(bin_.parent.glob("lib/python*/site-packages/icrawler")):
        made["icrawler"] = [python, "-c", ICRAWLER, *line]
    if (bin_ / "gallery-dl").exists():
        made["gallery-dl"] = [str(bin_ / "gallery-dl"), "-q", "-d", str(out), "-i", str(urls)]
    return made


def measure(command: list[str], count: int, site: SlowSite, shape: Shape, checkout: Path) -> Figure:
    """Run one command; return figures from the operating system and the server."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    environment["GLEANSET_NET_THREADS"] = str(shape.threads)
    environment["NO_ALBUMENTATIONS_UPDATE"] = "1"
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if shape.per_host:
        environment["GLEANSET_NET_PER_HOST"] = str(shape.per_host)
    start = time.perf_counter()
    # Python would import modules in the current folder.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, env=environment, cwd="/", **quiet)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    with urllib.request.urlopen(site.figures_url) as answer:
        told = json.load(answer)
    if told["asked"] < count or status:
        print(f"  ! status {status}, {told['asked']} of {count} asked: {command}", file=sys.stderr)
    cpu = usage.ru_utime + usage.ru_stime
    return Figure(count, wall, cpu, usage.ru_maxrss / 1024, told["most"])


def main() -> None:
    """Run all tools in turns: machine noise then affects all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, default="large")
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--against", type=Path)
    parser.add_argument("--count", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    shape = SHAPES[given.shape]
    shape = replace(shape, threads=given.threads or shape.threads)
    found: dict[str, list[Figure]] = {}
    with (
        SlowSite(shape.latency, shape.hosts, shape.sizes) as site,
        tempfile.TemporaryDirectory() as folder,
    ):
        for turn in range(-1, given.rounds):
            for number, name in enumerate(commands(given, Path(), Path(), 1)):
                place = Path(folder) / f"{turn}-{number}"
                place.mkdir()
                count = FIRST if turn < 0 else given.count or shape.count
                count = count // 10 if name == "gallery-dl" else count
                urls = place / "urls.txt"
                urls.write_text("\n".join(site.urls(count)) + "\n")
                command = commands(given, urls, place / "out", shape.threads)[name]
                other = given.against is not None and name == given.against.name
                checkout = given.against if other else HERE
                figure = measure(command, count, site, shape, checkout)
                shutil.rmtree(place)
                if turn >= 0:
                    found.setdefault(name, []).append(figure)
    report(found)


def report(found: dict[str, list[Figure]]) -> None:
    """Print medians per image, and the ratios of ours to theirs."""

    def median(name: str, what: str) -> float:
        return statistics.median(getattr(figure, what) / figure.count for figure in found[name])

    def ratio(name: str, what: str) -> float:
        pairs = zip(found[OURS], found[name], strict=True)
        return statistics.median(
            getattr(a, what) / a.count / (getattr(b, what) / b.count) for a, b in pairs
        )

    print(f"{'':16} images/s  wall ours/theirs  CPU ms an image  CPU ours/theirs    MB  on a host")
    for name, figures in found.items():
        memory = statistics.median(figure.memory for figure in figures)
        print(
            f"{name:16} {1 / median(name, 'wall'):8.1f}  {ratio(name, 'wall'):16.2f}  "
            f"{median(name, 'cpu') * 1000:15.2f}  {ratio(name, 'cpu'):15.2f}  {memory:4.0f}  "
            f"{max(figure.most for figure in figures):9}"
        )


if __name__ == "__main__":
    main()
