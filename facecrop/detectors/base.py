"""What every detector promises.

To add a detector, write one file with one class that has `name`, `settings` and
`detect`, and add the class to the tuple in `facecrop/detectors/__init__.py`.
Its constructor's keyword arguments are its settings. It loads and checks everything it
needs there, so that a detector which could be built is one that works.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gleanset.records import Face

Pixels: TypeAlias = npt.NDArray[np.uint8]
"""A picture: height x width x 3, red, green, blue, upright."""


class Detector(Protocol):
    """Something that finds faces in a picture, deterministically."""

    name: ClassVar[str]

    @property
    def settings(self) -> str:
        """Its settings in one canonical form, such as `threshold=0.5`.

        The catalogue keeps it with every scan: another string means looking again.
        """

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find the faces, left to right and then top to bottom.

        Boxes are whole pixels within the picture. No face gives an empty list.
        """
