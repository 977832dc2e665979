"""How many proposals presort says are wrong, and how many are, with samples of no class among them.

    python benchmarks/presort_strangers.py WORK [--seeds 6] [--only photos]

Of each set of real faces and photos a third of the classes is nobody's: 0, 10, 20 or 40 % of the
pictures are theirs. So many moments (--moments) are decided, drawn by lot: *rejected* from all
pictures, those of nobody's classes are rejected; *left out* from the others alone, with nothing
rejected. Per set and number, means over shares and --seeds:

- of the pictures that wait and are of a class with a label, how many are expected to be wrong (the
  sum of 1 - confidence) and how many are;
- where something was rejected, how many of all are wrong at most, as told, how many are, and in
  which share of the runs no more were;
- where those of nobody's classes were left out, what is expected of all, if all are of the classes
  with a label, and how many are wrong.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from labelled_tree import DATA, add_pictures, of_tree

from baseline.features import FeatureSpec
from baseline.presort.classify import FeatureRows
from baseline.presort.likeness import components_of
from baseline.presort.propose import propose
from baseline.presort.words import wrong_at_most
from baseline.settings import Transfer, load_preset
from baseline.texture import expected_weights
from gleanset import Dataset
from gleanset.db.proposals import PresortSample
from gleanset.moments import moments_of
from gleanset.work.progress import Progress

SETS = ("characters", "photos", "characters_fan10", "characters_shows5")
SHARES = (0.0, 0.1, 0.2, 0.4)


class Pictures(NamedTuple):
    """Vectors, classes and moments of pictures; which classes are `nobody`'s."""

    vectors: FeatureRows
    truth: np.ndarray
    moments: np.ndarray
    nobody: frozenset[str] = frozenset()

    def drawn(self, share: float, dice: np.random.Generator) -> Pictures:
        """Return some of them, of which this share is of a third of the classes, nobody's."""
        names = dice.permutation(sorted(set(self.truth.tolist())))
        nobody = names[: -(-len(names) // 3)].tolist()
        strange = dice.permutation(np.flatnonzero(np.isin(self.truth, nobody)))
        known = dice.permutation(np.flatnonzero(~np.isin(self.truth, nobody)))
        strange = strange[: round(share / (1 - share) * len(known))]
        if share:
            known = known[: round(len(strange) * (1 - share) / share)]
        rows = np.sort(np.append(known, strange))
        return Pictures(*(of[rows] for of in self[:3]), frozenset(nobody))

    @property
    def strange(self) -> np.ndarray:
        """Which of them are of nobody's class."""
        return np.isin(self.truth, list(self.nobody))


class Told(NamedTuple):
    """Of one presort: expected to be wrong and wrong, of those of classes with a label and of all;
    how many are wrong at most, NaN where that was not told.
    """

    known_expected: float
    known_wrong: float
    expected: float
    wrong: float
    at_most: float


def read(work: Path, name: str) -> Pictures:
    """Return all pictures of a set."""
    settings = load_preset("transfer", {})
    assert isinstance(settings, Transfer)
    with Dataset.create(work / name) as dataset:
        if not dataset.images.count():
            add_pictures(dataset, of_tree(DATA / name))
        samples = list(dataset.samples.by_key())
        components = components_of(dataset, samples, FeatureSpec.of(settings, views=0), Progress())
        weights = expected_weights(components.parts, dataset, samples, Progress())
        moments = moments_of(dataset.db, list(components.keys))
    vectors, keys = components.weighed(weights.weights), components.keys
    labels = {sample.key: str(sample.label) for sample in samples}
    named = np.array([labels[key] for key in keys]), np.array([moments[key] for key in keys])
    return Pictures(vectors, *named)


def told(one: Pictures, moments: int, *, left_out: bool, seed: int) -> Told | None:
    """Return what presort says after so many moments; None where it can say nothing yet."""
    dice = np.random.default_rng(seed)
    among = one.moments[~one.strange] if left_out else one.moments
    chosen = dice.permutation(np.unique(among))[:moments]
    decided = np.isin(one.moments, chosen) & ~(one.strange & left_out)
    status = np.where(decided, np.where(one.strange, "rejected", "labelled"), "queue")
    samples = [
        PresortSample(
            f"{row:06}",
            str(status[row]),
            str(one.truth[row]) if status[row] == "labelled" else None,
            None,
            (),
            None,
            frozenset(),
        )
        for row in range(len(decided))
    ]
    keys = [sample.key for sample in samples]
    made = propose(samples, one.vectors, dict(zip(keys, one.moments.tolist(), strict=True)), seed)
    if not made.table.classes:
        return None
    at = {key: row for row, key in enumerate(made.table.keys)}
    rows = [
        row for row in np.flatnonzero(~decided).tolist() if made.table.labels[at[keys[row]], 0] >= 0
    ]
    first = [at[keys[row]] for row in rows]
    labels = np.array(made.table.classes)[made.table.labels[first, 0]]
    wrong, off = labels != one.truth[rows], 1 - made.table.confidence[first, 0]
    known = np.isin(one.truth[rows], made.table.classes)
    share = made.facts["of_no_class_at_most"]
    at_most = np.nan if share is None else wrong_at_most(float(str(share)), (1 - off).tolist())
    sums = off[known].sum(), wrong[known].sum(), off.sum(), wrong.sum()
    return Told(*map(float, sums), at_most)


def line(words: str, rejected: Sequence[Told], left_out: Sequence[Told]) -> str:
    """Return a row of the table."""
    both = np.array([*rejected, *left_out])
    bound = np.array([one for one in rejected if not np.isnan(one.at_most)])
    held = (bound[:, 3] <= bound[:, 4]).mean()
    out = np.array(left_out).mean(0)
    return (
        f"| {words} | {both[:, 0].mean():.1f} | {both[:, 1].mean():.1f} | {bound[:, 4].mean():.0f} "
        f"| {bound[:, 3].mean():.0f} | {held:.2f} of {len(bound)} | {out[2]:.0f} | {out[3]:.0f} |"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--moments", default="6,12,24,40")
    parser.add_argument("--only", default=",".join(SETS))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    print(
        "| set | moments | known: expected wrong | wrong | rejected: at most | wrong | held "
        "| left out: expected, if none is | wrong |\n" + "|---" * 9 + "|"
    )
    for name in given.only.split(","):
        pictures = read(given.work, name)
        for moments in map(int, given.moments.split(",")):
            runs: dict[bool, list[Told]] = {False: [], True: []}
            for seed in range(given.seeds):
                for share in SHARES:
                    one = pictures.drawn(share, np.random.default_rng(seed))
                    for left_out, some in runs.items():
                        found = told(one, moments, left_out=left_out, seed=seed)
                        some += [found] if found is not None else []
            print(line(f"{name} | {moments}", runs[False], runs[True]), flush=True)


if __name__ == "__main__":
    main()
