"""The four sites of tests/harvest on loopback, which show drawn people instead of noise.

Each label is another person, so that faces are found and there is something to learn.
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

from four_sites import FourSites, Picture, running_sites

from pipeline.sample.scene import draw_scene, random_character

__all__ = ["DrawnSites", "running_sites"]
SIZE = (240, 180)


@dataclass(frozen=True)
class Drawn(Picture):
    """A picture of one person in one of many scenes."""

    who: int = 0

    @property
    def width(self) -> int:
        return SIZE[0]

    @property
    def data(self) -> bytes:
        return drawn(self.who, self.seed)


@lru_cache(maxsize=256)
def drawn(who: int, seed: int) -> bytes:
    """Return the file of a picture: tests that run one after the other show the same."""
    file = BytesIO()
    scene, _ = draw_scene([random_character(who)], seed, SIZE)
    scene.save(file, "JPEG")
    return file.getvalue()


class DrawnSites(FourSites):
    """`labels` maps each keyword to its label; each site has `each` pictures of a keyword."""

    def __init__(self, labels: Mapping[str, str], each: int) -> None:
        self._people = {label: who for who, label in enumerate(sorted(set(labels.values())))}
        self._labels = labels
        super().__init__(list(labels), each)

    def _picture(self, source: str, word: str, number: int) -> Picture:
        told = asdict(super()._picture(source, word, number))
        # Keywords of people have blanks and kanji, paths on this server have neither.
        told["url"] = told["url"].replace(f"/{word}/", f"/{zlib.crc32(word.encode())}/")
        return Drawn(**told, who=self._people[self._labels[word]])
