"""What a person said of faces that have no name yet: which are of one person, and which are not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from gleanset.db.changes import Change, Changes
from gleanset.db.connection import Connection


class SampleBonds(NamedTuple):
    """Samples (rows) that are bound, by the number of their person, and who is somebody else.

    `labels` are the classes (rows) that samples of a person have.
    """

    persons: Mapping[int, int]
    others: Mapping[int, frozenset[int]]
    labels: Mapping[int, frozenset[int]]

    def person(self, sample: int) -> int:
        """Return the number of whoever is on a sample: its own where it is bound to none."""
        return self.persons.get(sample, sample)

    def not_with(self, samples: Iterable[int]) -> set[int]:
        """Return the persons that none of these samples is."""
        found = (self.others.get(self.person(sample), frozenset()) for sample in samples)
        return set().union(*found)

    def classes_of(self, sample: int) -> frozenset[int]:
        """Return the classes of what is bound to a sample."""
        return self.labels.get(self.person(sample), frozenset())

    def not_classes_of(self, sample: int) -> frozenset[int]:
        """Return the classes of what is somebody else than a sample."""
        return frozenset().union(*(self.labels.get(p, ()) for p in self.not_with([sample])))


NO_BONDS = SampleBonds({}, {}, {})


class Bonds:
    """The `bond` and `apart` of the `sorting_note` table. Obtained by `Bonds(dataset.db)`."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._changes = Changes(db)

    def now(self) -> SampleBonds:
        """Return what was said so far. Who was bound later is one person, whatever was said."""
        rows = self._db.rows(
            "SELECT m.sample, m.bond, m.apart, s.label FROM sorting_note m JOIN sample s ON "
            "s.id=m.sample "
            "WHERE m.bond IS NOT NULL OR m.apart IS NOT NULL"
        )
        persons = {row["sample"]: row["bond"] for row in rows if row["bond"] is not None}
        others: dict[int, frozenset[int]] = {}
        labels: dict[int, frozenset[int]] = {}
        for sample, _, apart, label in rows:
            mine = persons.get(sample, sample)
            theirs = {persons.get(one, one) for one in _numbers(apart)} - {mine}
            others[mine] = others.get(mine, frozenset()) | theirs
            labels[mine] = labels.get(mine, frozenset()) | ({label} if label else set())
        return SampleBonds(persons, others, labels)

    def bind(self, step: int, samples: Collection[int]) -> None:
        """Note, as a part of a step, that samples are of one person. Call inside a write."""
        persons = self.now().persons
        known = {persons[one] for one in samples if one in persons}
        bound = {*samples, *(one for one, person in persons.items() if person in known)}
        person = min(known | bound)
        changed = [one for one in sorted(bound) if persons.get(one) != person]
        self._changes.make(step, [Change("bond", one, person) for one in changed])

    def part(self, step: int, ones: Collection[int], others: Collection[int]) -> None:
        """Note, as a part of a step, that some samples are of another person than others.

        Call inside a write.
        """
        before = {
            row["sample"]: _numbers(row["apart"])
            for row in self._db.rows_in(
                "SELECT sample, apart FROM sorting_note WHERE sample", [*ones, *others]
            )
        }
        changes = []
        for mine, theirs in ((ones, others), (others, ones)):
            for one in mine:
                apart = before.get(one, frozenset()) | frozenset(theirs)
                changes.append(Change("apart", one, ",".join(map(str, sorted(apart)))))
        self._changes.make(step, changes)


def _numbers(text: str | None) -> frozenset[int]:
    return frozenset(int(part) for part in (text or "").split(",") if part)
