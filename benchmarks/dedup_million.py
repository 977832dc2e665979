"""New pictures against a million old ones: `python benchmarks/dedup_million.py [SIZE] [--first]`.

The search for candidates of `labeler dedup`, from the catalogue on disk to the pairs written into
it: whole hashes, mirrored hashes, and 64 points for each picture. The hashes are synthetic, no
picture is decoded: random points are the cheap case, so a third of them lie within a few bits of
a common stock of points, and a tenth of the pictures are copies of another one with three quarters
of its points. Decoding (a few ms a picture) and second looks are measured by `duplicates.py`.

Printed are CPU and wall seconds for 1,000 new pictures and for a block of 10,000, peak memory, and
how many of the copies were proposed. `--first` searches all of them from nothing as well (long).
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))
from gleanset import Dataset
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.hashes import VERSION

POINTS = 64
STEP = 10_000
Hashes = npt.NDArray[np.uint64]


class Maker:
    """Makes rows of the catalogue, `STEP` pictures at a time, each from a seed of its own."""

    def __init__(self) -> None:
        self._stock = np.random.default_rng(0).integers(0, 2**64, 2_000_000, dtype=np.uint64)

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

    def _pictures(
        self, first: int, number: int, *, copies: bool = True
    ) -> tuple[Hashes, Hashes, npt.NDArray[np.uint8]]:
        """Hashes (n, 2), points (n, 64) and shapes (n, 64, 3) of the pictures from `first` on."""
        random = np.random.default_rng([1, first])
        whole = random.integers(0, 2**64, (number, 2), dtype=np.uint64)
        points = random.integers(0, 2**64, (number, POINTS), dtype=np.uint64)
        common = random.random((number, POINTS)) < 1 / 3
        chosen = self._stock[random.integers(0, len(self._stock), int(common.sum()))]
        points[common] = _blurred(random, chosen)
        shapes = random.integers(0, 256, (number, POINTS, 3), dtype=np.uint8)
        shapes[..., 2] &= 1
        if copies and first >= STEP:
            self._copy(random, first, points, shapes, number // 10)
        return whole, points, shapes

    def _copy(
        self,
        random: np.random.Generator,
        first: int,
        points: Hashes,
        shapes: npt.NDArray[np.uint8],
        many: int,
    ) -> None:
        """The first `many` are crops of pictures of the block before."""
        _, old, forms = self._pictures(first // STEP * STEP - STEP, STEP, copies=False)
        kept = random.random((many, POINTS)) < 0.75
        points[:many][kept] = _blurred(random, old[-many:][kept])
        shapes[:many][kept] = forms[-many:][kept]


def _blurred(random: np.random.Generator, hashes: Hashes) -> Hashes:
    """Up to two bits turned."""
    for _ in range(2):
        turned = np.uint64(1) << random.integers(0, 64, len(hashes), dtype=np.uint64)
        hashes = hashes ^ np.where(random.random(len(hashes)) < 0.5, turned, np.uint64(0))
    return hashes


def search(dataset: Dataset, what: str) -> None:
    """What `labeler dedup` does between hashing and the second looks; prints what it took."""
    before = dataset.db.number("SELECT count(*) FROM pair")
    cpu, wall = time.process_time(), time.perf_counter()
    DuplicateFinder(dataset)._propose()  # noqa: SLF001
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    pairs = dataset.db.number("SELECT count(*) FROM pair") - before
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
    print(
        f"{what}: {cpu:.1f} s CPU, {wall:.1f} s, {pairs:,} candidates, peak {memory} MB", flush=True
    )


def main() -> None:
    """Fill a catalogue, then time the searches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("size", type=int, nargs="?", default=1_000_000)
    parser.add_argument("--first", action="store_true", help="search all from nothing, too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Dataset.create(folder) as dataset:
        maker, size = Maker(), given.size
        maker.fill(dataset, 0, size, searched=not given.first)
        if given.first:
            search(dataset, f"all of {size:,} from nothing")
        for number in (1_000, 1_000, 10_000):
            maker.fill(dataset, size, number, searched=False)
            search(dataset, f"{number:,} new against {size:,} old ({number // 10:,} are copies)")
            size += number


if __name__ == "__main__":
    main()
