"""What a cluster costs and gains: `facecrop run` here and on its nodes, and the cost of an item.

    ray start --head --port=6379 --disable-usage-stats
    python benchmarks/cluster.py ray://127.0.0.1:6379 PICTURES [--detector drawnface] [--pairs 3]
                                 [--kill PID --kill PID ...]

PICTURES is a folder that every node sees; the datasets are made beside it and removed. With
`--kill` those processes (a node's raylet) are killed early in the last run, of 0.2 s items: hold
what it takes against what the nodes that are left need at least.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
import time
from pathlib import Path

from facecrop.detectors import DetectorSpec
from facecrop.search import find_faces
from gleanset import Dataset
from gleanset.images.cut import CutSettings
from gleanset.work.pool import run_over
from harvest.folder import harvest_folders

HERE = "here"
ITEMS, NAPS, NAP = 2000, 400, 0.2


def nothing(item: int) -> int:
    """Take no time."""
    return item


def nap(item: int) -> int:
    """Take a while, and no computing."""
    time.sleep(NAP)
    return item


def faces(pictures: Path, where: str, detector: str) -> float:
    """Seconds that a search for faces takes, joining included."""
    root = Path(tempfile.mkdtemp(prefix="cluster-", dir=pictures.parent))
    try:
        with Dataset.create(root) as dataset:
            harvest_folders(dataset, [pictures])
            dataset.work_on(where)
            begun = time.monotonic()
            find_faces(dataset, DetectorSpec.of(detector), CutSettings())
            return time.monotonic() - begun
    finally:
        shutil.rmtree(root)


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--detector", default="animeface")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--kill", type=int, action="append", default=[])
    asked = parser.parse_args()
    pictures = asked.pictures.absolute()
    for where in (HERE, asked.address) * asked.pairs:
        seconds = faces(pictures, where, asked.detector)
        print(f"{asked.detector}, {where}: {seconds:.1f} s", flush=True)
    with tempfile.TemporaryDirectory(dir=pictures.parent) as folder, Dataset.create(folder) as made:
        made.work_on(asked.address)
        with made.workers().keep(__name__) as nodes:
            list(run_over(nothing, range(300), nodes))
            for _ in range(3):
                begun = time.monotonic()
                list(run_over(nothing, range(ITEMS), nodes))
                print(f"{(time.monotonic() - begun) / ITEMS * 1000:.2f} ms an item", flush=True)
            begun = time.monotonic()
            for done, outcome in enumerate(run_over(nap, range(NAPS), nodes)):
                assert outcome.reason is None, outcome
                if done == NAPS // 8:
                    for pid in asked.kill:
                        os.kill(pid, signal.SIGKILL)
            print(f"{NAPS} naps of {NAP} s: {time.monotonic() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    main()
