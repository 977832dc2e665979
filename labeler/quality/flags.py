"""The named thresholds. They say where to look first; how good they are: docs/quality.md."""

from __future__ import annotations

from gleanset.db.measures import Flag, Quality

FLAGS: tuple[Flag, ...] = (
    Flag("blurred", "blur", 0.6),
    Flag("black", "lightest", 40, at_least=False),
    Flag("white", "darkest", 225),
    Flag("tiny", "size", 63, at_least=False),
    Flag("odd_shape", "aspect", 2.0),
    Flag("text", "text", 0.02),
    Flag("photo", "photo", 0.7),
    Flag("ai", "ai", 1),
    Flag("outlier", "outlier", 1.2),
)


def flags_of(quality: Quality) -> list[str]:
    """The names of the flags that a sample has."""
    return [flag.name for flag in FLAGS if flag.holds(quality)]
