"""From Parquet to shards, killed on the way: `python benchmarks/shards.py [5000 20000 …]`.

With `--store s3://BUCKET/PREFIX` images, crops and shards lie in that bucket, which must be there,
with `--shards-in` the shards alone; `webdataset` then reads through a pipe and `datasets` with
`s3fs`, which wants an environment of its own and the server in FSSPEC_S3_ENDPOINT_URL.

A local server draws every address a picture of its own (some 8 kB); one in a hundred is not there.
A Parquet file with that many rows in one group goes through `harvest urls`, `facecrop run
--detector whole`, `labeler accept-hints`, `labeler split` and `labeler export --format webdataset`;
the harvest and the export are killed (SIGKILL) at a third and two thirds and begun again. Then
every good address must be in the shards once, by what `webdataset` reads there, and once in Parquet
shards as `datasets` streams them; nobody may have been asked for again but what was under way.
Printed is the peak memory of each command itself, without its workers.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.sharedctypes import SynchronizedArray
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from gleanset.files.s3 import Bucket

CLASSES = ("cat", "owl", "fox")
MOST = 1_000_000


def drawing(number: int) -> bytes:
    """A JPEG that no other number gives."""
    coarse = Image.frombytes("RGB", (9, 9), random.Random(number).randbytes(243))
    file = io.BytesIO()
    coarse.resize((320, 240), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue()


def is_there(number: int) -> bool:
    """Whether the server has that picture."""
    return number % 100 != 7


def serve(port: multiprocessing.Queue[int], asked: SynchronizedArray[Any]) -> None:
    """A server process; `asked` counts the requests of each address."""

    class Pictures(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            name = self.path.strip("/").removesuffix(".jpg")
            number = int(name) if name.isdigit() else -1
            if number >= 0:
                asked[number] += 1
            body = drawing(number) if number >= 0 and is_there(number) else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that was killed is none."""

    server = Server(("127.0.0.1", 0), Pictures)
    port.put(server.server_port)
    server.serve_forever()


def run(
    room: str, *words: object, until: Callable[[], bool] | None = None
) -> tuple[float, float, bool]:
    """Peak memory in MB and seconds of one command, and whether it was killed before its end."""
    code = f"from {room}.cli import main; main()"
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, words), "-q"])
    killed, peak = False, 0.0
    while process.poll() is None:
        peak = max(peak, _most_memory(process.pid))
        time.sleep(0.02)
        if until is not None and not killed and until():
            process.send_signal(signal.SIGKILL)
            killed = True
    if until is not None and not killed:
        raise SystemExit(f"{words[0]} ended before it could be killed")
    if process.returncode and not killed:
        raise SystemExit(f"{room} {words[0]} failed with status {process.returncode}")
    return peak, time.perf_counter() - begun, killed


def _most_memory(process: int) -> float:
    """The most MB that a process had since it began (Linux); 0 where it is gone."""
    # `ru_maxrss` would begin with what we have ourselves.
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def killed_twice(
    room: str, *words: object, done: Callable[[], int], whole: int
) -> tuple[list[float], float]:
    """Peak memory of a command killed at a third, of one killed at two thirds, of the last."""
    peaks, seconds = [], 0.0
    for share in (1 / 3, 2 / 3, None):
        most = None if share is None else int(whole * share)
        until = None if most is None else lambda most=most: done() >= most
        peak, took, _ = run(room, *words, until=until)
        peaks.append(peak)
        seconds += took
    return peaks, seconds


def write_list(path: Path, count: int, address: str) -> None:
    """`count` rows in one group, as LAION names its columns."""
    rows = range(count)
    table = pa.table(
        {
            "URL": [f"{address}/{number}.jpg" for number in rows],
            "TEXT": [f"a drawing, the {number}th of its kind" for number in rows],
            "LICENSE": [("CC-BY-4.0", None)[number % 2] for number in rows],
            "kind": [CLASSES[number % 3] for number in rows],
        }
    )
    pq.write_table(table, path, row_group_size=count)


def by_webdataset(shards: list[str]) -> Counter[int]:
    """How often each picture is met, by its title."""
    import webdataset

    found: Counter[int] = Counter()
    for row in webdataset.WebDataset(shards, shardshuffle=False).decode("pil"):
        assert row["jpg"].size == (320, 240)
        found[_number(row["json"]["title"])] += 1
    return found


def by_datasets(files: dict[str, list[str]]) -> Counter[int]:
    """The same of Parquet shards, streamed."""
    import datasets

    found: Counter[int] = Counter()
    for split in datasets.load_dataset("parquet", data_files=files, streaming=True).values():
        for row in split:
            assert row["image"].size == (320, 240)
            found[_number(row["title"])] += 1
    return found


def _number(title: str) -> int:
    return int(title.split()[3].removesuffix("th"))


class InFolder:
    """Shards in a folder, and how they are read there."""

    def __init__(self, folder: Path) -> None:
        self.out, self.hf = folder / "shards", folder / "hf"
        self._partial = folder / ".shards.gleanset-partial"

    def prepare(self, dataset: Path) -> None:
        """Nothing: the first command makes the dataset."""

    def manifests(self) -> int:
        """How many shards are written."""
        return len(list(self._partial.glob("*.json")))

    def tars(self) -> list[str]:
        """The shards, as `webdataset` opens them."""
        return sorted(map(str, self.out.glob("*.tar")))

    def tables(self) -> dict[str, list[str]]:
        """The Parquet shards of each split, as `datasets` opens them."""
        files = sorted(self.hf.glob("*.parquet"))
        return _by_split((path.name, str(path)) for path in files)


class InBucket:
    """The same in a bucket, with the pictures or without."""

    def __init__(self, place: Bucket, pictures: bool) -> None:
        self.place, self.pictures = place, pictures
        self.out, self.hf = f"{place.address}/shards", f"{place.address}/hf"

    def prepare(self, dataset: Path) -> None:
        """Make a dataset whose files lie there."""
        if self.pictures:
            run("pipeline", "init", "--store", self.place.address, "-d", dataset)

    def manifests(self) -> int:
        """How many shards are written."""
        time.sleep(0.5)
        return len([key for key in self._keys("shards") if key.endswith(".json")]) - 1

    def tars(self) -> list[str]:
        """The shards, each through a process that asks for it."""
        code = (
            "import sys,boto3;boto3.client('s3').download_fileobj(*sys.argv[1:],sys.stdout.buffer)"
        )
        read = f'pipe:{sys.executable} -c "{code}" {self.place.name}'
        keys = [key for key in self._keys("shards") if key.endswith(".tar")]
        return [f"{read} {self.place.below('shards').key(key)}" for key in keys]

    def tables(self) -> dict[str, list[str]]:
        """The Parquet shards of each split, as `s3fs` opens them."""
        place = self.place.below("hf")
        keys = [key for key in self._keys("hf") if key.endswith(".parquet")]
        return _by_split((key, f"{place.address}/{key}") for key in keys)

    def _keys(self, name: str) -> list[str]:
        return [one.key for one in self.place.below(name).each()]


def _by_split(files: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, place in files:
        found.setdefault(name.partition("-")[0], []).append(place)
    return found


def measure(
    count: int,
    address: str,
    asked: SynchronizedArray[Any],
    folder: Path,
    place: InFolder | InBucket,
) -> None:
    """One size, printed."""
    for number in range(count):
        asked[number] = 0
    listed, dataset = folder / "list.parquet", folder / "dataset"
    write_list(listed, count, address)
    place.prepare(dataset)
    columns = ["--caption-column", "TEXT", "--licence-column", "LICENSE", "--label-column", "kind"]
    peaks, seconds = killed_twice(
        "harvest",
        *("urls", listed, *columns, "--allow-private", "-d", dataset),
        done=lambda: sum(1 for times in asked[:count] if times),
        whole=count,
    )
    print(f"{count:9,} URLs: harvest {_mb(peaks)}, {count / seconds:.0f} URLs/s", flush=True)
    good = Counter(number for number in range(count) if is_there(number))
    twice = sum(times > 1 for times in asked[:count])
    print(f"           asked for again after two kills: {twice}", flush=True)
    run("facecrop", "run", "--detector", "whole", "-d", dataset)
    run("labeler", "accept-hints", "-d", dataset)
    run("labeler", "split", "-d", dataset)
    pictures = -(-count // 40)
    words = ("--shard-pictures", pictures, "-d", dataset)
    peaks, seconds = killed_twice(
        "labeler",
        *("export", place.out, "--format", "webdataset", *words),
        done=place.manifests,
        whole=40,
    )
    shards = len(place.tars())
    print(f"           export {_mb(peaks)}, {shards} shards, {count / seconds:.0f} pictures/s")
    peak, seconds, _ = run("labeler", "export", place.hf, "--format", "parquet", *words)
    print(f"           as Parquet {_mb([peak])}, {count / seconds:.0f} pictures/s", flush=True)
    judged = {"webdataset": by_webdataset(place.tars()), "datasets": by_datasets(place.tables())}
    for name, found in judged.items():
        verdict = "every good picture once" if found == good else "NOT every good picture once"
        told = f"{(good - found).total()} missing, {(found - good).total()} too many"
        print(f"           {name}: {found.total():,} read, {verdict}, {told}", flush=True)


def _mb(peaks: list[float]) -> str:
    return " / ".join(f"{peak:.0f}" for peak in peaks) + " MB"


def _place(asking: argparse.Namespace, folder: Path, count: int) -> InFolder | InBucket:
    address = asking.store or asking.shards_in
    if not address:
        return InFolder(folder)
    return InBucket(Bucket(f"{address}/{count}-{int(time.time())}"), bool(asking.store))


def main() -> None:
    """Measure every length named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lengths", type=int, nargs="*", default=[5_000, 20_000])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--store", metavar="s3://BUCKET/PREFIX")
    where.add_argument("--shards-in", metavar="s3://BUCKET/PREFIX")
    asking = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    port: multiprocessing.Queue[int] = context.Queue()
    asked = context.Array("i", MOST)
    server = context.Process(target=serve, args=(port, asked), daemon=True)
    server.start()
    address = f"http://127.0.0.1:{port.get()}"
    print("peak memory of the command killed at a third, at two thirds, and of the last")
    for count in asking.lengths:
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            measure(count, address, asked, folder, _place(asking, folder, count))
    server.terminate()


if __name__ == "__main__":
    main()
