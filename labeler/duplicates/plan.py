"""Plans for duplicates: which copies are kept, which are marked, and which labels move.

A plan follows from the catalogue alone: making it reads no image and writes nothing. It lists what
has not been compared yet. In a set, decisions of people override labels from weak labels. Each
decision of a person is one step of the journal, and skips what has changed in the meantime.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, combinations, product, starmap
from operator import attrgetter
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from gleanset import Dataset
from gleanset.command_result import CommandResult, JsonDict
from gleanset.db.classes import Placement, Placements
from gleanset.db.duplicates import (
    EVEN,
    FIRST,
    NOT_SAME,
    SAME,
    SECOND,
    DuplicateSetMember,
    Pair,
    Pairs,
    PairVerdict,
    Relation,
)
from gleanset.db.journal import UNSEEN, Choice
from gleanset.db.samples import withdraw_label
from gleanset.errors import UsageError
from gleanset.html.words import count
from gleanset.named_files import (
    MAX_LISTED,
    find_location,
    format_short_path,
    summarize_lines,
)
from gleanset.operations import Operation, make_operation
from labeler.duplicates.advantages import Advantage, KeepReason
from labeler.duplicates.duplicate_sets import (
    SAME_LAYOUT_OVERLAP,
    explain_choice,
    find_contested_pairs,
    find_duplicate_sets,
    find_relation,
    is_refusal,
    order_pair,
    rank_copies,
)

ACTION_BY_STATUS = {"labelled": "label", "rejected": "reject"}
_UNREVIEWED = ("hint", *UNSEEN)
_BY_PERSON: tuple[KeepReason, ...] = (KeepReason(Advantage.BY_PERSON),)


class DuplicateSet(NamedTuple):
    """Samples that show the same image.

    `members` begin with the best copy, and `reasons` say why it is kept. `decisions` are the labels
    and rejections that count; if there are several, no member is marked as duplicate until a person
    has resolved it. `hints` are the weak labels if they differ and no person has given a label: the
    set has no label then. A pair is `doubtful` if it is uncertain whether both are copies, and
    also `is_contested` if other copies contradict it.
    """

    members: tuple[DuplicateSetMember, ...]
    reasons: tuple[KeepReason, ...]
    decisions: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    doubtful: bool = False
    is_contested: bool = False

    @property
    def best_key(self) -> str:
        """The key of the best copy."""
        return self.members[0].key

    @property
    def others(self) -> tuple[str, ...]:
        """The keys of the duplicates."""
        return tuple(member.key for member in self.members[1:])

    @property
    def rows(self) -> list[int]:
        """The rows of the members in ascending order, which identify the set."""
        return sorted(member.id for member in self.members)

    @property
    def name(self) -> str:
        """The smallest key, which stays the same when another copy becomes the best."""
        return min(member.key for member in self.members)

    @property
    def conflict(self) -> bool:
        """Whether decisions of members contradict each other."""
        return len(self.decisions) > 1

    @property
    def is_settled(self) -> bool:
        """Whether no decision of a person is needed."""
        if not (self.conflict or self.doubtful):
            return True
        # In a conflict the decision of the copy that a person chose counts.
        has_decision = not self.conflict or self.members[0].status in ACTION_BY_STATUS
        return self.is_chosen and has_decision

    @property
    def is_chosen(self) -> bool:
        """Whether a person chose the best copy."""
        return self.reasons == _BY_PERSON

    def with_best(self, key: str) -> "DuplicateSet":
        """Return the set with another best copy, chosen by a person."""
        best, *others = sorted(self.members, key=lambda member: member.key != key)
        # No member has this key.
        if best.key != key:
            return self
        return self._replace(members=(best, *others), reasons=_BY_PERSON)


class DuplicateResult(CommandResult, kw_only=True):
    """A search for duplicates, and what follows from it.

    `looked_at` samples are new, `looked_at_before` were hashed by an earlier search. The last four
    fields name copies whose labels changed or need a decision.
    """

    looked_at: int | None = None
    looked_at_before: int = 0
    pairs: int | None = None
    groups: int
    set_aside: int
    changed: int
    labels_moved: int
    conflicts: int
    disputed: int
    labels_taken_back: int
    doubtful: int
    unreadable: int = 0
    labels_changed: JsonDict = {}
    labelled_differently: JsonDict = {}
    hinted_differently: JsonDict = {}
    doubtful_pairs: JsonDict = {}
    next: str = ""

    @property
    def compared(self) -> int:
        """Number of samples that were compared by this search or earlier ones."""
        return (self.looked_at or 0) + self.looked_at_before

    def summary(self) -> JsonDict:
        """Return one line for all duplicates, then what changed and what needs a decision."""
        compared = count(self.compared, "sample")
        duplicates = (
            f"{self.set_aside:,} in {count(self.groups - self.conflicts, 'set')}"
            if self.set_aside
            else "none"
        )
        details = {
            "labels moved": self.labels_moved,
            "labels withdrawn": self.labels_taken_back,
            "undecided pairs": self.doubtful,
            "sets with different labels": self.conflicts,
            "sets with different weak labels": self.disputed,
            "unreadable": self.unreadable,
        }
        return {
            "duplicates": f"{duplicates} ({compared} compared)",
            **{name: number for name, number in details.items() if number},
            "labels changed": self.labels_changed,
            "labelled differently": self.labelled_differently,
            "hinted differently": self.hinted_differently,
            "pairs to decide": self.doubtful_pairs,
            "next": self.next,
        }


class DuplicatePlan(msgspec.Struct, frozen=True):
    """Duplicate sets, and the changes that bring the catalogue in line with them.

    `doubts` are pairs that may be copies: neither is marked until a person has decided. `missing`
    are pairs (rows) whose comparison may change the sets. `unranked` are copies (rows, and whether
    each is mirrored) whose original is not known yet.
    """

    sets: list[DuplicateSet] = []
    doubts: list[DuplicateSet] = []
    places: list[Placement] = []
    choices: list[Choice] = []
    missing: set[Pair] = set()
    unranked: list[tuple[Sequence[int], Sequence[bool]]] = []

    @property
    def conflicts(self) -> list[DuplicateSet]:
        """The sets that need a decision of a person."""
        return [copies for copies in self.sets if copies.conflict]

    @property
    def disputed_sets(self) -> list[DuplicateSet]:
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
        return sorted(
            [*sets, *self.doubts], key=lambda copies: (copies.conflict, copies.doubtful)
        )

    def find_relabelled(self) -> set[str]:
        """Return the members (keys) whose label is changed or withdrawn."""
        new_labels = {choice.sample: choice.label for choice in self.choices}
        members = chain.from_iterable(copies.members for copies in self.sets)
        return {
            member.key
            for member in members
            # Without a choice the label stays.
            if member.label and new_labels.get(member.key, member.label) != member.label
        }

    def result(self) -> DuplicateResult:
        """Return the result of a command that made this plan, without the counts of its search."""
        return DuplicateResult(
            groups=len(self.sets),
            set_aside=sum(
                len(copies.others) for copies in self.sets if not copies.conflict
            ),
            changed=len(self.places),
            labels_moved=sum(choice.action != "clear" for choice in self.choices),
            conflicts=len(self.conflicts),
            disputed=len(self.disputed_sets),
            labels_taken_back=sum(choice.action == "clear" for choice in self.choices),
            doubtful=len(self.doubts),
        )


def make_plan(pairs: Pairs) -> DuplicatePlan:
    """Plan the duplicate sets that follow from the stored verdicts."""
    return _Planner(pairs).make()


class _Planner:
    """Maker of one plan; all pairs are rows, a < b."""

    def __init__(self, pairs: Pairs):
        self._pairs = pairs
        self._plan = DuplicatePlan()
        self._by_person = pairs.get_human_verdicts()
        self._similarities: dict[Pair, float] = {}
        self._relations: dict[Pair, Relation] = {}
        for verdict in pairs.list_same():
            pair = (verdict.a, verdict.b)
            self._similarities[pair] = verdict.similarity
            self._relations[pair] = verdict.relation

        # Copies that other copies contradict, unless a person said that they are the same.
        confirmed = {pair for pair, equal in self._by_person.items() if equal}
        self._contested = find_contested_pairs(self._relations, self._compare)
        self._contested -= confirmed
        # A pair that only a person judged has no similarity.
        self._same = {
            pair: self._similarities.get(pair, 1.0)
            for pair, equal in pairs.get_verdicts().items()
            if equal and pair not in self._contested
        }
        self._unsure = {
            *pairs.list_doubtful(),
            *self._contested - self._by_person.keys(),
        }

        # Also members of earlier sets, which may have to leave them.
        self._grouped_before = pairs.get_duplicate_ids()
        in_pairs = chain.from_iterable([*self._same, *self._unsure])
        self._members = pairs.get_members(self._grouped_before.union(in_pairs))

    def make(self) -> DuplicatePlan:
        """Return the sets, the changes that follow from them, and what a person has to decide."""
        plan = self._plan
        chosen_by_person = self._pairs.get_chosen_copies()
        sets = find_duplicate_sets(
            self._members,
            self._same,
            self._relations,
            self._by_person,
            self._may_join,
        )
        plan.sets.extend(self._make_set(members, chosen_by_person) for members in sets)

        placements = list[Placement]()
        for copies in plan.sets:
            plan.choices.extend(label_changes(copies.members))
            placements.extend(plan_placements(copies))
        # Samples that are in no set any more are not duplicates any more.
        remaining = self._grouped_before - {place.sample for place in placements}
        placements += [
            Placement(row, kept=True, group=None) for row in sorted(remaining)
        ]
        for place in placements:
            member = self._members[place.sample]
            if (member.kept, member.group) != (place.kept, place.group):
                plan.places.append(place)

        best_copies = dict[int, int]()  # by member
        for copies in plan.sets:
            best_copies |= dict.fromkeys(
                copies.rows,
                copies.members[0].id,
            )
        plan.doubts.extend(map(self._make_doubt, self._open_questions(best_copies)))
        plan.doubts.sort(
            key=lambda doubt: sorted(member.key for member in doubt.members)
        )
        return plan

    def _compare(self, a: int, b: int) -> PairVerdict | None:
        """Return the verdict on a pair; None for one that is noted as missing."""
        verdict = self._pairs.get_comparison(a, b)
        if verdict is None:
            self._plan.missing.add((a, b))
        return verdict

    def _may_join(self, copies: list[int], unit: list[int]) -> bool:
        """Return whether samples are copies of all in a set, see `MayJoin`.

        Notes missing comparisons, and the pair with the hub as contested if others contradict it.
        """
        hub, *others = copies
        with_hub = order_pair(hub, unit[0])
        verdict = None if with_hub in self._contested else self._compare(*with_hub)
        if verdict is None or verdict.verdict != SAME:
            return False

        # Two samples that are practically equal to the hub are copies. Of the others, `_compare`
        # notes pairs without a verdict, so that all are compared before the next plan.
        relations = {
            row: find_relation(self._relations, hub, row) for row in others + unit
        }
        for row, other in product(unit, others):
            if (relations[row] | relations[other]) & ~Relation.MIRRORED:
                self._compare(*order_pair(row, other))

        # A sample that a member of the set refused does not join, but two that only differ in the
        # frame or words around the same copy do. Any copy of the set may show that: of a thumbnail
        # as the hub, a frame is not recognised.
        for verdict in chain.from_iterable(map(self._pairs.list_refused, unit)):
            pair = {verdict.a, verdict.b}
            if pair.isdisjoint(copies) or not is_refusal(verdict):
                continue
            # With so much in common they differ within the image, not around it.
            in_one_layout = verdict.overlap >= SAME_LAYOUT_OVERLAP
            are_frames = any(self._both_add_words(pair, copy) for copy in copies)
            if in_one_layout or not are_frames:
                self._contested.add(with_hub)
                self._unsure.add(with_hub)
                return False
        return True

    def _both_add_words(self, rows: Iterable[int], copy: int) -> bool:
        """Return whether each of some samples is a copy with words, or a frame around it."""
        return all(
            find_relation(self._relations, copy, row).b_adds_words for row in rows
        )

    def _make_set(
        self, hub_first: Sequence[DuplicateSetMember], chosen_by_person: set[int]
    ) -> DuplicateSet:
        """Return a set with its best copy first, the one that a person chose if there is one."""
        # Without unsupported labels: a decision makes a copy better.
        consensus = label_consensus(hub_first)
        ordered, altered = rank_copies(
            consensus.members, self._relations, self._similarities, self._find_original
        )
        best, *others = sorted(
            ordered, key=lambda member: member.id not in chosen_by_person
        )
        reasons = _BY_PERSON
        if best.id not in chosen_by_person:
            reasons = explain_choice(best, others, altered)
        # As they are in the catalogue, with unsupported labels.
        members = tuple(self._members[member.id] for member in (best, *others))
        return DuplicateSet(members, reasons, consensus.decisions, consensus.hints)

    def _find_original(self, rows: Sequence[int], mirrored: Sequence[bool]) -> int:
        """Return the copy (row) that is as good as any other; the first one if it is not known."""

        def is_as_good(row: int, other: int) -> bool:
            verdict = self._pairs.get_better_copy(*order_pair(row, other))
            return verdict in (EVEN, FIRST if row < other else SECOND)

        for row in rows:
            if all(is_as_good(row, other) for other in rows if other != row):
                return row
        self._plan.unranked.append((rows, mirrored))
        return rows[0]

    def _open_questions(self, best_copies: Mapping[int, int]) -> list[Pair]:
        """Return pairs that no person has judged, as few as possible.

        A sample outside of sets is asked about once, preferably with the best copy of a set: what
        else it may be a copy of follows, or is asked after the answer. Asking about each pair would
        be three times as many questions (docs/experiments.md).
        """

        def to_sets(pair: Pair) -> Pair:
            """Return the best copies of the sets that two samples are in."""
            a, b = (best_copies.get(row, row) for row in pair)
            return order_pair(a, b)

        def rank(pair: Pair) -> tuple[int, float, Pair]:
            """Rank pairs of best copies first, then by similarity."""
            return (
                sum(best_copies.get(row) != row for row in pair),
                -self._similarities.get(pair, 0.0),
                pair,
            )

        questions = []
        judged_sets = {to_sets(pair) for pair in self._by_person}
        # Samples outside of sets, and pairs of sets, that have a question.
        asked = set[int | Pair]()
        for pair in sorted(self._unsure - self._by_person.keys(), key=rank):
            a, b = to_sets(pair)
            # The samples of the pair that are in no set; if both are in sets, the pair of sets.
            subjects = set[int | Pair](pair) - best_copies.keys() or {(a, b)}
            if a != b and (a, b) not in judged_sets and not asked.issuperset(subjects):
                asked.update(subjects)
                questions.append(pair)
        return questions

    def _make_doubt(self, pair: Pair) -> DuplicateSet:
        """Return a pair as a set that a person has to decide about."""
        members = [self._members[row] for row in pair]
        # The pixels are not compared: the first one is the better one by its metadata.
        (best, other), altered = rank_copies(
            members, self._relations, {}, lambda rows, mirrored: rows[0]
        )
        decided = [member for member in members if member.status in ACTION_BY_STATUS]
        return DuplicateSet(
            (best, other),
            explain_choice(best, [other], altered),
            tuple(sorted(set(map(_decision, decided)))),
            doubtful=True,
            is_contested=pair in self._contested,
        )


def plan_placements(copies: DuplicateSet, *, settled: bool = False) -> list[Placement]:
    """Return the placement of each member; in a conflict all stay until it is `settled`."""
    best, *others = copies.members
    all_stay = copies.conflict and not settled
    return [
        Placement(best.id, True, copies.name, copies.is_chosen),
        *(Placement(other.id, kept=all_stay, group=copies.name) for other in others),
    ]


class LabelConsensus(NamedTuple):
    """Decisions that count in a duplicate set, disputed weak labels, and the members.

    `hints` is empty unless the set is disputed: its weak labels name several classes, and no person
    gave a label. The `members` have no unsupported labels, which no person has seen and which a
    person or another weak label contradicts.
    """

    decisions: tuple[str, ...]
    hints: tuple[str, ...]
    members: list[DuplicateSetMember]


def label_consensus(members: Sequence[DuplicateSetMember]) -> LabelConsensus:
    """Combine the labels and weak labels of all members of a duplicate set."""
    labelled = [member for member in members if member.status == "labelled"]
    reviewed = [member for member in labelled if member.label_by not in _UNREVIEWED]
    hints = frozenset[str]().union(*(member.hints for member in members))
    is_disputed = not reviewed and len(hints) > 1

    # Labels that a person has seen overrule others; disputed weak labels do not count.
    sources = reviewed or labelled
    if is_disputed:
        sources = []
    accepted_labels = {member.label for member in sources}
    # An import alone does not replace a label that was accepted from a weak label: both count, and
    # if they differ a person decides, as with equal files.
    if len(hints) < 2 and all(member.label_by == "import" for member in reviewed):
        accepted_labels |= {m.label for m in labelled if m.label_by == "hint"}

    decisions = {str(label) for label in accepted_labels}
    decisions |= {member.status for member in members if member.status == "rejected"}

    supported_members = []
    for member in members:
        if member.status == "labelled" and member.label not in accepted_labels:
            member = member._replace(status="queue", label=None)
        supported_members.append(member)
    return LabelConsensus(
        tuple(sorted(decisions)),
        tuple(sorted(hints)) if is_disputed else (),
        supported_members,
    )


def label_changes(members: Sequence[DuplicateSetMember]) -> list[Choice]:
    """Return the label changes of a duplicate set whose decisions do not contradict each other.

    The best copy, the first, takes over the decision of its copies, and unsupported labels are
    cleared. A label that no person has seen stays so until it comes from a copy whose label a
    person has seen.
    """
    consensus = label_consensus(members)
    withdrawals = [
        withdraw_label(before.key)
        for before, after in zip(members, consensus.members, strict=True)
        if before != after
    ]
    best, *others = consensus.members
    sources = [member for member in others if member.status in ACTION_BY_STATUS]
    # False sorts first: a label that a person has seen is preferred.
    source = min(sources, key=lambda member: member.label_by in UNSEEN, default=None)
    if len(consensus.decisions) > 1 or source is None:
        return withdrawals

    # The decisions agree. That of the best copy stays, unless a person has seen only the other.
    is_unseen = source.label_by in UNSEEN
    if best.status in ACTION_BY_STATUS and (is_unseen or best.label_by not in UNSEEN):
        return withdrawals

    action = ACTION_BY_STATUS[source.status]
    choice = Choice(
        best.key,
        action,
        source.label,
        source.label_by,
    )
    # The best copy gets another label instead of none.
    return [*(other for other in withdrawals if other.sample != best.key), choice]


def accept(dataset: Dataset, sets: Sequence[DuplicateSet]) -> int:
    """Keep the best copy of each set and mark the others as duplicates; return the step.

    In a conflict the decision of the copy that a person chose counts; sets without a choice are
    skipped. Raises `UsageError` if nothing is left to do.
    """
    with dataset.db.transaction():
        rows = chain.from_iterable(copies.rows for copies in sets)
        now = Pairs(dataset.db).get_members(rows)
        unchanged = [
            copies
            for copies in sets
            if copies.is_settled and _is_unchanged(copies, now)
        ]
        if not unchanged:
            raise UsageError(
                "nothing to accept: the copy to keep is not chosen, or the samples have changed",
                "click the copy to keep, or turn the page",
            )

        choices = list[Choice]()
        placements = list[Placement]()
        verdicts = dict[Pair, str]()
        for copies in unchanged:
            choices += _list_accepted_changes(copies)
            placements += plan_placements(copies, settled=True)
            if copies.doubtful:
                best, other = copies.members
                verdicts[best.id, other.id] = SAME

        number = sum(len(copies.others) for copies in unchanged)
        operation = make_operation("set-aside", count=number)
        return apply_step(dataset, operation, choices, placements, verdicts)


def _is_unchanged(copies: DuplicateSet, now: Mapping[int, DuplicateSetMember]) -> bool:
    """Return whether the members are as they were shown."""
    state = attrgetter("kept", "group", "status", "label")
    return all(
        member.id in now and state(now[member.id]) == state(member)
        for member in copies.members
    )


def apply_step(
    dataset: Dataset,
    operation: Operation,
    choices: Sequence[Choice] = (),
    placements: Sequence[Placement] = (),
    verdicts: Mapping[Pair, str] = MappingProxyType({}),
) -> int:
    """Record choices, placements, and a person's verdicts on pairs (rows); return the step."""
    curation = Placements(dataset.db)
    with dataset.db.transaction():
        step = dataset.journal.apply(operation, choices)
        for (a, b), verdict in verdicts.items():
            curation.record_verdict(step, a, b, verdict)
        curation.apply(step, placements)
    return step


def judge(dataset: Dataset, a: str, b: str, *, same: bool) -> int:
    """Record whether two samples (keys) are the same; return the step.

    Raises `UsageError` for samples that do not exist or are identical.
    """
    if a == b:
        raise UsageError(f"{a!r} was named twice", "name two different samples")
    first, second = Pairs(dataset.db).get_ids([a, b])
    operation = make_operation(
        "same" if same else "not-same",
        one=a[:8],
        other=b[:8],
    )
    return apply_step(
        dataset, operation, verdicts={(first, second): SAME if same else NOT_SAME}
    )


def keep_all(dataset: Dataset, sets: Sequence[DuplicateSet]) -> int:
    """Record that the members of each set are not copies of each other; return the step.

    Members of a doubtful set stay in the sets that they are in.
    """
    # By row, because a sample may be in several doubtful sets.
    members = {member.id: member for copies in sets for member in copies.members}
    certain = {row for copies in sets if not copies.doubtful for row in copies.rows}
    # Only of members that are in a set or marked now: the others are kept already.
    placements = [
        Placement(member.id, kept=True, group=None)
        for member in members.values()
        if member.id in certain and (member.group or not member.kept)
    ]
    pairs = [pair for copies in sets for pair in combinations(copies.rows, 2)]
    return apply_step(
        dataset,
        make_operation("keep-all", count=len(members)),
        placements=placements,
        verdicts=dict.fromkeys(pairs, NOT_SAME),
    )


def restore_duplicates(dataset: Dataset, rows: Sequence[int]) -> int:
    """Restore samples (rows) that were marked as duplicates; return the step.

    They are recorded as not the same as the copies, so the next search leaves them alone. Raises
    `UsageError` if none of them is marked any more.
    """
    pairs = Pairs(dataset.db)
    with dataset.db.transaction():
        restored = [row.id for row in pairs.get_members(rows).values() if not row.kept]
        if not restored:
            raise UsageError(
                "none of these is marked as a duplicate any more", "check them again"
            )
        set_mates = starmap(order_pair, pairs.list_set_mates(restored))
        return apply_step(
            dataset,
            make_operation("take-back-copies", count=len(restored)),
            placements=[Placement(row, kept=True, group=None) for row in restored],
            verdicts=dict.fromkeys(set_mates, NOT_SAME),
        )


def _list_accepted_changes(copies: DuplicateSet) -> list[Choice]:
    """Return the label changes of a set that a person accepted.

    The best copy takes over the only decision of its copies; in a conflict all get the decision of
    the best copy, and a label from a weak label or a model becomes that person's label.
    """
    best, *others = copies.members
    if best.status not in ACTION_BY_STATUS or not copies.conflict:
        return label_changes(copies.members)

    # A person chose the best copy, and so its decision.
    action = ACTION_BY_STATUS[best.status]
    choices = [
        Choice(other.key, action, best.label)
        for other in others
        if _decision(other) != _decision(best)
    ]
    if best.label_by in _UNREVIEWED:
        choices.insert(0, Choice(best.key, action, best.label))
    return choices


def _decision(member: DuplicateSetMember) -> str:
    """Return the label, or the status of a sample without one, such as "rejected"."""
    return member.label or member.status


CONFLICTS_COMMAND = "labeler groups --conflicts"
DOUBTS_COMMAND = "labeler groups --doubtful"


def conflict_summary(dataset: Dataset, plan: DuplicatePlan) -> JsonDict:
    """Return what `labeler dedup` prints of copies whose labels change or need a decision.

    The names are fields of `DuplicateResult`.
    """
    new_labels = {choice.sample: choice.label or "no label" for choice in plan.choices}

    def describe(member: DuplicateSetMember) -> str:
        status = "unlabelled" if member.status == "queue" else member.status
        label = member.label or " or ".join(sorted(member.hints)) or status
        new_label = new_labels.get(member.key, label)
        if new_label != label:
            label += f", now {new_label}"
        return f"{_name(dataset, member.key)} ({label})"

    relabelled = plan.find_relabelled()
    relabelled_sets = [
        copies
        for copies in plan.sets
        if not relabelled.isdisjoint(member.key for member in copies.members)
    ]
    # Each with the command that lists all of them.
    unsettled = {
        "labels_changed": (relabelled_sets, "gleanset list samples"),
        "labelled_differently": (plan.conflicts, CONFLICTS_COMMAND),
        "hinted_differently": (plan.disputed_sets, CONFLICTS_COMMAND),
        "doubtful_pairs": (plan.doubts, DOUBTS_COMMAND),
    }
    return {
        name: summarize_lines(
            [", ".join(map(describe, copies.members)) for copies in sets[:MAX_LISTED]],
            f"{command} {dataset.option}",
            len(sets),
        )
        for name, (sets, command) in unsettled.items()
        if sets
    }


def find_conflicting_samples(dataset: Dataset) -> dict[str, str]:
    """Return samples (keys) and labels that copies contradict, or that `labeler dedup` changes."""
    plan = make_plan(Pairs(dataset.db))
    relabelled = plan.find_relabelled()
    conflicting = dict[str, str]()
    for copies in plan.sets:
        for member in copies.members:
            is_open = copies.conflict or copies.hints or member.key in relabelled
            if is_open and member.kept and member.label:
                conflicting[member.key] = member.label
    return conflicting


def conflicting_label_summary(
    dataset: Dataset, labels: Mapping[str, str] | None = None
) -> JsonDict:
    """Describe the `find_conflicting_samples`, which have no split until a person decides."""
    if labels is None:
        labels = find_conflicting_samples(dataset)
    if not labels:
        return {}
    lines = [
        f"{_name(dataset, key)} is {name}"
        for key, name in [*labels.items()][:MAX_LISTED]
    ]
    command = f"{CONFLICTS_COMMAND} {dataset.option}"
    return {"labelled_differently": summarize_lines(lines, command, len(labels))}


def _name(dataset: Dataset, key: str) -> str:
    return format_short_path(find_location(dataset, key).describe())
