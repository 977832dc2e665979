"""Growth of the catalogue: figures for `docs/scale.md`.

    python benchmarks/scale.py catalogue 10000 100000 1000000

`catalogue` fills rows as a harvest, face detection, labels and a split leave them (one sample per
image), and times slow operations, each in a process of its own.
"""

import argparse
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.maintenance import find_contradictions
from gleanset.records import Measured, Origin
from gleanset.settings import SplitSettings
from labeler.splits.plan import apply_split, plan_split
from pipeline.maintenance.snapshots import create_snapshot

CLASSES = 40
VIDEOS = 40
SOURCES = ("bing", "flickr", "pixiv", "video")
LICENCES = ("CC BY", "CC BY-SA", "CC0", "ARR", "PDM", "CC BY-NC", "unknown")
PER_GROUP = 5
"""Images per post, and so per group."""
KEYPOINT_BYTES = 680
"""Bytes that duplicate search stores per image, on average over 172 real images."""

# `n(i)` counts the images; keys and hashes spread over all hex digits, as real ones do.
_COUNT = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<{count}) "
)
_HEX = (
    "substr(printf('%08x%08x', i*2654435761 % 4294967296, i*40503 % 4294967296)"
    "||'{pad}', 1, {n})"
)
_FILL_STATEMENTS = (
    "INSERT INTO image(id, sha256, format, bytes, width, height, frames, orientation, phash, "
    "sharpness) SELECT i, {sha}, 'JPEG', 160000, 1280, 960, 1, 1, random(), 100.5 FROM n",
    "INSERT INTO origin(image, source, key, url, page_url, post, query, hint, author, licence, "
    "title, tags) SELECT i, 'site', 'p'||i, 'https://images.example.org/large/'||i||'.jpg', "
    "'https://example.org/post/'||(i/{split_group}), 'p'||(i/{split_group}), "
    "'class '||(i%{classes}), "
    "'class '||(i%{classes}), 'author '||(i%5000), 'CC BY', 'A title of an image', "
    '\'["one","two","three"]\' FROM n',
    "INSERT INTO fetch(source, key, url, query, state, image) SELECT 'site', 'p'||i, "
    "'https://images.example.org/large/'||i||'.jpg', 'class '||(i%{classes}), 'done', i FROM n",
    "INSERT INTO scan(image, detector, settings, at, cut) SELECT i, 'animeface', '{{}}', "
    "'2026-11-22T00:00:00Z', '{{\"margin\":0.3}}' FROM n",
    "INSERT INTO face(id, image, detector, x, y, w, h, score) SELECT i, i, 'animeface', 10, 10, "
    "200, 200, 0.9 FROM n",
    "INSERT INTO class(name) SELECT 'class '||(i-1) FROM n WHERE i<={classes}",
    "INSERT INTO sample(id, key, image, face, detector, score, x, y, w, h, phash, sharpness, "
    "label, status) SELECT i, substr({sha}, 1, 32), i, i, 'animeface', 0.9, 0, 0, 260, 260, "
    "random(), 50.5, 1+i%{classes}, 'labelled' FROM n",
    "INSERT INTO step(at, user, kind, arguments) VALUES('2026-11-22T00:00:00Z', 'me', "
    "'accept-hints', '{{\"count\":{count}}}')",
    "INSERT INTO decision(step, sample, action, value, before_status, provenance) SELECT 1, i, "
    "'label', 1+i%{classes}, 'queue', 'hint' FROM n",
    "INSERT INTO sample_hash(sample, version, x, y, w, h, angle, plain, flipped, filled, points, "
    "shapes, searched) SELECT i, 1, 0, 0, 260, 260, 0, random(), random(), 1.0, "
    "zeroblob({keypoint_bytes}), x'', 1 FROM n",
)


def iter_synthetic_images(
    count: int, rng: random.Random
) -> Iterator[tuple[Measured, Origin]]:
    """Yield images with one origin each."""
    for n in range(count):
        sha256 = f"{rng.getrandbits(256):064x}"
        source = "rare" if n % 100_000 == 5 else SOURCES[n % 4]
        video = f"video-{n // 4 % VIDEOS:02d}" if source == "video" else None
        measured = Measured(
            sha256, "JPEG", 60_000, 960, 540, 1, 1, rng.getrandbits(64), 100.0
        )
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


def fill_dataset(root: Path, count: int) -> float:
    """Create a dataset of `count` images; return the seconds."""
    start = time.monotonic()
    values = {
        "count": count,
        "classes": CLASSES,
        "split_group": PER_GROUP,
        "keypoint_bytes": KEYPOINT_BYTES,
        "sha": _HEX.format(pad="0" * 48, n=64),
    }
    with Dataset.create(root) as dataset:
        with dataset.db.transaction():
            for statement in _FILL_STATEMENTS:
                sql = statement.format(**values)
                if " FROM n" in sql:
                    sql = sql.replace(
                        " SELECT ", f" {_COUNT.format(count=count)} SELECT ", 1
                    )
                dataset.db.execute(sql)
        dataset.db.execute("PRAGMA optimize")
    return time.monotonic() - start


def _read_pages(dataset: Dataset) -> None:
    for label in range(5):
        samples = dataset.samples.iterate()
        next(sample for sample in samples if sample.label == f"class {label}")


def _add_images(dataset: Dataset) -> None:
    with dataset.db.transaction():
        for row in iter_synthetic_images(10_000, random.Random(1)):
            dataset.images.add(*row)


def _decide(dataset: Dataset) -> None:
    samples = dataset.samples.iterate()
    keys = (sample.key for sample in samples if sample.label == "class 1")
    choices = [Choice(key, "label", "class 2") for key in islice(keys, 1000)]
    dataset.journal.apply("a thousand", choices)


def _split(dataset: Dataset) -> None:
    apply_split(dataset, plan_split(dataset, SplitSettings()))


def _read(dataset: Dataset) -> None:
    for _ in dataset.samples.iter_in_splits():
        pass


OPERATIONS: dict[str, Callable[[Dataset], object]] = {
    "5 pages of 200 samples": _read_pages,
    "add 10,000 images": _add_images,
    "1,000 decisions": _decide,
    "status: counts": lambda dataset: dataset.samples.count_by(
        "status", "label", "split"
    ),
    "split: groups, plan, rows": _split,
    "read all for training or export": _read,
    "a snapshot": lambda dataset: create_snapshot(dataset, "v1"),
    "verify, rows only": lambda dataset: find_contradictions(dataset.db),
}


def time_operation(root: Path, name: str) -> tuple[float, float]:
    """Time one operation; return seconds and peak memory in MB."""
    with Dataset.open(root) as dataset:
        start = time.monotonic()
        OPERATIONS[name](dataset)
        seconds = time.monotonic() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def print_catalogue(sizes: list[int]) -> None:
    """Print the size of the catalogue and the time of each operation."""
    for count in sizes:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder, "dataset")
            built = fill_dataset(root, count)
            size = (root / "catalog.sqlite").stat().st_size
            print(
                f"\n{count:,} images: {size / 1e6:,.0f} MB, {size / count:,.0f} bytes an image "
            )
            print(f"  {'filled by SQL':34} {built:9.2f} s", flush=True)
            for name in OPERATIONS:
                with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
                    seconds, peak = process.submit(time_operation, root, name).result()
                print(f"  {name:34} {seconds:9.2f} s {peak:9,.0f} MB", flush=True)


def main() -> None:
    """Run the requested measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    rows = kinds.add_parser("catalogue")
    rows.add_argument("sizes", type=int, nargs="+")
    print_catalogue(parser.parse_args().sizes)


if __name__ == "__main__":
    main()
