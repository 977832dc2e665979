"""Figures over the whole catalogue: what came from where, what was met again, what failed.

Only reads. The answers are small however large the dataset is.
"""

from __future__ import annotations

from typing import NamedTuple

from gleanset.db.connection import Connection


class Yielded(NamedTuple):
    """What one request to one source gave. `kind` is search, video, folder, post or list."""

    source: str
    kind: str
    asked: str | None
    images: int
    samples: int
    labelled: int


class FoundAgain(NamedTuple):
    """Images that have several origins, and how many of those have different hints."""

    several: int
    disputed: int


class Failure(NamedTuple):
    """How many `items` a stage rejected for a reason, and an `example` with its detail."""

    stage: str
    reason: str
    items: int
    example: str
    detail: str


class Search(NamedTuple):
    """A detector with its settings, and how many images it has looked at."""

    detector: str
    settings: str
    images: int


class Provenance:
    """Read-only questions to an open catalogue."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def yields(self) -> list[Yielded]:
        """By source and query, video or hint; an image with two origins counts in both."""
        rows = self._db.rows(
            "SELECT o.source, CASE WHEN o.query IS NOT NULL THEN 'search' "
            "WHEN o.video IS NOT NULL THEN 'video' WHEN o.path IS NOT NULL THEN 'folder' "
            "WHEN o.post IS NOT NULL THEN 'post' ELSE 'list' END AS kind, "
            "coalesce(o.query, iif(o.video IS NULL, o.hint, o.title)) AS asked, "
            "count(DISTINCT o.image), "
            "count(DISTINCT iif(s.status IN ('queue','labelled'), s.id, NULL)), "
            "count(DISTINCT iif(s.status='labelled', s.id, NULL)) "
            "FROM origin o LEFT JOIN sample s ON s.image=o.image GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        return [Yielded(*row) for row in rows]

    def sources(self) -> int:
        """How many different sources gave images."""
        return self._db.number("SELECT count(DISTINCT source) FROM origin")

    def found_again(self) -> FoundAgain:
        """How many images were found in several places, and how many under several hints."""
        row = self._db.one(
            "SELECT count(*), coalesce(sum(hints>1), 0) FROM (SELECT count(DISTINCT hint) AS "
            "hints FROM origin GROUP BY image HAVING count(*)>1)"
        )
        return FoundAgain(*row) if row else FoundAgain(0, 0)

    def images_found_again(self, limit: int) -> list[str]:
        """Hashes of images with several origins: disputed ones first, then by origins."""
        rows = self._db.rows(
            "SELECT i.sha256 FROM origin o JOIN image i ON i.id=o.image GROUP BY o.image "
            "HAVING count(*)>1 ORDER BY count(DISTINCT o.hint)>1 DESC, count(*) DESC, i.sha256 "
            "LIMIT ?",
            (limit,),
        )
        return [row["sha256"] for row in rows]

    def failures(self) -> list[Failure]:
        """Rejections by stage and reason, the most frequent first."""
        rows = self._db.rows(
            "SELECT stage, reason, count(*), min(what), detail FROM rejection GROUP BY 1, 2 "
            "ORDER BY 3 DESC, 1, 2"
        )
        return [Failure(*row) for row in rows]

    def searches(self) -> list[Search]:
        """Which detectors have looked at the images, and with which settings."""
        rows = self._db.rows(
            "SELECT detector, settings, count(*) FROM scan GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return [Search(*row) for row in rows]

    def sampled_videos(self) -> list[tuple[str, str]]:
        """(name, settings) of every video that was sampled to its end."""
        rows = self._db.rows("SELECT name, settings FROM video WHERE done ORDER BY name, settings")
        return [(row["name"], row["settings"]) for row in rows]
