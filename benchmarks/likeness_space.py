"""Reading the vectors by which samples are compared, as a window does before its first page.

    python benchmarks/likeness_space.py [--samples 100000] [--rounds 3]

A store as `baseline presort` writes it (192 numbers a sample, random ones), read whole; then a page
and what was decided (5,000 samples) looked up in it, and the same by descriptors.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from gleanset import Box, Dataset
from gleanset.db.proposals import Proposals
from gleanset.likeness.descriptor import WIDTH, DescriptorSpace
from gleanset.likeness.space import FACT, LikenessSpace, sample_name, write_space
from gleanset.records import Region
from labeler.likeness import Likeness

NUMBERS, PAGE, SOME = 192, 5000, 2000


class Sample(NamedTuple):
    """What is compared; its pixels are noise."""

    key: str
    region: Region
    descriptor: bytes | None


def samples_of(number: int) -> list[Sample]:
    """So many samples, with descriptors for those of a page."""
    noise = np.random.default_rng(2).integers(0, 256, (PAGE, WIDTH), np.uint8)
    return [
        Sample(
            f"{n:032x}", Region(Box(n, n, 90, 90)), noise[n].tobytes() if n < len(noise) else None
        )
        for n in range(number)
    ]


def main() -> None:
    """Print medians of wall and of CPU seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    samples = samples_of(asked.samples)
    with tempfile.TemporaryDirectory() as scratch, Dataset.create(Path(scratch) / "d") as dataset:
        rows = np.random.default_rng(1).normal(size=(asked.samples, NUMBERS)).astype(np.float32)
        names = [sample_name(sample.key, sample.region) for sample in samples]
        Proposals(dataset.db).replace([], None, {FACT: write_space(dataset, names, rows)})
        page = samples[:: max(1, len(samples) // PAGE)][:PAGE]
        plain = DescriptorSpace([one.descriptor for one in samples[:SOME] if one.descriptor])
        described = [sample.descriptor for sample in samples[:PAGE]]
        steps: dict[str, Callable[[Likeness], object]] = {
            "read": lambda likeness: LikenessSpace.of(dataset),
            "read, and the first page": lambda likeness: likeness.space(page)(page),
            "a further page": lambda likeness: likeness.space(page)(page),
            "by descriptors": lambda likeness: plain.vectors(described),
        }
        times: dict[str, list[tuple[float, float]]] = {}
        for _ in range(asked.rounds):
            likeness = Likeness(dataset)
            for what, work in steps.items():
                began, used = time.perf_counter(), time.process_time()
                work(likeness)
                took = time.perf_counter() - began, time.process_time() - used
                times.setdefault(what, []).append(took)
    for what, found in times.items():
        wall, cpu = (median(one) for one in zip(*found, strict=True))
        print(f"{what}: {wall:.2f} s (CPU {cpu:.2f})")


if __name__ == "__main__":
    main()
