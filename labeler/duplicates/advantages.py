"""Why a copy is the best of its duplicate set, and the words for it."""

from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple


class Advantage(Enum):
    """What a copy has that the best of the others has not.

    The values are the words for people, which the window translates (`labeler/qt/words/`).
    """

    LARGER = "larger"
    NOT_ENLARGED = "not enlarged"
    NO_BORDER = "no border"
    NOT_CROPPED = "not cropped"
    NO_MARK = "no mark"
    NOT_FRAMED = "nothing around it"
    LOSSLESS = "stored without loss"
    LESS_COMPRESSED = "less compressed"
    DECIDED = "has a decision"
    LICENSED = "licence known"
    SOURCED = "source known"
    EARLIEST = "equal quality: the earliest"
    BY_PERSON = "chosen by a person"


class KeepReason(NamedTuple):
    """An advantage, and its `detail`: sizes, a format, a licence, a source."""

    advantage: Advantage
    detail: str = ""


def describe_reasons(reasons: Iterable[KeepReason]) -> str:
    """Return the reasons in words, with details in brackets."""
    return ", ".join(
        f"{advantage.value} ({detail})" if detail else advantage.value
        for advantage, detail in reasons
    )
