"""Plans for duplicates: which copies are kept, which are marked, and which labels move.

Making a plan writes nothing; comparisons that were made for it are part of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gleanset.db.classes import Placement
from gleanset.db.duplicates import (
    CHOSEN_BY_PERSON,
    DOUBTFUL,
    SAME,
    DuplicateSetMember,
    Pairs,
    PairVerdict,
    Relation,
)
from gleanset.db.journal import Choice
from gleanset.operations import Operation, make_operation
from labeler.duplicates.contradictions import find_contested_pairs, is_refusal, possible_refusals
from labeler.duplicates.duplicate_sets import Pair, find_duplicate_sets, untied_pairs
from labeler.duplicates.label_consensus import (
    ACTION_BY_STATUS,
    LabelConsensus,
    drop_unsupported_labels,
    label_changes,
    label_consensus,
)
from labeler.duplicates.ranking import FindOriginal, explain_choice, find_alterations, rank_copies


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

    `doubts` are pairs that may be copies: neither is marked until a person has decided. `compared`
    are verdicts that the catalogue does not have yet, `preferred` says which copy of a pair (rows)
    is better.
    """

    sets: list[DuplicateSet] = field(default_factory=list)
    doubts: list[DuplicateSet] = field(default_factory=list)
    places: list[Placement] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    compared: list[PairVerdict] = field(default_factory=list)
    preferred: dict[Pair, str] = field(default_factory=dict)

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

    def agrees_with(self, other: DuplicatePlan) -> bool:
        """Return whether both plans do the same to the same sets."""

        def outline(plan: DuplicatePlan) -> tuple[object, ...]:
            sets = [(s.best_key, s.others, s.reason, s.decisions, s.hints) for s in plan.sets]
            doubts = [sorted([pair.best_key, *pair.others]) for pair in plan.doubts]
            return sets, doubts, plan.places, plan.choices

        return outline(self) == outline(other)

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


@dataclass
class PairComparer:
    """Looks up stored verdicts on pairs of samples (rows, a < b), and collects `missing` ones.

    A subclass may make missing comparisons, which are then in `verdicts`.
    """

    pairs: Pairs
    verdicts: dict[Pair, PairVerdict] = field(default_factory=dict)
    missing: set[Pair] = field(default_factory=set)

    def judge(self, a: int, b: int) -> PairVerdict | None:
        """Return the verdict on two samples; None if there is none."""
        verdict = self.pairs.get_comparison(a, b)
        if verdict is None:
            self.missing.add((a, b))
        return verdict

    def has_refused(self, row: int, others: Sequence[int]) -> bool:
        """Return whether an existing verdict refuses a sample as a copy of one of the others."""
        stored = {other for v in self.pairs.list_refused(row) if is_refusal(v) for other in v[:2]}
        new_verdicts = (self.verdicts.get((min(row, other), max(row, other))) for other in others)
        return not stored.isdisjoint(others) or any(v and is_refusal(v) for v in new_verdicts)

    def original(self, rows: Sequence[int], mirrored: Sequence[bool]) -> int:
        """Return the original among copies (rows); the first of equal ones."""
        return rows[0]


def make_plan(comparer: PairComparer) -> DuplicatePlan:
    """Plan the duplicate sets; pairs that have no verdict yet are compared by `comparer`."""
    while True:
        number = len(comparer.verdicts)
        plan = _make_plan(comparer)
        if len(comparer.verdicts) == number:
            return plan


def _make_plan(comparer: PairComparer) -> DuplicatePlan:
    pairs = comparer.pairs
    verdicts_by_pair, by_person = pairs.get_verdicts(), pairs.get_human_verdicts()
    similarities = pairs.get_similarities()
    relations = pairs.get_relations()
    new_same = {pair: new for pair, new in comparer.verdicts.items() if new.verdict == SAME}
    relations |= {pair: new.relation for pair, new in new_same.items()}
    similarities |= {pair: new.similarity for pair, new in new_same.items()}
    verdicts_by_pair = dict.fromkeys(new_same, True) | verdicts_by_pair
    contested = find_contested_pairs(relations, comparer.judge)
    open_pairs = contested - {pair for pair, equal in by_person.items() if equal}
    same_pairs = {
        pair: similarities.get(pair, 1.0)
        for pair, equal in verdicts_by_pair.items()
        if equal and pair not in open_pairs
    }
    # The samples that connected these pairs may have been removed, so they are compared now.
    same_pairs |= dict.fromkeys(
        set(untied_pairs(pairs.list_implied(), same_pairs)) - open_pairs - by_person.keys(), 1.0
    )
    previously_grouped = pairs.get_duplicate_ids()
    doubtful = {pair for pair, new in comparer.verdicts.items() if new.verdict == DOUBTFUL}
    unsure_pairs = {*pairs.list_doubtful(), *(doubtful | open_pairs) - by_person.keys()}
    members = pairs.get_members(
        {row for pair in [*same_pairs, *unsure_pairs] for row in pair} | previously_grouped
    )
    chosen_by_person = pairs.get_chosen_copies()

    refused_pairs: set[Pair] = set()

    def agree(copies: list[int], unit: list[int]) -> bool:
        with_hub = min(copies[0], unit[0]), max(copies[0], unit[0])
        verdict = None if with_hub in open_pairs else comparer.judge(*with_hub)
        if verdict is None or verdict.verdict != SAME:
            return False
        refusals = [pair for row in unit for pair in possible_refusals(relations, copies, row)]
        # Ask for all verdicts first, so that missing ones are compared in one batch.
        verdicts = [comparer.judge(*pair) for pair in refusals]
        if any(verdict and is_refusal(verdict) for verdict in verdicts) or any(
            comparer.has_refused(row, copies) for row in unit
        ):
            refused_pairs.add(with_hub)
            return False
        return True

    plan = DuplicatePlan()
    representative = {row: row for row in members}
    planned_rows: set[int] = set()
    for members_of_set in find_duplicate_sets(members, same_pairs, by_person, agree):
        copies, consensus = _make_set(
            members_of_set, similarities, relations, chosen_by_person, comparer.original
        )
        plan.sets.append(copies)
        plan.choices.extend(label_changes(copies.members[0], copies.members[1:], consensus))
        for place in plan_placements(copies):
            _add_placement(plan, members[place.sample], place)
        rows = {member.id for member in copies.members}
        representative |= dict.fromkeys(rows, copies.members[0].id)
        planned_rows |= rows
    for row in sorted(previously_grouped - planned_rows):
        _add_placement(plan, members[row], Placement(row, True, None, "no longer a duplicate"))
    for pair in _open_questions(
        unsure_pairs | refused_pairs, by_person, representative, similarities
    ):
        doubt = _doubtful_pair((members[pair[0]], members[pair[1]]), relations)
        plan.doubts.append(replace(doubt, contested=pair in open_pairs | refused_pairs))
    plan.doubts.sort(key=lambda doubt: sorted(member.key for member in doubt.members))
    return plan


def _make_set(
    cluster: Sequence[DuplicateSetMember],
    similarities: Mapping[Pair, float],
    relations: Mapping[Pair, Relation],
    chosen_by_person: set[int],
    original: FindOriginal,
) -> tuple[DuplicateSet, LabelConsensus]:
    consensus = label_consensus(cluster)
    supported = drop_unsupported_labels(cluster, consensus.unsupported)
    ordered = rank_copies(supported, relations, similarities, original)
    best, *others = sorted(ordered, key=lambda member: member.id not in chosen_by_person)
    altered = find_alterations(supported, relations, similarities)
    reason = (
        CHOSEN_BY_PERSON if best.id in chosen_by_person else explain_choice(best, others, altered)
    )
    original_members = {member.id: member for member in cluster}
    members = tuple(original_members[member.id] for member in (best, *others))
    return DuplicateSet(members, reason, consensus.decisions, consensus.hints), consensus


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


def _add_placement(plan: DuplicatePlan, member: DuplicateSetMember, placement: Placement) -> None:
    if (member.kept, member.group) != (placement.kept, placement.group):
        plan.places.append(placement)


def _open_questions(
    unsure_pairs: Iterable[Pair],
    by_person: Iterable[Pair],
    representative: Mapping[int, int],
    similarities: Mapping[Pair, float],
) -> list[Pair]:
    """Return one compared pair for each two sets that no person has judged yet."""

    def sets(pair: Pair) -> frozenset[int]:
        return frozenset(representative.get(row, row) for row in pair)

    def rank(pair: Pair) -> tuple[int, float, Pair]:
        return sum(representative[row] != row for row in pair), -similarities.get(pair, 0.0), pair

    judged_pairs = {sets(pair) for pair in by_person}
    first: dict[frozenset[int], Pair] = {}
    for pair in sorted(unsure_pairs, key=rank):
        if len(sets(pair)) > 1 and sets(pair) not in judged_pairs:
            first.setdefault(sets(pair), pair)
    return list(first.values())


def _doubtful_pair(
    pair: tuple[DuplicateSetMember, DuplicateSetMember], relations: Mapping[Pair, Relation]
) -> DuplicateSet:
    best, other = rank_copies(pair, relations, {}, lambda rows, mirrored: rows[0])
    labels = {member.label or member.status for member in pair if member.status in ACTION_BY_STATUS}
    reason = explain_choice(best, [other], find_alterations(pair, relations, {}))
    return DuplicateSet((best, other), reason, tuple(sorted(labels)), doubtful=True)
