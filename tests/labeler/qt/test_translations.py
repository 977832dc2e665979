"""Every text of the window is in every catalogue, with the same placeholders."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet
from person import Opened
from PySide6.QtWidgets import QApplication

import labeler.qt
from gleanset.errors import UsageError
from gleanset.operations import NAMED, TEXTS, Operation, make_operation, make_undo
from labeler.qt import translations
from labeler.qt.translations import (
    STEP_TEXTS,
    WORDS,
    install,
    lacks_glyphs,
    language_for,
    languages,
    singular,
    step_words,
)

SOURCES = Path(labeler.qt.__file__).parent
# The function, and which of its arguments is the text.
CALLS = {"tr": 0, "ViewKind": 1}
OTHERS = [language for language in languages() if language != "en"]


def texts() -> Iterator[str]:
    """Every literal that the window has translated, and the texts of steps."""
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


def names_in(text: str) -> list[str]:
    return sorted(re.findall(r"{(\w*)}", text))


def catalogue(language: str) -> dict[str, str]:
    return tomllib.loads((WORDS / f"{language}.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("language", OTHERS)
def test_nothing_is_missing_or_left_over(language: str) -> None:
    there, wanted = set(catalogue(language)), set(texts())
    assert len(wanted) > 150
    assert {"missing": wanted - there, "left over": there - wanted} == {
        "missing": set(),
        "left over": set(),
    }


@pytest.mark.parametrize("language", OTHERS)
def test_names_in_braces_agree(language: str) -> None:
    wrong = {
        text: result
        for text, result in catalogue(language).items()
        if names_in(text) != names_in(result) or not result.strip()
    }
    assert wrong == {}


def test_an_unknown_language_says_which_there_are() -> None:
    with pytest.raises(UsageError, match="en, ja, zh_CN"):
        language_for("tlh")


def test_the_window_speaks_japanese(
    application: QApplication, opened: Opened, few: FaceSet
) -> None:
    try:
        assert install(application, "ja") == "ja"
        window = opened(few.root)
        assert window.tabs.tabText(0) == "グリッド  F2"
        assert window.status.sorted.text() == "60 中 0 を整理済み"
        assert "未整理" in window.view.title.text()
    finally:
        install(application, "en")
    assert opened(few.root).tabs.tabText(0) == "Grid  F2"


def test_missing_letters_are_noticed(
    application: QApplication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translations.QFontDatabase, "families", lambda script: [])
    assert lacks_glyphs("ja", [])
    assert lacks_glyphs("en", ["涼宮"])
    assert not lacks_glyphs("en", ["Miku"])


@pytest.mark.parametrize(
    ("did", "english", "told"),
    [
        (
            make_operation("label", count=45, label="Miku"),
            "Label 45 faces as Miku",
            "45 枚に Miku のラベルを付ける",
        ),
        (make_operation("later", count=1), "Skip 1 face", "1 枚をスキップ"),
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
def test_names_in_a_step_are_never_read_out_of_its_sentence(
    application: QApplication, did: Operation, english: str, told: str
) -> None:
    assert step_words(did) == did.text() == english
    try:
        install(application, "ja")
        assert step_words(did) == told
    finally:
        install(application, "en")


def test_every_operation_has_words_in_every_language() -> None:
    assert set(STEP_TEXTS) == set(TEXTS) - {NAMED}
    for kind, template in STEP_TEXTS.items():
        named_in_english = {"count" if name == "faces" else name for name in names_in(TEXTS[kind])}
        assert set(names_in(str(template))) == named_in_english


@pytest.mark.parametrize(
    ("text", "of_one"),
    [
        ("{name} · {count} faces", "{name} · {count} face"),
        ("{count} faces were not shown yet", "{count} face was not shown yet"),
        ("{count} pictures as they are", "{count} picture as it is"),
        ("{name} · 顔 {count} 枚", "{name} · 顔 {count} 枚"),
    ],
)
def test_of_one_the_singular_is_said(text: str, of_one: str) -> None:
    assert (singular(text, 1), singular(text, 2)) == (of_one, text)


@pytest.mark.parametrize("spoken", [["zh-Hant-TW", "zh-TW", "zh"], ["zh_HK"], ["zh-Hant-TW", "en"]])
def test_no_simplified_letters_where_traditional_ones_are_read(
    spoken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class System:
        def uiLanguages(self) -> list[str]:  # noqa: N802 - the name that Qt gives it
            return spoken

    monkeypatch.setattr(translations.QLocale, "system", System)
    assert language_for(None) == "en"
    spoken[:] = ["zh-Hans-CN", "zh-CN", "zh"]
    assert language_for(None) == "zh_CN"
    assert language_for("zh") == language_for("zh_SG") == "zh_CN"
    with pytest.raises(UsageError, match="zh_TW"):
        language_for("zh_TW")
