"""Every text of the window is in every catalogue, with the same placeholders."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet, hint
from person import VIEW_NAMES, InstallLanguage, OpenWindow, settle
from PySide6.QtCore import QtMsgType, qInstallMessageHandler
from PySide6.QtWidgets import QApplication

import labeler.qt
from gleanset.db.duplicates import CHOSEN_BY_PERSON, DuplicateSetMember
from gleanset.errors import UsageError
from gleanset.operations import NAMED, TEXTS, Operation, make_operation, make_undo
from labeler.duplicates.duplicate_sets import explain_choice
from labeler.qt import translations
from labeler.qt.translations import STEP_TEXTS, WORDS, language_for, languages, singular, step_words
from labeler.qt.views.duplicates import reason_words

SOURCES = Path(labeler.qt.__file__).parent
# Functions, with the position of their text argument.
CALLS = {"tr": 0, "ViewKind": 1}
LANGUAGES = [language for language in languages() if language != "en"]


def translatable_texts() -> Iterator[str]:
    """Yield every literal that the window translates, and the texts of steps."""
    yield from STEP_TEXTS.values()
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            place = CALLS.get(name)
            if place is not None and len(node.args) > place:
                text = node.args[place]
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield text.value


def placeholders(text: str) -> list[str]:
    return sorted(re.findall(r"{(\w*)}", text))


def catalogue(language: str) -> dict[str, str]:
    return tomllib.loads((WORDS / f"{language}.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", LANGUAGES)
def test_catalogue_matches_sources(language: str) -> None:
    existing, expected = set(catalogue(language)), set(translatable_texts())
    assert len(expected) > 150
    assert {"missing": expected - existing, "left over": existing - expected} == {
        "missing": set(),
        "left over": set(),
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_placeholders_match(language: str) -> None:
    wrong = {
        text: result
        for text, result in catalogue(language).items()
        if placeholders(text) != placeholders(result) or not result.strip()
    }
    assert wrong == {}


def test_unknown_language_lists_languages() -> None:
    with pytest.raises(UsageError, match="en, ja, zh_CN"):
        language_for("tlh")


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
    assert window.status.sorted.text() == "60 中 0 を整理済み"
    assert "未整理" in window.view.title.text()
    for name in VIEW_NAMES:
        window.show_view(name)
        settle(window)
    window.sheet.toggle()
    QApplication.processEvents()
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
        (make_operation("later", count=1), "Skip 1 face", "1 枚をスキップ"),
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
    install_language: InstallLanguage, operation: Operation, english: str, translated: str
) -> None:
    assert step_words(operation) == operation.text() == english
    install_language("ja")
    assert step_words(operation) == translated


def test_reasons_of_best_copies_are_translated(install_language: InstallLanguage) -> None:
    small = DuplicateSetMember(
        1, "a", 40, 40, 1.0, 0.1, "JPEG", "queue", None, True, None, licence=None, source=None
    )
    large = small._replace(id=2, width=80, bytes_per_pixel=0.5)
    known = small._replace(id=3, format="PNG", status="labelled", licence="CC0", source="flickr")
    drawbacks = {"bordered", "cropped", "marked", "framed"}
    reasons = [
        explain_choice(large, [small], {1: drawbacks}),
        explain_choice(known, [large], {}),
        explain_choice(small, [small], {}),
        CHOSEN_BY_PERSON,
    ]
    install_language("ja")
    kept = r"80 x 40 vs\. 40 x 40|40 x 40 vs\. 80 x 40|PNG|CC0|flickr"
    for reason in reasons:
        assert not re.search("[A-Za-z]", re.sub(kept, "", reason_words(reason)))
    install_language("en")
    assert [reason_words(reason) for reason in reasons] == reasons
    assert len(", ".join(reasons).split(", ")) == 13


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
