"""Learn from drawn people in which directions descriptors tell who somebody is.

    python tools/drawn_faces/identity.py --people DIR --out curation/likeness/identity.npz

Everybody in DIR (`portraits.py`) is described as the labeler describes faces. With W the covariance
of pictures of one person and c its mean variance, descriptors are whitened by (1 - s) W + s c and
turned to the directions in which people differ most, each as long as they differ in it (root).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from curation.likeness.descriptor import WIDTH, descriptor

SHRUNK = 0.3
"""s above; .1 to .5 were about as good on the set by which it was chosen."""
AXES = 128

Table = np.ndarray


def described(path: Path) -> Table:
    """Return the descriptors of a part, people x pictures x `WIDTH`."""
    part = np.load(path)
    rows = [np.frombuffer(descriptor(each), np.uint8) for each in part.reshape(-1, *part.shape[2:])]
    return np.stack(rows).reshape(*part.shape[:2], WIDTH).astype(np.float64)


def scatter(parts: Iterator[Table]) -> tuple[Table, Table, Table]:
    """Return the mean of all people, the covariance within one, and that between people."""
    within, means, freedom = np.zeros((WIDTH, WIDTH)), [], 0
    for part in parts:
        own = part.mean(axis=1)
        apart = (part - own[:, None]).reshape(-1, WIDTH)
        within += apart.T @ apart
        freedom += len(apart) - len(own)
        means.append(own)
    people = np.concatenate(means)
    return people.mean(axis=0), within / freedom, np.cov(people.T)


def directions(within: Table, between: Table) -> Table:
    """Return `WIDTH` x `AXES`: what descriptors are to be multiplied with."""
    alike = np.trace(within) / WIDTH
    values, turned = np.linalg.eigh((1 - SHRUNK) * within / alike + SHRUNK * np.eye(WIDTH))
    whitening = (turned / np.sqrt(values)) @ turned.T
    differ, axes = np.linalg.eigh(whitening @ between @ whitening)
    lengths = np.sqrt(np.maximum(differ, 0) / differ[-1])
    best: Table = (whitening @ axes * np.sqrt(lengths))[:, -AXES:]
    return best / np.linalg.norm(best, axis=0).max()


def main() -> None:
    """Learn, and write what came of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--people", type=Path, required=True)
    options.add_argument("--out", type=Path, required=True)
    asked = options.parse_args()
    cv2.setNumThreads(1)
    files = sorted(asked.people.glob("part-*.npy"))
    usual, within, between = scatter(map(described, files))
    axes = directions(within, between)
    np.savez(asked.out, usual=usual.astype(np.float32), axes=axes.astype(np.float16))
    print(f"{len(files)} parts, {asked.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
