"""What each kind of page is in the window: its title, its sections, what Enter does."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import NamedTuple

from labeler.qt.grid.layout import Section
from labeler.qt.translations import tr
from labeler.sorting.page_layout import ClassPage, PageKind

LARGER = 1.5
"""Doubtful faces are shown so many times as large as the others."""


class ShownPage(NamedTuple):
    """A page as the window shows it.

    `action` is what Enter does with `{count}` tiles. Where it does not file them, `first_step` says
    what is to be done before it goes on. On a page that `has_groups`, letters are a name, and a
    gesture means the whole of a group. Faces of one that `compares` have no vectors yet.
    """

    page: ClassPage
    title: str
    sections: tuple[Section, ...]
    action: str
    hints: str
    placeholder: str = ""
    first_step: str = ""
    has_groups: bool = False
    compares: bool = False

    @property
    def files(self) -> bool:
        """Whether Enter files the tiles that are not marked."""
        return not self.first_step


def shown_page(page: ClassPage, keys: Mapping[str, str]) -> ShownPage:
    """Return what a page is in the window; `keys` are those of the classes."""
    make = {
        PageKind.CLASS: _one_class,
        PageKind.LEFT: _several_classes,
        PageKind.GROUPS: _groups,
        PageKind.PLAIN: _plain,
    }[page.kind]
    return make(page, keys)


def _one_class(page: ClassPage, keys: Mapping[str, str]) -> ShownPage:
    sections: tuple[Section, ...] = (Section("", len(page.tiles)),)
    if page.doubtful:
        sections = (
            Section(tr("Doubtful first"), page.doubtful, LARGER),
            Section(tr("Sure"), len(page.tiles) - page.doubtful),
        )
    action = tr("Enter: all {count} to {label}").replace("{label}", page.label or "")
    title = _title_of_proposals(page)
    return ShownPage(page, title, sections, action, usual_hints(), tr("Who is this? (N)"))


def _several_classes(page: ClassPage, keys: Mapping[str, str]) -> ShownPage:
    # Of two classes that became one meanwhile the tiles may lie apart.
    runs = groupby(tile.proposal.label or "" for tile in page.tiles)
    sections = tuple(
        Section(f"{keys.get(label, '').upper()}  {label}?".strip(), len([*run]), beside=True)
        for label, run in runs
    )
    action = tr("Enter: file all {count} as shown")
    return ShownPage(page, _title_of_proposals(page), sections, action, usual_hints())


def _groups(page: ClassPage, keys: Mapping[str, str]) -> ShownPage:
    alike, alone = tr("{count} alike"), tr("Like nobody here")
    several, count = len(page.groups) > 1, len(page.tiles)
    title = tr("Who is this?  {count} that look alike: type the name")
    if several:
        count = len(page.groups)
        title = tr("Who are they?  {count} groups that look alike: point at one and type its name")
    return ShownPage(
        page,
        title.format(count=count),
        tuple(
            Section(alone if size == 1 else alike.format(count=size), size, beside=several)
            for size in page.groups
        ),
        tr("Enter: go on"),
        tr(
            "A name, or Shift and a class key, is for the whole group · Ctrl+Enter with the "
            "last name files the page · click leaves a face out · − takes a group apart · . "
            "nobody you collect · Ctrl+Z takes back · F1 shows all keys"
        ),
        tr("Type who this is"),
        tr("Point at a group and type who this is"),
        has_groups=True,
    )


def _plain(page: ClassPage, keys: Mapping[str, str]) -> ShownPage:
    return ShownPage(
        page,
        title_of_plain(None),
        (Section("", len(page.tiles)),),
        tr("Enter: go on"),
        tr(
            "Point at a face and press / for its name, or the key of its class · Enter files "
            "nothing and goes on · Ctrl+Z takes back · F1 shows all keys"
        ),
        first_step=tr("Point at a face and press / for its name"),
        compares=True,
    )


def title_of_plain(left: int | None) -> str:
    """Return the title of faces without vectors; `left` are still to be compared, if known."""
    if left == 0:
        return tr("Faces that cannot be compared: point at one and press / for its name")
    if not left:
        return tr("Faces are being compared: groups of look-alikes come by themselves")
    text = tr("Faces are being compared, {left} to go: groups of look-alikes come by themselves")
    return text.format(left=f"{left:,}")


def _title_of_proposals(page: ClassPage) -> str:
    """Say whose page it is, and how many may be wrong where such proposals were tested."""
    labels, wrong = page.labels, round(page.expected_wrong)
    if not page.tested:
        how = tr("not tested yet: look at each")
    elif wrong:
        how = tr("about {wrong} may be wrong").format(wrong=wrong)
    else:
        how = tr("probably all right")
    text = tr("{label}?  {count} of {all} · {how}")
    if len(labels) > 1:
        text = tr("Several classes · {count} of {all} · {how}")
    count, all_of = f"{len(page.rows):,}", f"{page.of:,}"
    return text.format(label=next(iter(labels), ""), count=count, all=all_of, how=how)


def usual_hints() -> str:
    """Return what a newcomer can do on most pages."""
    return tr(
        "Enter files all that are not marked · point at a wrong one and press the key of "
        "its class · Ctrl+Z takes back · F1 shows all keys"
    )
