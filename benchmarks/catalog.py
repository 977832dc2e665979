"""How the catalogue behaves as it grows: `python benchmarks/catalog.py [10000 100000 1000000]`.

Synthetic rows, as spread as those of a real dataset: four sources, 40 videos, 7 licences,
40 classes, a score for each. For every size it prints how long a user waits for: opening,
the slowest of many pages of 200 samples for each trait (first, middle and last page), one
step of 1,000 decisions, and adding 10,000 images with an origin each.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.records import Box, Face, FaceCrop, Measured, Origin

SOURCES = ("bing", "flickr", "pixiv", "video")
LICENCES = ("CC BY", "CC BY-SA", "CC0", "ARR", "PDM", "CC BY-NC", "unknown")
CLASSES = 40
VIDEOS = 40
TRAITS: dict[str, dict[str, str]] = {
    "all": {},
    "class": {"label": "class 07"},
    "status": {"status": "queue"},
    "split": {"split": "val"},
    "hint": {"hint": "class 07"},
    "class + split": {"label": "class 07", "split": "train"},
}


def synthetic(start: int, count: int, rng: random.Random) -> Iterator[tuple[Measured, Origin]]:
    """Images with one origin each."""
    for n in range(start, start + count):
        sha256 = f"{rng.getrandbits(256):064x}"
        source = "rare" if n % 100_000 == 5 else SOURCES[n % 4]
        video = f"video-{n // 4 % VIDEOS:02d}" if source == "video" else None
        measured = Measured(sha256, "JPEG", 60_000, 960, 540, 1, 1, rng.getrandbits(64), 100.0)
        yield (
            measured,
            Origin(
                source,
                f"{n}",
                url=f"https://example.org/{n}.jpg",
                query=f"class {n % CLASSES:02d}",
                hint=f"class {n % CLASSES:02d}",
                video=video,
                time=float(n),
                licence=LICENCES[n % len(LICENCES)],
            ),
        )


def fill(dataset: Dataset, count: int) -> None:
    """Images, faces and samples; nine tenths are labelled and split."""
    rng = random.Random(0)
    for start in range(0, count, 10_000):
        rows = list(synthetic(start, min(10_000, count - start), rng))
        add_all(dataset, rows)
        with dataset.db.write():
            for number, (measured, _) in enumerate(rows, start=start):
                face = Face("animeface", Box(10, 10, 80, 80), rng.random())
                cut = FaceCrop(
                    face, measured.sha256[:32], Box(0, 0, 100, 100), measured.phash, 50.0
                )
                dataset.faces.record(measured.sha256, "animeface", "benchmark", [cut])
                if number % 10:
                    rare = number % 50_000 == 1
                    name = "class rare" if rare else f"class {number % CLASSES:02d}"
                    label(dataset, cut.key, name, ("train", "val", "test")[number % 3])


def add_all(dataset: Dataset, rows: Iterable[tuple[Measured, Origin]]) -> None:
    """Add images in one transaction."""
    with dataset.db.write():
        for row in rows:
            dataset.images.add(*row)


def label(dataset: Dataset, key: str, name: str, split: str) -> None:
    """Set the state directly: the journal is measured on its own."""
    dataset.db.run(
        "UPDATE sample SET status='labelled', label=?, split=? WHERE key=?",
        (dataset.classes.find_or_make(name), split, key),
    )


def timed(function: Callable[[], object]) -> float:
    """Seconds a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure(count: int, folder: Path) -> None:
    """Build one dataset and print its row of figures."""
    root = folder / str(count)
    with Dataset.create(root) as dataset:
        built = timed(lambda: fill(dataset, count))
        dataset.optimise()
    size = sum(f.stat().st_size for f in root.glob("catalog.sqlite*")) / 1e6
    print(f"\n{count:,} images (built in {built:.0f} s, {size:.0f} MB)")
    opened = timed(lambda: Dataset.open(root).close())
    print(f"  open                 {opened * 1000:8.1f} ms")
    with Dataset.open(root) as dataset:
        for name, traits in TRAITS.items():
            first = timed(lambda chosen=traits: next(dataset.samples.each(**chosen)))  # type: ignore[misc]
            print(f"  first page: {name:14} {first * 1000:6.1f} ms")
        print(f"  moments of all       {timed(lambda: moments_of(dataset.db)) * 1000:8.1f} ms")
        keys = [s.key for s in islice(dataset.samples.each(status="queue"), 1000)]
        choices = [Choice(key, "label", "class 01") for key in keys]
        step = timed(lambda: dataset.journal.step("Label 1,000", choices))
        undo = timed(dataset.journal.undo)
        print(f"  step of {len(keys):,} decisions {step * 1000:8.1f} ms, undo {undo * 1000:.1f} ms")
        rows = list(synthetic(count, 10_000, random.Random(1)))
        added = timed(lambda: add_all(dataset, rows))
        print(f"  add 10,000 images    {added * 1000:8.1f} ms")


def main() -> None:
    """Measure every size named on the command line."""
    sizes = [int(text) for text in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            measure(size, Path(folder))


if __name__ == "__main__":
    main()
