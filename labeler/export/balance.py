"""Balancing classes in train: copies of rare classes, or fewer samples of frequent ones.

Which samples are copied or left out depends on the seed and their keys alone, so a sample that is
added later changes little.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable

import msgspec
import numpy as np
from PIL import Image

from gleanset.images.augmentation import LIMITS, apply_augmentation, draw_view_numbers
from gleanset.records import Sample
from labeler.export.options import ExportOptions

BALANCED_SPLIT = "train"
"""Copies in val or test would count errors twice."""


class Balance(msgspec.Struct, frozen=True):
    """The number of `copies` of samples, samples `left_out`, and the `table` of class sizes.

    The table has the sizes in train `before` and `after`, by class.
    """

    copies: dict[str, int] = {}
    left_out: frozenset[str] = frozenset()
    table: dict[str, dict[str, int]] = {}


def plan_balance(samples: Iterable[Sample], options: ExportOptions) -> Balance:
    """Plan copies, or samples to leave out, until each class has the target size in train."""
    if options.balance is None:
        return Balance()  # without loading samples

    keys_by_class: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        if sample.split == BALANCED_SPLIT:
            keys_by_class[str(sample.label)].append(sample.key)

    before = {label: len(keys) for label, keys in sorted(keys_by_class.items())}

    # Classes shrink to the smallest, or grow to the largest.
    limit = min if options.balance == "down" else max
    target = options.target or limit(before.values(), default=0)
    copies: dict[str, int] = {}
    left_out = set[str]()
    for keys in keys_by_class.values():
        random_keys = _shuffle(keys, options.seed)
        if options.balance == "down":
            left_out.update(random_keys[target:])
            continue

        # Each sample is repeated before any gets another copy.
        each, rest = divmod(max(0, target - len(keys)), len(keys))
        copies |= dict.fromkeys(keys, each)
        copies |= dict.fromkeys(random_keys[:rest], each + 1)

    return Balance(
        copies,
        frozenset(left_out),
        {
            label: {"before": size, "after": limit(size, target)}
            for label, size in before.items()
        },
    )


def _shuffle(keys: Iterable[str], seed: int) -> list[str]:
    """Return keys in an order that is random, but the same for the same seed."""
    return sorted(
        keys,
        key=lambda key: hashlib.sha256(f"{seed}:{key}".encode()).hexdigest(),
    )


def augment_image(
    pixels: Image.Image, key: str, copy: int, options: ExportOptions
) -> Image.Image:
    """Return an augmented copy of an image (RGB or L), as a training makes it."""
    array = np.asarray(pixels)  # H x W x 3, or H x W
    # A batch of one image (1 x C x H x W), with the random numbers of its view.
    batch = apply_augmentation(
        np.atleast_3d(array).transpose(2, 0, 1)[None],
        draw_view_numbers(key, copy, options.seed)[None],
        LIMITS[options.augmentation],
    )
    view = batch[0].transpose(1, 2, 0).reshape(array.shape)
    return Image.fromarray(np.ascontiguousarray(view))
