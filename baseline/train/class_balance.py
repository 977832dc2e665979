"""What there is of each class in train: enough to learn from, and what each counts in the loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gleanset.errors import InputUnusable

Floats = npt.NDArray[np.float32]


def class_weights(
    y: npt.NDArray[np.int64], classes: int, balance: str, weights: Sequence[float] = ()
) -> Floats:
    """Return the weight of each class in the loss, float32.

    With balance 'weights' every class counts as much as any other; else as `weights` (by the
    labeler's own balancing), or all samples alike.
    """
    if balance == "weights":
        counts = np.bincount(y, minlength=classes)
        return (len(y) / (classes * np.maximum(counts, 1))).astype(np.float32)
    return np.array(weights, np.float32) if weights else np.ones(classes, np.float32)


def check_classes(y: npt.NDArray[np.int64], classes: Sequence[str]) -> None:
    """Raise `InputUnusable` where there is nothing to tell apart, or a class without samples."""
    if len(classes) < 2:
        raise InputUnusable(
            f"A classifier needs at least 2 classes, and there is {len(classes)}.",
            "Label pictures of another class, then split again: labeler split",
        )
    if not len(y):
        raise InputUnusable(
            "There is no picture to train on: the train split is empty.",
            "Label pictures, then split them: labeler split",
        )
    counts = np.bincount(y, minlength=len(classes))
    bare = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if bare:
        raise InputUnusable(
            f"No training picture for: {', '.join(bare)}.",
            "Label more pictures of it, or give train a larger share: labeler split --ratio 8:1:1",
        )
