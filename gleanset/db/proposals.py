"""What a presort proposes for the samples, and what presorting and sorting compare them by.

A proposal is not a decision: a person sees it, and only the journal gives labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gleanset.db.connection import PART, Connection, Row
from gleanset.db.hints import HINT
from gleanset.db.images import POST
from gleanset.db.journal import MODEL, last_decision
from gleanset.db.measures import same_region
from gleanset.db.values import dump, load, now
from gleanset.records import Box, Region


class Proposal(NamedTuple):
    """A class and how sure of it a model is, 0..1, calibrated on pictures it had not learnt."""

    label: str
    confidence: float


class Standing(NamedTuple):
    """What a presort says of one sample.

    `proposals` come surest first; none without classes. `place` counts along an order in which
    look-alikes are neighbours, `cluster` tells look-alikes of one kind, `outlier` is 0 for a
    typical picture of its cluster or class up to 1 for an odd one, and `ask` counts from 0
    the samples whose labels would teach the most; None for those not worth asking for first.
    """

    sample: str
    place: int
    proposals: tuple[Proposal, ...] = ()
    cluster: int | None = None
    outlier: float | None = None
    ask: int | None = None


class MetProposal(NamedTuple):
    """What was proposed first for a sample that is decided now, whether it was right, and the class
    (row) that it has; None where it was rejected.
    """

    sample: str
    confidence: float
    held: bool
    label: int | None = None


class Presort(NamedTuple):
    """One presort: when it was made, by which run if any, and its figures (JSON values)."""

    id: int
    at: str
    run: str | None
    facts: dict[str, object]


class Proposals:
    """The `presort`, `standing` and `proposal` tables. Obtained by `Proposals(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def newest(self) -> Presort | None:
        """Return the presort in force; its `id` grows with each one, so a window can watch it."""
        row = self._db.one("SELECT * FROM presort ORDER BY id DESC LIMIT 1")
        return Presort(row["id"], row["at"], row["run"], load(row["facts"])) if row else None

    def replace(
        self, standings: Sequence[Standing], run: str | None, facts: Mapping[str, object]
    ) -> int:
        """Put a new presort in force, whole or not at all; its number.

        Samples that are gone, and proposals of classes that are gone, are left out.
        """
        with self._db.write():
            self._db.run("DELETE FROM proposal")
            self._db.run("DELETE FROM standing")
            self._insert(standings)
            return self._db.run(_PRESORT, (now(), run, dump(facts)))

    def _insert(self, standings: Sequence[Standing]) -> None:
        """Write what is said of samples of which no proposal is there."""
        self._db.many(
            "INSERT OR REPLACE INTO standing(sample, place, cluster, outlier, ask) "
            "SELECT id, ?, ?, ?, ? FROM sample WHERE key=?",
            [(s.place, s.cluster, s.outlier, s.ask, s.sample) for s in standings],
        )
        self._db.many(
            "INSERT INTO proposal(sample, rank, confidence, label) "
            "SELECT s.id, ?, ?, c.id FROM sample s, class c WHERE s.key=? AND c.name=?",
            [
                (rank, proposal.confidence, standing.sample, proposal.label)
                for standing in standings
                for rank, proposal in enumerate(standing.proposals, 1)
            ],
        )

    def revise(
        self, changed: Sequence[Standing], gone: Sequence[str], facts: Mapping[str, object]
    ) -> int:
        """Put a presort in the place of the newest, which differs in some samples; its number.

        `gone` are samples (keys) of which nothing is said any more.
        """
        with self._db.write():
            self._db.many(
                f"DELETE FROM proposal WHERE sample={_ROW}",
                [(key,) for key in (*gone, *(one.sample for one in changed))],
            )
            self._db.many(f"DELETE FROM standing WHERE sample={_ROW}", [(key,) for key in gone])
            self._insert(changed)
            number = self._db.run(_PRESORT, (now(), None, dump(facts)))
            self._db.run(_REPLACED, (number,))
            return number

    def met(self) -> list[MetProposal]:
        """Return the first proposals of samples that were decided since, as they were decided.

        What was accepted without a look says nothing of whether it was right.
        """
        rows = self._db.rows(
            "SELECT s.key, p.confidence, ifnull(c.merged_into, c.id)=s.label, s.label "
            "FROM proposal p JOIN sample s ON s.id=p.sample JOIN class c ON c.id=p.label "
            "WHERE p.rank=1 AND s.status IN ('labelled', 'rejected') "
            f"AND {last_decision('provenance')} IS NOT '{MODEL}' "
            "ORDER BY (SELECT max(id) FROM decision WHERE sample=s.id), s.id"
        )
        return [MetProposal(key, sure, bool(held), who) for key, sure, held, who in rows]

    def of(self, samples: Sequence[str]) -> dict[str, Standing]:
        """Return what is said of some samples, by key; nothing of those the presort did not see."""
        rows = list(self._db.rows_in(f"{_STANDING} WHERE s.key", samples))
        return {standing.sample: standing for standing in self._full(rows)}

    def each(self) -> Iterator[Standing]:
        """Everything the presort says, by place, a page in memory at a time."""
        for rows in self._db.pages(f"{_STANDING} WHERE TRUE", ("t.place", "t.sample")):
            yield from self._full(rows)

    def _full(self, rows: Sequence[Row]) -> list[Standing]:
        proposals: dict[int, list[Proposal]] = {row["sample"]: [] for row in rows}
        for row in self._db.rows_in(
            "SELECT p.sample, c.name, p.confidence FROM proposal p JOIN class c ON c.id=p.label "
            "WHERE p.sample",
            proposals,
            "ORDER BY p.sample, p.rank",
        ):
            proposals[row["sample"]].append(Proposal(row["name"], row["confidence"]))
        return [
            Standing(
                row["key"],
                row["place"],
                tuple(proposals[row["sample"]]),
                row["cluster"],
                row["outlier"],
                row["ask"],
            )
            for row in rows
        ]


_REPLACED = "DELETE FROM presort WHERE id=(SELECT max(id) FROM presort WHERE id<?)"
_ROW = "(SELECT id FROM sample WHERE key=?)"
_PRESORT = "INSERT INTO presort(at, run, facts) VALUES(?,?,?)"
_STANDING = (
    "SELECT t.sample, s.key, t.place, t.cluster, t.outlier, t.ask "
    "FROM standing t JOIN sample s ON s.id=t.sample"
)


class PresortSample(NamedTuple):
    """A sample in use. `status` is queue, labelled or rejected, `label` its class.

    `group` is equal for copies of one picture; `ties` names what it shares with others: a scene
    of a video, a post. `hint` is None where its sources, or
    those of its copies, disagree. `refused` are the classes that a person said it is not. What is
    not `kept` was set aside as a copy, and has a label. `region` is how it is cut now.
    """

    key: str
    status: str
    label: str | None
    group: str | None
    ties: tuple[str, ...]
    hint: str | None
    refused: frozenset[str]
    kept: bool = True
    region: Region = Region(Box(0, 0, 0, 0))


class PresortSamples:
    """Read only, over several tables. Obtained by `PresortSamples(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def each(self) -> Iterator[PresortSample]:
        """Yield every sample that is not retired, by key, a page in memory at a time.

        Of those set aside only what is labelled: a better copy may wait for the same label.
        """
        for rows in self._db.pages(f"SELECT * FROM sample WHERE {_TAUGHT}", ("key",), within=_LIKE):
            yield from self._made(rows)

    def of(self, samples: Sequence[int]) -> dict[int, PresortSample | None]:
        """Return some samples (rows) as `each` would; None for those that it leaves out."""
        keys = dict(map(tuple, self._db.rows_in("SELECT key, id FROM sample WHERE id", samples)))
        found: dict[int, PresortSample | None] = dict.fromkeys(samples)
        for some in (samples[at : at + PART] for at in range(0, len(samples), PART)):
            page = f"SELECT * FROM sample WHERE {_TAUGHT} AND id IN ({','.join('?' * len(some))})"
            rows = self._db.rows(_LIKE.replace("{page}", page), some)
            found |= {keys[one.key]: one for one in self._made(rows)}
        return found

    def _made(self, rows: Sequence[Row]) -> Iterator[PresortSample]:
        classes = {row[0]: row[1] for row in self._db.rows("SELECT id, name FROM class")}
        for key, status, label, group, refused, scenes, posts, hint, kept, *cut in rows:
            ties = tuple(sorted(tie for tie in load(scenes) + load(posts) if tie))
            numbers = (int(part) for part in (refused or "").split(",") if part)
            said_no = frozenset(classes[one] for one in numbers if one in classes)
            region = Region(Box(*cut[:4]), cut[4])
            yield PresortSample(key, status, label, group, ties, hint, said_no, bool(kept), region)


_TAUGHT = "(kept AND status<>'retired' OR status='labelled')"
_LIKE = (
    "SELECT s.key, s.status, c.name, s.grp, m.refused, json_group_array("
    "DISTINCT iif(o.scene IS NULL, NULL, 'scene:' || o.video || ':' || o.scene)), "
    f"json_group_array(DISTINCT {POST}), {HINT}, s.kept, s.x, s.y, s.w, s.h, s.angle "
    "FROM ({page}) s "
    "LEFT JOIN class c ON c.id=s.label LEFT JOIN mark m ON m.sample=s.id "
    "LEFT JOIN origin o ON o.image=s.image GROUP BY s.key ORDER BY s.key"
)


class SampleFeatures(NamedTuple):
    """A sample (row) that can be compared, as it is cut now.

    `descriptor` is None while unmeasured. `video`, `time` and `post` are those of one of its
    image's origins; `hint` is None where its image, or those of its copies, have several.
    `label` is the class (row) that it has.
    """

    id: int
    key: str
    image: int
    region: Region
    descriptor: bytes | None
    hint: str | None
    video: str | None
    time: float | None
    post: str | None
    label: int | None
    score: float | None


class SampleProposals(NamedTuple):
    """What a presort proposes for a sample (row): classes (rows) with their confidence."""

    place: int
    proposals: tuple[tuple[int, float], ...]
    cluster: int | None


_FEATURES = (
    f"SELECT s.id, s.key, s.image, s.x, s.y, s.w, s.h, s.angle, q.traits, {HINT} AS hint, "
    f"o.video, o.time, {POST} AS post, "
    "s.label, s.score FROM sample s LEFT JOIN origin o ON o.id=(SELECT id FROM origin WHERE "
    "image=s.image ORDER BY video IS NULL, id LIMIT 1) LEFT JOIN quality q ON q.sample=s.id AND "
    f"{same_region('q')}"
)
WAITS = "s.status='queue' AND s.kept AND m.mark IS NOT 'later'"
"""SQL: a sample `s` with its mark `m` waits for a person."""
PROPOSED = (
    "proposal p JOIN sample s ON s.id=p.sample JOIN class c ON c.id=p.label LEFT JOIN mark m "
    f"ON m.sample=s.id WHERE p.rank=1 AND c.merged_into IS NOT c.id AND {WAITS}"
)


class SortingQueue:
    """Read only. Obtained by `SortingQueue(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def of(self, rows: Sequence[int]) -> list[SampleFeatures]:
        """Samples by row, in this order; nothing of those that are gone."""
        found = {
            row["id"]: _features(*row) for row in self._db.rows_in(f"{_FEATURES} WHERE s.id", rows)
        }
        return [found[row] for row in rows if row in found]

    def waiting(self, most: int, after: Sequence[int] = (0, 0)) -> list[int]:
        """Return the samples (rows) that wait, in the order of their images, from (image,
        row) on.
        """
        rows = self._db.rows(
            "SELECT s.id FROM sample s LEFT JOIN mark m ON m.sample=s.id "
            f"WHERE {WAITS} AND (s.image, s.id)>(?, ?) ORDER BY s.image, s.id LIMIT ?",
            (*after, most),
        )
        return [row[0] for row in rows]

    def proposed(self) -> dict[int, int]:
        """Return how many samples wait whose first proposal is a class (row)."""
        rows = self._db.rows(f"SELECT p.label, count(*) FROM {PROPOSED} GROUP BY p.label")
        return {row[0]: row[1] for row in rows}

    def waiting_for(self, label: int, most: int) -> list[int]:
        """Return the samples that wait and are proposed as a class (row), the surest first."""
        rows = self._db.rows(
            "SELECT p.sample FROM proposal p JOIN sample s ON s.id=p.sample "
            "LEFT JOIN mark m ON m.sample=s.id "
            f"WHERE p.rank=1 AND p.label=? AND {WAITS} ORDER BY p.confidence DESC, s.id LIMIT ?",
            (label, most),
        )
        return [row[0] for row in rows]

    def offers(self, rows: Sequence[int]) -> dict[int, SampleProposals]:
        """Return what the presort in force says of these samples, in the classes as merged now."""
        proposals: dict[int, dict[int, float]] = {}
        for row in self._db.rows_in(
            "SELECT p.sample, ifnull(c.merged_into, c.id) AS label, p.confidence, "
            "c.merged_into=c.id AS hidden FROM proposal p JOIN class c ON c.id=p.label "
            "WHERE p.sample",
            rows,
            "ORDER BY p.sample, p.rank",
        ):
            if not row["hidden"]:
                mine = proposals.setdefault(row["sample"], {})
                mine[row["label"]] = mine.get(row["label"], 0.0) + row["confidence"]
        standings = self._db.rows_in(
            "SELECT sample, place, cluster FROM standing WHERE sample", rows
        )
        return {row["sample"]: _offer(row, proposals.get(row["sample"], {})) for row in standings}

    def decided(self, classes: Sequence[int], each: int) -> list[int]:
        """Samples (rows) of each class, at most so many of each, those of later images first."""
        found: list[int] = []
        for label in classes:
            rows = self._db.rows(
                "SELECT id FROM sample WHERE label=? AND status='labelled' "
                "ORDER BY image DESC, id DESC LIMIT ?",
                (label, each),
            )
            found += [row[0] for row in rows]
        return found

    def with_page(self, label: int, page_provenance: str) -> list[int]:
        """Return the samples (rows) of a class labelled with a page and not checked yet."""
        rows = self._db.rows(
            "SELECT s.id FROM sample s WHERE s.label=?1 AND s.status='labelled' AND "
            f"{last_decision('provenance')}=?2 "
            "AND s.id NOT IN (SELECT sample FROM checked WHERE label=?1) ORDER BY s.image, s.id",
            (label, page_provenance),
        )
        return [row[0] for row in rows]

    def portraits(self, label: int) -> list[int]:
        """Return the most typical and the latest sample (rows) of a class; fewer where it has
        fewer.
        """
        typical = self._db.one(
            "SELECT s.id FROM sample s LEFT JOIN quality q ON q.sample=s.id AND q.label=s.label "
            "WHERE s.label=? AND s.status='labelled' ORDER BY q.outlier IS NULL, q.outlier, s.id "
            "LIMIT 1",
            (label,),
        )
        latest = self._db.one(
            "SELECT sample FROM decision WHERE value=?1 AND sample IN (SELECT id FROM sample WHERE "
            "label=?1 AND status='labelled') ORDER BY id DESC LIMIT 1",
            (label,),
        )
        found = [row[0] for row in (typical, latest) if row]
        return found[:1] if len(set(found)) < 2 else found

    def note_checked(self, label: int, samples: Mapping[int, bool]) -> None:
        """Keep whether the labels of some samples (rows) held when looked at again. In a write."""
        self._db.many(
            "INSERT OR REPLACE INTO checked(sample, label, held, at) VALUES(?,?,?,?)",
            [(sample, label, held, now()) for sample, held in samples.items()],
        )

    def error_rates(self) -> dict[int, tuple[int, int]]:
        """For each class (row): how many labels did not hold, of how many that were checked."""
        rows = self._db.rows("SELECT label, sum(NOT held), count(*) FROM checked GROUP BY label")
        return {row[0]: (row[1], row[2]) for row in rows}


def _features(
    row: int, key: str, image: int, x: int, y: int, w: int, h: int, angle: float, *others: Any
) -> SampleFeatures:
    return SampleFeatures(row, key, image, Region(Box(x, y, w, h), angle), *others)


def _offer(row: Row, proposals: dict[int, float]) -> SampleProposals:
    best = sorted(proposals.items(), key=lambda item: -item[1])
    return SampleProposals(row["place"], tuple(best), row["cluster"])
