"""How a class page is described, and its header: title, name field, buttons."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import groupby, islice
from typing import NamedTuple

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from labeler.qt.grid.layout import Section
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import em
from labeler.qt.translations import counted, tr
from labeler.qt.widgets import (
    HEAD,
    LetterKeysChip,
    NameField,
    TitleLabel,
    announce,
    button,
    column_layout,
    row_layout,
)
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.page_state import KEY_RULES, PageKey

LOW_CONFIDENCE_SCALE = 1.5
ALL_CORRECT_MAX_WRONG, ALL_CORRECT_MIN_FACES = 0.1, 4
"""Limits of "probably all correct": expected errors, and faces, as the last few are unusual."""


class PageDescription(NamedTuple):
    """A page as the window shows it.

    `action` is the text of the Enter button for `{count}` tiles. If Enter does not file them,
    `first_step` says what the user has to do first, and `{count}` are the faces left.
    `has_clusters`: a clusters page, where letters are a name and gestures act on whole clusters.
    """

    title: str
    sections: tuple[Section, ...]
    action: str
    placeholder: str = ""
    first_step: str = ""
    has_clusters: bool = False


def page_hints(kind: PageKind) -> str:
    """Return the hints about keys below a page of a kind."""
    rules = (rule for rule in KEY_RULES if kind in rule.kinds)
    return " · ".join(f"{tr(rule.keys)}: {tr(rule.hint)}" for rule in rules)


def describe_page(page: ClassPage, keys: Mapping[str, str]) -> PageDescription:
    """Describe a page for the window; `keys` are the keys of the classes."""
    if page.kind is PageKind.CLUSTERS:
        return _describe_clusters_page(page)
    if page.kind is PageKind.PLAIN:
        return _describe_uncompared_page(page)
    return _describe_suggestions(page, keys)


def _describe_suggestions(page: ClassPage, keys: Mapping[str, str]) -> PageDescription:
    sections = [Section("", len(page.tiles))]
    placeholder = tr("Who is this?")
    if page.kind is PageKind.MIXED:
        placeholder = ""
        # If two classes were merged meanwhile, their tiles are not contiguous.
        runs = groupby(tile.prediction.label or "" for tile in page.tiles)
        sections = [
            Section(
                f"{label}?", len([*run]), shares_shelf=True, key=keys.get(label, "")
            )
            for label, run in runs
        ]
    elif page.doubtful:
        sections = [
            Section(tr("Low confidence"), page.doubtful, LOW_CONFIDENCE_SCALE),
            Section(tr("High confidence"), len(page.tiles) - page.doubtful),
        ]
    return PageDescription(
        _suggestions_title(page),
        tuple(sections),
        tr("Enter: all correct ({count})"),
        placeholder,
    )


def _describe_clusters_page(page: ClassPage) -> PageDescription:
    similar, single = tr("{count} similar"), tr("No similar face")
    several = len(page.cluster_sizes) > 1
    tiles = iter(page.tiles)
    sizes = [
        (size, sum(len(tile.rows) for tile in islice(tiles, size)))
        for size in page.cluster_sizes
    ]
    title = tr("Who is this?  {number} · type the name")
    if several:
        title = tr("Who are they?  {count} clusters · {number} · point and type")
    return PageDescription(
        counted(title, len(page.cluster_sizes), number=_describe_number(page)),
        tuple(
            Section(
                single if faces == 1 else similar.format(count=faces),
                size,
                shares_shelf=several,
            )
            for size, faces in sizes
        ),
        tr("Enter: next page ({count} faces left)"),
        tr("Type a name"),
        tr("Point at a cluster and type its name"),
        has_clusters=True,
    )


def _describe_uncompared_page(page: ClassPage) -> PageDescription:
    return PageDescription(
        tr("Comparing faces…  Clusters follow; or point and type a name"),
        (Section("", len(page.tiles)),),
        tr("Enter: next page"),
        tr("Type a name"),
        tr("Point at a face and type its name"),
    )


def _suggestions_title(page: ClassPage) -> str:
    labels, wrong = page.labels, page.expected_wrong
    if not page.tested:
        quality = tr("accuracy unknown: check each face")
    elif wrong > ALL_CORRECT_MAX_WRONG or page.total < ALL_CORRECT_MIN_FACES:
        quality = tr("about {wrong} may be wrong").format(wrong=max(1, round(wrong)))
    else:
        quality = tr("probably all correct")
    text = tr("{label}?  {number} · {how}")
    if len(labels) > 1:
        text = tr("Several classes · {number} · {how}")
    return text.format(
        label=next(iter(labels), ""), number=_describe_number(page), how=quality
    )


def _describe_number(page: ClassPage) -> str:
    if len(page.rows) == page.total:
        return counted(tr("{count} faces"), page.total)
    return counted(
        tr("{shown} of {count} faces"), page.total, shown=f"{len(page.rows):,}"
    )


ONE_ROW_EM = 46
TITLE_EM = 2.5
"""Height of the title: no page moves with it."""


class PageHeader(QWidget):
    """Header of a class page; its buttons call `press` as their keys do."""

    def __init__(
        self,
        worker: SessionWorker,
        press: Callable[[PageKey], object],
    ):
        super().__init__()
        self.title = TitleLabel()
        self.name = NameField(worker)
        self._announced = ""
        self.file_button = button("", partial(press, PageKey.ENTER), primary=True)
        self.skip_button = button(
            self.tr("Next page (PgDn)"), partial(press, PageKey.NEXT_PAGE)
        )
        self.better_button = button(
            self.tr("Better suggestions (Ctrl+R)"),
            partial(press, PageKey.SUGGEST_AGAIN),
        )
        self.name.setAccessibleName(self.tr("Who is this?"))
        self.title.setMinimumHeight(em(self, TITLE_EM))
        parts = (
            self.title,
            LetterKeysChip(),
            self.better_button,
            self.name,
            self.file_button,
            self.skip_button,
        )
        self.controls = row_layout(*parts, grows=self.title)
        self._rows = column_layout(self.controls, margins=HEAD)
        self._asks = False
        self.setLayout(self._rows)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        self.show_page(None, 0, is_begun=False, offers_better=False)

    def show_page(
        self,
        description: PageDescription | None,
        count: int,
        *,
        is_begun: bool,
        offers_better: bool,
    ) -> None:
        """Show a page: `count` faces to file or left; `is_begun` if some are named."""
        self.better_button.setVisible(offers_better)
        files = description is not None and not description.first_step
        self.file_button.setVisible(files or is_begun)
        self.skip_button.setVisible(description is not None and (files or not is_begun))
        in_card = description is not None and description.has_clusters
        self._asks = (
            description is not None and bool(description.placeholder) and not in_card
        )
        if self._asks:
            self.insert_name_field()
        self.name.setVisible(self._asks or bool(self.name.text()))
        self._place_title()
        if description is None:
            self.title.setText(self.tr("Class pages"))
        else:
            self.title.setText(description.title)
            self.name.setPlaceholderText(description.placeholder)
            self.file_button.setEnabled(count > 0 or not files)
            action = (
                description.action if count or files else self.tr("Enter: next page")
            )
            self.file_button.setText(counted(action, count))
        if self.title.text() != self._announced:
            self._announced = self.title.text()
            announce(self, self._announced)

    def insert_name_field(self) -> None:
        """Take the field for a name back, which may be in a card of the page."""
        self.name.blockSignals(True)  # it loses the focus for a moment
        self.controls.insertWidget(self.controls.indexOf(self.file_button), self.name)
        self.name.blockSignals(False)

    def _place_title(self) -> None:
        # In a narrow window it is above the others, so that all of it can be read.
        is_narrow = self.width() < em(self, ONE_ROW_EM)
        layout = self._rows if self._asks and is_narrow else self.controls
        if layout.indexOf(self.title) < 0:
            layout.insertWidget(0, self.title, 1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_title()
