"""Statistics of the whole catalogue: yields, images seen again, failures.

Read only. Results are small, whatever the size of the dataset.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import NamedTuple

from gleanset.db.connection import Table
from gleanset.db.faces import FACELESS, NOT_FAILED, VALID_FACE
from gleanset.db.images import SEARCHABLE, query_sql
from gleanset.db.samples import Samples
from gleanset.records import HAND

MIN_FILLED_SHARE = 0.1
"""Share of the image's area from which a face fills it; faces in scenes have 0.01 to 0.06."""
MAX_CROP_SIDE, MAX_CROP_ASPECT = 640, 1.6
"""Maximum side in pixels and maximum aspect ratio of images that look like face crops."""


class SearchedImages(NamedTuple):
    """Numbers of searched images: all, with a face, filled by it, of the size of a face crop."""

    all: int
    with_face: int
    filled: int
    small_squares: int


class SourceYield(NamedTuple):
    """Yield of a request to a source. `kind` is search, set, video, folder, post or list."""

    source: str
    kind: str
    asked: str | None
    images: int
    samples: int
    labelled: int


class FailureCount(NamedTuple):
    """Number of `items` that a stage rejected for a reason, and an `example` with its detail."""

    stage: str
    reason: str
    items: int
    example: str
    detail: str


class ScanCount(NamedTuple):
    """Number of images searched by a detector with the same settings and crop settings."""

    detector: str
    settings: str
    cut: str
    images: int


class ImageProvenance(NamedTuple):
    """Numbers of images by source and licence, for some samples.

    An image with two origins counts in both. `unlicensed` images have no known licence,
    `made_by_model` are AI-generated according to their source, and `gone` samples are no longer in
    the catalogue.
    """

    images: int
    sources: dict[str, int]
    licences: dict[str, int]
    unlicensed: int
    made_by_model: int
    gone: int


_PLACE = """
    (
        SELECT coalesce(page_url, url, path, key)
        FROM origin
        WHERE image=first
        ORDER BY id
        LIMIT 1
    )
    """
# Stage, reason, and SQL for the rows to count, with their image.
_LEFT_OUT = (
    ("facecrop", "no face found", f"SELECT id AS image FROM image i WHERE {FACELESS}"),
    (
        "facecrop",
        "face too small",
        f"""
        SELECT image
        FROM face f
        WHERE detector<>'{HAND}'
            AND NOT gone
            AND NOT EXISTS(SELECT 1 FROM sample WHERE face=f.id)
        """,
    ),
    (
        "dedup",
        "duplicate",
        "SELECT image FROM sample WHERE NOT kept AND status IN ('queue','labelled')",
    ),
    ("labeler", "rejected", "SELECT image FROM sample WHERE status='rejected'"),
    (
        "split",
        "no part in the split",
        """
        SELECT image
        FROM sample
        WHERE status='labelled'
            AND kept
            AND split IS NULL
            AND EXISTS(SELECT 1 FROM sample WHERE split IS NOT NULL)
        """,
    ),
)
_CONFIDENT_FACE = "(f.detector<>'drawnface' OR f.score>=0.45)"
"""SQL: a face `f` with high confidence. `drawnface` finds a face in 20% of photographs of pets,
but with high confidence in 3%; in drawings, with high confidence in a third or more."""


class Statistics(Table):
    """Statistics of an open catalogue. Read only."""

    def list_yields(self) -> list[SourceYield]:
        """Return yields by source and request; each origin of an image counts."""
        rows = self._db.fetch_all(
            f"""
            SELECT o.source,
                CASE
                    WHEN o.query IS NOT NULL THEN 'search'
                    WHEN o.collection IS NOT NULL THEN 'set'
                    WHEN o.video IS NOT NULL THEN 'video'
                    WHEN o.path IS NOT NULL THEN 'folder'
                    WHEN o.post IS NOT NULL THEN 'post'
                    ELSE 'list'
                END AS kind, {query_sql("o")} AS asked, count(DISTINCT o.image),
                count(DISTINCT iif(s.status IN ('queue', 'labelled'), s.id, NULL)),
                count(DISTINCT iif(s.status='labelled', s.id, NULL))
            FROM origin o
            LEFT JOIN sample s ON s.image=o.image AND s.kept
            GROUP BY 1, 2, 3
            ORDER BY 1, 2, 3
            """
        )

        return [SourceYield(*row) for row in rows]

    def list_failures(self) -> list[FailureCount]:
        """Count rejections by stage and reason, the most frequent first."""
        rows = self._db.fetch_all(
            """
            SELECT stage, reason, count(*), min(item), detail
            FROM rejection
            GROUP BY 1, 2
            ORDER BY 3 DESC, 1, 2
            """
        )
        return [FailureCount(*row) for row in rows]

    def list_unused(self) -> list[FailureCount]:
        """Count readable items that later stages left out, by stage and reason."""
        unused = []
        for stage, reason, what in _LEFT_OUT:
            row = self._db.fetch_one(
                f"SELECT n, {_PLACE} FROM (SELECT count(*) AS n, min(image) AS first FROM ({what}))"
            )
            # The first image is the example.
            items, example = row or (0, None)
            if items:
                unused.append(FailureCount(stage, reason, items, example or "", ""))
        return sorted(unused, key=lambda failure: -failure.items)

    def count_unsearched(self) -> int:
        """Return how many images have no face search and no sample."""
        return self._db.fetch_int(
            f"""
            SELECT count(*)
            FROM image i
            WHERE {SEARCHABLE}
                AND {NOT_FAILED}
                AND NOT EXISTS(SELECT 1 FROM scan WHERE image=i.id)
                AND NOT EXISTS(SELECT 1 FROM sample WHERE image=i.id)
            """
        )

    def list_searches(self) -> list[ScanCount]:
        """Count images by detector, settings and crop settings."""
        rows = self._db.fetch_all(
            "SELECT detector, settings, cut, count(*) FROM scan GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
        return [ScanCount(*row) for row in rows]

    def get_provenance(self, keys: Collection[str]) -> ImageProvenance:
        """Return sources and licences of the images of samples (keys)."""
        rows = list(
            self._db.iter_rows_in(
                """
                SELECT s.key, s.image, o.licence, o.ai,
                    o.source || ifnull(' (' || o.collection || ')', '') AS source
                FROM sample s
                JOIN origin o ON o.image=s.image
                WHERE s.key
                """,
                keys,
            )
        )

        images = {row["image"] for row in rows}
        # Pairs, so that an image with several samples counts once for each source.
        sources = {(row["source"], row["image"]) for row in rows}
        licences = {(row["licence"], row["image"]) for row in rows if row["licence"]}
        return ImageProvenance(
            images=len(images),
            sources=_count_images(sources),
            licences=_count_images(licences),
            unlicensed=len(images - {image for _, image in licences}),
            made_by_model=len({row["image"] for row in rows if row["ai"]}),
            gone=len(set(keys) - {row["key"] for row in rows}),
        )

    def count_labelled(self) -> dict[str, Counter[str]]:
        """Count labelled samples by class and split ("" for none), without duplicates."""
        by_state = Samples(self._db).count_by("status", "kept", "label", "split")
        counts: dict[str, Counter[str]] = {}
        for (status, kept, label, split), number in by_state.items():
            if status == "labelled" and kept == "kept":
                counts.setdefault(str(label), Counter())[split or ""] = number
        return counts

    def count_searched(self, not_by: str) -> SearchedImages:
        """Count images searched by built-in detectors other than `not_by`."""
        row = self._db.fetch_one(
            f"""
            SELECT count(*), count(face), ifnull(sum(face>=area*?), 0),
                ifnull(sum(longer<=? AND longer<=shorter*?), 0)
            FROM (
                SELECT i.width*i.height AS area, max(i.width, i.height) AS longer,
                    min(i.width, i.height) AS shorter,
                    (
                        SELECT max(f.w*f.h)
                        FROM face f
                        WHERE f.image=i.id AND {VALID_FACE} AND {_CONFIDENT_FACE}
                    ) AS face
                FROM scan c
                JOIN image i ON i.id=c.image
                WHERE c.detector<>? AND instr(c.settings, 'plugin=')=0
            )
            """,
            (MIN_FILLED_SHARE, MAX_CROP_SIDE, MAX_CROP_ASPECT, not_by),
        )

        return SearchedImages(*row) if row else SearchedImages(0, 0, 0, 0)


def _count_images(images: Iterable[tuple[str, int]]) -> dict[str, int]:
    counts = Counter(name for name, _ in images)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
