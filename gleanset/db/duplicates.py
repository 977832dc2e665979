"""Perceptual hashes, candidate pairs of duplicates, and duplicate verdicts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from enum import IntFlag
from typing import Any, NamedTuple

from gleanset.db.connection import Table
from gleanset.db.journal import PERSON, classify_provenance, get_label_provenances
from gleanset.db.regions import (
    SAMPLE_REGION,
    SampleRegion,
    same_region_sql,
    sample_region_from_row,
)
from gleanset.db.rows import record_from_row, row_from_box, row_from_record, to_signed
from gleanset.db.samples import Hints
from gleanset.errors import UsageError


class SampleHashes(NamedTuple):
    """Hashes of a sample: `points` of 8 bytes, `shapes` of 3; `filled` is the borderless share."""

    sample: int
    plain: int
    flipped: int
    filled: float
    points: bytes
    shapes: bytes


class HashColumns(NamedTuple):
    """Hashes of many samples by column; 64-bit hashes are signed, as stored."""

    samples: Sequence[int] = ()
    plain: Sequence[int] = ()
    flipped: Sequence[int] = ()
    points: Sequence[bytes] = ()
    shapes: Sequence[bytes] = ()


HASH_VERSION = 2
"""Increment with any change that affects hashes: older ones are computed again."""

_SAME_HASHED = f"{same_region_sql('l')} AND l.version={HASH_VERSION}"
_SELECTED_SAMPLES = {False: "s.status!='retired'", True: "s.status='labelled'"}


class ImageHashes(Table):
    """The `sample_hash` table."""

    def count_hashed(self) -> int:
        """Return how many samples have hashes of their current region."""
        return self._db.fetch_int(
            f"""SELECT count(*) FROM sample s JOIN sample_hash l ON l.sample=s.id AND {_SAME_HASHED}
            WHERE s.status!='retired'"""
        )

    def count_missing(self, *, labelled: bool = False) -> int:
        """Return how many (labelled) samples have no hashes of their current region."""
        return self._db.fetch_int(
            f"""SELECT count(*) FROM sample s LEFT JOIN sample_hash l ON l.sample=s.id AND
            {_SAME_HASHED} WHERE l.sample IS NULL AND {_SELECTED_SAMPLES[labelled]}"""
        )

    def iter_missing(self, *, labelled: bool = False) -> Iterator[SampleRegion]:
        """Yield the samples of `count_missing`; `save` may be called meanwhile."""
        sql = f"""SELECT {SAMPLE_REGION} FROM sample s JOIN image i ON i.id=s.image LEFT JOIN
            sample_hash l ON l.sample=s.id AND {_SAME_HASHED} WHERE l.sample IS NULL AND
            {_SELECTED_SAMPLES[labelled]}"""
        return map(
            sample_region_from_row,
            self._db.iter_rows(sql, ("s.id",)),
        )

    def get_regions(self, ids: Sequence[int]) -> dict[int, SampleRegion]:
        """Return image and region of samples by row."""
        rows = self._db.iter_rows_in(
            f"SELECT {SAMPLE_REGION} FROM sample s JOIN image i ON i.id=s.image "
            "WHERE s.id IN (:items)",
            ids,
        )
        return {row["id"]: sample_region_from_row(row) for row in rows}

    def save(
        self, hashes_by_sample: Sequence[tuple[SampleRegion, SampleHashes]]
    ) -> None:
        """Save hashes; delete pairs that were computed from earlier ones."""
        with self._db.transaction():
            for sample, hashes in hashes_by_sample:
                self._db.execute(
                    """DELETE FROM pair WHERE (a=?1 OR b=?1) AND kind!='person' AND EXISTS(
                    SELECT 1 FROM sample_hash WHERE sample=?1)""",
                    (sample.id,),
                )
                row = row_from_record(
                    hashes,
                    plain=to_signed(hashes.plain),
                    flipped=to_signed(hashes.flipped),
                    sample=sample.id,
                    version=HASH_VERSION,
                    angle=sample.region.angle,
                )
                row |= row_from_box(sample.region.box)
                self._db.insert("sample_hash", row, "INSERT OR REPLACE")

    def delete(self, sample: int) -> None:
        """Delete a sample's hashes and its pairs that were not compared."""
        with self._db.transaction():
            self._db.execute("DELETE FROM sample_hash WHERE sample=?", (sample,))
            self._db.execute(
                f"DELETE FROM pair WHERE (a=?1 OR b=?1) AND {_UNCOMPARED}", (sample,)
            )

    def iter_pages(self, *, searched: bool, size: int) -> Iterator[HashColumns]:
        """Yield hashes of (un)searched samples, also retired ones, in pages."""
        for rows in self._db.iter_pages(
            "SELECT sample, plain, flipped, points, shapes FROM sample_hash WHERE searched=?",
            key=("sample",),
            values=(searched,),
            size=size,
        ):
            # By column: unpacking each row would take as long as reading it.
            yield HashColumns(*[[row[number] for row in rows] for number in range(5)])

    def mark_searched(self, samples: Sequence[int]) -> None:
        """Record that all pairs of these samples are known. Call inside a transaction."""
        self._db.execute_many(
            "UPDATE sample_hash SET searched=1 WHERE sample=?", [(s,) for s in samples]
        )


COMPARISON_VERSION = 4
"""Increment with any change that affects verdicts: pairs are compared again."""

RANKING_VERSION = 7
"""Increment with any change that affects which copy is better: sets are ranked again."""

SAME = "same"
NOT_SAME = "not"
DOUBTFUL = "doubtful"
_UNCOMPARED = "verdict='open'"

# A FROM clause with conditions: pairs of two samples in use.
_IN_USE = """FROM pair p JOIN sample s ON s.id=p.a JOIN sample t ON t.id=p.b
    WHERE s.status!='retired' AND t.status!='retired'"""
# The fields of `PairVerdict`.
_VERDICT = "a, b, distance, ifnull(overlap, 1), verdict, ifnull(relation, 0)"
_COMPARISONS = f"SELECT {_VERDICT} FROM pair WHERE kind='pixels'"
# Which of the two samples of a pair is the better copy.
FIRST = "first"
SECOND = "second"
EVEN = "even"


class Relation(IntFlag):
    """Differences between two duplicates `a` and `b`.

    `MORE_A`: a also shows content outside b; `FRAMED_A`: that is only a frame around b.
    `MARKED_A`: a has a mark that b lacks. `CHANGED`: small details differ.
    """

    MORE_A = 1
    MORE_B = 2
    FRAMED_A = 4
    FRAMED_B = 8
    MARKED_A = 16
    MARKED_B = 32
    CHANGED = 64
    MIRRORED = 128

    def swap(self) -> Relation:
        """Return the same relation with `a` and `b` swapped."""
        # The flag of b is the next bit after that of a.
        of_both = self & ~(_OF_A | _OF_B)
        now_of_a = Relation((self & _OF_B) >> 1)
        now_of_b = Relation((self & _OF_A) << 1)
        return of_both | now_of_a | now_of_b

    @property
    def b_adds_content(self) -> bool:
        """Whether b shows anything that a does not, except small details."""
        return bool(self & (Relation.MORE_B | Relation.MARKED_B))

    @property
    def b_adds_words(self) -> bool:
        """Whether b has a frame or a mark that a has not, which may hold words."""
        return bool(self & (Relation.FRAMED_B | Relation.MARKED_B))

    @property
    def both_add_words(self) -> bool:
        """Whether each has a frame or mark of its own, so that only the rest is the same."""
        return self.b_adds_words and self.swap().b_adds_words


_OF_A = Relation.MORE_A | Relation.FRAMED_A | Relation.MARKED_A
_OF_B = Relation.MORE_B | Relation.FRAMED_B | Relation.MARKED_B


class PairVerdict(NamedTuple):
    """Duplicate verdict of two samples (rows, a < b) by pixels: SAME, NOT_SAME or DOUBTFUL.

    `changed` is the per mille of windows with replaced edges, `overlap` the part of the larger
    sample that both show (0..1).
    """

    a: int
    b: int
    changed: float
    overlap: float
    verdict: str
    relation: Relation = Relation(0)

    @property
    def similarity(self) -> float:
        """Similarity (0..1) of duplicates: overlap minus a penalty of up to 0.1 for changes."""
        return self.overlap - 0.0125 * min(self.changed, 8)


class DuplicateSetMember(NamedTuple):
    """Sample with everything that decides whether it is the best copy of its duplicate set.

    `hints` are the classes that its own image hints at. `label_by` is the source of its
    label: person, hint (also of a duplicate), import, model or visitor.
    """

    id: int
    key: str
    width: int
    height: int
    filled: float
    bytes_per_pixel: float
    format: str
    status: str
    label: str | None
    kept: bool
    group: str | None
    licence: str | None
    source: str | None
    hints: frozenset[str] = frozenset()
    label_by: str = PERSON


Pair = tuple[int, int]
"""Two samples (rows), the smaller one first."""


class Pairs(Table):
    """The `pair` table."""

    def add_candidates(self, pairs: Iterable[Pair]) -> None:
        """Add pairs to compare, except within an image. Call inside a transaction."""
        self._db.execute_many(
            """INSERT OR IGNORE INTO pair(a,b,kind,verdict) SELECT ?1,?2,'pixels','open' WHERE
            (SELECT image FROM sample WHERE id=?1)!=(SELECT image FROM sample WHERE id=?2)""",
            [(min(pair), max(pair)) for pair in pairs],
        )

    def count_searched(self, samples: Collection[str]) -> int:
        """Return how many of these samples (keys) were searched for duplicates."""
        sql = (
            "SELECT 1 FROM sample_hash l JOIN sample s ON s.id=l.sample "
            "WHERE l.searched AND s.key IN (:items)"
        )
        return sum(1 for _ in self._db.iter_rows_in(sql, samples))

    def list_uncompared(self) -> list[Pair]:
        """Return candidate pairs (rows, a < b) that no or only an earlier version compared.

        The verdict of an earlier version counts until the pair is compared again.
        """
        outdated = f"SELECT p.a, p.b {_IN_USE} AND kind='pixels' AND version<?"
        rows = self._db.fetch_all(
            f"SELECT a, b FROM pair WHERE {_UNCOMPARED} UNION {outdated} ORDER BY 1, 2",
            (COMPARISON_VERSION,),
        )
        return list(map(tuple, rows))

    def share_video(self, a: int, b: int) -> bool:
        """Return whether both samples (rows) are frames of one video."""
        return self._db.has_rows(
            """SELECT 1 FROM sample s JOIN sample t JOIN origin o ON o.image=s.image JOIN origin p
            ON p.image=t.image WHERE s.id=? AND t.id=? AND p.video=o.video""",
            (a, b),
        )

    def save_verdicts(self, verdicts: Sequence[PairVerdict]) -> None:
        """Save verdicts of pixel comparisons."""
        # The values are the fields of a verdict.
        with self._db.transaction():
            self._db.execute_many(
                f"""INSERT OR REPLACE INTO pair(a,b,kind,distance,overlap,verdict,relation,version)
                VALUES(?,?,'pixels',?,?,?,?,{COMPARISON_VERSION})""",
                verdicts,
            )

    def get_verdicts(self) -> dict[Pair, bool]:
        """Return verdicts (True: same); a person's overrides that by pixels."""
        # The last of several verdicts wins.
        return self._read_verdicts(
            f"""SELECT a, b, verdict, kind='person' AS priority {_IN_USE} AND
            (verdict='same' OR kind='person') ORDER BY priority, kind"""
        )

    def _read_verdicts(self, sql: str) -> dict[Pair, bool]:
        return {
            (row["a"], row["b"]): row["verdict"] == SAME
            for row in self._db.fetch_all(sql)
        }

    def list_doubtful(self) -> list[Pair]:
        """Return doubtful pairs (rows, a < b) without a person's verdict."""
        rows = self._db.fetch_all(
            f"""SELECT a, b {_IN_USE} AND verdict='doubtful' AND NOT EXISTS(SELECT 1 FROM pair q
            WHERE q.a=p.a AND q.b=p.b AND q.kind='person') ORDER BY a, b"""
        )
        return list(map(tuple, rows))

    def get_possible_duplicates(self) -> dict[Pair, bool]:
        """Return `get_verdicts` with all possible duplicates, which must not leak."""
        uncompared = self._db.fetch_all(
            f"SELECT a, b FROM pair WHERE {_UNCOMPARED} AND distance NOT NULL"
        )
        possible = [*self.list_doubtful(), *map(tuple, uncompared)]
        return dict.fromkeys(possible, True) | self.get_verdicts()

    def list_same(self) -> list[PairVerdict]:
        """Return the comparisons that found samples in use (rows, a < b) to be copies."""
        return self._db.fetch_records(
            _make_verdict,
            f"""SELECT {_VERDICT} {_IN_USE} AND kind='pixels' AND verdict='same'
            ORDER BY a, b""",
        )

    def may_be_open(self) -> bool:
        """Return whether a plan may mark copies or ask about pairs; a quick test for most."""
        return self._db.has_rows(
            f"""SELECT 1 {_IN_USE} AND kind='pixels' AND (verdict='doubtful' OR verdict='same' AND
            (s.duplicate_set IS NULL OR s.duplicate_set IS NOT t.duplicate_set))"""
        )

    def get_comparison(self, a: int, b: int) -> PairVerdict | None:
        """Return a pair's (rows, a < b) pixel comparison, or None."""
        verdicts = self._db.fetch_records(
            _make_verdict,
            f"{_COMPARISONS} AND a=? AND b=? AND verdict IN ('same','not','doubtful')",
            (a, b),
        )
        return verdicts[0] if verdicts else None

    def list_refused(self, sample: int) -> list[PairVerdict]:
        """Return the comparisons that found a sample (row) and another one not to be copies."""
        return self._db.fetch_records(
            _make_verdict,
            f"{_COMPARISONS} AND verdict='not' AND (a=?1 OR b=?1)",
            (sample,),
        )

    def get_better_copy(self, a: int, b: int) -> str | None:
        """Return FIRST, SECOND or EVEN for a pair, or None."""
        return self._db.fetch_text(
            "SELECT verdict FROM pair WHERE a=? AND b=? AND kind='detail'", (a, b)
        )

    def forget_outdated_copies(self) -> None:
        """Forget which copies an earlier version found better."""
        with self._db.transaction():
            self._db.execute(
                f"DELETE FROM pair WHERE kind='detail' AND version<{RANKING_VERSION}"
            )

    def save_better_copies(self, preferred: Mapping[Pair, str]) -> None:
        """Save which copy of each pair is better."""
        with self._db.transaction():
            self._db.execute_many(
                "INSERT OR REPLACE INTO pair(a,b,kind,verdict,version) "
                f"VALUES(?,?,'detail',?,{RANKING_VERSION})",
                [(*pair, verdict) for pair, verdict in preferred.items()],
            )

    def get_human_verdicts(self) -> dict[Pair, bool]:
        """Return people's verdicts on pairs (rows, a < b); True: same."""
        return self._read_verdicts("SELECT * FROM pair WHERE kind='person'")

    def get_verdict(self, a: int, b: int) -> str | None:
        """Return a pair's verdict, preferably by a person; None if unknown."""
        return self._db.fetch_text(
            """SELECT verdict, kind='person' AS priority FROM pair WHERE a=? AND b=? AND
            verdict IN ('same','not','doubtful') ORDER BY priority DESC, kind LIMIT 1""",
            (min(a, b), max(a, b)),
        )

    def get_members(self, ids: Iterable[int]) -> dict[int, DuplicateSetMember]:
        """Return duplicate set members by row."""
        row_ids = sorted(ids)
        classes = Hints(self._db).get_classes(row_ids)
        provenance_by_key = get_label_provenances(self._db, row_ids)
        return {
            row["id"]: record_from_row(
                DuplicateSetMember,
                row,
                kept=bool(row["kept"]),
                hints=classes.get(row["id"], frozenset()),
                label_by=classify_provenance(provenance_by_key.get(row["key"], "")),
            )
            for row in self._db.iter_rows_in(_MEMBER, row_ids)
        }

    def get_chosen_copies(self) -> set[int]:
        """Return kept samples (rows) that a person chose to keep."""
        sql = """SELECT sample FROM placement a WHERE kept AND chosen AND id=(SELECT max(id) FROM
            placement WHERE sample=a.sample)"""
        return set(self._db.fetch_column(sql))

    def get_ids(self, keys: Sequence[str]) -> list[int]:
        """Return the rows of samples. Raises `UsageError` for an unknown key."""
        numbers = []
        for key in keys:
            number = self._db.fetch_int("SELECT id FROM sample WHERE key=?", (key,))
            if not number:
                raise UsageError(f"there is no sample {key!r} in this dataset")
            numbers.append(number)
        return numbers

    def list_set_mates(self, rows: Sequence[int]) -> list[Pair]:
        """Return pairs of samples (rows) with the others of their duplicate set."""
        sql = """SELECT a.id, b.id FROM sample a JOIN sample b ON b.duplicate_set=a.duplicate_set
            AND b.id<>a.id WHERE a.id IN (:items) ORDER BY a.id, b.id"""
        return list(map(tuple, self._db.iter_rows_in(sql, rows)))

    def get_duplicate_ids(self) -> set[int]:
        """Return samples (rows) in a duplicate set or marked as duplicate."""
        sql = "SELECT id FROM sample WHERE duplicate_set IS NOT NULL OR NOT kept"
        return set(self._db.fetch_column(sql))


def _make_verdict(*columns: Any) -> PairVerdict:
    verdict = PairVerdict(*columns)
    return verdict._replace(relation=Relation(verdict.relation))


_MEMBER = """SELECT s.id, s.key, s.w AS width, s.h AS height, ifnull(l.filled, 1) AS filled,
    1.0*i.bytes/(i.width*i.height) AS bytes_per_pixel, i.format, s.status, c.name AS label, s.kept,
    s.duplicate_set AS "group", (SELECT max(licence) FROM origin WHERE image=i.id) AS licence,
    (SELECT min(source) FROM origin WHERE image=i.id AND url IS NOT NULL) AS source FROM sample s
    JOIN image i ON i.id=s.image LEFT JOIN class c ON c.id=s.label LEFT JOIN sample_hash l ON
    l.sample=s.id WHERE s.id IN (:items)"""
