"""Helpers for layouts, buttons, labels, focus, accessibility, scrolling and class names."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from PySide6.QtCore import (
    QEvent,
    QFileInfo,
    QObject,
    QRect,
    QSettings,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QFocusEvent,
    QFontMetrics,
    QIcon,
    QKeyEvent,
    QKeySequence,
    QPainter,
    QPaintEvent,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QBoxLayout,
    QComboBox,
    QFileDialog,
    QFileIconProvider,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLayout,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from gleanset.db.classes import normalize_class_name
from gleanset.errors import UsageError
from labeler.qt import theme
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import Role
from labeler.qt.translations import tr
from labeler.sorting.name_matching import (
    KnownName,
    complete_name,
    list_known_names,
    match_exact_name,
)

TAB_FOCUS = Qt.FocusPolicy.TabFocus
Part = QWidget | QLayout | None
"""An element of a row or a column; None is a stretch."""

BoxLayout = TypeVar("BoxLayout", bound=QBoxLayout)
Margins = tuple[int, int, int, int]
NO_MARGINS: Margins = (0, 0, 0, 0)
HEAD: Margins = (theme.SPACE_M, theme.SPACE_M, theme.SPACE_M, theme.SPACE_M)
"""Margins of the line above a view: left, top, right, bottom."""


def row_layout(
    *parts: Part, grows: Part = None, margins: Margins = NO_MARGINS
) -> QHBoxLayout:
    """Return a row of parts; `grows` gets the remaining space."""
    return _fill(QHBoxLayout(), parts, grows, margins, theme.SPACE_M)


def column_layout(
    *parts: Part, grows: Part = None, margins: Margins = NO_MARGINS, spacing: int = -1
) -> QVBoxLayout:
    """Return a column of parts; `grows` gets the remaining space."""
    return _fill(QVBoxLayout(), parts, grows, margins, spacing)


def set_column(widget: QWidget, *parts: Part, grows: Part = None) -> QVBoxLayout:
    """Set a column of parts without gaps as the layout of a widget."""
    column = column_layout(*parts, grows=grows, spacing=0)
    widget.setLayout(column)
    return column


def form_layout(rows: Mapping[str, Sequence[QWidget]]) -> QFormLayout:
    """Return fields with their names before them, and with controls behind them."""
    form = QFormLayout()
    for name, parts in rows.items():
        form.addRow(name, row_layout(*parts, grows=parts[0]))
        parts[0].setAccessibleName(name)
    return form


def _fill(
    layout: BoxLayout,
    parts: tuple[Part, ...],
    grows: Part,
    margins: Margins,
    spacing: int,
) -> BoxLayout:
    layout.setContentsMargins(*margins)
    layout.setSpacing(spacing)
    for part in parts:
        stretch = int(part is grows)
        if isinstance(part, QWidget):
            layout.addWidget(part, stretch)
        elif isinstance(part, QLayout):
            layout.addLayout(part, stretch)
        else:
            layout.addStretch(1)

    return layout


def button(
    text: str, act: Callable[[], object], *, primary: bool = False
) -> QPushButton:
    """Return a button that calls `act` when clicked; the `primary` one of a view stands out."""
    push_button = QPushButton(text, autoDefault=True)  # Enter presses it
    push_button.setProperty("primary", primary)
    push_button.clicked.connect(lambda checked=False: act())
    return push_button


def plain_label(text: str = "", style: str = "") -> QLabel:
    """Return a label that wraps plain text; `style` is its name in the style sheet."""
    label = QLabel(text, wordWrap=True, textFormat=Qt.TextFormat.PlainText)
    label.setObjectName(style)
    return label


class TitleLabel(QLabel):
    """The title of a view and, in grey behind or below it, what follows the first separator.

    Its text does not widen the window.
    """

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        title, *rest = _SEPARATOR.split(self.text(), maxsplit=1)
        painter.setFont(theme.scale_font(self.font(), theme.HEADING))
        first = self.contentsRect()
        second = self.contentsRect()
        line_height = self.fontMetrics().height()
        if rest and first.height() >= 2 * line_height + theme.SPACE_S:
            first.setHeight(first.height() // 2)
            second.setTop(first.bottom())
        else:
            width = painter.fontMetrics().horizontalAdvance(title)
            second.setLeft(first.left() + width + theme.SPACE_L)

        theme.draw_text(
            painter,
            first,
            title,
            theme.colour(Role.WindowText),
        )
        painter.setFont(self.font())
        theme.draw_text(painter, second, "".join(rest))


CLASS_KEYS = "1–9"
HINT_GAP = theme.SPACE_L + theme.SPACE_S
_SEPARATOR = re.compile(r"\s{2,}| · |(?<=？)\s")
_COLON = re.compile(r"(?<=\S)\s?[:：]\s*")


class SwitchedLabel(QLabel):
    """Label that one of the user's settings shows or hides."""

    SETTING = ""
    DEFAULT = False
    applies = True
    """Whether there is something to say."""

    def __init__(self, text: str = "", style: str = ""):
        super().__init__(text)
        self.setObjectName(style)
        if not self.is_switched_on():
            super().setVisible(False)

    @classmethod
    def is_switched_on(cls) -> bool:
        return bool(QSettings().value(cls.SETTING, cls.DEFAULT, type=bool))

    def setVisible(self, visible: bool) -> None:
        self.applies = visible
        super().setVisible(visible and self.is_switched_on())

    def show_setting(self) -> None:
        self.setVisible(self.applies)


class KeyHints(SwitchedLabel):
    """Keys and what they do below a view, from a text "KEY: what · KEY: what".

    In one line: of hints that do not fit, the last ones before F1 are left out. A setting hides all
    of them.
    """

    has_classes = True
    """Whether there are classes; before, hints of their keys are left out."""

    SETTING = "key_hints"
    DEFAULT = True

    def __init__(self, text: str = ""):
        super().__init__(text)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        left = theme.SPACE_M
        painter.setFont(theme.scale_font(self.font(), theme.SMALL, bold=False))
        for key, text, cap, width in self.fitting_hints(painter.fontMetrics()):
            line = QRect(left, 0, width + 1, self.height())
            if cap:
                theme.draw_key(painter, line, key)
            theme.draw_text(
                painter,
                line.adjusted(cap, 0, 0, 0),
                text,
            )
            left += width + HINT_GAP

    def fitting_hints(self, metrics: QFontMetrics) -> list[tuple[str, str, int, int]]:
        """Return the key, the text, the width of the key cap and the whole width of each hint."""
        hints = []
        for hint in re.split(r"\s*·\s*", self.text()):
            key, *what = _COLON.split(hint, maxsplit=1)
            cap = theme.key_width(metrics, key) + theme.SPACE_M - 2 if what else 0
            text = what[0] if what else key
            if self.has_classes or key != CLASS_KEYS:
                hints.append((key, text, cap, cap + metrics.horizontalAdvance(text)))

        # Hints are disabled while their keys do not work: then none is shown.
        room = self.width() - 2 * theme.SPACE_M + HINT_GAP if self.isEnabled() else 0
        while hints and sum(hint[-1] + HINT_GAP for hint in hints) > room:
            del hints[-2 if hints[-1][0] == "F1" and hints[1:] else -1]
        return hints


class LetterKeysChip(SwitchedLabel):
    """Says so as long as letters are keys of classes where they usually begin a name."""

    SETTING = "letter_keys"

    def __init__(self) -> None:
        super().__init__(tr("Letters are class keys"), "accent")


def timer(owner: QObject, act: Callable[[], object], milliseconds: int = 0) -> QTimer:
    """Return a single-shot timer that calls `act`."""
    single_shot = QTimer(owner, singleShot=True, interval=milliseconds)
    single_shot.timeout.connect(act)
    return single_shot


class FileTypes(QFileIconProvider):
    """Icons and types of files without reading them.

    Qt and desktops read files to find their types. When a file is closed, a process loses its locks
    on it (sqlite.org/howtocorrupt.html, 2.2): other programs could then damage an open catalogue.
    """

    def icon(self, file: QFileInfo | QFileIconProvider.IconType) -> QIcon:
        kinds = QFileIconProvider.IconType
        if isinstance(file, QFileInfo):
            file = kinds.Folder if file.isDir() else kinds.File
        return super().icon(file)

    def type(self, file: QFileInfo) -> str:
        return file.suffix()


def choose_paths(
    parent: QWidget,
    title: str,
    begin: str,
    use: Callable[[list[str]], object],
    mode: QFileDialog.FileMode = QFileDialog.FileMode.Directory,
) -> QFileDialog:
    """Open a dialog in the folder `begin`; `use` gets the paths of the chosen folder or files."""
    dialog = QFileDialog(parent, title, begin)
    dialog.setFileMode(mode)
    dialog.setOption(QFileDialog.Option.DontUseNativeDialog)
    types = FileTypes()
    dialog.setIconProvider(types)
    dialog.destroyed.connect(lambda: types)  # keeps it as long as the dialog
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    # Qt puts the parent folder before a folder that was typed as a whole path.
    first = -1 if mode is QFileDialog.FileMode.Directory else 0
    dialog.filesSelected.connect(lambda paths: use(paths[first:]))
    dialog.open()
    return dialog


def announce(widget: QWidget, text: str) -> None:
    """Announce a text to a running screen reader."""
    if text and QAccessible.isActive():
        QAccessible.updateAccessibility(QAccessibleAnnouncementEvent(widget, text))


def keep_focus(widget: QWidget) -> None:
    """Focus buttons and combo boxes by Tab only: a click keeps the focus elsewhere."""
    for part in widget.findChildren(QWidget):
        if (
            isinstance(part, (QAbstractButton, QComboBox))
            and part.focusPolicy() & TAB_FOCUS
        ):
            part.setFocusPolicy(TAB_FOCUS)


def tab_last(widget: QWidget) -> None:
    """Move a widget to the end of the tab order of its window."""
    last = widget.window().previousInFocusChain()
    while last is not None and (last is widget or not last.focusPolicy() & TAB_FOCUS):
        last = last.previousInFocusChain()
    if last is not None:
        QWidget.setTabOrder(last, widget)


Key = Qt.Key
ENTER = (Key.Key_Return, Key.Key_Enter)
_EDITING = "Left Right Home End Delete Space"
EDITING_KEYS = frozenset(Qt.Key[f"Key_{name}"] for name in _EDITING.split())
"""Keys that an empty field leaves to the faces."""


_COMPLETION_STEPS = {
    Key.Key_Tab: 1,
    Key.Key_Down: 1,
    Key.Key_Backtab: -1,
    Key.Key_Up: -1,
}
_MARGIN = 6


class HintedField(QLineEdit):
    """Line edit with a hint behind the text."""

    hint = ""

    def show_hint(self, words: str) -> None:
        self.hint = words
        self.setAccessibleDescription(words)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        super().paintEvent(event)
        text_width = self.fontMetrics().horizontalAdvance(self.text())
        theme.draw_text(
            QPainter(self),
            self.rect().adjusted(text_width + 3 * _MARGIN, 0, -_MARGIN, 0),
            self.hint,
            align=theme.ALIGN_RIGHT,
        )


class NameField(HintedField):
    """Line edit for a name, which it completes on request; Enter accepts the text as it is.

    Signals: `name_entered` (text) with Enter; `left` with Esc, or Enter in an empty field; `ended`
    after Ctrl+Enter, when the name was accepted; `focused` and `unfocused` as the focus comes and
    goes. An empty field leaves editing keys to the faces, and undo to the window. Tab and the arrow
    keys step through names with a word that starts with the text. The hint says whether the name is
    new, or which class an alias means.
    """

    name_entered = Signal(str)
    ended = Signal()
    left = Signal()
    focused = Signal()
    unfocused = Signal()

    def __init__(self, worker: SessionWorker):
        super().__init__()
        self._worker = worker
        self._names: Sequence[KnownName] = ()
        self._matching: Sequence[KnownName] = ()
        self._at = -1
        self.textEdited.connect(self._on_edit)
        self.textChanged.connect(self._show_meaning)
        worker.classes_changed.connect(self.read_names)

    def read_names(self) -> None:
        self._worker.ask(
            lambda session: list_known_names(session.dataset),
            self._offer,
        )

    def _offer(self, names: Sequence[KnownName]) -> None:
        self._names = names
        self._on_edit(self.text())
        self._show_meaning(self.text())

    def resolve(self, text: str) -> str:
        """Return the class that a name or alias means, or the text for a new class."""
        match = match_exact_name(text, self._names)
        return match.label if match else text

    def is_new(self, text: str) -> bool:
        return match_exact_name(text, self._names) is None

    def read_name(self) -> str:
        """Return the typed name; empty, with a message, if it cannot be one: the text stays."""
        name = self.text().strip()
        try:
            if name:
                normalize_class_name(self.resolve(name))
        except UsageError as error:
            self._worker.show_error(error)
            return ""
        return name

    def _on_edit(self, text: str) -> None:
        self._matching = complete_name(text, self._names)
        self._at = -1

    def _show_meaning(self, text: str) -> None:
        match = match_exact_name(text, self._names)
        words = "" if not match or match.label == text else f"= {match.label}"
        if text.strip() and not match:
            words = tr("new")
            if self._matching:
                words = tr("Tab: {name} · new", name=self._matching[0].text)
        self.show_hint(words)

    def _complete(self, step: int) -> bool:
        # Write the next or previous matching name into the field.
        if not self._matching:
            return False
        # Backwards from nothing (-1): the last one.
        first = self._at < 0 and step < 0
        self._at = (self._at + step + first) % len(self._matching)
        self.setText(self._matching[self._at].text)
        return True

    def event(self, event: QEvent) -> bool:
        """Leave undo and redo to the window while the field is empty; complete names."""
        if not isinstance(event, QKeyEvent):
            return super().event(event)
        if event.type() == QEvent.Type.ShortcutOverride:
            keys = QKeySequence.StandardKey
            undoes = event.matches(keys.Undo) or event.matches(keys.Redo)
            if undoes and not self.text():
                event.ignore()
                return True
        elif event.type() == QEvent.Type.KeyPress:
            step = _COMPLETION_STEPS.get(Key(event.key()), 0)
            # Tab must not leave the field with a half-typed name.
            if (
                step
                and self.text()
                and (self._complete(step) or event.key() == Key.Key_Tab)
            ):
                return True

        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Edit the text; Enter and Esc end the input."""
        if event.key() in ENTER:
            if name := self.read_name():
                self.name_entered.emit(name)
                # The receiver has cleared the text if it accepted the name.
                if (
                    event.modifiers() & Qt.KeyboardModifier.ControlModifier
                    and not self.text()
                ):
                    self.ended.emit()
            elif not self.text().strip():
                self._worker.show_message(tr("No name was typed"))
                self.left.emit()
        elif event.key() == Key.Key_Escape:
            self.clear()
            self.left.emit()
        elif not self.text() and event.key() in EDITING_KEYS:
            event.ignore()
        else:
            super().keyPressEvent(event)

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self.focused.emit()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self.unfocused.emit()
