"""Interface of detectors, and functions that check their settings.

A detector is a class with `name`, `settings` and `detect`, listed in `facecrop/detector_names.py`.
The keyword arguments of its constructor are its settings, as text or numbers, which `parse_number`,
`parse_integer` and `parse_switch` convert. The constructor loads and checks everything, so that a
detector that can be built works.
"""

from __future__ import annotations

from typing import ClassVar, Protocol

from gleanset.arrays import Pixels
from gleanset.errors import UsageError
from gleanset.records import Face


class Detector(Protocol):
    """Interface of face detectors; results must be deterministic."""

    name: ClassVar[str]

    @property
    def settings(self) -> str:
        """Settings in a canonical form, such as `threshold=0.5`.

        Stored with every scan; images are searched again if it changes.
        """

    def detect(self, pixels: Pixels) -> list[Face]:
        """Find faces, from left to right, then top to bottom.

        Boxes are in whole pixels within the image.
        """


YES = ("yes", "true", "1", "on")
NO = ("no", "false", "0", "off")


def parse_number(name: str, value: str | float, low: float, high: float) -> float:
    """Return the value of the setting `name`.

    Raises `UsageError` if it is not a number or out of range.
    """
    fix = f"use a number from {low:g} to {high:g}"
    try:
        number = float(value)
    except ValueError:
        raise UsageError(
            f"{name} is not a number: {value!r}",
            fix,
        ) from None
    if not low <= number <= high:
        raise UsageError(f"{name} is out of range: {number:g}", fix)
    return number


def parse_integer(name: str, value: str | float, low: int, high: int) -> int:
    """Return the value of the setting `name`, an integer.

    Raises `UsageError` if it is not an integer or out of range.
    """
    number = parse_number(name, value, low, high)
    if number != int(number):
        raise UsageError(
            f"{name} is not an integer: {number:g}",
            f"use {int(number)}",
        )
    return int(number)


def parse_switch(name: str, value: str | float) -> bool:
    """Return whether a setting is yes or no. Raises `UsageError` for anything else."""
    word = f"{value:g}" if isinstance(value, int | float) else value.strip().lower()
    if word in YES:
        return True
    if word in NO:
        return False
    raise UsageError(
        f"{name} is not yes or no: {value!r}", f"use {name}=yes or {name}=no"
    )
