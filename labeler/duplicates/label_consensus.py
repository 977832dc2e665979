"""The label of a group of copies: people's decisions stand above labels from hints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gleanset.db.duplicates import GroupMember
from gleanset.db.journal import Choice
from gleanset.db.samples import withdrawn

DECIDED = {"labelled": "label", "rejected": "reject"}


class LabelConsensus(NamedTuple):
    """The decisions that count in a group, its hints in dispute, and labels without support.

    `hints` is empty unless the group is disputed: its hints name several classes, and no
    person gave a label. `unsupported` are members (rows) whose label comes from a hint alone, and
    that a person or another hint contradicts.
    """

    decisions: tuple[str, ...]
    hints: tuple[str, ...]
    unsupported: frozenset[int]

    @property
    def conflict(self) -> bool:
        """Whether people, or a person and a hint, contradict each other."""
        return len(self.decisions) > 1


def label_consensus(group: Sequence[GroupMember]) -> LabelConsensus:
    """Weigh the labels and hints of all members of a group."""
    labelled = [member for member in group if member.status == "labelled"]
    given = {member.label for member in labelled if not member.by_hint}
    hints = frozenset[str]().union(*(member.hints for member in group))
    disputed = not given and len(hints) > 1
    counted = given if given or disputed else {member.label for member in labelled}
    rejected = {member.status for member in group if member.status == "rejected"}
    return LabelConsensus(
        tuple(sorted({str(label) for label in counted} | rejected)),
        tuple(sorted(hints)) if disputed else (),
        frozenset(
            member.id for member in labelled if member.by_hint and member.label not in counted
        ),
    )


def without_unsupported(
    group: Iterable[GroupMember], unsupported: frozenset[int]
) -> list[GroupMember]:
    """Return the members as they are once labels without support are taken back."""
    return [
        member._replace(status="queue", label=None) if member.id in unsupported else member
        for member in group
    ]


def label_changes(
    best: GroupMember, others: Sequence[GroupMember], consensus: LabelConsensus
) -> list[Choice]:
    """Return what changes of the labels where no decision contradicts another.

    The best copy takes over the decision that its copies carry; labels without support go. One
    that nobody has looked at stays so, until a copy has it from somebody who has.
    """
    back = [withdrawn(m.key) for m in (best, *others) if m.id in consensus.unsupported]
    best, *others = without_unsupported([best, *others], consensus.unsupported)
    givers = [member for member in others if member.status in DECIDED]
    giver = min(givers, key=lambda member: bool(member.unseen), default=None)
    if consensus.conflict or giver is None:
        return back
    if best.status in DECIDED and bool(best.unseen) <= bool(giver.unseen):
        return back
    said_by = giver.unseen or "duplicate"
    taken = Choice(best.key, DECIDED[giver.status], giver.label, said_by)
    return [*(choice for choice in back if choice.sample != best.key), taken]
