"""What a page says of itself: title, sections, how sure its proposals are, what Enter does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from PySide6.QtCore import QRect, QSize, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QLabel, QSizePolicy, QWidget

from labeler.qt.grid.layout import Section
from labeler.qt.name_field import NameField
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import em, muted_text, trough
from labeler.qt.translations import tr
from labeler.qt.widgets import HEAD, announce, beside, button, title_label
from labeler.sorting.page_layout import TENTHS, ClassPage, PageKind

BAR_WIDTH, BAR_GAP = 6, 1


class ConfidenceBars(QWidget):
    """Ten bars, the surest at the right; the part of each that is shown below is in colour.

    It says its counts by its tooltip and to screen readers, and is hidden without any.
    """

    def __init__(self, *, wide: bool = False) -> None:
        super().__init__()
        self.counts: tuple[int, ...] = ()
        self.shown: tuple[int, ...] = ()
        grows = QSizePolicy.Policy.Expanding if wide else QSizePolicy.Policy.Fixed
        self.setSizePolicy(grows, grows)
        self._lines = 4.0 if wide else 1.5
        self.hide()

    def sizeHint(self) -> QSize:
        return QSize(TENTHS * (BAR_WIDTH + BAR_GAP) + BAR_GAP, em(self, self._lines))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def show_counts(self, title: str, counts: Sequence[int], shown: Sequence[int] = ()) -> None:
        """Show ten counts; `shown` are those of what is to be seen below, `title` says of whom."""
        self.counts, self.shown = tuple(counts), tuple(shown)
        words = [
            self.tr("{low}–{high} %: {count}").format(
                low=10 * tenth, high=10 * tenth + 10, count=f"{count:,}"
            )
            for tenth, count in reversed(list(enumerate(counts)))
            if count
        ]
        text = self.tr("Suggestion confidence")
        self.setToolTip("\n".join([title or text, *words]))
        self.setAccessibleName(f"{text}: {title}" if title else text)
        self.setAccessibleDescription(", ".join(words))
        self.setVisible(any(counts))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, palette = QPainter(self), self.palette()
        most, line = max((*self.counts, 1)), self.height() - 2
        painter.fillRect(0, line, self.width(), 1, trough(palette))
        wide = (self.width() - BAR_GAP) / TENTHS
        for tenth, count in enumerate(self.counts):
            left, right = round(BAR_GAP + tenth * wide), round((tenth + 1) * wide)
            for number, colour in (
                (count, muted_text(palette)),
                (self.shown[tenth] if self.shown else 0, palette.highlight().color()),
            ):
                high = max(1, round(number / most * (line - 1))) if number else 0
                painter.fillRect(QRect(left, line - high, max(1, right - left), high), colour)


DOUBTFUL_SCALE = 1.5


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
            Section(tr("Low confidence"), page.doubtful, DOUBTFUL_SCALE),
            Section(tr("High confidence"), len(page.tiles) - page.doubtful),
        )
    title, action = _title_of_proposals(page), tr("Enter: all correct ({count})")
    return ShownPage(page, title, sections, action, usual_hints(), tr("Who is this? (N)"))


def _several_classes(page: ClassPage, keys: Mapping[str, str]) -> ShownPage:
    # Of two classes that became one meanwhile the tiles may lie apart.
    runs = groupby(tile.proposal.label or "" for tile in page.tiles)
    sections = tuple(
        Section(f"{keys.get(label, '').upper()}  {label}?".strip(), len([*run]), beside=True)
        for label, run in runs
    )
    action = tr("Enter: all correct ({count})")
    return ShownPage(page, _title_of_proposals(page), sections, action, usual_hints())


def _groups(page: ClassPage, keys: Mapping[str, str]) -> ShownPage:
    alike, alone = tr("{count} similar"), tr("No similar face")
    several, count = len(page.groups) > 1, len(page.tiles)
    title = tr("Who is this?  {count} similar faces: type the name")
    if several:
        count = len(page.groups)
        title = tr("Who are they?  {count} clusters: point at one and type its name")
    return ShownPage(
        page,
        title.format(count=count),
        tuple(
            Section(alone if size == 1 else alike.format(count=size), size, beside=several)
            for size in page.groups
        ),
        tr("Enter: next page"),
        tr(
            "A name, or Shift and a class key, labels the whole cluster · "
            "Ctrl+Enter: accept the last name and the page · click: exclude a face "
            "· −: split the cluster · .: unlisted person · Ctrl+Z: undo · F1: all "
            "shortcuts"
        ),
        tr("Type a name"),
        tr("Point at a cluster and type its name"),
        has_groups=True,
    )


def _plain(page: ClassPage, keys: Mapping[str, str]) -> ShownPage:
    return ShownPage(
        page,
        title_of_plain(None),
        (Section("", len(page.tiles)),),
        tr("Enter: next page"),
        tr(
            "Point at a face and press / to name it, or a class key · Enter: next "
            "page, labels nothing · Ctrl+Z: undo · F1: all shortcuts"
        ),
        first_step=tr("Point at a face and press / to name it"),
        compares=True,
    )


def title_of_plain(left: int | None) -> str:
    """Return the title of faces without vectors; `left` are still to be compared, if known."""
    if left == 0:
        return tr("Faces that cannot be compared: point at one and press / to name it")
    if not left:
        return tr("Comparing faces…  Clusters appear automatically")
    text = tr("Comparing faces, {left} left…  Clusters appear automatically")
    return text.format(left=f"{left:,}")


def _title_of_proposals(page: ClassPage) -> str:
    """Say whose page it is, and how many may be wrong where such proposals were tested."""
    labels, wrong = page.labels, round(page.expected_wrong)
    if not page.tested:
        how = tr("accuracy unknown: check each face")
    elif wrong:
        how = tr("about {wrong} may be wrong").format(wrong=wrong)
    else:
        how = tr("probably all correct")
    text = tr("{label}?  {count} of {all} · {how}")
    if len(labels) > 1:
        text = tr("Several classes · {count} of {all} · {how}")
    count, all_of = f"{len(page.rows):,}", f"{page.of:,}"
    return text.format(label=next(iter(labels), ""), count=count, all=all_of, how=how)


def usual_hints() -> str:
    """Return what a newcomer can do on most pages."""
    return tr(
        "Enter: accept all unmarked faces · point at a wrong one and press its "
        "class key · Ctrl+Z: undo · F1: all shortcuts"
    )


LINES, LINE = 2.1, 1.1
"""Room for two lines of title beside the controls, for one above them; always, so that no page
moves with its title.
"""
NARROW_HEADER_WIDTH = 760
HINTS_UNTIL_SORTED = 100


class PageHeader(QWidget):
    """`filed` and `skipped` are the buttons; `name` is the field."""

    filed = Signal()
    skipped = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.title, self.name = title_label(), NameField()
        self.bars = ConfidenceBars()
        self._announced = ""
        self._left: int | None = None
        self._shown: ShownPage | None = None
        self.file_button = button("", self.filed.emit)
        self.skip_button = button(self.tr("Skip (PgDn)"), self.skipped.emit)
        self.name.setAccessibleName(self.tr("Who is this?"))
        self.title.setWordWrap(True)
        self._layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._layout.setContentsMargins(*HEAD)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        controls = beside(self.bars, self.name, self.file_button, self.skip_button)
        controls.addStrut(self.skip_button.sizeHint().height())  # also while all of it is hidden
        self._layout.addWidget(self.title, 1)
        self._layout.addLayout(controls)
        self.show_page(None, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the title above the controls where there is little room beside them."""
        super().resizeEvent(event)
        narrow = event.size().width() < NARROW_HEADER_WIDTH
        ways = QBoxLayout.Direction
        self._layout.setDirection(ways.TopToBottom if narrow else ways.LeftToRight)
        self.title.setMinimumHeight(em(self, LINE if narrow else LINES))

    def show_left(self, left: int) -> None:
        self._left = left
        if self._shown is not None:
            self._show_title(self._shown)

    def _show_title(self, shown: ShownPage) -> None:
        self.title.setText(title_of_plain(self._left) if shown.compares else shown.title)

    def show_page(self, shown: ShownPage | None, going: int) -> None:
        """Say what the page is, and how many tiles Enter would file."""
        self._shown = shown
        for part in (self.file_button, self.skip_button):
            part.setVisible(shown is not None)
        asks = shown is not None and bool(shown.placeholder)
        self.name.setVisible(asks or bool(self.name.text()))
        if shown is None:
            self.title.setText(self.tr("Class pages"))
        else:
            self._show_title(shown)
            self.name.setPlaceholderText(shown.placeholder)
            self.file_button.setEnabled(going > 0 or not shown.files)
            self.file_button.setText(shown.action.replace("{count}", str(going)))
        if self.title.text() != self._announced:
            self._announced = self.title.text()
            announce(self, self._announced)

    def show_sureness(self, page: ClassPage, all_of: Sequence[int]) -> None:
        """Show how sure the proposals of a page are among `all_of` that wait: ten counts; of
        another page than is shown, nothing.
        """
        shown = self._shown
        if shown is None or shown.page is not page:
            return
        title = self.tr("Confidence of {label}, all unsorted faces").format(label=page.label)
        counts = all_of if shown.files else ()
        self.bars.show_counts(title if page.label else "", counts, page.sureness)


class PageHints(QLabel):
    """What there is to do, below the page, until somebody has done it for a while."""

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__()
        self._worker = worker
        self.setMargin(6)
        self.setWordWrap(True)  # in one line it would be the widest part of the window

    def turn(self, shown: ShownPage | None) -> None:
        """Show or hide the hints for another page: only now may the room for tiles change."""
        progress = self._worker.progress
        self.setVisible(progress is None or progress.counts.sorted < HINTS_UNTIL_SORTED)
        self.setText(usual_hints() if shown is None else shown.hints)
