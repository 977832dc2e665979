"""The grid of copies: a line for each group, the one to keep ticked."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect

from gleanset.db.duplicates import GroupMember
from labeler.duplicates.plan import DuplicateGroup
from labeler.qt.grid.gesture_view import GestureView, Select
from labeler.qt.grid.painter import TileAppearance


class GroupGrid(GestureView):
    """The first copy of each group is ticked; each says its size and format."""

    groups: Sequence[DuplicateGroup] = ()

    def member(self, row: int) -> tuple[int, int]:
        """Return which group a tile is in, and its place there."""
        for number, group in enumerate(self.groups):
            if row < len(group.members):
                return number, row
            row -= len(group.members)
        return -1, 0

    def appearance(self, row: int) -> TileAppearance:
        """Return it with a tick on what is kept."""
        return super().appearance(row)._replace(selected=self.member(row)[1] == 0)

    def caption(self, row: int) -> str:
        """Return size, format where they differ, and the decision it carries."""
        number, place = self.member(row)
        if number < 0:
            return ""
        members = self.groups[number].members
        return describe_copy(members[place], formats=len({one.format for one in members}) > 1)

    def selected_rows(self) -> list[int]:
        """Return nothing: ticks are no selection."""
        return []

    def setSelection(self, rect: QRect, command: Select) -> None:
        """Draw no band: a drag over copies means nothing here."""

    def selectAll(self) -> None:
        """Select nothing: what is ticked is kept."""

    def invert_selection(self) -> None:
        """Select nothing."""


def describe_copy(member: GroupMember, *, formats: bool) -> str:
    """Describe a copy in a few words."""
    state = member.label or ("✗" if member.status == "rejected" else "")
    size = f"{member.width} x {member.height}"
    return " ".join(part for part in (size, member.format if formats else "", state) if part)
