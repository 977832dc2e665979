"""How much quicker two worker processes of `facecrop run` are than one, on real pictures.

    python benchmarks/facecrop_workers.py PICTURES [--rounds 3] [--copies 6] [--workers 1,2]

PICTURES is a folder of pictures. Each is taken several times, each time one pixel larger, so
that a dataset of some hundred is made. The runs are those of the command, in processes of
their own, interleaved; every one begins with a dataset that was never searched. What counts
is the ratio of the medians: the seconds depend on the machine.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from gleanset import Dataset, Origin
from gleanset.images.measure import measure


def fill(root: Path, pictures: Path, copies: int) -> int:
    """Put every picture of a folder into a new dataset; how many there are."""
    with Dataset.create(root) as dataset:
        for path in sorted(pictures.iterdir()):
            if path.suffix.lower() not in (".jpg", ".jpeg", ".png"):
                continue
            with Image.open(path) as picture:
                for number in range(copies):
                    _put(dataset, picture.convert("RGB"), number, path.name)
        return dataset.images.count()


def _put(dataset: Dataset, picture: Image.Image, more: int, name: str) -> None:
    buffer = io.BytesIO()
    size = picture.width + more, picture.height + more
    picture.resize(size).save(buffer, "JPEG", quality=90)
    measured = measure(buffer.getvalue())
    dataset.originals(dataset.cache).put(measured.sha256, measured.format, buffer.getvalue())
    dataset.images.add(measured, Origin("folder", f"{name}+{more}"))


def timed(fresh: Path, workers: int, folder: Path, detector: str) -> tuple[float, float]:
    """Wall and processor seconds of one whole command."""
    root = folder / "run"
    shutil.copytree(fresh, root)
    words = ["run", "-q", "--workers", str(workers), "--detector", detector, "-d", str(root)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", "from facecrop.cli import main; main()", *words],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    shutil.rmtree(root)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--copies", type=int, default=6)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--detector", default="animeface")
    given = parser.parse_args()
    counts = [int(number) for number in given.workers.split(",")]
    found: dict[int, list[tuple[float, float]]] = {number: [] for number in counts}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = fill(folder / "fresh", given.pictures, given.copies)
        for _ in range(given.rounds):
            for number in counts:
                found[number].append(timed(folder / "fresh", number, folder, given.detector))
    one = statistics.median(wall for wall, _ in found[counts[0]])
    for number, times in found.items():
        wall = statistics.median(wall for wall, _ in times)
        cpu = statistics.median(cpu for _, cpu in times)
        print(
            f"{images} images, {number} workers: {wall:.1f} s, {cpu:.1f} CPU s, x{one / wall:.2f}"
        )


if __name__ == "__main__":
    main()
