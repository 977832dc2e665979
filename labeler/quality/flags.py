"""The named thresholds. They say where to look first; how good they are: docs/quality.md."""

from __future__ import annotations

from gleanset.db.regions import Quality, QualityFlag

FLAGS: tuple[QualityFlag, ...] = (
    QualityFlag("blurred", "blur", 0.6),
    QualityFlag("black", "lightest", 40, is_minimum=False),
    QualityFlag("white", "darkest", 225),
    QualityFlag("tiny", "size", 63, is_minimum=False),
)


def flags_of(quality: Quality) -> list[str]:
    """Return the names of the flags that a sample has."""
    return [flag.name for flag in FLAGS if flag.matches(quality)]
