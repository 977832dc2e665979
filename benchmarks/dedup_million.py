"""How the search for copies grows: `python benchmarks/dedup_million.py [1000 10000 100000 ...]`.

The search for candidates of `labeler dedup`, from the catalogue on disk to the pairs written into
it: whole hashes, mirrored hashes, and 64 points for each picture. The hashes are synthetic, no
picture is decoded: random points are the cheap case, so a third of them lie within a few bits of
a common stock of points, and a hundredth of the pictures are copies of another one with three
quarters of its points. Decoding (a few ms a picture) and second looks are measured by
`dedup_kinds.py`.

For each size all are searched from nothing, then 1,000 new ones against them; with `--old` the
first search is left out, and they count as searched. Printed are CPU and wall seconds, the part of
the planted copies that were proposed, other pairs that were, and peak memory.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))
from gleanset import Dataset
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.hashes import VERSION

POINTS = 64
STEP = 10_000
Hashes = npt.NDArray[np.uint64]


class Pictures(NamedTuple):
    """Hashes (n, 2), points (n, 64) and shapes (n, 64, 3) of n pictures."""

    whole: Hashes
    points: Hashes
    shapes: npt.NDArray[np.uint8]


class Maker:
    """Makes rows of the catalogue, `STEP` pictures at a time, each from a seed of its own."""

    def __init__(self) -> None:
        self._stock = np.random.default_rng(0).integers(0, 2**64, 2_000_000, dtype=np.uint64)
        self.planted: set[tuple[int, int]] = set()

    def fill(self, dataset: Dataset, start: int, count: int, *, searched: bool) -> None:
        """Images, samples and looks for the numbers `start` to `start + count`."""
        for first in range(start, start + count, STEP):
            number = min(STEP, start + count - first)
            with dataset.db.write():
                self._write(dataset, first, number, searched=searched)

    def _write(self, dataset: Dataset, first: int, number: int, *, searched: bool) -> None:
        whole, points, shapes = self._pictures(first, number)
        rows = range(first + 1, first + number + 1)
        dataset.db.many(
            "INSERT INTO image(id,sha256,format,bytes,width,height,frames,orientation,phash,"
            "sharpness) VALUES(?,?,'JPEG',60000,960,540,1,1,0,100.0)",
            [(row, f"{row:064x}") for row in rows],
        )
        dataset.db.many(
            "INSERT INTO sample(id,key,image,detector,x,y,w,h,phash,sharpness) "
            "VALUES(?1,?2,?1,'whole',0,0,960,540,0,100.0)",
            [(row, f"{row:032x}") for row in rows],
        )
        dataset.db.many(
            "INSERT INTO look(sample,version,x,y,w,h,angle,plain,flipped,filled,points,shapes,"
            "searched) VALUES(?,?,0,0,960,540,0.0,?,?,1.0,?,?,?)",
            [
                (
                    row,
                    VERSION,
                    *whole[n].view(np.int64).tolist(),
                    points[n].tobytes(),
                    shapes[n].tobytes(),
                    searched,
                )
                for n, row in enumerate(rows)
            ],
        )

    def _pictures(self, first: int, number: int) -> Pictures:
        """Make the pictures from `first` on; every hundredth is a crop of another one.

        That is one of the same block, or of the first one where a block does not begin at a
        multiple of `STEP`: those are new pictures and have to be found among old ones.
        """
        made = self._originals(first, number)
        new = first % STEP != 0
        of = self._originals(0, min(STEP, first)) if new else made
        random = np.random.default_rng([2, first])
        for row in range(99, number, 100):
            other = (row * 37) % len(of.whole) if new else row - 50
            kept = random.random(POINTS) < 0.75
            made.points[row][kept] = _blurred(random, of.points[other][kept])
            made.shapes[row][kept] = of.shapes[other][kept]
            self.planted.add(((0 if new else first) + other + 1, first + row + 1))
        return made

    def _originals(self, first: int, number: int) -> Pictures:
        random = np.random.default_rng([1, first])
        whole = random.integers(0, 2**64, (number, 2), dtype=np.uint64)
        points = random.integers(0, 2**64, (number, POINTS), dtype=np.uint64)
        common = random.random((number, POINTS)) < 1 / 3
        chosen = self._stock[random.integers(0, len(self._stock), int(common.sum()))]
        points[common] = _blurred(random, chosen)
        shapes = random.integers(0, 256, (number, POINTS, 3), dtype=np.uint8)
        shapes[..., 2] &= 1
        return Pictures(whole, points, shapes)


def _blurred(random: np.random.Generator, hashes: Hashes) -> Hashes:
    """Up to two bits turned."""
    for _ in range(2):
        turned = np.uint64(1) << random.integers(0, 64, len(hashes), dtype=np.uint64)
        hashes = hashes ^ np.where(random.random(len(hashes)) < 0.5, turned, np.uint64(0))
    return hashes


def search(dataset: Dataset, what: str, planted: set[tuple[int, int]]) -> None:
    """What `labeler dedup` does between hashing and the second looks; prints what it took."""
    before = {(a, b) for a, b in dataset.db.rows("SELECT a, b FROM pair")}
    cpu, wall = time.process_time(), time.perf_counter()
    DuplicateFinder(dataset)._propose()  # noqa: SLF001
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    pairs = {(a, b) for a, b in dataset.db.rows("SELECT a, b FROM pair")} - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    print(
        f"{what}: {cpu:.1f} s CPU, {wall:.1f} s; of {len(planted):,} copies "
        f"{len(pairs & planted) / max(1, len(planted)):.4f} proposed, other pairs "
        f"{len(pairs - planted):,}; peak {memory} MB",
        flush=True,
    )


def main() -> None:
    """Fill a catalogue, then time the searches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--old", action="store_true", help="all but the new ones are searched")
    given = parser.parse_args()
    for size in given.sizes:
        with tempfile.TemporaryDirectory() as folder, Dataset.create(folder) as dataset:
            maker = Maker()
            maker.fill(dataset, 0, size, searched=given.old)
            if not given.old:
                search(dataset, f"{size:,} from nothing", maker.planted)
            maker.planted.clear()
            # One further than a block begins, see `_pictures`.
            maker.fill(dataset, size + 1, 1_000, searched=False)
            search(dataset, f"1,000 new against {size:,}", maker.planted)


if __name__ == "__main__":
    main()
