"""Why a copy is the best of its duplicate set, and the words for it."""

from collections.abc import Iterable
from enum import Enum, auto
from typing import NamedTuple


class Advantage(Enum):
    """What a copy has that the best of the others has not."""

    LARGER = auto()
    NOT_ENLARGED = auto()
    NO_BORDER = auto()
    NOT_CROPPED = auto()
    NO_MARK = auto()
    NOT_FRAMED = auto()
    LOSSLESS = auto()
    LESS_COMPRESSED = auto()
    DECIDED = auto()
    LICENSED = auto()
    SOURCED = auto()
    EARLIEST = auto()
    CHOSEN = auto()


class KeepReason(NamedTuple):
    """An advantage, and its `detail`: sizes, a format, a licence, a source."""

    advantage: Advantage
    detail: str = ""


WORDS = {
    Advantage.LARGER: "larger",
    Advantage.NOT_ENLARGED: "not enlarged",
    Advantage.NO_BORDER: "no border",
    Advantage.NOT_CROPPED: "not cropped",
    Advantage.NO_MARK: "no mark",
    Advantage.NOT_FRAMED: "nothing around it",
    Advantage.LOSSLESS: "stored without loss",
    Advantage.LESS_COMPRESSED: "less compressed",
    Advantage.DECIDED: "has a decision",
    Advantage.LICENSED: "licence known",
    Advantage.SOURCED: "source known",
    Advantage.EARLIEST: "equal quality: the earliest",
    Advantage.CHOSEN: "chosen by a person",
}
"""The window translates these (`labeler/qt/words/`)."""


def describe_reasons(reasons: Iterable[KeepReason]) -> str:
    """Return the reasons in words, with details in brackets."""
    return ", ".join(
        f"{WORDS[advantage]} ({detail})" if detail else WORDS[advantage]
        for advantage, detail in reasons
    )
