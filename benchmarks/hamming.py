"""All pairs of 64-bit hashes within 8 bits: `python benchmarks/hamming.py [10000 100000 1000000]`.

Synthetic hashes, a third of them within a few bits of another one. Prints CPU seconds and memory
of ours, and of FAISS (`IndexBinaryFlat`), imagededup's BK tree and pybktree where they are
installed: best in an environment of their own (`pip install faiss-cpu pybktree imagededup numba`).
Peers that would take more than a minute are measured on part of the queries and extrapolated,
which the table says with a `~`. Then 1,000 new hashes against the old ones, a blob of equal
hashes, and a check against comparing each with each on the first 20,000.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[1]))
from gleanset.hamming import NearHashes, near_pairs

DISTANCE = 8
# Queries that a slow peer is measured on.
SAMPLE = 300
Hashes = npt.NDArray[np.uint64]


def clustered(size: int, seed: int = 0) -> Hashes:
    """Hashes of which a third are near one of a fifth of the others."""
    random = np.random.default_rng(seed)
    base = random.integers(0, 2**64, size * 2 // 3, dtype=np.uint64)
    near = base[random.integers(0, max(1, len(base) // 5), size - len(base))]
    for _ in range(6):
        flips = np.uint64(1) << random.integers(0, 64, len(near), dtype=np.uint64)
        near = near ^ np.where(random.random(len(near)) < 0.6, flips, np.uint64(0))
    hashes = np.concatenate([base, near])
    random.shuffle(hashes)
    return hashes


def cpu(function: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    started = time.process_time()
    function()
    return time.process_time() - started


def ours(hashes: Hashes) -> int:
    """The number of pairs."""
    return sum(len(part.a) for part in near_pairs(hashes, DISTANCE))


def faiss_flat(hashes: Hashes) -> float:
    """CPU seconds of all queries, from a part of them."""
    import faiss

    faiss.omp_set_num_threads(1)
    rows = hashes.view(np.uint8).reshape(-1, 8)
    index = faiss.IndexBinaryFlat(64)
    index.add(rows)
    part = min(len(rows), 20 * SAMPLE)
    return cpu(lambda: index.range_search(rows[:part], DISTANCE + 1)) * len(rows) / part


def pybktree_tree(hashes: Hashes) -> float:
    """CPU seconds of building the tree and of all queries, from a part of them."""
    import pybktree

    values = hashes.tolist()
    trees: list[pybktree.BKTree] = []
    built = cpu(lambda: trees.append(pybktree.BKTree(pybktree.hamming_distance, values)))
    part = values[:SAMPLE]
    asked = cpu(lambda: [trees[0].find(value, DISTANCE) for value in part])
    return built + asked * len(values) / len(part)


def imagededup_tree(hashes: Hashes) -> float:
    """CPU seconds of imagededup's own BK tree, from a part of the queries."""
    from imagededup.handlers.search.bktree import BKTree
    from imagededup.methods import PHash

    names = {str(n): f"{value:016x}" for n, value in enumerate(hashes.tolist())}
    trees: list[BKTree] = []
    built = cpu(lambda: trees.append(BKTree(names, PHash.hamming_distance)))
    part = list(names.values())[:SAMPLE]
    asked = cpu(lambda: [trees[0].search(query=value, tol=DISTANCE) for value in part])
    return built + asked * len(names) / len(part)


def peers(hashes: Hashes) -> list[str]:
    """The peers' times, or why there is none; trees are too slow to build beyond 100,000."""
    told = []
    for name, run in (
        ("faiss", faiss_flat),
        ("pybktree", pybktree_tree),
        ("imagededup", imagededup_tree),
    ):
        if name != "faiss" and len(hashes) > 100_000:
            told.append(f"{name}: not run")
            continue
        try:
            told.append(f"{name}: ~{run(hashes):.4g} s")
        except ImportError:
            told.append(f"{name}: not installed")
    return told


def check(hashes: Hashes) -> bool:
    """Whether ours are exactly the pairs that comparing each with each gives."""
    part = np.unique(hashes[:20_000])
    found = {
        pair
        for near in near_pairs(part, DISTANCE)
        for pair in zip(near.a.tolist(), near.b.tolist(), strict=True)
    }
    expected = set()
    for i in range(len(part)):
        rest = np.flatnonzero(np.bitwise_count(part[i + 1 :] ^ part[i]) <= DISTANCE)
        expected |= {(i, i + 1 + int(j)) for j in rest}
    return found == expected


def main() -> None:
    """Print the table."""
    sizes = [int(word) for word in sys.argv[1:]] or [10_000, 100_000, 1_000_000]
    print(f"loading or compiling: {cpu(lambda: ours(clustered(3000))):.2f} s CPU")
    cpu(lambda: list(NearHashes(clustered(500), DISTANCE).among(clustered(70_000, 1))))
    for size in sizes:
        hashes = clustered(size)
        best = min(cpu(lambda h=hashes: ours(h)) for _ in range(3))  # type: ignore[misc]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000
        new = clustered(1000, seed=9)
        added = cpu(lambda n=new, h=hashes: list(NearHashes(n, DISTANCE).among(h)))  # type: ignore[misc]
        print(f"{size:>9,}  ours: {best:.3f} s, peak {memory} MB, 1,000 new {added:.3f} s")
    blob = np.concatenate([np.full(5000, 12345, np.uint64), clustered(sizes[-1])])
    print(f"with a blob of 5,000 equal ones: {cpu(lambda: ours(blob)):.3f} s")
    print("equal to brute force on a part:", check(clustered(sizes[-1])))
    # After ours: the peak of a process never falls again.
    for size in sizes:
        print(f"{size:>9,} ", "  ".join(peers(clustered(size))), flush=True)


if __name__ == "__main__":
    main()
