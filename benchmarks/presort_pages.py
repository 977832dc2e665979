"""How many errors pages of proposals expect from a cold start, and how many there are.

    python benchmarks/presort_pages.py ../shared/data/characters --seeds 3 [--plain]

A person begins with five faces of each of two characters. Then page after page: the class with
most proposals of .5 or more, its 24 surest; where no class has any, 12 of any. All of a page is
labelled by the truth, whoever has no name yet is named, and the presort is made anew. *expected*
is the sum of 1 - confidence over pages, *wrong* how many were; *unnamed*, those pages that were
made while some character had no name. `--plain` leaves out what was learnt from proposals that
were met. *off* is the mean of |expected - wrong| over pages, and *spread* what it would be if all
confidences were right.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from presort_loop import pictures_of, read

from baseline.presort.classify import FeatureRows
from baseline.presort.propose import propose
from baseline.presort.served import UNCORRECTED, ServedProposal, correction_of
from gleanset.db.proposals import PresortSample

PAGE, ANY, SURE = 24, 12, 0.5


def pages(
    vectors: FeatureRows, truth: list[str], seed: int, plain: bool
) -> list[tuple[float, int, bool, float]]:
    """Return of each page what was expected, what was wrong, whether somebody had no name, and
    the variance of the number of errors.
    """
    dice = np.random.default_rng(seed)
    names = sorted(set(truth))
    kinds = np.array(truth)
    label: dict[int, str] = {}
    for name in dice.permutation(names)[:2]:
        label |= dict.fromkeys(dice.permutation(np.flatnonzero(kinds == name))[:5].tolist(), name)
    cases: list[ServedProposal] = []
    told: list[tuple[float, int, bool, float]] = []
    memory = None
    while len(label) < len(truth):
        samples = [
            PresortSample(
                f"{row:05}",
                "labelled" if row in label else "queue",
                label.get(row),
                None,
                (),
                None,
                frozenset(),
            )
            for row in range(len(truth))
        ]
        correction = UNCORRECTED if plain else correction_of(cases)
        moments = {one.key: one.key for one in samples}
        made = propose(samples, vectors, moments, seed, memory, correction)
        memory = made.memory
        table = made.table
        first, sure = table.labels[:, 0], table.confidence[:, 0]
        waits = np.array([row not in label for row in range(len(truth))])
        offered = waits & (sure >= SURE)
        if offered.any():
            which = np.bincount(first[offered]).argmax()
            page = np.flatnonzero(offered & (first == which))
            page = page[np.argsort(-sure[page], kind="stable")][:PAGE]
            right = np.array([table.classes[first[row]] == truth[row] for row in page])
            unnamed = len(set(label.values())) < len(names)
            variance = float((sure[page] * (1 - sure[page])).sum())
            told.append((float((1 - sure[page]).sum()), int((~right).sum()), unnamed, variance))
        else:
            page = dice.permutation(np.flatnonzero(waits))[:ANY]
            right = np.array(
                [first[row] >= 0 and table.classes[first[row]] == truth[row] for row in page]
            )
        before = correction.undone(sure[page])
        met = set(label.values())
        cases += [
            ServedProposal(float(one), bool(yes), f"{row}", truth[row] not in met)
            for one, yes, row in zip(before, right, page, strict=True)
            if first[row] >= 0
        ]
        label |= {int(row): truth[row] for row in page}
    return told


def figures(told: list[tuple[float, int, bool, float]]) -> dict[str, float]:
    """Sums and means over pages."""
    if not told:
        return {"pages": 0}
    expected, wrong, _, variance = (np.array(column, float) for column in zip(*told, strict=True))
    spread = np.sqrt(variance * 2 / np.pi).mean()
    return {
        "pages": len(told),
        "expected": round(float(expected.sum()), 1),
        "wrong": int(wrong.sum()),
        "off": round(float(np.abs(expected - wrong).mean()), 2),
        "spread": round(float(spread), 2),
    }


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--work", type=Path, default=None)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        vectors, truth = read(given.work or Path(place), pictures_of(given.folder))
    runs = [pages(vectors, truth, seed, given.plain) for seed in range(given.seeds)]
    told = [page for run in runs for page in run]
    for name, some in (
        ("unnamed", [page for page in told if page[2]]),
        ("named", [page for page in told if not page[2]]),
    ):
        print(json.dumps({"who": name, "plain": given.plain, **figures(some)}), flush=True)


if __name__ == "__main__":
    main()
