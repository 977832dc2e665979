"""Texts of the page exist in every language."""

from __future__ import annotations

import re

from webapp.page_files import PAGE

WORDS = (PAGE / "js" / "words.js").read_text(encoding="utf-8")
LANGUAGES = ("zh", "ja")


def translations(language: str) -> dict[str, str]:
    block = re.search(rf"^  {language}: \{{(.*?)^  \}},", WORDS, re.S | re.M)
    assert block is not None
    return dict(re.findall(r'"((?:[^"\\]|\\.)*)": "((?:[^"\\]|\\.)*)"', block.group(1)))


def used_texts() -> set[str]:
    result = set[str]()
    for path in [*PAGE.glob("*.html"), *(PAGE / "js").glob("*.js")]:
        text = path.read_text(encoding="utf-8")
        result |= set(re.findall(r'data-words="([^"]+)"', text))
        result |= set(re.findall(r'(?:words|translated)\(\s*"([^"]+)"', text))
    return result


def test_all_texts_are_translated() -> None:
    used = used_texts()
    for language in LANGUAGES:
        assert set(translations(language)) == used, language


def test_translations_have_same_placeholders() -> None:
    for language in LANGUAGES:
        for text, result in translations(language).items():
            names = re.findall(r"\{\w+\}", text)
            assert sorted(re.findall(r"\{\w+\}", result)) == sorted(names), text


def test_service_worker_caches_all_scripts() -> None:
    cached = set(re.findall(r'"(\w+)"', (PAGE / "sw.js").read_text(encoding="utf-8")))
    assert {path.stem for path in (PAGE / "js").glob("*.js")} - cached == {
        "api_page",
        "admin",
        "snippets",
    }
