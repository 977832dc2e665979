"""Thresholds of the similarity to the training data, below which images are "unknown"."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from baseline.evaluation.intervals import Groups, group_numbers
from gleanset.arrays import Float64Array, IntArray
from gleanset.html.words import confidence_interval, count
from gleanset.named_files import shorten_list
from gleanset.records import Interval

THRESHOLD_MARGIN = 1e-4
"""Distance of a threshold below the image of val that it keeps: an exported file rounds."""
ROUNDING = 1e-12
"""Excess of a share that is a rounding error."""


class ClassUnknownThreshold(msgspec.Struct, frozen=True):
    """Threshold for images predicted as class `name`, by its own `count` images.

    They are of `groups` groups, and `unknown` are rejected. A new image of the class is rejected
    with a probability of at most `on_average`; without images nothing is known.
    """

    name: str
    below: float
    count: int = 0
    groups: int = 0
    unknown: int = 0
    on_average: float = 1.0

    def describe(self) -> str:
        """Return the class, and how often its images may be rejected."""
        if not self.count:
            return f"{self.name} (no image to check)"
        images = count(self.count, "image")
        return f"{self.name} ({images}: at most {self.on_average:.1%})"


class UnknownThreshold(msgspec.Struct, frozen=True):
    """Images whose similarity to the training data is `below` this are predicted "unknown".

    `by_class` are the thresholds of images predicted as one of the classes, `below` is that of
    classes added later.

    Attributes
    ----------
    target : largest share of known images that may be rejected
    count, groups, unknown : images and groups it was chosen on, and images rejected among them
    on_average : upper bound of the expected share of known images rejected
    needed : groups needed to guarantee `target`
    guaranteed : whether `target` is guaranteed
    folds : folds of train whose images were used too
    rejected, rejected_unknown : images a person rejected, and those predicted "unknown"
    left_out, left_out_unknown : images of left-out classes, and those predicted "unknown"
    left_out_classes, left_out_interval : these classes, and the interval of the share found; not
        with a few classes, for which the share is a rough estimate
    rejected_sure, left_out_sure : those that get a class with `MIN_ANSWER_CONFIDENCE`, of left-out
        classes at most; None for runs of older versions
    """

    below: float
    target: float
    count: int
    groups: int
    unknown: int
    on_average: float
    needed: int
    guaranteed: bool
    folds: int = 0
    rejected: int = 0
    rejected_unknown: int = 0
    left_out: int = 0
    left_out_unknown: int = 0
    left_out_classes: int = 0
    left_out_interval: Interval | None = None
    rejected_sure: int | None = None
    left_out_sure: int | None = None
    by_class: tuple[ClassUnknownThreshold, ...] = ()

    @property
    def limits(self) -> dict[str, float]:
        """The threshold of each class."""
        return {threshold.name: threshold.below for threshold in self.by_class}

    @property
    def exceptions(self) -> list[ClassUnknownThreshold]:
        """Classes with too few groups to hold the target, the smallest first."""
        too_small = [
            threshold for threshold in self.by_class if threshold.groups < self.needed
        ]
        return sorted(too_small, key=lambda threshold: threshold.groups)

    def describe(self) -> str:
        """Return the rule, its cost, what it finds and the guarantee as a line."""
        source = "held-out images" if self.folds else "val"
        words = (
            f"similarity < {self._describe_limits()}; predicted for "
            f"{self.unknown / self.count:.1%} of images of "
            f"known classes ({self.unknown}/{self.count} of {source}, "
            f"{count(self.groups, 'group')}), and for at most {self.on_average:.1%} of images of "
            f"new groups on average{self._describe_classes()}"
        )

        if self.left_out_classes:
            words += (
                f"; finds {self.left_out_unknown / self.left_out:.1%} of {self.left_out} images of "
                "left-out classes"
            )
        if self.left_out_interval:
            words += (
                f" ({confidence_interval(*self.left_out_interval)}, "
                f"{self.left_out_classes} classes)"
            )
        if self.rejected:
            words += f"; {self.rejected_unknown} of {self.rejected} images that a person rejected"

        if self.guaranteed:
            return words
        if not self.needed:
            return f"{words}; 0% cannot be guaranteed"
        return f"{words}; to guarantee {self._target}, val needs {self.needed:,} groups"

    @property
    def _target(self) -> str:
        return f"{100 * self.target:.4g}%"

    def _describe_limits(self) -> str:
        limits = self.limits.values()
        low = min(limits, default=0)
        high = max(limits, default=0)
        # Closer ones are printed alike.
        if high - low < 0.0005:
            return f"{self.below:.3f}"
        return f"{low:.3f} to {high:.3f} by class"

    def _describe_classes(self) -> str:
        if not self.by_class:
            return ""
        words = f", and at most {self._target} of those of each class"
        exceptions = self.exceptions
        if not exceptions:
            return words

        if len(exceptions) == len(self.by_class):
            words = f", but more than {self._target} of those of a class are possible:"
        else:
            words += " except"
        texts = shorten_list([threshold.describe() for threshold in exceptions])
        return f"{words} {', '.join(texts)}"


def choose_unknown_threshold(
    similarity: Float64Array, groups: Groups, max_share: float
) -> UnknownThreshold:
    """Choose the highest threshold that rejects at most `max_share` (0..1) of known images.

    `similarity` (to the training data) and `groups` (N each) are of val. A group counts as one
    case whatever its size, and one additional group is assumed to be rejected as a whole. Then an
    image of a new group is rejected with a probability of at most `max_share`, whatever the network
    and however similar the images of a group are (Lee, Barber and Willett, "Distribution-free
    inference with hierarchical data", 2023).
    """
    numbers = group_numbers(groups)
    # By groups: a percentile of images rejects 6.2 % instead of 5 % if frames of a group are alike
    # (docs/experiments.md).
    below, on_average = _find_highest_threshold(
        similarity, numbers, max_share, additional=1
    )
    return UnknownThreshold(
        below=below,
        target=max_share,
        count=len(similarity),
        groups=int(numbers.max()) + 1,
        unknown=int((similarity < below).sum()),
        on_average=on_average,
        # Of n groups and the additional one, that one is a share of 1 / (n + 1), at most
        # `max_share` from this n on. 1e-9 is more than a rounding error of the quotient.
        needed=math.ceil(1 / max_share - 1 - 1e-9) if max_share else 0,
        # The average has the additional group among the rejected ones.
        guaranteed=on_average <= max_share + ROUNDING,
    )


class _Threshold(NamedTuple):
    """A threshold, and the share of groups that it rejects, including the additional ones."""

    below: float
    share: float


def _find_highest_threshold(
    similarity: Float64Array, numbers: IntArray, max_share: float, additional: float
) -> _Threshold:
    """Return the highest threshold that rejects at most `max_share` of the groups.

    `numbers` (N) are the group numbers, from 0. `additional` groups, which may be a fraction, are
    counted as rejected, too. If no threshold fits, the result is just below the lowest
    similarity, and rejects no image.
    """
    # The images of a group share its weight of 1.
    order = np.argsort(similarity, kind="stable")
    ascending = similarity[order]
    sizes = np.bincount(numbers)
    weights = (1 / sizes[numbers])[order]

    # Weight of the images that a threshold just below each value rejects.
    weight_below = np.append(0.0, weights.cumsum()[:-1])
    shares = (weight_below + additional) / (len(sizes) + additional)

    # Equal values are rejected together, so only the first of them can be a threshold.
    is_first_of_equal = np.append(True, ascending[1:] != ascending[:-1])
    fits = np.flatnonzero(is_first_of_equal & (shares <= max_share + ROUNDING))
    row = int(fits[-1]) if len(fits) else 0
    return _Threshold(
        float(ascending[row]) - THRESHOLD_MARGIN,
        float(shares[row]),
    )


def choose_class_thresholds(
    similarity: Float64Array,
    groups: Groups,
    max_share: float,
    labels: Sequence[str],
    classes: Sequence[str],
) -> UnknownThreshold:
    """Choose thresholds that reject at most `max_share` of the known images of each class.

    A threshold is that of `choose_unknown_threshold`, or lower for a class whose held-out images
    (by `labels`, N) it would reject more often: a class with few images differs from most training
    images. It is higher for a class that has enough groups to hold `max_share` with a higher one. A
    class of `classes` without images gets the lowest threshold of all.
    """
    overall = choose_unknown_threshold(similarity, groups, max_share)
    numbers = group_numbers(groups)
    label_array = np.array(labels)
    thresholds = []
    for name in classes:
        rows = label_array == name
        if rows.any():
            own_numbers = group_numbers(numbers[rows])
            thresholds.append(
                _choose_class_threshold(name, similarity[rows], own_numbers, overall)
            )

    unknown = sum(threshold.unknown for threshold in thresholds)
    lowest = min((threshold.below for threshold in thresholds), default=overall.below)
    thresholds += [
        ClassUnknownThreshold(name, lowest) for name in classes if name not in labels
    ]
    return msgspec.structs.replace(overall, unknown=unknown, by_class=tuple(thresholds))


def _choose_class_threshold(
    name: str,
    similarity: Float64Array,
    numbers: IntArray,
    overall: UnknownThreshold,
) -> ClassUnknownThreshold:
    """Choose the threshold of a class by its own images, and measure it on them.

    `similarity` is that of its images (n), `numbers` are those of their groups (n).
    """
    # The highest threshold that rejects at most the target share of the groups of this class.
    # `additional` adds imagined rejected groups to the count. With 0, the share would hold for
    # these images only. With 1, it would hold for new images too, but the threshold would be so low
    # that a tenth fewer unknown images are found. So half a group is a compromise.
    lowered, _ = _find_highest_threshold(
        similarity, numbers, overall.target, additional=0.5
    )
    below = min(lowered, overall.below)
    sizes = np.bincount(numbers)
    cases = len(sizes)
    # A class with enough groups may get a higher threshold than all classes together. Here one
    # whole group (`additional=1`) is added: with fewer groups, or with half a group, 10 to 12 % of
    # known images were lost (docs/experiments.md).
    if cases >= overall.needed:
        raised, _ = _find_highest_threshold(
            similarity, numbers, overall.target, additional=1
        )
        below = max(below, raised)

    is_unknown = similarity < below
    # Each group is one case, and one more is assumed to be rejected as a whole.
    rejected_cases = np.sum(is_unknown / sizes[numbers])
    return ClassUnknownThreshold(
        name=name,
        below=below,
        count=len(similarity),
        groups=cases,
        unknown=int(is_unknown.sum()),
        on_average=float(rejected_cases + 1) / (cases + 1),
    )
