"""The person's language: English is in the source, the others in `words/*.toml`.

A catalogue maps each English text to its translation, wherever it stands; what it lacks is shown
in English. Texts of Qt itself come from Qt's own catalogues.
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
"""The texts of steps as catalogues have them: with a number, whose noun is each language's own."""


class Words(QTranslator):
    """One catalogue."""

    def __init__(self, language: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        text = (WORDS / f"{language}.toml").read_text(encoding="utf-8")
        self._words: dict[str, str] = tomllib.loads(text)

    def isEmpty(self) -> bool:
        """Return False: Qt leaves empty translators out."""
        return not self._words

    def translate(
        self,
        context: str,
        sourceText: str,  # noqa: N803
        disambiguation: str | None = None,
        n: int = -1,
    ) -> str | None:
        """Return the translation of a text, or None: '' would be shown, and Qt's own not asked."""
        return self._words.get(sourceText)


def languages() -> list[str]:
    """Return the languages that can be chosen."""
    return [ENGLISH, *sorted(path.stem for path in WORDS.glob("*.toml"))]


def language_for(wanted: str | None) -> str:
    """Return the catalogue for a name such as `ja`, `zh` or `zh_CN.UTF-8`; without one the
    system's.

    Raises `UsageError` for a language that was asked for and is not there.
    """
    names = [wanted] if wanted else QLocale.system().uiLanguages()
    other_script: set[str] = set()
    for name in names:
        tidy = name.replace("-", "_").split(".")[0]
        spoken = tidy.split("_")[0]
        for language in languages():
            if spoken != language.split("_")[0] or spoken in other_script:
                continue
            if QLocale(tidy).script() == QLocale(language).script():
                return language
            other_script.add(spoken)  # a system names `zh` after `zh_TW`
    if wanted:
        raise UsageError(
            f"there is no language {wanted!r}", f"choose one of {', '.join(languages())}"
        )
    return ENGLISH


def install(application: QApplication, wanted: str | None = None) -> str:
    """Show everything in a language from now on; return which one it is."""
    language = language_for(wanted)
    for old in application.findChildren(QTranslator):
        application.removeTranslator(old)
        old.deleteLater()
    if language != ENGLISH:
        of_qt = QTranslator(application)
        folder = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
        if of_qt.load(f"qtbase_{language}", folder):
            application.installTranslator(of_qt)
        application.installTranslator(Words(language, application))
    return language


def lacks_letters(language: str, names: list[str]) -> bool:
    """Return whether no font can show the letters of a language, or of the names of classes."""
    scripts = _SCRIPTS.get(language, ())
    if any(0x2E80 <= ord(letter) <= 0xD7FF for name in names for letter in name):
        scripts = (*scripts, *_CJK)
        return not any(QFontDatabase.families(script) for script in scripts)
    return any(not QFontDatabase.families(script) for script in scripts)


def warn_of_missing_fonts(worker: SessionWorker, language: str) -> None:
    """Say, once, that letters will be shown as boxes, and what to do about it."""

    def check(progress: SortingProgress) -> None:
        if lacks_letters(language, [row.name for row in progress.counts.classes]):
            worker.progressed.disconnect(check)
            text = tr(
                "No font with Japanese or Chinese characters is installed: install "
                "one, such as fonts-noto-cjk"
            )
            worker.show_message(text, bad=True)

    worker.progressed.connect(check)


def tr(text: str) -> str:
    """Return a text in the person's language; the text itself where there is no other."""
    return QCoreApplication.translate("", text)


def step_words(operation: Operation) -> str:
    """Return what is shown of a step; its English text where there is no other."""
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
    """Return an English text as it is said of one: `{count} faces` becomes `{count} face`, with the
    verb behind it. Other languages here have one form.
    """
    if count != 1:
        return text
    return _NOUN.sub(lambda found: found[1] + _VERBS.get(found[2] or "", ""), text, count=1)


def counted(text: str, count: int, **values: object) -> str:
    """Return a text as it is said of so many, with the number and other values in it."""
    return singular(text, count).format(count=f"{count:,}", **values)
