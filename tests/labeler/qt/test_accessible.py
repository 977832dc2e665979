"""What everybody can use and read: keyboard, screen readers, contrast, and languages."""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
import pytest
from drawn_faces import FaceSet, hint, labels, step_texts
from duplicate_images import add_picture, encoded, face
from labeler_makers import Group, add_groups
from person import (
    NONE,
    SHIFT,
    VIEW_NAMES,
    InstallLanguage,
    OpenWindow,
    Person,
    class_pages,
    settle,
    wait_for_enter,
    wait_until,
)
from PySide6.QtCore import Qt, QtMsgType, qInstallMessageHandler
from PySide6.QtGui import (
    QAccessible,
    QAccessibleAnnouncementEvent,
    QAccessibleEvent,
    QAction,
    QImage,
    QInputMethodEvent,
    QShortcut,
)
from PySide6.QtTest import QTest
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QWidget,
)
from settled import is_settled

import labeler.qt
from gleanset import Dataset
from gleanset.arrays import Float64Array, Pixels
from gleanset.db.duplicates import DuplicateSetMember
from gleanset.errors import UsageError
from gleanset.operations import NAMED, TEXTS, Operation, make_operation, make_undo
from gleanset.settings import SplitSettings
from labeler.duplicates.advantages import Advantage, KeepReason, describe_reasons
from labeler.duplicates.duplicate_sets import explain_choice
from labeler.qt import translations
from labeler.qt.keyboard import SHORTCUTS
from labeler.qt.theme import show_theme
from labeler.qt.translations import (
    ABOUT_DETECTION,
    LANGUAGE_NAMES,
    SPLIT_TEXTS,
    STEP_TEXTS,
    WORDS,
    Words,
    language_for,
    singular,
    step_words,
    tr,
    translate_split_warning,
)
from labeler.qt.views.duplicates import reason_words
from labeler.qt.window import LabelerWindow
from labeler.sorting.import_plan import CommandFacts
from labeler.sorting.page_parts import Message
from labeler.splits.job import make_result
from labeler.splits.plan import plan_split

Key = Qt.Key
CONTROLS = (QAbstractButton, QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit)
MAX_TAB_STOPS = 60


def tab_stops(window: LabelerWindow, modifiers: Qt.KeyboardModifier) -> list[QWidget]:
    """Press Tab until the focus returns; return the visited widgets."""
    stops = [focus(window)]
    while len(stops) < MAX_TAB_STOPS:
        QTest.keyClick(stops[-1], Key.Key_Tab, modifiers)
        if focus(window) is stops[0]:
            return stops
        assert focus(window) is not stops[-1], f"Tab does not leave {stops[-1]}"
        stops.append(focus(window))
    raise AssertionError(f"Tab does not come back: {stops}")


def settled_tab_stops(window: LabelerWindow) -> list[QWidget]:
    """Return the stops once they are stable: an empty view shows its notice a moment later."""
    before = []
    stops = tab_stops(window, NONE)
    while stops != before:
        settle(window)
        before = stops
        stops = tab_stops(window, NONE)
    return stops


def focus(window: LabelerWindow) -> QWidget:
    result = window.focusWidget()
    assert result is not None
    return result


def activate(window: LabelerWindow) -> LabelerWindow:
    window.activateWindow()
    wait_until(window.isActiveWindow)
    settle(window)
    wait_until(lambda: is_settled(window.view))
    return window


def test_every_control_has_tab_stop_name_and_role(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    hint(faces, 0.9)
    window = open_window(faces.root)
    for view in VIEW_NAMES:
        window.show_view(view)
        check_tab_stops(activate(window))
        check_names_and_roles(window)
    check_shortcuts_are_unique(window)  # a view is created when it is first shown


def check_tab_stops(window: LabelerWindow) -> None:
    window.class_panel.field.setFocus()
    stops = settled_tab_stops(window)
    window.class_panel.field.setFocus()
    assert set(tab_stops(window, SHIFT)) == set(stops)
    assert all(stop.isVisible() and stop.isEnabled() for stop in stops)
    reached = set(stops) | {stop.parentWidget() for stop in stops}
    for widget in window.findChildren(QWidget):
        inner = isinstance(widget.parent(), CONTROLS)
        is_reachable = (
            isinstance(widget, CONTROLS)
            and widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        )
        if is_reachable and widget.isVisible() and widget.isEnabled() and not inner:
            assert widget in reached, widget
    # The order is class list, view, status bar.
    parts = [
        0
        if window.class_panel.isAncestorOf(stop)
        else 1
        if window.view.isAncestorOf(stop)
        else 2
        for stop in stops
    ]
    assert parts == sorted(parts), stops


def test_dataset_is_sorted_by_keyboard_alone(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    """Sort from the clusters page to the last face without any mouse event."""
    hint(faces, 0.97)
    person = Person(activate(open_window(faces.root, "pages")), faces)
    window = person.window
    view = class_pages(person)
    while view.page is not None:
        for row, tile in enumerate(view.page.tiles):
            QTest.keyClick(view.view, Key.Key_Right if row else Key.Key_Home)
            if person.true_class(row) != (view.page.label or tile.prediction.label):
                # On the clusters page a digit begins a name; with Shift it is a class key.
                shift = SHIFT if view.page.kind == "groups" else NONE
                person.press(person.keys[person.true_class(row)], shift)
        wait_for_enter(view)
        QTest.keyClick(view.view, Key.Key_End)
        QTest.keyClick(view.view, Key.Key_Return)
        settle(window)
    assert labels(faces.root) == faces.truth
    QTest.keyClick(view.view, Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    settle(window)
    assert labels(faces.root) != faces.truth


def check_shortcuts_are_unique(window: LabelerWindow) -> None:
    kinds = (QAction, QShortcut)
    owners = [owner for kind in kinds for owner in window.findChildren(kind)]
    for parent in {owner.parent() for owner in owners}:
        keys = [
            (owner.shortcut() if isinstance(owner, QAction) else owner.key()).toString()
            for owner in owners
            if owner.parent() is parent
        ]
        named = [key for key in keys if key]
        assert len(set(named)) == len(named), (parent, named)


def check_names_and_roles(window: LabelerWindow) -> None:
    for widget in window.findChildren(QWidget):
        inner = isinstance(widget.parent(), CONTROLS) or "qt_" in widget.objectName()
        if isinstance(widget, CONTROLS) and widget.isVisible() and not inner:
            result = QAccessible.queryAccessibleInterface(widget)
            assert result.text(QAccessible.Text.Name), widget
            assert result.role() != QAccessible.Role.NoRole, widget
            if isinstance(widget, QAbstractItemView):
                names = [result.child(n) for n in range(min(result.childCount(), 80))]
                assert all(
                    name.text(QAccessible.Text.Name) for name in names if name
                ), widget


def test_tree_names_tiles_groups_and_progress(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    """A screen reader finds each face with its group, and how much is sorted."""
    hint(faces, 0.9)
    window = activate(open_window(faces.root, "pages"))
    pending = [QAccessible.queryAccessibleInterface(window)]
    names = dict[str, str]()
    while pending:
        part = pending.pop()
        pending += [part.child(n) for n in range(part.childCount()) if part.child(n)]
        names[part.text(QAccessible.Text.Name)] = part.role().name
    tiles = [name for name, role in names.items() if name.startswith("Face ")]
    titles = {section.title for section in window.view.view.tiles.sections}  # type: ignore[attr-defined]
    assert {names[name] for name in tiles} == {"ListItem"}
    assert {name.split(", ")[1] for name in tiles} == titles
    assert names["0 of 60 sorted"] == names["saved"] == "StaticText"
    assert names["Classes"] in ("List", "StaticText")


@pytest.fixture
def announcements(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect announcements to screen readers, which Qt does not expose to Python."""
    result: list[str] = []
    real: Callable[[QAccessibleEvent], None] = QAccessible.updateAccessibility

    def listen(event: QAccessibleEvent) -> None:
        if isinstance(event, QAccessibleAnnouncementEvent):
            result.append(event.message())
        real(event)

    monkeypatch.setattr(QAccessible, "updateAccessibility", staticmethod(listen))
    QAccessible.setActive(True)
    yield result
    QAccessible.setActive(False)


def test_pages_and_results_are_announced(
    open_window: OpenWindow, faces: FaceSet, announcements: list[str]
) -> None:
    hint(faces, 0.97)
    person = Person(activate(open_window(faces.root, "pages")), faces)
    view = class_pages(person)
    assert any(view.header.title.text() in text for text in announcements)
    first = view.header.title.text()
    announcements.clear()
    wait_for_enter(view)
    person.scroll_through()
    person.enter()
    assert any(text.startswith("Label ") for text in announcements), announcements
    assert any(view.header.title.text() in text for text in announcements), (
        announcements
    )
    assert view.header.title.text() != first
    announcements.clear()
    person.undo()
    assert announcements


def test_keys_are_ignored_during_input_composition(
    open_window: OpenWindow, faces: FaceSet
) -> None:
    person = Person(activate(open_window(faces.root, "pages")), faces)
    grid = person.view.view
    window = person.window
    person.point(0)
    before = step_texts(faces.root)
    QApplication.sendEvent(grid, QInputMethodEvent("はる", []))
    for key in (
        Key.Key_1,
        Key.Key_Return,
        Key.Key_Delete,
        Key.Key_L,
        Key.Key_Space,
        Key.Key_PageDown,
    ):
        QTest.keyClick(grid, key)
    settle(window)
    assert (step_texts(faces.root), person.view.model.states) == (before, {})
    QApplication.sendEvent(grid, QInputMethodEvent("", []))


def luminance(colours: Pixels) -> Float64Array:
    """Return the relative luminance of WCAG 2.2."""
    part = colours / 255.0
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return linear @ np.array((0.2126, 0.7152, 0.0722))


def text_contrast(widget: QWidget) -> float:
    """Return the best contrast with the most common color: that of strokes without smoothing."""
    corner = widget.mapTo(widget.window(), widget.rect().topLeft())
    image = widget.window().grab(widget.rect().translated(corner)).toImage()
    image = image.convertToFormat(QImage.Format.Format_RGB32)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(-1, 4)[:, 2::-1]
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    luminances = luminance(kinds)
    background = luminances[counts.argmax()]
    high, low = np.maximum(background, luminances), np.minimum(background, luminances)
    return float(((high + 0.05) / (low + 0.05)).max())


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_text_has_contrast(
    open_window: OpenWindow, faces: FaceSet, colours: str
) -> None:
    show_theme(colours)
    try:
        window = open_window(faces.root, size=(900, 600))
        checked: set[QWidget] = set()  # shared by all views
        for view in VIEW_NAMES:
            window.show_view(view)
            settle(window)
            for widget in {
                *window.findChildren(QLabel),
                *window.findChildren(QAbstractButton),
            }:
                shown = (
                    widget.isVisible() and widget.isEnabled() and widget.text().strip()
                )
                if (
                    shown
                    and widget not in checked
                    and not widget.visibleRegion().isEmpty()
                ):
                    assert text_contrast(widget) >= 4.5, (view, widget)
                    checked.add(widget)
        assert len(checked) > 20
    finally:
        show_theme("")


SOURCES = Path(labeler.qt.__file__).parent
# Functions, with the position of their text argument.
CALLS = {"tr": 0, "ViewKind": 1}
LANGUAGES = [language for language in LANGUAGE_NAMES if language != "en"]


def translatable_texts() -> Iterator[str]:
    """Yield every literal that the window translates, and texts of data."""
    yield from (*STEP_TEXTS.values(), *SPLIT_TEXTS)
    yield from (word.value for word in (*Advantage, *Message))
    sections = tomllib.loads(SHORTCUTS.read_text(encoding="utf-8"))
    for name, rows in sections.items():
        yield from (name, *rows.values())
        key_names = re.compile("Ctrl|Shift|Del|Esc|Enter")
        yield from (
            keys for keys in rows if re.search("[a-z]{2}", key_names.sub("", keys))
        )
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            name = (
                called.attr
                if isinstance(called, ast.Attribute)
                else getattr(called, "id", "")
            )
            place = CALLS.get(name)
            if place is not None and len(node.args) > place:
                yield from literals(node.args[place])


def literals(text: ast.expr) -> Iterator[str]:
    """Yield a literal, or those that a condition chooses between."""
    if isinstance(text, ast.IfExp):
        yield from chain(literals(text.body), literals(text.orelse))
    elif isinstance(text, ast.Constant) and isinstance(text.value, str):
        yield text.value


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"{(\w*)}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_matches_sources(language: str) -> None:
    translated = tomllib.loads((WORDS / f"{language}.toml").read_text(encoding="utf-8"))
    expected = set(translatable_texts())
    assert len(expected) > 150
    assert {
        "missing": expected - translated.keys(),
        "left over": translated.keys() - expected,
    } == {
        "missing": set(),
        "left over": set(),
    }
    for text, result in translated.items():
        assert result.strip(), text
        assert placeholders(text) == placeholders(result)


@pytest.mark.parametrize("language", LANGUAGE_NAMES)
def test_no_text_calls_a_whole_image_a_face(
    language: str, install_language: InstallLanguage
) -> None:
    install_language(language)
    texts = [
        text for text in {*translatable_texts()} if not ABOUT_DETECTION.search(text)
    ]
    usual = {text: tr(text) for text in texts}
    Words.call_images(True)
    for text, before in usual.items():
        assert not re.search("(?i)face|a image|who |顔|誰|人脸|谁", tr(text)), text
        assert placeholders(tr(text)) == placeholders(before)
    assert sum(tr(text) != before for text, before in usual.items()) > 50


@pytest.mark.parametrize("language", LANGUAGES)
def test_warnings_of_split_are_translated(
    language: str, install_language: InstallLanguage, empty: Dataset
) -> None:
    install_language(language)
    add_groups(
        empty, [Group("one", "hana", 40), *(Group(f"{n}", "rei", 1) for n in range(6))]
    )
    result = make_result(plan_split(empty, SplitSettings("6:2:2"))).to_json()
    facts = msgspec.convert(result, CommandFacts)
    lines = [translate_split_warning(line) for line in chain(*facts.split_warnings)]
    words = re.findall(
        "[a-z]+", " ".join([*lines, translate_split_warning("and 2 more")])
    )
    assert {*words} <= {"train", "val", "test", "hana", "rei"}


def test_window_of_whole_images_says_images(
    open_window: OpenWindow, tmp_path: Path
) -> None:
    root = tmp_path / "d"
    Dataset.create(root).close()
    window = open_window(root)
    assert tr("No faces yet") == "No faces yet"
    with Dataset.open(root) as dataset:
        for mouth in ("smile", "open"):
            add_picture(dataset, f"{mouth}.jpg", encoded(face(mouth)))
    wait_until(lambda: "2 images" in window.view.title.text())
    rows = map(window.class_panel.model.row, range(window.class_panel.model.rowCount()))
    assert [row.name for row in rows if row is not None][:2] == [
        "Rejected",
        "Nothing I collect",
    ]
    operation = make_operation("label", count=1, label="owl")
    window.view.open_place(":later")
    settle(window)
    with Dataset.open(root) as dataset:
        dataset.db.execute("UPDATE sample SET detector='hand'")
    window.worker.changed_outside.emit()
    settle(window)
    assert step_words(operation) == "Label 1 image as owl", (
        "words stay while the window is open"
    )


@pytest.fixture
def qt_messages() -> Iterator[list[str]]:
    messages: list[str] = []

    def note(kind: QtMsgType, context: object, message: str) -> None:
        messages.append(message)

    before = qInstallMessageHandler(note)
    yield messages
    qInstallMessageHandler(before)


def test_window_is_translated_to_japanese(
    install_language: InstallLanguage,
    open_window: OpenWindow,
    faces: FaceSet,
    qt_messages: list[str],
) -> None:
    assert install_language("ja") == "ja"
    hint(faces, 0.97)
    window = open_window(faces.root, size=(800, 600))
    assert window.tabs.tabToolTip(0) == "グリッド  F2"
    assert window.status.sorted.text() == "60 枚中 0 枚を整理済み"
    assert "未整理" in window.view.title.text()
    for name in VIEW_NAMES:
        window.show_view(name)
        settle(window)
    window.sheet.toggle()
    QApplication.processEvents()
    assert 0 < window.sheet.width() <= window.width()
    assert window.sheet.height() <= window.height()
    for label in window.sheet.findChildren(QLabel):
        assert label.height() >= label.heightForWidth(label.width()), label.text()
    window.sheet.toggle()
    window.show_settings()
    window.drops.offer([faces.root])
    QApplication.processEvents()
    window.drops.close_dialog()
    settle(window)
    # Qt formats every translated text.
    assert [text for text in qt_messages if "QString::arg" in text] == []


@pytest.mark.parametrize(
    ("operation", "english", "translated"),
    [
        (
            make_operation("label", count=45, label="Miku"),
            "Label 45 faces as Miku",
            "45 枚に Miku のラベルを付ける",
        ),
        (
            make_operation("later", count=1),
            "Mark 1 face as not sure",
            "1 枚を「わからない」へ",
        ),
        (
            make_operation("take-in", dataset="decisions", count=1),
            "Merge decisions: 1 decision",
            "decisions を統合: 決定 1 件",
        ),
        (
            make_operation("rename-class", old="Anna to Rin", new="Go"),
            "Rename Anna to Rin to Go",
            "Anna to Rin を Go に改名",
        ),
        (
            make_undo(make_operation("new-class", name="{old}")),
            "Undo: Create class {old}",
            "元に戻す: 新しいクラス {old}",
        ),
    ],
)
def test_step_text_keeps_names_literal(
    install_language: InstallLanguage,
    operation: Operation,
    english: str,
    translated: str,
) -> None:
    assert step_words(operation) == english
    install_language("ja")
    assert step_words(operation) == translated


def reasons_of_best_copies() -> list[tuple[KeepReason, ...]]:
    small = DuplicateSetMember(
        1,
        "a",
        40,
        40,
        1.0,
        0.1,
        "JPEG",
        "queue",
        None,
        True,
        None,
        licence=None,
        source=None,
    )
    large = small._replace(id=2, width=80, bytes_per_pixel=0.5)
    known = small._replace(
        id=3, format="PNG", status="labelled", licence="CC0", source="flickr"
    )
    drawbacks = {"bordered", "cropped", "marked", "framed"}
    return [
        explain_choice(large, [small], {1: drawbacks, 2: set()}),
        explain_choice(known, [large], {2: set(), 3: set()}),
        explain_choice(small, [large], {1: set(), 2: set()}),
        explain_choice(small, [small], {1: set()}),
        (KeepReason(Advantage.BY_PERSON),),
    ]


def test_reasons_of_best_copies_are_translated(
    install_language: InstallLanguage,
) -> None:
    reasons = reasons_of_best_copies()
    install_language("ja")
    assert not re.search("[A-Za-z]", "".join(map(reason_words, reasons)))
    install_language("en")
    assert [reason_words(reason) for reason in reasons] == [
        re.sub(r" \(.*?\)", "", describe_reasons(reason)).replace(", ", "  ·  ", 1)
        for reason in reasons
    ]
    assert {reason.advantage for reason in chain(*reasons)} == {*Advantage}


def test_every_operation_has_a_text() -> None:
    assert set(STEP_TEXTS) == set(TEXTS) - {NAMED}
    for kind, template in STEP_TEXTS.items():
        named_in_english = {
            "count" if name == "faces" else name for name in placeholders(TEXTS[kind])
        }
        assert set(placeholders(str(template))) == named_in_english


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{name} · {count} faces", "{name} · {count} face"),
        ("{count} faces were not shown yet", "{count} face was not shown yet"),
        ("{name} · 顔 {count} 枚", "{name} · 顔 {count} 枚"),
    ],
)
def test_count_of_one_uses_singular(text: str, expected: str) -> None:
    assert (singular(text, 1), singular(text, 2)) == (expected, text)


@pytest.mark.parametrize(
    "system_languages", [["zh-Hant-TW", "zh-TW", "zh"], ["zh_HK"], ["zh-Hant-TW", "en"]]
)
def test_traditional_chinese_falls_back_to_english(
    system_languages: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class System:
        def uiLanguages(self) -> list[str]:  # noqa: N802 - the name that Qt gives it
            return system_languages

    monkeypatch.setattr(translations.QLocale, "system", System)
    assert language_for(None) == "en"
    system_languages[:] = ["zh-Hans-CN", "zh-CN", "zh"]
    assert language_for(None) == "zh_CN"
    assert language_for("zh") == language_for("zh_SG") == "zh_CN"
    with pytest.raises(UsageError, match="zh_TW"):
        language_for("zh_TW")
