"""Reading one sample in several views, in worker processes: torch is not needed for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from baseline.augmentation import LIMITS, Kind, changed, view_numbers
from baseline.pixels import Pixels, ReadPixels, Source

VIEW_SEED = 0
"""Views do not follow the seed of a run: runs with other seeds use the same cached features."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A sample and the numbers of the views that are asked of it."""

    source: Source
    views: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadViews:
    """Reads views of a sample: number 0 is the plain picture, the others are changed by `kind`.

    How a view is changed depends on the key of the sample and the view's number alone.
    """

    read: ReadPixels
    kind: Kind

    def __call__(self, wanted: Wanted) -> Pixels:
        """uint8, views x C x size x size. Raises `Unreadable`."""
        plain = self.read(wanted.source)
        return np.stack([self._view(plain, wanted.source.key, view) for view in wanted.views])

    def _view(self, plain: Pixels, key: str, view: int) -> Pixels:
        if view == 0:
            return plain
        numbers = view_numbers(key, view, VIEW_SEED)
        made: Pixels = changed(plain[None], numbers[None], LIMITS[self.kind])[0]
        return made
