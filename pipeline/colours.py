"""Names for the colours that a detector saw, to search for a face by its hair."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping

COLOURS = ("hair", "skin", "left_eye", "right_eye")

# Up to which hue, in degrees, a colour has a name.
_HUES = (
    (15, "red"),
    (45, "orange"),
    (70, "yellow"),
    (165, "green"),
    (195, "cyan"),
    (255, "blue"),
    (290, "purple"),
    (345, "pink"),
    (360, "red"),
)


def named_colours(evidence: Mapping[str, object]) -> dict[str, object]:
    """A name for each of `COLOURS`, and its red, green and blue (0..255); None where not seen."""
    found: dict[str, object] = {}
    for name in COLOURS:
        rgb = evidence.get(name)
        found[name] = colour_name(*rgb) if isinstance(rgb, list) else None
        found[f"{name}_rgb"] = rgb
    return found


def colour_name(red: int, green: int, blue: int) -> str:
    """The everyday name of a colour given by red, green and blue, 0..255."""
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.22:
        return "black"
    if saturation < 0.13:
        return "white" if value > 0.85 else "grey"
    name = next(name for most, name in _HUES if hue * 360 <= most)
    if name == "orange" and value < 0.65:
        return "brown"
    # Light red is what people call pink.
    return "pink" if name == "red" and saturation < 0.6 and value > 0.7 else name
