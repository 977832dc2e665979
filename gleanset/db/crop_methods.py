"""How samples came out of their images: by which detector, and how its faces were cut.

Read from what the stages recorded when they did it, never from present settings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from gleanset.db.connection import Connection, Row
from gleanset.db.faces import HAND
from gleanset.db.scans import HAS_CROP
from gleanset.db.values import in_parts
from gleanset.page.words import count

WHOLE = "whole"
"""The detector of samples that are their image, or the square in its middle."""


@dataclass(frozen=True, slots=True)
class CropMethod:
    """One way in which `samples` samples were cut.

    `detector` is that of a face, `whole` or `hand`; `settings` are the detector's and `cut` is the
    spelling of `gleanset.images.cut.CutSettings`, each empty where it is not known. A whole image
    has no cut unless it was made square.
    """

    detector: str
    settings: str
    cut: str
    samples: int

    @property
    def of_faces(self) -> bool:
        """Whether a detector found them, which can be asked again."""
        return self.detector not in (WHOLE, HAND)

    @property
    def words(self) -> str:
        """For a person: how many, of what, found and cut how."""
        if self.detector == WHOLE:
            squared = f", made square ({self.cut})" if self.cut else ""
            return count(self.samples, "whole picture") + squared
        cut = f", cut with {self.cut}" if self.cut else ""
        if self.detector == HAND:
            return f"{count(self.samples, 'box', 'boxes')} given by hand{cut}"
        settings = self.settings or "settings not known any more"
        found = f"found by {self.detector} ({settings})"
        return f"{count(self.samples, 'face')} {found}{cut}"


def crop_methods(db: Connection, keys: Iterable[str]) -> tuple[CropMethod, ...]:
    """The ways in which these samples were cut, the commonest first."""
    found: Counter[tuple[str, str, str]] = Counter()
    for some, marks in in_parts(list(dict.fromkeys(keys))):
        rows = db.rows(
            "SELECT s.detector, c.settings, c.cut, s.face IS NOT NULL AND NOT ifnull(f.gone, 0) "
            f"AND c.detector=s.detector AS found, {HAS_CROP} AS has_crop, "
            "s.x<0 OR s.y<0 OR s.x+s.w>i.width OR s.y+s.h>i.height AS beyond "
            "FROM sample s JOIN image i ON i.id=s.image LEFT JOIN face f ON f.id=s.face "
            f"LEFT JOIN scan c ON c.image=s.image WHERE s.key IN ({marks})",
            some,
        )
        found.update(map(_method, rows))
    ranked = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(CropMethod(*method, samples) for method, samples in ranked)


def _method(row: Row) -> tuple[str, str, str]:
    if row["detector"] == WHOLE:
        # Only a square is less, or more, than the image; a margin has no say.
        squared = "margin=0 square pad" if row["beyond"] else "margin=0 square"
        return WHOLE, "", squared if row["has_crop"] else ""
    settings = row["settings"] if row["found"] else ""
    return row["detector"], settings or "", row["cut"] or ""
