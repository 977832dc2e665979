"""Samples: weak labels, splits and groups.

The weak labels of an image and of all its duplicates count together. If they name several classes,
a label taken from one of them is disputed, and only a person can decide.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import NamedTuple

import msgspec

from gleanset.db.classes import class_after_merges_sql, class_by_name_sql
from gleanset.db.connection import Connection, Row, Table, dict_from_rows
from gleanset.db.images import POST
from gleanset.db.journal import (
    Choice,
    Journal,
    get_label_provenances,
    get_unseen_labels,
)
from gleanset.db.rows import box_from_row, load, now, record_from_row, to_unsigned
from gleanset.errors import UsageError
from gleanset.operations import AUTOMATIC, make_operation
from gleanset.records import Sample
from gleanset.settings import SplitSettings

# The current class of the hint of an origin `o`: renamed classes by their new name, merged classes
# as the class they were merged into.
_CLASS = f"ifnull({class_after_merges_sql('name', 'id=' + class_by_name_sql('o.hint'))}, o.hint)"
# The images of a sample `s` and of its duplicates.
_COPIES = """
    SELECT s.image
    UNION
    SELECT g.image
    FROM sample g
    WHERE g.duplicate_set=s.duplicate_set AND g.status<>'retired'
    """
_FROM_ORIGINS = f"FROM origin o WHERE o.image IN ({_COPIES})"
_COUNT = f"(SELECT count(DISTINCT {_CLASS}) {_FROM_ORIGINS})"
HINT = f"(SELECT iif(count(DISTINCT {_CLASS})=1, max({_CLASS}), NULL) {_FROM_ORIGINS})"
"""SQL: the only class that hints of a sample `s` and its duplicates name, else NULL."""

# The columns are the fields of `HintedSample`; of a hinted image, all samples in use are counted.
_HINTED = (
    f"""
    SELECT s.key, (SELECT max({_CLASS}) {_FROM_ORIGINS}), {_COUNT},
        (
            SELECT ifnull(
                min(
                    (
                        SELECT count(*)
                        FROM sample t
                        WHERE t.image=o.image AND t.status IN ('queue', 'labelled')
                    )
                ), 0
            ) {_FROM_ORIGINS}
                AND o.hint IS NOT NULL
        ),
        (
            SELECT json_group_array(DISTINCT ifnull(c.name, g.status))
            FROM sample g
            LEFT JOIN class c ON c.id=g.label
            WHERE g.duplicate_set=s.duplicate_set
                AND g.status IN ('labelled', 'rejected')
        )
    """
    # The + prevents SQLite from using the index of states and sorting all of them for each page.
    "FROM sample s WHERE +s.status='queue' AND s.kept"
)
_DISPUTED = f"""
    SELECT s.id, s.key, c.name AS label, ifnull(s.duplicate_set, s.key) AS set_or_key
    FROM sample s
    JOIN class c ON c.id=s.label
    WHERE s.status='labelled' AND {_COUNT}>1
    """
# Provenances of labels that follow from hints: directly, or by way of a duplicate's label.
_FROM_HINTS = ("hint", "duplicate")


class HintedSample(NamedTuple):
    """Queued sample: hint, number of hinted classes, fewest faces per image, duplicates' labels."""

    key: str
    hint: str | None
    hints: int
    faces: int
    decided: tuple[str, ...]


class DisputedLabel(NamedTuple):
    """Sample (row) labelled only by a hint although hints name several classes."""

    id: int
    key: str
    label: str


class Hints(Table):
    """Weak labels, from several tables."""

    def iter_waiting(self) -> Iterator[HintedSample]:
        """Yield every sample in the queue that is not a duplicate, by key."""
        for key, hint, hints, faces, labels in self._db.iter_rows(_HINTED, ("s.key",)):
            yield HintedSample(
                key,
                hint,
                hints,
                faces,
                tuple(load(labels)),
            )

    def list_names(self) -> list[str]:
        """Return all distinct hints in alphabetical order."""
        return self._db.fetch_column(
            "SELECT DISTINCT hint FROM origin WHERE hint NOT NULL ORDER BY hint"
        )

    def remove(self, name: str) -> int:
        """Delete a hint from all images, keeping labels; return the image count."""
        with self._db.transaction():
            number = self._db.fetch_int(
                "SELECT count(DISTINCT image) FROM origin WHERE hint=?", (name,)
            )
            # An origin that also exists without a hint would become a duplicate: delete it below.
            self._db.execute(
                "UPDATE OR IGNORE origin SET hint=NULL WHERE hint=?", (name,)
            )
            self._db.execute("DELETE FROM origin WHERE hint=?", (name,))

        return number

    def get_classes(self, samples: Iterable[int]) -> dict[int, frozenset[str]]:
        """Return the classes hinted at by each sample's (row's) own image."""
        rows = self._db.iter_rows_in(
            f"""
            SELECT s.id, json_group_array(DISTINCT {_CLASS})
            FROM sample s
            JOIN origin o ON o.image=s.image
            WHERE o.hint IS NOT NULL AND s.id IN (:items)
            GROUP BY s.id
            """,
            sorted(samples),
        )

        return {sample: frozenset(load(hints)) for sample, hints in rows}

    def list_disputed(
        self, images: Collection[str] | None = None
    ) -> list[DisputedLabel]:
        """Return unsettled disputed labels of all or some images, by key."""
        if images is None:
            rows = self._db.fetch_all(_DISPUTED)
        else:
            samples = sorted(self._list_with_duplicates(images))
            rows = list(
                self._db.iter_rows_in(f"{_DISPUTED} AND s.id IN (:items)", samples)
            )

        # A person who labels one duplicate settles the question for all of them.
        provenances = get_label_provenances(
            self._db,
            [row["id"] for row in rows],
        )
        settled = {
            row["set_or_key"]
            for row in rows
            if provenances.get(row["key"]) not in _FROM_HINTS
        }
        disputes = {
            DisputedLabel(row["id"], row["key"], row["label"])
            for row in rows
            if row["set_or_key"] not in settled
        }
        return sorted(disputes, key=lambda dispute: dispute.key)

    def _list_with_duplicates(self, images: Collection[str]) -> set[int]:
        """Return the samples (rows) of images, with their duplicates."""
        rows = self._db.iter_rows_in(
            """
            SELECT s.id, g.id
            FROM image i
            JOIN sample s ON s.image=i.id
            LEFT JOIN sample g ON g.duplicate_set=s.duplicate_set
            WHERE i.sha256 IN (:items)
            """,
            sorted(images),
        )

        return set(chain.from_iterable(rows)) - {None}


def withdraw_label(sample: str) -> Choice:
    """Return the choice that clears a disputed label."""
    return Choice(sample, "clear", None, "hint")


def retract_disputed(db: Connection, images: Collection[str] | None = None) -> int:
    """Clear disputed labels in one step; return how many."""
    with db.transaction():
        choices = [
            withdraw_label(disputed.key) for disputed in Hints(db).list_disputed(images)
        ]
        if choices:
            Journal(db).apply(
                make_operation(AUTOMATIC, count=len(choices)),
                choices,
            )
    return len(choices)


_PAGE_SIZE = 1000
IN_USE = "s.kept AND s.status<>'retired'"
IS_DUPLICATE = "NOT s.kept AND s.status<>'retired'"
"""SQL: a sample `s` is not retired and is not (or is) marked as a duplicate."""
FIRST_FRAME = """
    LEFT JOIN origin o ON o.id=(
        SELECT id
        FROM origin
        WHERE image=s.image
        ORDER BY video IS NULL, id
        LIMIT 1
    )
    """
"""SQL: the first origin of the image of a sample `s`, from a video if there is one."""

_SAMPLE = f"""
    SELECT s.id, s.key, i.sha256 AS image, s.x, s.y, s.w, s.h, s.detector, s.score,
        s.phash, s.sharpness, s.angle, s.status, s.kept, c.name AS label, s.split,
        s.duplicate_set AS "group", s.split_group, s.track, {HINT} AS hint
    FROM sample s
    JOIN image i ON i.id=s.image
    LEFT JOIN class c ON c.id=s.label
    """


class GroupSplit(NamedTuple):
    """The split group of a sample, and its split; None if it is left out."""

    group: str
    split: str | None


class Samples(Table):
    """The `sample` table."""

    def iterate(self) -> Iterator[Sample]:
        """Yield all samples in the order of import."""
        ids = self._db.fetch_column("SELECT id FROM sample ORDER BY image, id")
        for start in range(0, len(ids), _PAGE_SIZE):
            page = ids[start : start + _PAGE_SIZE]
            rows = self._db.iter_rows_in(
                f"{_SAMPLE} WHERE s.id IN (:items)",
                page,
            )
            by_id = {row["id"]: row for row in rows}
            yield from self._read_samples(
                by_id[number] for number in page if number in by_id
            )

    def iter_by_key(self) -> Iterator[Sample]:
        """Yield samples of every status by key, an order that copies preserve."""
        rows = self._db.iter_rows(
            f"{_SAMPLE} WHERE TRUE",
            ("s.key",),
        )
        return self._read_samples(rows)

    def iter_in_splits(self) -> Iterator[Sample]:
        """Yield labelled samples in splits by key; unseen labels only in train."""
        return (sample for sample in self.iter_by_key() if sample.split)

    def _read_samples(self, rows: Iterable[Row]) -> Iterator[Sample]:
        """Yield samples; those that exports and trainings do not use have no split."""
        unseen = get_unseen_labels(self._db)
        for sample in map(_sample_from_row, rows):
            is_labelled = sample.status == "labelled" and sample.kept
            # Labels that no person has seen train, but never evaluate.
            may_evaluate = sample.key not in unseen
            if is_labelled and (may_evaluate or sample.split == "train"):
                yield sample
            else:
                yield replace(sample, split=None)

    def hash_splits(self) -> str:
        """Return a hash of the label and split of every sample."""
        # By key, so that datasets with the same samples have the same hash.
        digest = hashlib.sha256()
        for sample in self.iter_in_splits():
            digest.update(f"{sample.key} {sample.label} {sample.split}\n".encode())
        return digest.hexdigest()[:16]

    def resolve_key(self, name: str) -> str:
        """Return the key with this prefix. Raises `UsageError` unless there is one."""
        # `~` follows all hex digits.
        keys = self._db.fetch_column(
            "SELECT key FROM sample WHERE key>=?1 AND key<?1||'~' ORDER BY key LIMIT 2",
            (name,),
        )
        if len(keys) == 1 or name in keys:
            return str(keys[0])
        if not keys:
            raise UsageError(
                f"there is no sample {name!r} in this dataset",
                "see: gleanset list samples",
            )
        raise UsageError(f"several samples begin with {name!r}", "give more of its id")

    def get(self, key: str) -> Sample | None:
        """Return a sample by its key."""
        row = self._db.fetch_one(f"{_SAMPLE} WHERE s.key=?", (key,))
        return _sample_from_row(row) if row else None

    def count_by(self, *traits: str) -> dict[tuple[str | None, ...], int]:
        """Count samples by each combination of the given traits (see `allowed`)."""
        allowed = {
            "status": "s.status",
            "label": "c.name",
            "split": "s.split",
            "detector": "s.detector",
            "kept": "iif(s.kept,'kept','duplicate')",
        }

        columns = ",".join(allowed[trait] for trait in traits)
        rows = self._db.fetch_all(
            f"""
            SELECT {columns}, count(*)
            FROM sample s
            LEFT JOIN class c ON c.id=s.label
            GROUP BY {columns}
            ORDER BY {columns}
            """
        )

        return {tuple(row)[:-1]: row[len(traits)] for row in rows}

    def get_images(self, keys: Collection[str]) -> dict[str, tuple[str, str, str]]:
        """Return image hash, image format and detector of samples, by key."""
        sql = """
            SELECT s.key, i.sha256, i.format, s.detector
            FROM sample s
            JOIN image i ON i.id=s.image
            WHERE s.key IN (:items)
            """
        return dict_from_rows(self._db.iter_rows_in(sql, keys))

    def count(self) -> int:
        """Return the number of samples, including duplicates."""
        return self._db.fetch_int("SELECT count(*) FROM sample")

    def count_unsplit(self) -> int:
        """Return how many samples were labelled since the last split."""
        # A sample with a split group but without a split was left out by the split itself.
        return self._db.fetch_int(
            """
            SELECT count(*)
            FROM sample
            WHERE status='labelled' AND kept AND split IS NULL AND split_group IS NULL
            """
        )

    def has_splits(self) -> bool:
        """Return whether the samples were split."""
        return self._newest_split_settings() is not None

    def get_split_settings(self) -> SplitSettings | None:
        """Return the settings of the current split; None if `labeler split` did not make it."""
        text = self._newest_split_settings() or "null"
        return msgspec.json.decode(text, type=SplitSettings | None)

    def _newest_split_settings(self) -> str | None:
        return self._db.fetch_text(
            "SELECT settings FROM split_plan ORDER BY id DESC LIMIT 1", ()
        )

    def find_kept_copy(self, key: str, condition: str = "1") -> str:
        """Return the kept sample of the duplicate set of a sample; without one, the sample.

        The condition is SQL about the duplicate `s` and the kept copy `k`; the default "1" is true
        for all of them.
        """
        copies = "sample s JOIN sample k USING(duplicate_set)"
        sql = f"SELECT k.key FROM {copies} WHERE k.kept AND NOT s.kept AND s.key=? AND {condition}"
        return self._db.fetch_text(sql, (key,)) or key

    def add_undecided_copies(self, keys: Sequence[str]) -> list[str]:
        """Return samples, and the kept copy of each duplicate unless it was decided otherwise.

        Only the kept copy is split and exported.
        """
        is_undecided = (
            "(k.status='queue' OR (k.status, k.label) IS (s.status, s.label))"
        )
        copies = [self.find_kept_copy(key, is_undecided) for key in keys]
        return list(dict.fromkeys([*keys, *copies]))

    def set_splits(
        self,
        plan: Mapping[str, GroupSplit],
        settings: SplitSettings | None = None,
    ) -> None:
        """Replace group and split of all samples, by key."""
        rows = [(key, *row) for key, row in plan.items()]
        text = msgspec.json.encode(settings).decode()
        with self._db.transaction():
            # Earlier splits with other settings do not bind a sample: forget them.
            if not self.has_splits() or settings != self.get_split_settings():
                self._db.insert(
                    "split_plan",
                    {"settings": text, "at": now()},
                )
                self._db.execute(
                    "UPDATE sample SET last_split=NULL WHERE last_split IS NOT NULL"
                )
            # `m` is the split group and `s` the split of a sample. Only rows that differ are
            # updated.
            self._db.execute(
                "CREATE TEMP TABLE IF NOT EXISTS part(key TEXT PRIMARY KEY, m, s)"
            )
            self._db.execute("DELETE FROM part")
            self._db.execute_many("INSERT INTO part VALUES(?,?,?)", rows)
            self._db.execute(
                """
                UPDATE sample
                SET split=NULL, split_group=NULL
                WHERE (split IS NOT NULL OR split_group IS NOT NULL)
                    AND key NOT IN (SELECT key FROM part)
                """
            )

            self._db.execute(
                """
                UPDATE sample
                SET split_group=part.m, split=part.s
                FROM part
                WHERE part.key=sample.key
                    AND (split_group IS NOT part.m OR split IS NOT part.s)
                """
            )

            self._db.execute("DELETE FROM part")

    def add_to_splits(self, plan: Mapping[str, GroupSplit]) -> None:
        """Write (group, split) by key for samples that have neither."""
        rows = [(*row, key) for key, row in plan.items()]
        with self._db.transaction():
            self._db.execute_many(
                """
                UPDATE sample
                SET split_group=?, split=?
                WHERE key=? AND split IS NULL AND split_group IS NULL
                """,
                rows,
            )


def _sample_from_row(row: Row) -> Sample:
    return record_from_row(
        Sample,
        row,
        box=box_from_row(row),
        phash=to_unsigned(row["phash"]),
        kept=bool(row["kept"]),
    )


# Labelled samples, samples marked as duplicates, and samples with a split whose label was cleared.
# The last two link groups, and keep samples of test from getting into train later.
_TIED = """
    (status='labelled' AND kept)
    OR (duplicate_set IS NOT NULL AND NOT kept AND status!='retired')
    OR (split IS NOT NULL AND status='queue')
    """


class GroupEvidence(NamedTuple):
    """Evidence that links a sample (row `id`) to others: image (row), hash and one origin.

    `source` is None if the image has no origin any more. `label` is None for a sample that is not
    split itself. `last_split` is the last value of `split`, also if that is None now.
    """

    id: int
    key: str
    label: str | None
    split: str | None
    last_split: str | None
    split_group: str | None
    image: int
    phash: int
    group: str | None
    source: str | None
    video: str | None
    scene: int | None
    time: float | None
    post: str | None
    track: str | None


class SplitEvidence(Table):
    """Evidence for groups, from several tables. Read only."""

    def iterate(self, keys: Collection[str] = ()) -> Iterator[GroupEvidence]:
        """Yield samples that affect groups, and `keys`, by key, once per origin."""
        # With `keys`, all samples are read, and those that are not needed are left out below.
        condition = "TRUE" if keys else _TIED
        for rows in self._db.iter_pages(
            f"SELECT * FROM sample WHERE ({condition})",
            key=("key",),
            within=f"""
                SELECT s.id, s.key, iif(s.status='labelled' AND s.kept, c.name, NULL),
                    s.split, s.last_split, s.split_group, s.image, s.phash,
                    s.duplicate_set, o.source, o.video, o.scene, o.time, {POST},
                    s.track, {_TIED} AS tied
                FROM ({{page}}) s
                LEFT JOIN class c ON c.id=s.label
                LEFT JOIN origin o ON o.image=s.image
                ORDER BY s.key, o.source, o.key
                """,
        ):
            for *facts, is_tied in rows:
                evidence = GroupEvidence(*facts)
                if is_tied or evidence.key in keys:
                    yield evidence._replace(phash=to_unsigned(evidence.phash))

    def list_sources(self) -> list[str]:
        """Return all sources of images, in alphabetical order."""
        return self._db.fetch_column("SELECT DISTINCT source FROM origin ORDER BY 1")

    def list_videos(self) -> dict[str, str]:
        """Return the names of all sampled videos by SHA-256."""
        return self._db.fetch_dict("SELECT sha256, name FROM video ORDER BY name")

    def count_not_searched(self, *, with_failed: bool = True) -> int:
        """Return how many labelled samples were not yet compared for duplicates.

        A sample has failed if its file could not be read. Without `with_failed`, those are left
        out.
        """
        # The parameter `?` is a condition by itself: with 1 (true) failures are not looked up.
        return self._db.fetch_int(
            """
            SELECT count(*)
            FROM sample s
            LEFT JOIN sample_hash l ON l.sample=s.id
            WHERE s.status='labelled'
                AND ifnull(l.searched, 0)=0
                AND (
                    ?
                    OR NOT EXISTS(
                        SELECT 1
                        FROM rejection
                        WHERE stage='dedup' AND item=s.key
                    )
                )
            """,
            (with_failed,),
        )
