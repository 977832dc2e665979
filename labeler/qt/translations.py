"""Languages of the window: English texts are in the source, translations in `words/*.toml`.

A catalogue maps English texts to translations; missing ones are shown in English. Texts of Qt
itself come from Qt's catalogues.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QObject, QTranslator
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QApplication

from gleanset.errors import UsageError
from gleanset.operations import NAMED, TEXTS, UNDO, Operation
from labeler.qt.session_worker import SessionWorker
from labeler.sorting.session import SortingProgress

WORDS = Path(__file__).with_name("words")
ENGLISH = "en"
LANGUAGE_NAMES = {"en": "English", "ja": "日本語", "zh_CN": "简体中文"}
_SCRIPTS = {
    "ja": (QFontDatabase.WritingSystem.Japanese,),
    "zh_CN": (QFontDatabase.WritingSystem.SimplifiedChinese,),
}
_CJK = (
    QFontDatabase.WritingSystem.Japanese,
    QFontDatabase.WritingSystem.SimplifiedChinese,
    QFontDatabase.WritingSystem.Korean,
)

STEP_TEXTS = {
    kind: text.replace("{faces}", "{count} faces") for kind, text in TEXTS.items() if kind != NAMED
}
"""Texts of steps as they are in the catalogues: with a number instead of "N faces"."""


class Words(QTranslator):
    """Translator with one catalogue."""

    def __init__(self, language: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        text = (WORDS / f"{language}.toml").read_text(encoding="utf-8")
        self._words: dict[str, str] = tomllib.loads(text)

    def isEmpty(self) -> bool:
        """Return whether the catalogue is empty: Qt ignores empty translators."""
        return not self._words

    def translate(
        self,
        context: str,
        sourceText: str,  # noqa: N803
        disambiguation: str | None = None,
        n: int = -1,
    ) -> str | None:
        """Return the translation, or None so that Qt asks its own catalogue."""
        return self._words.get(sourceText)


def languages() -> list[str]:
    """Return the available languages."""
    return [ENGLISH, *sorted(path.stem for path in WORDS.glob("*.toml"))]


def language_for(locale: str | None) -> str:
    """Return the catalogue of a locale such as `ja`, `zh` or `zh_CN.UTF-8`.

    None stands for the languages of the system. Raises `UsageError` for an unknown language.
    """
    names = [locale] if locale else QLocale.system().uiLanguages()
    excluded: set[str] = set()
    for name in names:
        tag = name.replace("-", "_").split(".")[0]
        code = tag.split("_")[0]
        for language in languages():
            if code != language.split("_")[0] or code in excluded:
                continue
            if QLocale(tag).script() == QLocale(language).script():
                return language
            excluded.add(code)  # another script; a system lists `zh` after `zh_TW`
    if locale:
        raise UsageError(f"unknown language: {locale!r}", f"choose one of {', '.join(languages())}")
    return ENGLISH


def install(application: QApplication, locale: str | None = None) -> str:
    """Install the translators of a language and return its name."""
    language = language_for(locale)
    for old in application.findChildren(QTranslator):
        application.removeTranslator(old)
        old.deleteLater()
    if language != ENGLISH:
        qt_translator = QTranslator(application)
        folder = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
        if qt_translator.load(f"qtbase_{language}", folder):
            application.installTranslator(qt_translator)
        application.installTranslator(Words(language, application))
    return language


def lacks_glyphs(language: str, names: list[str]) -> bool:
    """Return whether no font has the characters of a language or of class names."""
    scripts = _SCRIPTS.get(language, ())
    if any(0x2E80 <= ord(letter) <= 0xD7FF for name in names for letter in name):
        scripts = (*scripts, *_CJK)
        return not any(QFontDatabase.families(script) for script in scripts)
    return any(not QFontDatabase.families(script) for script in scripts)


def warn_of_missing_fonts(worker: SessionWorker, language: str) -> None:
    """Warn once if characters would be shown as boxes."""

    def check(progress: SortingProgress) -> None:
        if lacks_glyphs(language, [row.name for row in progress.counts.classes]):
            worker.progressed.disconnect(check)
            text = tr(
                "No font with Japanese or Chinese characters is installed: install "
                "one, such as fonts-noto-cjk"
            )
            worker.show_message(text, bad=True)

    worker.progressed.connect(check)


def tr(text: str) -> str:
    """Return the translation of a text, or the text itself."""
    return QCoreApplication.translate("", text)


def step_words(operation: Operation) -> str:
    """Return the translated description of a step."""
    if operation.kind == UNDO:
        return tr("Undo: {what}").format(what=step_words(operation.undone()))
    template = STEP_TEXTS.get(operation.kind, "")
    translated = tr(template)
    if translated == template:
        return operation.text()
    return translated.format(**operation.arguments)


_NOUN = re.compile(r"(\{\w+\} (?:new )?\w+)s\b( as they are| are| have| were| go)?\b")
_VERBS = {
    " are": " is",
    " have": " has",
    " were": " was",
    " go": " goes",
    " as they are": " as it is",
}


def singular(text: str, count: int) -> str:
    """Return the singular of an English text if `count` is 1: `{count} faces` -> `{count} face`.

    The other languages have only one form.
    """
    if count != 1:
        return text
    return _NOUN.sub(lambda match: match[1] + _VERBS.get(match[2] or "", ""), text, count=1)


def counted(text: str, count: int, **values: object) -> str:
    """Format a text with a count, in the singular or the plural."""
    return singular(text, count).format(count=f"{count:,}", **values)
