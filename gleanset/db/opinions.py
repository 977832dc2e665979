"""Decisions of several people about the same samples: second opinions and agreement."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from gleanset.db.classes import UNDONE_STEPS, class_after_merges_sql
from gleanset.db.connection import Connection
from gleanset.db.journal import REVIEW, SECOND
from gleanset.db.rows import dump
from gleanset.db.sorting import SampleTile, SampleTiles


def opinions_sql(samples: str) -> str:
    """Return SQL: the last decision of each person about each of some samples.

    Reviews settle what people decided, and are not opinions; what was undone does not count. An
    opinion `is_blind` if the first label was not shown. `target` is the name of a class, or of an
    excluded sample ':other' (a person of no class) or ':not a face': no class has a colon.
    """
    # The other excluded provenances are labels that were accepted unseen, taken over or restored.
    # SQLite takes the other columns from the row with the last id. With CROSS JOIN it begins with
    # the samples, not with all steps.
    return f"""
        SELECT d.sample, ifnull(t.person, t.user) AS person, max(d.id) AS id, d.action,
            d.provenance,
            CASE
                WHEN d.action='label' THEN {class_after_merges_sql("name", "id=d.value")}
                WHEN t.kind='other' THEN ':other'
                ELSE ':not a face'
            END AS target,
            total(
                d.provenance='{SECOND}' OR d.before_status NOT IN ('labelled', 'rejected')
            )>0 AS is_blind
        FROM decision d
        CROSS JOIN step t ON t.id=d.step
        WHERE d.sample IN ({samples})
            AND d.action IN ('label', 'reject', 'clear')
            AND d.provenance NOT IN (
                'model', 'visitor', 'hint', 'duplicate', 'import', 'dropped', 'undo',
                'merge', '{REVIEW}'
            )
            AND t.undoes IS NULL
            AND t.id NOT IN ({UNDONE_STEPS})
        GROUP BY 1, 2
        """


_DECIDED_AGAIN = "SELECT sample FROM decision GROUP BY sample HAVING count(*)>1"
_IS_REVIEWED = f"""
    EXISTS(
        SELECT 1
        FROM decision d
        WHERE d.sample=s.id
            AND d.provenance='{REVIEW}'
            AND d.id>max(a.id, b.id)
            AND d.step NOT IN ({UNDONE_STEPS})
    )
    """

# With max(b.id), SQLite takes the columns of `b` from the latest other opinion.
DISAGREEMENTS = f"""
    (
        WITH opinion AS MATERIALIZED ({opinions_sql(_DECIDED_AGAIN)})
        SELECT s.id, a.target, a.person, b.target AS other, b.person AS other_person,
            max(b.id)
        FROM sample s
        LEFT JOIN class c ON c.id=s.label
        JOIN opinion a ON a.sample=s.id AND a.action<>'clear'
        JOIN opinion b ON b.sample=s.id AND b.action<>'clear' AND b.target<>a.target
        WHERE s.kept
            AND s.status IN ('labelled', 'rejected')
            AND iif(s.status='labelled', a.target=c.name, a.target LIKE ':%')
            AND NOT {_IS_REVIEWED}
        GROUP BY s.id
    )
    """
"""SQL: samples with their present target and its `person`, and another target by another person.

`target` is that of `opinions_sql`. Each sample has one row.
"""


class Agreement(msgspec.Struct):
    """How far two people agree about the `faces` that both decided without seeing the other.

    `kappa` is Cohen's: (p_o - p_e) / (1 - p_e). p_o is the share of faces on which they agree, p_e
    the share expected by chance: the sum over classes of the product of how often each of the two
    uses it. It is None where both used one and the same class only.

    Source: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological
    Measurement 20(1), 1960.
    """

    person: str
    other: str
    faces: int
    kappa: float | None


def list_agreements(db: Connection) -> list[Agreement]:
    """Return the agreement of each two people."""
    # `observed` and `expected` are p_o and p_e, times the squared number of faces.
    return db.fetch_records(
        Agreement,
        f"""
        WITH opinion AS MATERIALIZED ({opinions_sql(_DECIDED_AGAIN)}),
        face AS MATERIALIZED (
            SELECT a.person, b.person AS other, a.target, b.target AS other_target
            FROM opinion a
            JOIN opinion b ON b.sample=a.sample AND b.person>a.person
            WHERE a.is_blind
                AND b.is_blind
                AND a.action<>'clear'
                AND b.action<>'clear'
        ),
        used AS (
            SELECT person, other, target, count(*) AS number
            FROM face
            GROUP BY 1, 2, 3
        ),
        used_by_other AS (
            SELECT person, other, other_target AS target, count(*) AS number
            FROM face
            GROUP BY 1, 2, 3
        ),
        pair AS (
            SELECT person, other, count(*) AS faces,
                count(*) * total(target=other_target) AS observed,
                (
                    SELECT total(m.number*n.number)
                    FROM used m
                    JOIN used_by_other n USING(person, other, target)
                    WHERE m.person=face.person AND m.other=face.other
                ) AS expected
            FROM face
            GROUP BY 1, 2
        )
        SELECT person, other, faces,
            round((observed-expected) / nullif(faces*faces-expected, 0), 3)
        FROM pair
        ORDER BY 1, 2
        """,
    )


def count_decided(db: Connection) -> dict[str, int]:
    """Return how many samples each person decided."""
    return db.fetch_dict(
        f"""
        SELECT person, count(*)
        FROM ({opinions_sql("SELECT id FROM sample")})
        WHERE action<>'clear'
        GROUP BY 1
        """
    )


class SecondOpinion(NamedTuple):
    """A sample (row) that somebody else decided, and its state by what a person said.

    It `is_new` if this person has said nothing yet.
    """

    sample: int
    is_new: bool
    status: str
    label: str | None
    mark: str | None


class PersonalTiles(SampleTiles):
    """Tiles as they are shown to one person, the second one for a share of all samples.

    Such a sample waits until then: the label of somebody else does not show.
    """

    def __init__(self, db: Connection, person: str, share: float):
        super().__init__(db)
        self._person = person
        self._share = share

    def list_second(self, rows: Collection[int]) -> list[SecondOpinion]:
        """Return which of some samples this person decides as the second one.

        They are chosen by their keys, and were decided by exactly one other person.
        """
        return self._list_second(
            "id IN (SELECT value FROM json_each(?3))", dump([*rows])
        )

    def list_new(self) -> list[int]:
        """Return the samples (rows) that wait for this person as the second one."""
        return [own.sample for own in self._list_second("TRUE") if own.is_new]

    def _list_second(self, condition: str, *values: str) -> list[SecondOpinion]:
        if not self._share:
            return []
        # Keys are hashes, so a range of them is a random share. `+` excludes the index by status,
        # so that SQLite reads this range only.
        samples = f"""
            SELECT id
            FROM sample
            WHERE key<printf('%08x', ?2*4294967295)
                AND kept
                AND +status IN ('labelled', 'rejected')
                AND {condition}
            """
        return self._db.fetch_records(
            SecondOpinion,
            f"""
            WITH opinion AS MATERIALIZED ({opinions_sql(samples)})
            SELECT s.id, own.id IS NULL,
                CASE own.action
                    WHEN 'label' THEN 'labelled'
                    WHEN 'reject' THEN 'rejected'
                    ELSE 'queue'
                END,
                iif(own.action='label', own.target, NULL),
                iif(own.action='reject' AND own.target=':other', 'other', NULL)
            FROM opinion first
            JOIN sample s ON s.id=first.sample
            LEFT JOIN opinion own ON own.sample=s.id AND own.person=?1
            WHERE first.person<>?1
                AND first.action<>'clear'
                AND ifnull(own.provenance, '{SECOND}')='{SECOND}'
            GROUP BY s.id
            HAVING count(*)=1
            """,
            (self._person, self._share, *values),
        )

    def get_many(self, ids: Sequence[int]) -> dict[int, SampleTile]:
        """Return the tiles of existing samples by row."""
        tiles = super().get_many(ids)
        for own in self.list_second(ids):
            tiles[own.sample] = tiles[own.sample]._replace(
                status=own.status, label=own.label, mark=own.mark
            )
        return tiles
