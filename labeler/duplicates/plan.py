"""Plans for duplicates: which copies are kept, which are marked, and which labels move.

A plan follows from the catalogue alone: making it reads no image and writes nothing. It lists what
has not been compared yet. In a set, decisions of people override labels from weak labels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from gleanset.db.classes import Placement
from gleanset.db.duplicates import (
    CHOSEN_BY_PERSON,
    EVEN,
    FIRST,
    SAME,
    SECOND,
    DuplicateSetMember,
    Pairs,
    PairVerdict,
)
from gleanset.db.journal import Choice
from gleanset.db.samples import withdraw_label
from gleanset.operations import Operation, make_operation
from labeler.duplicates.duplicate_sets import (
    Pair,
    explain_choice,
    find_alterations,
    find_contested_pairs,
    find_duplicate_sets,
    is_refusal,
    order_pair,
    possible_refusals,
    rank_copies,
)

ACTION_BY_STATUS = {"labelled": "label", "rejected": "reject"}


@dataclass(frozen=True, slots=True)
class DuplicateSet:
    """Samples that show the same image.

    `members` begin with the best copy, and `reason` says why it is kept. `decisions` are the labels
    and rejections that count; if there are several, no member is marked as duplicate until a person
    has resolved it. `hints` are the weak labels if they differ and no person has given a label: the
    set has no label then. In a `doubtful` pair it is uncertain whether both are copies; a
    `contested` one is contradicted by other copies.
    """

    members: tuple[DuplicateSetMember, ...]
    reason: str
    decisions: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    doubtful: bool = False
    contested: bool = False

    @property
    def best_key(self) -> str:
        """The key of the best copy."""
        return self.members[0].key

    @property
    def others(self) -> tuple[str, ...]:
        """The keys of the duplicates."""
        return tuple(member.key for member in self.members[1:])

    @property
    def name(self) -> str:
        """The smallest key, which stays the same when another copy becomes the best."""
        return min(member.key for member in self.members)

    @property
    def conflict(self) -> bool:
        """Whether decisions of members contradict each other."""
        return len(self.decisions) > 1

    @property
    def settled(self) -> bool:
        """Whether no decision of a person is needed."""
        if not (self.conflict or self.doubtful):
            return True
        has_decision = not self.conflict or self.members[0].status in ACTION_BY_STATUS
        return self.reason == CHOSEN_BY_PERSON and has_decision

    def with_best(self, key: str) -> DuplicateSet:
        """Return the set with another best copy, chosen by a person."""
        first = [member for member in self.members if member.key == key]
        rest = [member for member in self.members if member.key != key]
        return replace(self, members=(*first, *rest), reason=CHOSEN_BY_PERSON) if first else self


@dataclass(frozen=True)
class DuplicatePlan:
    """Duplicate sets, and the changes that bring the catalogue in line with them.

    `doubts` are pairs that may be copies: neither is marked until a person has decided. `missing`
    are pairs (rows) whose comparison may change the sets. `unranked` are copies (rows, and whether
    each is mirrored) whose original is not known yet.
    """

    sets: list[DuplicateSet] = field(default_factory=list)
    doubts: list[DuplicateSet] = field(default_factory=list)
    places: list[Placement] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    missing: set[Pair] = field(default_factory=set)
    unranked: list[tuple[Sequence[int], Sequence[bool]]] = field(default_factory=list)

    @property
    def conflicts(self) -> list[DuplicateSet]:
        """The sets that need a decision of a person."""
        return [copies for copies in self.sets if copies.conflict]

    @property
    def disputed(self) -> list[DuplicateSet]:
        """The sets whose weak labels name several classes: a person has to give the label."""
        return [copies for copies in self.sets if copies.hints]

    def open_sets(self) -> list[DuplicateSet]:
        """Return sets that are not yet as planned: changed ones, conflicts, and doubtful pairs."""
        changed = {placement.sample for placement in self.places}
        sets = [
            copies
            for copies in self.sets
            if copies.conflict or any(member.id in changed for member in copies.members)
        ]
        return sorted([*sets, *self.doubts], key=lambda copies: (copies.conflict, copies.doubtful))

    def operation(self) -> Operation:
        """Return the plan as an operation of the journal."""
        return make_operation(
            "set-aside", count=sum(not placement.kept for placement in self.places)
        )

    def result(self) -> dict[str, object]:
        """Return the counts that a command prints."""
        settled = [copies for copies in self.sets if not copies.conflict]
        return {
            "groups": len(self.sets),
            "set_aside": sum(len(copies.others) for copies in settled),
            "changed": len(self.places),
            "labels_moved": sum(choice.action != "clear" for choice in self.choices),
            "conflicts": len(self.conflicts),
            "disputed": len(self.disputed),
            "labels_taken_back": sum(choice.action == "clear" for choice in self.choices),
            "doubtful": len(self.doubts),
        }


def make_plan(pairs: Pairs) -> DuplicatePlan:
    """Plan the duplicate sets that follow from the stored verdicts."""
    return _Planner(pairs).make()


class _Planner:
    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._plan = DuplicatePlan()
        self._by_person = pairs.get_human_verdicts()
        self._similarities, self._relations = pairs.get_similarities(), pairs.get_relations()
        self._contested = find_contested_pairs(self._relations, self._compare) - {
            pair for pair, equal in self._by_person.items() if equal
        }
        self._same = {
            pair: self._similarities.get(pair, 1.0)
            for pair, equal in pairs.get_verdicts().items()
            if equal and pair not in self._contested
        }
        self._unsure = {*pairs.list_doubtful(), *self._contested - self._by_person.keys()}
        self._grouped_before = pairs.get_duplicate_ids()
        self._members = pairs.get_members(
            {row for pair in [*self._same, *self._unsure] for row in pair} | self._grouped_before
        )

    def make(self) -> DuplicatePlan:
        plan, chosen_by_person = self._plan, self._pairs.get_chosen_copies()
        representative = {row: row for row in self._members}
        for members in find_duplicate_sets(
            self._members, self._same, self._by_person, self._may_join
        ):
            copies, consensus = self._make_set(members, chosen_by_person)
            plan.sets.append(copies)
            plan.choices.extend(label_changes(copies.members[0], copies.members[1:], consensus))
            for placement in plan_placements(copies):
                self._place(placement)
            representative |= {member.id: copies.members[0].id for member in copies.members}
        planned_rows = {member.id for copies in plan.sets for member in copies.members}
        for row in sorted(self._grouped_before - planned_rows):
            self._place(Placement(row, True, None, "no longer a duplicate"))
        plan.doubts.extend(map(self._make_doubt, self._open_questions(representative)))
        plan.doubts.sort(key=lambda doubt: sorted(member.key for member in doubt.members))
        return plan

    def _compare(self, a: int, b: int) -> PairVerdict | None:
        verdict = self._pairs.get_comparison(a, b)
        if verdict is None:
            self._plan.missing.add((a, b))
        return verdict

    def _may_join(self, copies: list[int], unit: list[int]) -> bool:
        with_hub = order_pair(copies[0], unit[0])
        verdict = None if with_hub in self._contested else self._compare(*with_hub)
        if verdict is None or verdict.verdict != SAME:
            return False
        refusals = [
            pair for row in unit for pair in possible_refusals(self._relations, copies, row)
        ]
        # Ask for all verdicts first, so that missing ones are compared in one batch.
        verdicts = [self._compare(*pair) for pair in refusals]
        if any(verdict and is_refusal(verdict) for verdict in verdicts) or any(
            self._has_refused(row, copies) for row in unit
        ):
            self._contested.add(with_hub)
            self._unsure.add(with_hub)
            return False
        return True

    def _has_refused(self, row: int, others: Sequence[int]) -> bool:
        refused = filter(is_refusal, self._pairs.list_refused(row))
        return not {other for verdict in refused for other in verdict[:2]}.isdisjoint(others)

    def _make_set(
        self, hub_first: Sequence[DuplicateSetMember], chosen_by_person: set[int]
    ) -> tuple[DuplicateSet, LabelConsensus]:
        consensus = label_consensus(hub_first)
        supported = drop_unsupported_labels(hub_first, consensus.unsupported)
        ordered = rank_copies(supported, self._relations, self._similarities, self._find_original)
        best, *others = sorted(ordered, key=lambda member: member.id not in chosen_by_person)
        altered = find_alterations(supported, self._relations, self._similarities)
        reason = (
            CHOSEN_BY_PERSON
            if best.id in chosen_by_person
            else explain_choice(best, others, altered)
        )
        members = tuple(self._members[member.id] for member in (best, *others))
        return DuplicateSet(members, reason, consensus.decisions, consensus.hints), consensus

    def _find_original(self, rows: Sequence[int], mirrored: Sequence[bool]) -> int:
        for row in rows:
            if all(self._is_preferred(row, other) for other in rows if other != row):
                return row
        self._plan.unranked.append((rows, mirrored))
        return rows[0]

    def _is_preferred(self, row: int, other: int) -> bool:
        better = self._pairs.get_better_copy(*order_pair(row, other))
        return better in (EVEN, FIRST if row < other else SECOND)

    def _place(self, placement: Placement) -> None:
        member = self._members[placement.sample]
        if (member.kept, member.group) != (placement.kept, placement.group):
            self._plan.places.append(placement)

    def _open_questions(self, representative: Mapping[int, int]) -> list[Pair]:
        """Return one compared pair for each two sets that no person has judged yet."""

        def sets(pair: Pair) -> frozenset[int]:
            return frozenset(representative.get(row, row) for row in pair)

        def rank(pair: Pair) -> tuple[int, float, Pair]:
            not_best = sum(representative[row] != row for row in pair)
            return not_best, -self._similarities.get(pair, 0.0), pair

        judged_pairs = {sets(pair) for pair in self._by_person}
        first: dict[frozenset[int], Pair] = {}
        for pair in sorted(self._unsure - self._by_person.keys(), key=rank):
            if len(sets(pair)) > 1 and sets(pair) not in judged_pairs:
                first.setdefault(sets(pair), pair)
        return list(first.values())

    def _make_doubt(self, pair: Pair) -> DuplicateSet:
        members = [self._members[row] for row in pair]
        best, other = rank_copies(members, self._relations, {}, lambda rows, mirrored: rows[0])
        decided = [member for member in members if member.status in ACTION_BY_STATUS]
        labels = {member.label or member.status for member in decided}
        altered = find_alterations(members, self._relations, {})
        reason = explain_choice(best, [other], altered)
        contested = pair in self._contested
        return DuplicateSet((best, other), reason, tuple(sorted(labels)), (), True, contested)


def plan_placements(copies: DuplicateSet, *, settled: bool = False) -> list[Placement]:
    """Return the placement of each member; in a conflict all stay until it is `settled`."""
    best, *others = copies.members
    all_stay = copies.conflict and not settled
    reason = (
        "copies with different decisions: needs a decision" if all_stay else f"a copy of {best.key}"
    )
    return [
        Placement(best.id, True, copies.name, f"kept: {copies.reason}"),
        *(Placement(other.id, all_stay, copies.name, reason) for other in others),
    ]


class LabelConsensus(NamedTuple):
    """Decisions that count in a duplicate set, disputed weak labels, and unsupported labels.

    `hints` is empty unless the set is disputed: its weak labels name several classes, and no person
    gave a label. `unsupported` are members (rows) whose label comes only from a weak label and that
    a person or another weak label contradicts.
    """

    decisions: tuple[str, ...]
    hints: tuple[str, ...]
    unsupported: frozenset[int]


def label_consensus(members: Sequence[DuplicateSetMember]) -> LabelConsensus:
    """Combine the labels and weak labels of all members of a duplicate set."""
    labelled = [member for member in members if member.status == "labelled"]
    labels_by_person = {member.label for member in labelled if not member.by_hint}
    hints = frozenset[str]().union(*(member.hints for member in members))
    disputed = not labels_by_person and len(hints) > 1
    accepted_labels = (
        labels_by_person if labels_by_person or disputed else {member.label for member in labelled}
    )
    rejected = {member.status for member in members if member.status == "rejected"}
    return LabelConsensus(
        tuple(sorted({str(label) for label in accepted_labels} | rejected)),
        tuple(sorted(hints)) if disputed else (),
        frozenset(
            member.id
            for member in labelled
            if member.by_hint and member.label not in accepted_labels
        ),
    )


def drop_unsupported_labels(
    members: Iterable[DuplicateSetMember], unsupported: frozenset[int]
) -> list[DuplicateSetMember]:
    """Return the members as they are once unsupported labels are cleared."""
    return [
        member._replace(status="queue", label=None) if member.id in unsupported else member
        for member in members
    ]


def label_changes(
    best: DuplicateSetMember, others: Sequence[DuplicateSetMember], consensus: LabelConsensus
) -> list[Choice]:
    """Return the label changes of a duplicate set whose decisions do not contradict each other.

    The best copy takes over the decision of its copies, and unsupported labels are cleared. A label
    that no person has seen stays so until it comes from a copy whose label a person has seen.
    """
    cleared = [withdraw_label(m.key) for m in (best, *others) if m.id in consensus.unsupported]
    best, *others = drop_unsupported_labels([best, *others], consensus.unsupported)
    sources = [member for member in others if member.status in ACTION_BY_STATUS]
    source = min(sources, key=lambda member: bool(member.unseen), default=None)
    if len(consensus.decisions) > 1 or source is None:
        return cleared
    if best.status in ACTION_BY_STATUS and bool(best.unseen) <= bool(source.unseen):
        return cleared
    provenance = source.unseen or "duplicate"
    inherited = Choice(best.key, ACTION_BY_STATUS[source.status], source.label, provenance)
    return [*(choice for choice in cleared if choice.sample != best.key), inherited]
