"""Confidence of suggestions where a third of the classes have no label yet.

    python benchmarks/unknown_suggestions.py WORK

In 12 draws, 8 or 20 groups of each of two thirds of the classes are labelled, with the vectors of
`baseline prelabel`. Prints for the other samples, with and without the estimate of unlabelled
classes: how many wrong suggestions the confidences promise, how many suggestions of .9 or more are
wrong, which share of the samples of labelled classes has such a confidence, and the median
confidence of samples of unlabelled classes.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import numpy as np
from embedding_quality import SETS, LabelledSet, format_interval, read_set
from labelled_tree import DATA
from prelabel_samples import make_sample

from curation.similarity.class_learning import learn_classes

DRAWS = 12
CONFIDENT = 0.9
GROUPS_PER_CLASS = (8, 20)


def measure_draw(
    labelled_set: LabelledSet, groups_per_class: int, seed: int
) -> dict[str, float]:
    """Label some groups of some classes; return the figures of the other samples."""
    names, groups = labelled_set.names, labelled_set.groups
    random = np.random.default_rng(seed)
    classes = random.permutation(np.unique(names))
    has_labels = np.isin(names, classes[max(1, len(classes) // 3) :])
    is_labelled = np.zeros(len(names), np.bool_)
    for name in np.unique(names[has_labels]):
        learned_groups = random.permutation(np.unique(groups[names == name]))[
            :groups_per_class
        ]
        is_labelled |= (names == name) & np.isin(groups, learned_groups)
    samples = [
        make_sample(row, str(names[row]) if is_labelled[row] else None)
        for row in range(len(names))
    ]
    group_names = {
        sample.key: str(group) for sample, group in zip(samples, groups, strict=True)
    }
    model = learn_classes(
        samples, labelled_set.vectors["prelabel"], group_names, open_set=True
    )
    assert model is not None
    is_wrong = np.array(model.classes)[model.probabilities.argmax(1)] != names
    without = model.probabilities / model.probabilities.sum(1, keepdims=True)
    figures = {"wrong": float(is_wrong[~is_labelled].sum())}
    for variant, probabilities in (("without", without), ("with", model.probabilities)):
        confidences = np.where(is_labelled, np.nan, probabilities.max(1))
        figures |= {
            f"expected {variant}": float(np.nansum(1 - confidences)),
            f"confident wrong {variant}": float(
                (confidences[is_wrong] >= CONFIDENT).sum()
            ),
            f"confident known {variant}": float(
                (confidences[has_labels & ~is_labelled] >= CONFIDENT).mean()
            ),
            f"unlabelled class {variant}": float(np.median(confidences[~has_labels])),
        }
    return figures


def main() -> None:
    """Print a line for each set and number of labels."""
    for name in SETS:
        labelled_set = read_set(Path(sys.argv[1]), name, DATA / name)
        for count in GROUPS_PER_CLASS:
            rows = [measure_draw(labelled_set, count, seed) for seed in range(DRAWS)]
            figures = (
                f"{key} {format_interval([r[key] for r in rows])}" for key in rows[0]
            )
            print(name, f"{count} groups a class", *figures, sep=", ")


if __name__ == "__main__":
    main()
