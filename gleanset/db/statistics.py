"""Statistics of the whole catalogue: yields, images seen again, failures.

Read only. Results are small, whatever the size of the dataset.
"""

from collections import Counter
from collections.abc import Collection
from typing import NamedTuple

from gleanset.db.connection import Table
from gleanset.db.faces import FACELESS, VALID_FACE
from gleanset.db.images import NOT_FAILED, SEARCHABLE, query_sql
from gleanset.db.rows import dump, record_from_row
from gleanset.records import HAND

MIN_FILLED_SHARE = 0.1
"""Share of the image's area from which a face fills it; faces in scenes have 0.01 to 0.06."""
# Maximum side in pixels and maximum aspect ratio of images that look like face crops.
MAX_CROP_SIDE = 640
MAX_CROP_ASPECT = 1.6


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


# Stage and reason of images that are left out, in the order of the stages.
_LEFT_OUT = f"""
    SELECT 1 AS place, 'facecrop' AS stage, 'no face found' AS reason, id AS image
    FROM image i
    WHERE {FACELESS}
    UNION ALL
    SELECT 2, 'facecrop', 'face too small', image
    FROM face f
    WHERE detector<>'{HAND}'
        AND NOT gone
        AND NOT EXISTS(SELECT 1 FROM sample WHERE face=f.id)
    UNION ALL
    SELECT 3, 'dedup', 'duplicate', image
    FROM sample
    WHERE NOT kept AND status IN ('queue', 'labelled')
    UNION ALL
    SELECT 4, 'labeler', 'rejected', image
    FROM sample
    WHERE status='rejected'
    UNION ALL
    SELECT 5, 'split', 'no part in the split', image
    FROM sample
    WHERE status='labelled'
        AND kept
        AND split IS NULL
        AND EXISTS(SELECT 1 FROM sample WHERE split IS NOT NULL)
    """
_CONFIDENT_FACE = "(f.detector<>'drawnface' OR f.score>=0.45)"
"""SQL: a face `f` with high confidence. `drawnface` finds a face in 42% of photographs of pets,
but with high confidence in 3%; in drawings, with high confidence in a third or more."""


# Origins of the images of samples whose keys are a JSON list.
_PROVENANCE = """
    SELECT s.key, s.image, o.licence, o.ai,
        o.source || ifnull(' (' || o.collection || ')', '') AS source
    FROM sample s
    JOIN origin o ON o.image=s.image
    WHERE s.key IN (SELECT value FROM json_each(?1))
    """


class Statistics(Table):
    """Statistics of an open catalogue. Read only."""

    def list_yields(self) -> list[SourceYield]:
        """Return yields by source and request; each origin of an image counts."""
        # The counts are images, samples in use and labelled samples.
        return self._db.fetch_records(
            SourceYield,
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
            """,
        )

    def list_failures(self) -> list[FailureCount]:
        """Count rejections by stage and reason, the most frequent first."""
        # With min(), SQLite takes `detail` from the row that has the minimum.
        return self._db.fetch_records(
            FailureCount,
            """
            SELECT stage, reason, count(*), min(item), detail
            FROM rejection
            GROUP BY 1, 2
            ORDER BY 3 DESC, 1, 2
            """,
        )

    def list_unused(self) -> list[FailureCount]:
        """Count readable items that later stages left out, by stage and reason."""
        # The first image is the example.
        return self._db.fetch_records(
            FailureCount,
            f"""
            SELECT stage, reason, items,
                ifnull(
                    (
                        SELECT coalesce(page_url, url, path, key)
                        FROM origin
                        WHERE image=first
                        ORDER BY id
                        LIMIT 1
                    ), ''
                ), ''
            FROM (
                SELECT place, stage, reason, count(*) AS items, min(image) AS first
                FROM ({_LEFT_OUT})
                GROUP BY place
            )
            ORDER BY items DESC, place
            """,
        )

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
        return self._db.fetch_records(
            ScanCount,
            "SELECT detector, settings, cut, count(*) FROM scan GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )

    def get_provenance(self, keys: Collection[str]) -> ImageProvenance:
        """Return sources and licences of the images of samples (keys)."""
        parameters = (dump(list(keys)),)
        images_by = {}
        for column in ("source", "licence"):
            images_by[column] = self._db.fetch_dict(
                f"""
                SELECT {column}, count(DISTINCT image)
                FROM ({_PROVENANCE})
                WHERE {column}<>''
                GROUP BY 1
                ORDER BY 2 DESC, 1
                """,
                parameters,
            )

        [counts] = self._db.fetch_all(
            f"""
            SELECT count(DISTINCT image) AS images,
                count(DISTINCT image)
                    - count(DISTINCT iif(licence<>'', image, NULL)) AS unlicensed,
                count(DISTINCT iif(ai, image, NULL)) AS made_by_model,
                (SELECT count(DISTINCT value) FROM json_each(?1))
                    - count(DISTINCT key) AS gone
            FROM ({_PROVENANCE})
            """,
            parameters,
        )
        return record_from_row(
            ImageProvenance,
            counts,
            sources=images_by["source"],
            licences=images_by["licence"],
        )

    def count_labelled(self) -> dict[str, Counter[str]]:
        """Count labelled samples by class and split ("" for none), without duplicates."""
        counts: dict[str, Counter[str]] = {}
        for label, split, number in self._db.fetch_all(
            """
            SELECT c.name, ifnull(s.split, ''), count(*)
            FROM sample s
            JOIN class c ON c.id=s.label
            WHERE s.status='labelled' AND s.kept
            GROUP BY 1, 2
            ORDER BY 1, 2
            """
        ):
            counts.setdefault(label, Counter())[split] = number
        return counts

    def count_searched(self, not_by: str) -> SearchedImages:
        """Count images searched by built-in detectors other than `not_by`.

        All of them, those with a confident face, those that it fills, and those that are as small
        and square as crops: they tell whether a dataset of crops was searched for faces.
        """
        [counts] = self._db.fetch_records(
            SearchedImages,
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

        return counts
