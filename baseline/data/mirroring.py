"""Classes that are mirror images of each other: training mirrors images and makes them equal."""

from collections import defaultdict
from itertools import combinations

import cv2
import msgspec
import numpy as np

from baseline.data.samples import Examples, load_arrays
from baseline.settings import Settings
from gleanset import Dataset
from gleanset.arrays import Float64Array, IntArray, Pixels, thin_out
from gleanset.records import Sample

SIDE = 48
MAX_COMPARED, MAX_PER_CLASS, MIN_PER_CLASS = 1500, 40, 4
"""Images that are compared; a class with fewer than the minimum is left out."""
MIN_SHARE = 0.6
"""Share of the images of each class that must be most similar to it, and of the mirrored ones of
both that must be most similar to the other one."""


def warn_of_mirrored_classes(
    dataset: Dataset, examples: Examples, settings: Settings
) -> str:
    """Return a warning if mirroring makes classes equal, or empty."""
    # Otherwise no pixels need to be read.
    if not settings.mirrors:
        return ""
    samples = _select_samples(examples)
    if not samples:
        return ""

    small = msgspec.structs.replace(settings, size=SIDE, fit="stretch")
    selection = examples._replace(splits=examples.splits | {"train": samples})
    arrays = load_arrays(dataset, selection, small, "train")
    pairs = find_mirrored_classes(arrays.x, arrays.y)
    if not pairs:
        return ""

    names = [f"{examples.classes[a]} and {examples.classes[b]}" for a, b in pairs]
    return (
        f"mirror images of each other: {', '.join(names)}; training mirrors images, so that it "
        "can hardly distinguish them: turn it off with -o augment=none"
    )


def _select_samples(examples: Examples) -> tuple[Sample, ...]:
    """Return some samples of each class of train that has enough."""
    by_class = defaultdict[str, list[Sample]](list)
    for sample in examples.splits["train"]:
        by_class[str(sample.label)].append(sample)

    limit = min(MAX_PER_CLASS, MAX_COMPARED // len(examples.classes))
    limit = max(MIN_PER_CLASS, limit)
    selection: list[Sample] = []
    for samples in by_class.values():
        some_samples = thin_out(samples, limit)
        if len(some_samples) >= MIN_PER_CLASS:
            selection += some_samples
    return tuple(selection)


def find_mirrored_classes(x: Pixels, y: IntArray) -> list[tuple[int, int]]:
    """Return pairs of classes whose images (N x C x S x S) look like the other's when mirrored.

    Images are compared with class means of their gradients, which keep the direction of edges.
    """
    numbers = np.unique(y)
    if len(numbers) < 2:
        return []
    plain_histograms = _compute_histograms(x)
    mirror_histograms = _compute_histograms(x[:, :, :, ::-1])
    means = np.stack([plain_histograms[y == number].mean(0) for number in numbers])

    # |x - m|**2 is |x|**2 - 2 (x m - |m|**2 / 2): the nearest mean m has the largest difference.
    half_norms = np.square(means).sum(1) / 2
    nearest_plain = numbers[(plain_histograms @ means.T - half_norms).argmax(1)]
    nearest_mirrored = numbers[(mirror_histograms @ means.T - half_norms).argmax(1)]

    def share(nearest: IntArray, number: int, other: int) -> float:
        """Return the share of the images of a class whose nearest class is `other`."""
        return float((nearest[y == number] == other).mean())

    # Both classes are distinct as they are, and exchanged when mirrored.
    pairs = []
    for a, b in combinations(numbers.tolist(), 2):
        plain_share = min(share(nearest_plain, a, a), share(nearest_plain, b, b))
        exchange_share = share(nearest_mirrored, a, b) + share(nearest_mirrored, b, a)
        if min(plain_share, exchange_share / 2) >= MIN_SHARE:
            pairs.append((a, b))
    return pairs


def _compute_histograms(images: Pixels) -> Float64Array:
    """Return histograms of the gradients of cells (N x D).

    Light on dark and dark on light are alike.
    """
    whole = (SIDE, SIDE)
    histograms = cv2.HOGDescriptor(
        whole,
        whole,
        whole,
        CELL,
        BINS,
    )
    # Blurred, because noise has gradients in all directions.
    return np.stack(
        [
            histograms.compute(cv2.GaussianBlur(image, (0, 0), 1.5))
            for image in images.transpose(0, 2, 3, 1).copy()
        ]
    )


CELL = (12, 12)
"""Width and height of a cell in pixels."""
BINS = 8
"""Directions in a cell."""
