"""The four sites of tests/harvest, which show what is searched for instead of noise.

Each label is a kind of picture (drawn_cases.py) or another person, so that faces are found and
there is something to learn.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path

# The sites are those that the harvest is tested against.
sys.path.insert(0, str(Path(__file__).parents[1] / "harvest"))

from drawn_cases import SIZE, drawn_case
from four_sites import FourSites, Picture, running_sites

__all__ = ["DrawnSites", "running_sites"]


@dataclass(frozen=True)
class Drawn(Picture):
    """One of many pictures of a kind."""

    kind: str = ""

    @property
    def width(self) -> int:
        return SIZE[0]

    @property
    def data(self) -> bytes:
        return drawn(self.kind, self.seed)


@lru_cache(maxsize=1024)
def drawn(kind: str, seed: int) -> bytes:
    """Return the file of a picture: tests that run one after the other show the same."""
    file = BytesIO()
    drawn_case(kind, seed).save(file, "JPEG", quality=90)
    return file.getvalue()


class DrawnSites(FourSites):
    """`kinds` says what each keyword shows; each site has `each` pictures of a keyword."""

    def __init__(self, kinds: Mapping[str, str], each: int, *, as_proxy: bool = False) -> None:
        self._kinds = kinds
        super().__init__(list(kinds), each, as_proxy=as_proxy)

    def _picture(self, source: str, word: str, number: int) -> Picture:
        told = asdict(super()._picture(source, word, number))
        # Keywords of people have blanks and kanji, paths on this server have neither.
        told["url"] = told["url"].replace(f"/{word}/", f"/{zlib.crc32(word.encode())}/")
        return Drawn(**told, kind=self._kinds[word])
