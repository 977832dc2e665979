"""Class proposals of the newest prelabeling, its input samples, and clusters of similar samples.

A proposal is not a decision: only the journal gives labels.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from gleanset.db.classes import LabelClasses, class_after_merges_sql
from gleanset.db.connection import Connection, Row, Table
from gleanset.db.faces import Tracks
from gleanset.db.images import POST
from gleanset.db.journal import PERSON, get_label_provenances
from gleanset.db.rows import dump, load, now, record_from_row, region_from_row
from gleanset.db.samples import HINT
from gleanset.db.sorting import IS_WAITING, WAITING_PROPOSALS
from gleanset.errors import UsageError
from gleanset.records import Region


class Proposal(NamedTuple):
    """Class and confidence (0..1), calibrated on out-of-fold predictions."""

    label: str
    confidence: float


class PrelabelledSample(NamedTuple):
    """Result of a prelabeling for one sample.

    `proposals` are sorted by confidence and empty without classes. `position` is that in an
    order with similar samples adjacent, `cluster` the number of a cluster, and `outlier` ranges
    from 0 (typical of its cluster or class) to 1.
    """

    sample: str
    position: int
    proposals: tuple[Proposal, ...] = ()
    cluster: int | None = None
    outlier: float | None = None


class Prelabeling(NamedTuple):
    """A prelabeling: its time, and its figures as JSON values."""

    id: int
    at: str
    facts: dict[str, object]


class Proposals(Table):
    """The `prelabeling`, `prelabelled` and `proposal` tables."""

    def get_latest(self) -> Prelabeling | None:
        """Return the newest prelabeling; each has a higher `id` than the last."""
        row = self._db.fetch_one("SELECT * FROM prelabeling ORDER BY id DESC LIMIT 1")
        if not row:
            return None
        return record_from_row(Prelabeling, row, facts=load(row["facts"]))

    def list_new_classes(self) -> list[str]:
        """Return labelled classes that the newest prelabeling did not know."""
        newest = self.get_latest()
        known_names = newest.facts.get("known") if newest else None
        if not isinstance(known_names, list):
            return []
        classes = LabelClasses(self._db)
        known_ids = {classes.get_id(str(name)) for name in known_names}
        labelled_classes = self._db.fetch_all(
            """
            SELECT id, name
            FROM class
            WHERE id IN (SELECT label FROM sample WHERE status='labelled')
            ORDER BY name
            """
        )

        return [name for row, name in labelled_classes if row not in known_ids]

    def replace(
        self, prelabelled: Sequence[PrelabelledSample], facts: Mapping[str, object]
    ) -> int:
        """Replace all proposals, skipping unknown samples and classes; return the id."""
        with self._db.transaction():
            self._db.execute("DELETE FROM proposal")
            self._db.execute("DELETE FROM prelabelled")
            return self._insert(prelabelled, facts)

    def _insert(
        self, prelabelled: Sequence[PrelabelledSample], facts: Mapping[str, object]
    ) -> int:
        """Insert a prelabeling with results for samples that have no proposals; return its id."""
        self._db.execute_many(
            """
            INSERT OR REPLACE INTO prelabelled(sample, position, cluster, outlier)
            SELECT id, ?, ?, ?
            FROM sample
            WHERE key=?
            """,
            [
                (sample.position, sample.cluster, sample.outlier, sample.sample)
                for sample in prelabelled
            ],
        )

        self._db.execute_many(
            """
            INSERT INTO proposal(sample, rank, confidence, label)
            SELECT s.id, ?, ?, c.id
            FROM sample s, class c
            WHERE s.key=? AND c.name=?
            """,
            [
                (rank, proposal.confidence, sample.sample, proposal.label)
                for sample in prelabelled
                for rank, proposal in enumerate(sample.proposals, 1)
            ],
        )

        return self._db.insert(
            "prelabeling",
            {"at": now(), "facts": dump(facts)},
        )

    def update(
        self, changed: Sequence[PrelabelledSample], facts: Mapping[str, object]
    ) -> int:
        """Replace the newest prelabeling by one with changed samples; return its id."""
        with self._db.transaction():
            # Only here: proposals of samples that did not change stay.
            self._db.execute_many(
                "DELETE FROM proposal WHERE sample=(SELECT id FROM sample WHERE key=?)",
                [(sample.sample,) for sample in changed],
            )
            number = self._insert(changed, facts)
            self._db.execute(
                "DELETE FROM prelabeling WHERE id=(SELECT max(id) FROM prelabeling WHERE id<?)",
                (number,),
            )
            return number

    def iterate(self) -> Iterator[PrelabelledSample]:
        """Yield all results of the prelabeling by position."""
        for rows in self._db.iter_pages(
            """
            SELECT t.sample, s.key, t.position, t.cluster, t.outlier
            FROM prelabelled t
            JOIN sample s ON s.id=t.sample
            WHERE TRUE
            """,
            key=("t.position", "t.sample"),
        ):
            proposals: dict[int, list[Proposal]] = {row["sample"]: [] for row in rows}
            for sample, *proposal in self._db.iter_rows_in(
                """
                SELECT p.sample, c.name, p.confidence
                FROM proposal p
                JOIN class c ON c.id=p.label
                WHERE p.sample IN (:items)
                ORDER BY p.sample, p.rank
                """,
                proposals,
            ):
                proposals[sample].append(Proposal(*proposal))

            for number, key, position, cluster, outlier in rows:
                yield PrelabelledSample(
                    key, position, tuple(proposals[number]), cluster, outlier
                )


class PrelabelSample(NamedTuple):
    """Sample in use, as input of a prelabeling. `status` is queue, labelled or rejected.

    `group` is the duplicate set, and `ties` names the scenes and posts that it shares with others.
    `hint` is None if the hints of the sample and its duplicates disagree. `refused` are classes
    that a person ruled out. A sample that is not `kept` is a labelled duplicate. `region` is its
    current crop, `label_by` the provenance of its label.
    """

    key: str
    status: str
    label: str | None
    group: str | None
    ties: tuple[str, ...]
    hint: str | None
    refused: frozenset[str]
    kept: bool
    region: Region
    track: str | None
    label_by: str


class PrelabelSamples(Table):
    """Input samples of a prelabeling, from several tables. Read only."""

    def iterate(self) -> Iterator[PrelabelSample]:
        """Yield samples in use and labelled duplicates, by key."""
        for rows in self._db.iter_pages(
            f"SELECT * FROM sample WHERE {_IS_INPUT}", key=("key",), within=_INPUTS
        ):
            yield from self._make_samples(rows).values()

    def get_many(self, samples: Sequence[int]) -> dict[int, PrelabelSample | None]:
        """Return samples by row; None for those that `iterate` leaves out."""
        page = f"SELECT * FROM sample WHERE {_IS_INPUT} AND id IN (SELECT value FROM json_each(?))"
        rows = self._db.fetch_all(
            _INPUTS.replace("{page}", page),
            (dump(list(samples)),),
        )
        return dict.fromkeys(samples) | self._make_samples(rows)

    def _make_samples(self, rows: Sequence[Row]) -> dict[int, PrelabelSample]:
        """Return samples by row."""
        provenances = get_label_provenances(
            self._db, [row["id"] for row in rows if row["label"]]
        )
        return {
            row["id"]: record_from_row(
                PrelabelSample,
                row,
                ties=tuple(sorted(load(row["scenes"]) + load(row["posts"]))),
                refused=frozenset(load(row["refused"])),
                kept=bool(row["kept"]),
                region=region_from_row(row),
                label_by=provenances.get(row["key"], PERSON),
            )
            for row in rows
        }


# SQL: the samples from which a prelabeling learns, and those that it labels.
_IS_INPUT = "(kept AND status<>'retired' OR status='labelled')"
# SQL: the columns of `PrelabelSample` for a page of samples. `refused` lists rows of classes,
# separated by commas. An origin is a scene only with both a video and a scene: else `||` is NULL.
_INPUTS = f"""
    SELECT s.id, s.key, s.status, c.name AS label, s.duplicate_set AS "group",
        (
            SELECT json_group_array(name)
            FROM class
            WHERE instr(',' || m.refused || ',', ',' || id || ',')
        ) AS refused,
        json_group_array(DISTINCT 'scene:' || o.video || ':' || o.scene) FILTER (
            WHERE o.video || o.scene<>''
        ) AS scenes,
        json_group_array(DISTINCT {POST}) FILTER (WHERE {POST}<>'') AS posts,
        {HINT} AS hint, s.kept, s.track, s.x, s.y, s.w, s.h, s.angle
    FROM ({{page}}) s
    LEFT JOIN class c ON c.id=s.label
    LEFT JOIN sorting_note m ON m.sample=s.id
    LEFT JOIN origin o ON o.image=s.image
    GROUP BY s.key
    ORDER BY s.key
    """


class ProposedSample(NamedTuple):
    """Sample with its proposals, in classes after merges; `waits` if pending."""

    sample: str
    status: str
    waits: bool
    proposals: tuple[Proposal, ...]
    position: int
    cluster: int | None
    outlier: float | None


def iter_proposed_samples(db: Connection) -> Iterator[ProposedSample]:
    """Yield every sample with a proposal, by key."""
    pages = db.iter_pages(
        """
        SELECT key
        FROM sample s
        WHERE EXISTS(
                SELECT 1
                FROM proposal p
                JOIN class c ON c.id=p.label
                WHERE p.sample=s.id AND c.merged_into IS NOT c.id
            )
        """,
        key=("key",),
        within=_PROPOSALS,
    )
    for rows in pages:
        for _, sample_rows in groupby(rows, key=lambda row: str(row["key"])):
            members = list(sample_rows)
            yield record_from_row(
                ProposedSample,
                members[0],
                waits=bool(members[0]["waits"]),
                proposals=tuple(
                    Proposal(row["proposed"], row["confidence"]) for row in members
                ),
            )


# SQL: a row for each proposed class of a page of samples. Two proposed classes may have been merged
# into one since: it has the sum of their confidences.
_PROPOSALS = f"""
    SELECT s.key, s.key AS sample, s.status, {IS_WAITING} AS waits,
        {class_after_merges_sql("name", "id=p.label")} AS proposed,
        sum(p.confidence) AS confidence, t.position, t.cluster, t.outlier
    FROM ({{page}}) k
    JOIN sample s ON s.key=k.key
    JOIN proposal p ON p.sample=s.id
    JOIN class c ON c.id=p.label AND c.merged_into IS NOT c.id
    JOIN prelabelled t ON t.sample=s.id
    LEFT JOIN sorting_note m ON m.sample=s.id
    GROUP BY s.key, proposed
    ORDER BY s.key, sum(p.confidence) DESC, min(p.rank)
    """


def count_confident_proposals(db: Connection) -> int:
    """Count pending samples whose first proposal has a confidence of at least 0.9."""
    return db.fetch_int(
        f"SELECT count(*) FROM {WAITING_PROPOSALS} AND p.confidence>=0.9"
    )


_LETTERS = 8  # of the hash in the id of a cluster


class SampleCluster(NamedTuple):
    """Cluster of similar samples: `pending` keys, most typical first; `id` hashes all its keys."""

    id: str
    pending: tuple[str, ...]
    decided: int


def list_clusters(db: Connection) -> list[SampleCluster]:
    """Return the clusters with pending samples, the largest first."""
    return sorted(
        (cluster for cluster in _list_all_clusters(db) if cluster.pending),
        key=lambda cluster: (-len(cluster.pending), cluster.id),
    )


def get_cluster(db: Connection, name: str) -> SampleCluster:
    """Return a pending cluster by id, or track by name. Raises `UsageError`."""
    cluster = {cluster.id: cluster for cluster in _list_all_clusters(db)}.get(name)
    if not cluster and (track := Tracks(db).get(name)):
        decided = len(track.samples) - len(track.pending)
        cluster = SampleCluster(name, track.pending, decided)
    if not cluster:
        raise UsageError(
            f"no cluster {name!r}: each prelabeling makes new clusters",
            "list clusters (and tracks in the same way): gleanset list clusters",
        )
    if not cluster.pending:
        raise UsageError(
            f"cluster {name} has nothing to label: all {cluster.decided} are decided or not sure",
            "list pending clusters: gleanset list clusters",
        )
    return cluster


def _list_all_clusters(db: Connection) -> list[SampleCluster]:
    rows = db.fetch_all(
        f"""
        SELECT t.cluster, s.key, {IS_WAITING} AS waits
        FROM prelabelled t
        JOIN sample s ON s.id=t.sample
        LEFT JOIN sorting_note m ON m.sample=s.id
        WHERE t.cluster IS NOT NULL
        ORDER BY t.cluster, t.outlier, s.key
        """
    )

    clusters = []
    for _, cluster_rows in groupby(rows, key=lambda row: int(row["cluster"])):
        members = list(cluster_rows)
        keys = "\n".join(sorted(str(row["key"]) for row in members))
        pending = tuple(str(row["key"]) for row in members if row["waits"])
        name = hashlib.sha256(keys.encode()).hexdigest()[:_LETTERS]
        clusters.append(SampleCluster(name, pending, len(members) - len(pending)))
    return clusters
