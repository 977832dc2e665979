"""The header of a class page: title, confidence, name field, buttons; and the hints below."""

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
from labeler.qt.widgets import HEAD, announce, button, row_layout, title_label
from labeler.sorting.page_layout import TENTHS, ClassPage, PageKind

BAR_WIDTH, BAR_GAP = 6, 1


class ConfidenceBars(QWidget):
    """Histogram of confidences in ten bars; the part of the current page is highlighted.

    The tooltip and screen readers get the counts. Hidden if all are 0.
    """

    def __init__(self, *, wide: bool = False) -> None:
        super().__init__()
        self.counts: tuple[int, ...] = ()
        self.page_counts: tuple[int, ...] = ()
        grows = QSizePolicy.Policy.Expanding if wide else QSizePolicy.Policy.Fixed
        self.setSizePolicy(grows, grows)
        self._lines = 4.0 if wide else 1.5
        self.hide()

    def sizeHint(self) -> QSize:
        return QSize(TENTHS * (BAR_WIDTH + BAR_GAP) + BAR_GAP, em(self, self._lines))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def show_counts(
        self, title: str, counts: Sequence[int], page_counts: Sequence[int] = ()
    ) -> None:
        """Show ten counts under a title; `page_counts` count the current page."""
        self.counts, self.page_counts = tuple(counts), tuple(page_counts)
        lines = [
            self.tr("{low}–{high} %: {count}").format(
                low=10 * tenth, high=10 * tenth + 10, count=f"{count:,}"
            )
            for tenth, count in reversed(list(enumerate(counts)))
            if count
        ]
        text = self.tr("Suggestion confidence")
        self.setToolTip("\n".join([title or text, *lines]))
        self.setAccessibleName(f"{text}: {title}" if title else text)
        self.setAccessibleDescription(", ".join(lines))
        self.setVisible(any(counts))
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, palette = QPainter(self), self.palette()
        highest, base = max((*self.counts, 1)), self.height() - 2
        painter.fillRect(0, base, self.width(), 1, trough(palette))
        step = (self.width() - BAR_GAP) / TENTHS
        for tenth, count in enumerate(self.counts):
            left, right = round(BAR_GAP + tenth * step), round((tenth + 1) * step)
            for number, colour in (
                (count, muted_text(palette)),
                (self.page_counts[tenth] if self.page_counts else 0, palette.highlight().color()),
            ):
                height = max(1, round(number / highest * (base - 1))) if number else 0
                painter.fillRect(QRect(left, base - height, max(1, right - left), height), colour)


LOW_CONFIDENCE_SCALE = 1.5


class PageDescription(NamedTuple):
    """A page as the window shows it.

    `action` is the text of the Enter button for `{count}` tiles. If Enter does not file them,
    `first_step` says what the user has to do first. `has_clusters`: a clusters page, where letters
    are a name and gestures act on whole clusters. `compares`: its faces have no embeddings yet.
    """

    page: ClassPage
    title: str
    sections: tuple[Section, ...]
    action: str
    hints: str
    placeholder: str = ""
    first_step: str = ""
    has_clusters: bool = False
    compares: bool = False

    @property
    def files(self) -> bool:
        """Whether Enter files the unmarked tiles."""
        return not self.first_step


def describe_page(page: ClassPage, keys: Mapping[str, str]) -> PageDescription:
    """Describe a page for the window; `keys` are the keys of the classes."""
    describe = {
        PageKind.CLASS: _describe_class_page,
        PageKind.MIXED: _describe_mixed_page,
        PageKind.CLUSTERS: _describe_clusters_page,
        PageKind.PLAIN: _describe_uncompared_page,
    }[page.kind]
    return describe(page, keys)


def _describe_class_page(page: ClassPage, keys: Mapping[str, str]) -> PageDescription:
    sections: tuple[Section, ...] = (Section("", len(page.tiles)),)
    if page.doubtful:
        sections = (
            Section(tr("Low confidence"), page.doubtful, LOW_CONFIDENCE_SCALE),
            Section(tr("High confidence"), len(page.tiles) - page.doubtful),
        )
    title, action = _suggestions_title(page), tr("Enter: all correct ({count})")
    return PageDescription(page, title, sections, action, usual_hints(), tr("Who is this? (N)"))


def _describe_mixed_page(page: ClassPage, keys: Mapping[str, str]) -> PageDescription:
    # If two classes were merged meanwhile, their tiles are not contiguous.
    runs = groupby(tile.prediction.label or "" for tile in page.tiles)
    sections = tuple(
        Section(f"{keys.get(label, '').upper()}  {label}?".strip(), len([*run]), shares_shelf=True)
        for label, run in runs
    )
    action = tr("Enter: all correct ({count})")
    return PageDescription(page, _suggestions_title(page), sections, action, usual_hints())


def _describe_clusters_page(page: ClassPage, keys: Mapping[str, str]) -> PageDescription:
    similar, single = tr("{count} similar"), tr("No similar face")
    several, count = len(page.cluster_sizes) > 1, len(page.tiles)
    title = tr("Who is this?  {count} similar faces: type the name")
    if several:
        count = len(page.cluster_sizes)
        title = tr("Who are they?  {count} clusters: point at one and type its name")
    return PageDescription(
        page,
        title.format(count=count),
        tuple(
            Section(single if size == 1 else similar.format(count=size), size, shares_shelf=several)
            for size in page.cluster_sizes
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
        has_clusters=True,
    )


def _describe_uncompared_page(page: ClassPage, keys: Mapping[str, str]) -> PageDescription:
    return PageDescription(
        page,
        uncompared_title(None),
        (Section("", len(page.tiles)),),
        tr("Enter: next page"),
        tr(
            "Point at a face and press / to name it, or a class key · Enter: next "
            "page, labels nothing · Ctrl+Z: undo · F1: all shortcuts"
        ),
        first_step=tr("Point at a face and press / to name it"),
        compares=True,
    )


def uncompared_title(left: int | None) -> str:
    """Return the title of a page without embeddings; `left` are to be computed, if known."""
    if left == 0:
        return tr("Faces that cannot be compared: point at one and press / to name it")
    if not left:
        return tr("Comparing faces…  Clusters appear automatically")
    text = tr("Comparing faces, {left} left…  Clusters appear automatically")
    return text.format(left=f"{left:,}")


def _suggestions_title(page: ClassPage) -> str:
    labels, wrong = page.labels, round(page.expected_wrong)
    if not page.tested:
        quality = tr("accuracy unknown: check each face")
    elif wrong:
        quality = tr("about {wrong} may be wrong").format(wrong=wrong)
    else:
        quality = tr("probably all correct")
    text = tr("{label}?  {count} of {all} · {how}")
    if len(labels) > 1:
        text = tr("Several classes · {count} of {all} · {how}")
    count, total = f"{len(page.rows):,}", f"{page.total:,}"
    return text.format(label=next(iter(labels), ""), count=count, all=total, how=quality)


def usual_hints() -> str:
    """Return the hints for most pages."""
    return tr(
        "Enter: accept all unmarked faces · point at a wrong one and press its "
        "class key · Ctrl+Z: undo · F1: all shortcuts"
    )


TITLE_EM, NARROW_TITLE_EM = 2.1, 1.1
"""Fixed heights of the title next to and above the controls: no page moves with its title."""
NARROW_HEADER_WIDTH = 760
MAX_SORTED_FOR_HINTS = 100


class PageHeader(QWidget):
    """Header of a class page; `filed` and `skipped` are the clicks on its buttons."""

    filed = Signal()
    skipped = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.title, self.name = title_label(), NameField()
        self.bars = ConfidenceBars()
        self._announced = ""
        self._left: int | None = None
        self._description: PageDescription | None = None
        self.file_button = button("", self.filed.emit)
        self.skip_button = button(self.tr("Skip (PgDn)"), self.skipped.emit)
        self.name.setAccessibleName(self.tr("Who is this?"))
        self.title.setWordWrap(True)
        self._layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._layout.setContentsMargins(*HEAD)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        controls = row_layout(self.bars, self.name, self.file_button, self.skip_button)
        controls.addStrut(self.skip_button.sizeHint().height())  # also if all of them are hidden
        self._layout.addWidget(self.title, 1)
        self._layout.addLayout(controls)
        self.show_page(None, 0)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Place the title above the controls in a narrow window."""
        super().resizeEvent(event)
        narrow = event.size().width() < NARROW_HEADER_WIDTH
        direction = QBoxLayout.Direction
        self._layout.setDirection(direction.TopToBottom if narrow else direction.LeftToRight)
        self.title.setMinimumHeight(em(self, NARROW_TITLE_EM if narrow else TITLE_EM))

    def show_left(self, left: int) -> None:
        self._left = left
        if self._description is not None:
            self._show_title(self._description)

    def _show_title(self, description: PageDescription) -> None:
        self.title.setText(
            uncompared_title(self._left) if description.compares else description.title
        )

    def show_page(self, description: PageDescription | None, count: int) -> None:
        """Show a page; Enter would file `count` faces."""
        self._description = description
        for part in (self.file_button, self.skip_button):
            part.setVisible(description is not None)
        asks = description is not None and bool(description.placeholder)
        self.name.setVisible(asks or bool(self.name.text()))
        if description is None:
            self.title.setText(self.tr("Class pages"))
        else:
            self._show_title(description)
            self.name.setPlaceholderText(description.placeholder)
            self.file_button.setEnabled(count > 0 or not description.files)
            self.file_button.setText(description.action.replace("{count}", str(count)))
        if self.title.text() != self._announced:
            self._announced = self.title.text()
            announce(self, self._announced)

    def show_confidence(self, page: ClassPage, counts: Sequence[int]) -> None:
        """Show the confidences of a page among the counts of all unsorted faces.

        Ignored if another page is shown by now.
        """
        description = self._description
        if description is None or description.page is not page:
            return
        title = self.tr("Confidence of {label}, all unsorted faces").format(label=page.label)
        title = title if page.label else ""
        self.bars.show_counts(title, counts if description.files else (), page.confidence_counts)


class PageHints(QLabel):
    """Hints below the page, until enough faces are sorted."""

    def __init__(self, worker: SessionWorker) -> None:
        super().__init__()
        self._worker = worker
        self.setMargin(6)
        self.setWordWrap(True)  # in one line it would widen the window

    def show_page(self, description: PageDescription | None) -> None:
        """Show or hide the hints; the room for tiles may change only with the page."""
        progress = self._worker.progress
        self.setVisible(progress is None or progress.counts.sorted < MAX_SORTED_FOR_HINTS)
        self.setText(usual_hints() if description is None else description.hints)
