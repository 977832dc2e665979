"""The label of a duplicate set: decisions of people override labels from weak labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gleanset.db.duplicates import DuplicateSetMember
from gleanset.db.journal import Choice
from gleanset.db.samples import withdraw_label

ACTION_BY_STATUS = {"labelled": "label", "rejected": "reject"}


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
