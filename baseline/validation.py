"""Validation pictures where the split has none: cut from train, whole moments at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from baseline.data import Examples
from gleanset.records import Sample

SHARE = 0.125
"""Of each class in train, about."""
_MEND = "give it a share of its own: labeler split --ratio 8:1:1"


def with_val(examples: Examples, seed: int) -> tuple[Examples, str | None]:
    """The same examples where val has any, else with a val cut from train; and what to say of it.

    No moment is on both sides, and every class keeps at least half of its pictures in train. A
    class of a single moment stays in train as a whole.
    """
    train = examples.splits["train"]
    if examples.splits["val"] or not train:
        return examples, None
    moments = examples.moments
    taken = _taken(train, moments, seed)
    if not taken:
        return examples, f"val is empty and nothing can be cut from train for it; {_MEND}"
    parts = {
        name: tuple(s for s in train if (moments[s.key] in taken) is (name == "val"))
        for name in ("train", "val")
    }
    # Copies that balancing made would count twice.
    parts["val"] = tuple({sample.key: sample for sample in parts["val"]}.values())
    told = (
        f"val is empty: {len(parts['val'])} of the {len({s.key for s in train})} pictures of train "
        f"(whole moments) watch the training instead of teaching it; {_MEND}"
    )
    return replace(examples, splits=examples.splits | parts), told


def _taken(train: Sequence[Sample], moments: Mapping[str, str], seed: int) -> set[str]:
    """Moments for val: drawn one by one, while none of their classes gets too many."""
    members: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for sample in train:
        members[moments[sample.key]].add((sample.key, str(sample.label)))
    sizes = {name: Counter(label for _, label in found) for name, found in members.items()}
    there: Counter[str] = Counter()
    for size in sizes.values():
        there.update(size)
    most = {label: min(max(1, round(SHARE * n)), n // 2) for label, n in there.items()}
    taken, have = set(), Counter[str]()
    for name in np.random.default_rng(seed).permutation(sorted(sizes)).tolist():
        if all(have[label] + n <= most[label] for label, n in sizes[name].items()):
            taken.add(name)
            have.update(sizes[name])
    return taken
