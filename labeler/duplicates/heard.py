"""What the copies of one picture say of it: people's labels stand above those from hints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gleanset.db.duplicates import GroupMember
from gleanset.db.journal import Choice

DECIDED = {"labelled": "label", "rejected": "reject"}


class Heard(NamedTuple):
    """The decisions that count, the hints where they leave it open, and labels they do not bear.

    `hints` is empty unless the group is disputed: its hints name several classes, and no
    person gave a label. `unborne` are members (rows) whose label nobody but a hint gave, and
    that a person or another hint contradicts.
    """

    decisions: tuple[str, ...]
    hints: tuple[str, ...]
    unborne: frozenset[int]

    @property
    def conflict(self) -> bool:
        """Whether people, or a person and a hint, contradict each other."""
        return len(self.decisions) > 1


def hear(group: Sequence[GroupMember]) -> Heard:
    """Listen to all members of a group."""
    labelled = [one for one in group if one.status == "labelled"]
    given = {one.label for one in labelled if not one.by_hint}
    hints = frozenset[str]().union(*(one.hints for one in group))
    disputed = not given and len(hints) > 1
    counted = given if given or disputed else {one.label for one in labelled}
    rejected = {one.status for one in group if one.status == "rejected"}
    return Heard(
        tuple(sorted({str(label) for label in counted} | rejected)),
        tuple(sorted(hints)) if disputed else (),
        frozenset(one.id for one in labelled if one.by_hint and one.label not in counted),
    )


def without(group: Iterable[GroupMember], unborne: frozenset[int]) -> list[GroupMember]:
    """The members as they are once labels that nothing bears are taken back."""
    return [one._replace(status="queue", label=None) if one.id in unborne else one for one in group]


def moved(best: GroupMember, others: Sequence[GroupMember], heard: Heard) -> list[Choice]:
    """What changes of the labels where nobody contradicts anybody.

    The best copy takes over the decision that its copies carry; labels that nothing bears go.
    """
    plain = without([best, *others], heard.unborne)
    back = [Choice(one.key, "clear", None, "hint") for one in plain if one.id in heard.unborne]
    giver = next((one for one in plain[1:] if one.status in DECIDED), None)
    if heard.conflict or giver is None or plain[0].status in DECIDED:
        return back
    taken = Choice(best.key, DECIDED[giver.status], giver.label, "duplicate")
    return [*(choice for choice in back if choice.sample != best.key), taken]
