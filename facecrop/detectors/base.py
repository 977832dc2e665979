"""What every detector promises, and how its settings are checked.

To add a detector, write one file with one class that has `name`, `settings` and
`detect`, and add the class to the tuple in `facecrop/detectors/__init__.py`.
Its constructor's keyword arguments are its settings. It loads and checks everything it
needs there, so that a detector which could be built is one that works. Settings come as text from
a command line or as numbers: `number`, `whole_number` and `switch` check them and make them one.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from gleanset.errors import UsageError
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


YES, NO = ("yes", "true", "1", "on"), ("no", "false", "0", "off")


def number(name: str, value: str | float, low: float, high: float) -> float:
    """Return the value of the setting `name`.

    Raises `UsageError` if it is not a number or out of range.
    """
    fix = f"give a number from {low:g} to {high:g}"
    try:
        found = float(value)
    except ValueError:
        raise UsageError(f"{name} {value!r} is not a number", fix) from None
    if not low <= found <= high:
        raise UsageError(f"{name} {found:g} is out of range", fix)
    return found


def whole_number(name: str, value: str | float, low: int, high: int) -> int:
    """Return the value of the setting `name`, an integer.

    Raises `UsageError` if it is not an integer or out of range.
    """
    found = number(name, value, low, high)
    if found != int(found):
        raise UsageError(f"{name} {found:g} is not a whole number", f"for example {int(found)}")
    return int(found)


def switch(name: str, value: str | float) -> bool:
    """Return whether a setting is yes or no. Raises `UsageError` for anything else."""
    word = f"{value:g}" if isinstance(value, int | float) else value.strip().lower()
    if word in YES or word in NO:
        return word in YES
    raise UsageError(f"{name} {value!r} is neither yes nor no", f"give {name}=yes or {name}=no")
