"""The person's language: English is in the source, the others in `words/*.toml`.

A catalogue maps each English text to its translation, wherever it stands; what it lacks is shown
in English. Texts of Qt itself come from Qt's own catalogues.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from PySide6.QtCore import QLibraryInfo, QLocale, QObject, QTranslator
from PySide6.QtGui import QFontDatabase
from PySide6.QtWidgets import QApplication

from gleanset.errors import UsageError

WORDS = Path(__file__).with_name("words")
ENGLISH = "en"
_SCRIPTS = {
    "ja": (QFontDatabase.WritingSystem.Japanese,),
    "zh_CN": (QFontDatabase.WritingSystem.SimplifiedChinese,),
}
_CJK = (
    QFontDatabase.WritingSystem.Japanese,
    QFontDatabase.WritingSystem.SimplifiedChinese,
    QFontDatabase.WritingSystem.Korean,
)


class Words(QTranslator):
    """One catalogue."""

    def __init__(self, language: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        text = (WORDS / f"{language}.toml").read_text(encoding="utf-8")
        self._words: dict[str, str] = tomllib.loads(text)

    def isEmpty(self) -> bool:
        """Qt leaves empty translators out."""
        return not self._words

    def translate(
        self,
        context: str,
        sourceText: str,  # noqa: N803
        disambiguation: str | None = None,
        n: int = -1,
    ) -> str:
        """The translation of a text, '' where there is none: Qt then shows the text itself."""
        return self._words.get(sourceText, "")


def languages() -> list[str]:
    """The languages that can be chosen."""
    return [ENGLISH, *sorted(path.stem for path in WORDS.glob("*.toml"))]


def language_for(wanted: str | None) -> str:
    """The catalogue for a name such as `ja`, `zh` or `zh_CN.UTF-8`; without one the system's.

    Raises `UsageError` for a language that was asked for and is not there.
    """
    names = [wanted] if wanted else QLocale.system().uiLanguages()
    for name in names:
        tidy = name.replace("-", "_").split(".")[0]
        for language in languages():
            if tidy == language or tidy.split("_")[0] == language.split("_")[0]:
                return language
    if wanted:
        raise UsageError(
            f"there is no language {wanted!r}", f"choose one of {', '.join(languages())}"
        )
    return ENGLISH


def install(application: QApplication, wanted: str | None = None) -> str:
    """Show everything in a language from now on; which one it is."""
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
    """Whether no font can show the letters of a language, or of the names of classes."""
    scripts = _SCRIPTS.get(language, ())
    if any(0x2E80 <= ord(letter) <= 0xD7FF for name in names for letter in name):
        scripts = (*scripts, *_CJK)
        return not any(QFontDatabase.families(script) for script in scripts)
    return any(not QFontDatabase.families(script) for script in scripts)
