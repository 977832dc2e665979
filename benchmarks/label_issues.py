"""Wrong labels found by `baseline label-issues`, and by cleanlab from the same probabilities.

    pip install cleanlab
    python benchmarks/label_issues.py

Draws classes of 30 images as Gaussian features, easy and hard to distinguish, gives a share of the
images the label of another class, and predicts each by a logistic regression on the other four
folds. Prints recall and precision (means over `DRAWS`) of all label issues, of the confident ones
and of cleanlab's `find_label_issues`, and the precision of as many of the first as are wrong.
"""

from collections import defaultdict

import numpy as np
from cleanlab.filter import find_label_issues as find_with_cleanlab
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from baseline.evaluation.outputs import Outputs
from baseline.train.trials import find_suspect_labels
from gleanset.arrays import IntArray

SHARES = (0.01, 0.05, 0.2)
DRAWS = 5
PER_CLASS = 30
WIDTH = 40
KINDS = {"easy": (0.7, (2, 10, 60)), "hard": (1.6, (2, 10))}
"""Noise, and numbers of classes."""
Rows = IntArray


def measure(
    classes: int, share: float, noise: float, seed: int
) -> dict[str, tuple[float, float]]:
    """Return recall and precision by method, and the accuracy on right labels."""
    random = np.random.default_rng(seed)
    truth = np.repeat(np.arange(classes), PER_CLASS)
    x = random.normal(size=(classes, WIDTH))[truth] + random.normal(
        0, noise, (len(truth), WIDTH)
    )
    y = truth.copy()
    wrong = random.permutation(len(y))[: max(1, round(share * len(y)))]
    y[wrong] = (y[wrong] + random.integers(1, classes, len(wrong))) % classes
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    model = LogisticRegression(max_iter=500)
    probabilities = cross_val_predict(model, x, y, cv=folds, method="predict_proba")

    keys = tuple(str(row) for row in range(len(y)))
    outputs = Outputs(np.log(probabilities + 1e-12).astype(np.float32), y, keys)
    issues = find_suspect_labels(
        probabilities, outputs, list(map(str, range(classes))), "run"
    )
    ranked = [int(issue.sample) for issue in issues]
    confident = [int(issue.sample) for issue in issues if issue.confident]
    cleanlab = np.flatnonzero(find_with_cleanlab(y, probabilities)).tolist()
    planted = set(wrong.tolist())
    results = {
        "all": _recall_and_precision(ranked, planted),
        "first": _recall_and_precision(ranked[: len(planted)], planted),
        "confident": _recall_and_precision(confident, planted),
        "cleanlab": _recall_and_precision(cleanlab, planted),
    }
    right = y == truth
    return results | {
        "accuracy": (float((probabilities.argmax(1) == truth)[right].mean()), 0.0)
    }


def _recall_and_precision(rows: list[int], planted: set[int]) -> tuple[float, float]:
    hits = len(planted.intersection(rows))
    return hits / len(planted), hits / max(len(rows), 1)


def main() -> None:
    """Print a row for each kind of data."""
    methods = ("all", "first", "confident", "cleanlab")
    print("| data | classes | wrong | accuracy |", " | ".join(methods), "|")
    for name, (noise, numbers) in KINDS.items():
        for classes in numbers:
            for share in SHARES:
                values: dict[str, list[tuple[float, float]]] = defaultdict(list)
                for seed in range(DRAWS):
                    for method, result in measure(classes, share, noise, seed).items():
                        values[method].append(result)
                means = {
                    method: np.mean(rows, axis=0) for method, rows in values.items()
                }
                cells = [
                    f"{means[method][0]:.2f}, {means[method][1]:.2f}"
                    for method in methods
                ]
                accuracy = f"{means['accuracy'][0]:.2f}"
                print(
                    f"| {name} | {classes} | {share:.0%} | {accuracy} |",
                    " | ".join(cells),
                    "|",
                )


if __name__ == "__main__":
    main()
