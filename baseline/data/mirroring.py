"""Classes that are mirror images of each other: training mirrors images and makes them equal."""

from dataclasses import replace

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from baseline.data.samples import Examples, load_arrays
from baseline.settings import Settings
from gleanset import Dataset
from gleanset.records import Sample
from gleanset.work.progress import NO_PROGRESS

Pixels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]
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
    if settings.augment == "none":
        return ""
    samples = _select(examples)
    if not samples:
        return ""
    small = msgspec.structs.replace(settings, size=SIDE, fit="stretch")
    part = replace(examples, splits=examples.splits | {"train": samples})
    arrays = load_arrays(dataset, part, small, "train", NO_PROGRESS)
    pairs = find_mirrored_classes(arrays.x, arrays.y)
    if not pairs:
        return ""
    names = ", ".join(
        f"{examples.classes[a]} and {examples.classes[b]}" for a, b in pairs
    )
    return (
        f"mirror images of each other: {names}; training mirrors images, so that it can hardly "
        "distinguish them: turn it off with -o augment=none"
    )


def _select(examples: Examples) -> tuple[Sample, ...]:
    limit = max(
        MIN_PER_CLASS, min(MAX_PER_CLASS, MAX_COMPARED // len(examples.classes))
    )
    of_class: dict[str, list[Sample]] = {}
    for sample in examples.splits["train"]:
        of_class.setdefault(str(sample.label), []).append(sample)
    parts = [part[:: -(-len(part) // limit)] for part in of_class.values()]
    return tuple(
        sample for part in parts if len(part) >= MIN_PER_CLASS for sample in part
    )


def find_mirrored_classes(x: Pixels, y: Indices) -> list[tuple[int, int]]:
    """Return pairs of classes whose images (N x C x S x S) look like the other's when mirrored.

    Images are compared with class means of their gradients, which keep the direction of edges.
    """
    numbers = np.unique(y)
    if len(numbers) < 2:
        return []
    plain, mirrored = (_describe(images) for images in (x, x[:, :, :, ::-1]))
    means = np.stack([plain[y == number].mean(0) for number in numbers])
    to_plain = numbers[(plain @ means.T - np.square(means).sum(1) / 2).argmax(1)]
    to_mirrored = numbers[(mirrored @ means.T - np.square(means).sum(1) / 2).argmax(1)]

    def share(nearest: Indices, number: int, other: int) -> float:
        return float((nearest[y == number] == other).mean())

    pairs = []
    for row, a in enumerate(numbers.tolist()):
        for b in numbers[row + 1 :].tolist():
            plain_share = min(share(to_plain, a, a), share(to_plain, b, b))
            mirrored_share = (share(to_mirrored, a, b) + share(to_mirrored, b, a)) / 2
            if min(plain_share, mirrored_share) >= MIN_SHARE:
                pairs.append((a, b))
    return pairs


def _describe(images: Pixels) -> npt.NDArray[np.float64]:
    """Return histograms of signed gradients (N x D, of unit length)."""
    described = []
    for image in images.transpose(0, 2, 3, 1):
        gray = (
            image
            if image.shape[2] == 1
            else cv2.cvtColor(image.copy(), cv2.COLOR_RGB2GRAY)
        )
        # Blurred, because noise has gradients in all directions.
        smooth = cv2.GaussianBlur(
            np.ascontiguousarray(gray).reshape(SIDE, SIDE), (0, 0), 1.5
        )
        horizontal = cv2.Sobel(smooth, cv2.CV_64F, 1, 0)
        vertical = cv2.Sobel(smooth, cv2.CV_64F, 0, 1)
        strength, angle = cv2.cartToPolar(horizontal, vertical)
        # Light on dark and dark on light are alike: angles of half a turn.
        place = np.floor(np.asarray(angle) / np.pi * BINS).astype(np.int64) % BINS
        rows, columns = np.indices(gray.shape[:2]) * CELLS // SIDE
        cells = (rows * CELLS + columns) * BINS + place
        described.append(
            np.bincount(
                cells.ravel(), np.asarray(strength).ravel(), CELLS * CELLS * BINS
            )
        )
    histograms = np.stack(described)
    length = np.linalg.norm(histograms, axis=1, keepdims=True)
    return np.asarray(histograms / np.maximum(length, 1e-9))


CELLS, BINS = 4, 8
"""Cells a side of the image, and directions in each."""
