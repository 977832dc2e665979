"""The four sites of tests/harvest with drawings of the search term instead of noise.

Each keyword shows a kind of image (drawn_cases.py) or a person, so that faces are found and there
is something to learn.
"""

import sys
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

# `four_sites` is next to the tests of the harvest.
sys.path.insert(0, str(Path(__file__).parents[1] / "harvest"))

from drawn_cases import SIZE, drawn_case
from four_sites import FourSites, SiteImage
from tools_for_tests import encode


@dataclass(frozen=True)
class Drawn(SiteImage):
    """An image of a kind."""

    kind: str = ""

    @property
    def width(self) -> int:
        return SIZE[0]

    @property
    def data(self) -> bytes:
        return drawn(self.kind, self.seed)


@lru_cache(maxsize=1024)
def drawn(kind: str, seed: int) -> bytes:
    """Return the file of a drawing, cached for the tests that follow."""
    return encode(drawn_case(kind, seed), "JPEG", quality=90)


class DrawnSites(FourSites):
    """Sites with `each` images per keyword; `kinds` maps keywords to kinds."""

    def __init__(self, kinds: Mapping[str, str], each: int) -> None:
        self._kinds = kinds
        super().__init__(list(kinds), each)

    def _make_image(self, source: str, word: str, number: int) -> SiteImage:
        result = asdict(super()._make_image(source, word, number))
        # Names of people contain blanks and kanji, which paths on this server cannot.
        result["url"] = result["url"].replace(
            f"/{word}/", f"/{zlib.crc32(word.encode())}/"
        )
        return Drawn(**result, kind=self._kinds[word])
