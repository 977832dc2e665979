"""The grid of duplicates: a line of copies for each group, the one to keep ticked."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QRect

from gleanset.db.duplicates import GroupMember
from labeler.duplicates.plan import DuplicateGroup
from labeler.qt.gesture_view import GestureView, Select
from labeler.qt.tile_painter import Look


class GroupGrid(GestureView):
    """The first copy of each group is ticked; each says its size and format."""

    groups: Sequence[DuplicateGroup] = ()

    def member(self, row: int) -> tuple[int, int]:
        """Which group a tile is in, and its place there."""
        for number, group in enumerate(self.groups):
            if row < len(group.members):
                return number, row
            row -= len(group.members)
        return -1, 0

    def look(self, row: int) -> Look:
        """Ticked is what is kept."""
        return super().look(row)._replace(selected=self.member(row)[1] == 0)

    def caption(self, row: int) -> str:
        """Size, format where they differ, and the decision it carries."""
        number, place = self.member(row)
        if number < 0:
            return ""
        members = self.groups[number].members
        return told(members[place], formats=len({one.format for one in members}) > 1)

    def selected_rows(self) -> list[int]:
        """Ticks are no selection."""
        return []

    def setSelection(self, rect: QRect, command: Select) -> None:
        """No band: a drag over copies means nothing here."""


def told(member: GroupMember, *, formats: bool) -> str:
    """A copy in a few words."""
    state = member.label or ("✗" if member.status == "rejected" else "")
    size = f"{member.width} x {member.height}"
    return " ".join(part for part in (size, member.format if formats else "", state) if part)
