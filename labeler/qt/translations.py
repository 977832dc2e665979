"""Languages of the window: English texts are in the source, translations in `words/*.toml`.

A catalogue maps English texts to translations; missing ones are shown in English. Texts of Qt
itself come from Qt's catalogues. All texts say "face"; `Words` replaces it where samples are whole
images.
"""

import re
import tomllib
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QLibraryInfo, QLocale, QObject, QTranslator
from PySide6.QtWidgets import QApplication

from gleanset.errors import UsageError
from gleanset.operations import NAMED, TEXTS, UNDO, Operation
from labeler.sorting.session import Place, StepKind

WORDS = Path(__file__).with_name("words")
IMAGE_WORDS = Path(__file__).with_name("whole_images.toml")
ENGLISH = "en"
LANGUAGE_NAMES = {"en": "English", "ja": "日本語", "zh_CN": "简体中文"}
ABOUT_DETECTION = re.compile("[Dd]etect|Whole images|followed|appears")
"""Texts that are about faces also where samples are whole images."""

STEP_TEXTS = {
    kind: text.replace("{faces}", "{count} faces")
    for kind, text in TEXTS.items()
    if kind != NAMED
}
"""Texts of steps as they are in the catalogues: with a number instead of "N faces"."""

SPLIT_TEXTS = (
    "far from the ratio: {sizes} of {count} images, because {reason}",
    "earlier splits are kept",
    "the classes have too few images",
    "labels that no person has reviewed stay in train",
    "near duplicates and scenes stay together in {number} groups, the largest of {count} images",
    "{label}: nothing in {split}",
    "fewer than {count} test images per class: their accuracy is uncertain",
    "and {count} more",
)
"""Texts of warnings in the result of `labeler split`."""


class Words(QTranslator):
    """Translator with one catalogue, of faces or, after `call_images`, of images."""

    are_images = False
    """Whether the samples of the dataset are whole images."""

    def __init__(self, language: str, parent: QObject | None):
        super().__init__(parent)
        catalogue = WORDS / f"{language}.toml"
        image_words = IMAGE_WORDS.read_text(encoding="utf-8")
        self._words: dict[str, str] = tomllib.loads(
            catalogue.read_text(encoding="utf-8")
        )
        self._image_words: dict[str, str] = tomllib.loads(image_words)[language]

    @classmethod
    def call_images(cls, whole_images: bool) -> None:
        """Say "image" instead of "face" in all texts from now on."""
        cls.are_images = whole_images

    def isEmpty(self) -> bool:
        """Return False: Qt ignores empty translators."""
        return False

    def translate(
        self,
        context: str,
        sourceText: str,  # noqa: N803
        disambiguation: str | None = None,
        n: int = -1,
    ) -> str | None:
        """Return the translation, or None so that Qt asks its own catalogue.

        Only `sourceText` matters: a text has one translation in every context.
        """
        translated = self._words.get(sourceText)
        if not self.are_images or ABOUT_DETECTION.search(sourceText):
            return translated
        text = sourceText if translated is None else translated
        for word, other in self._image_words.items():
            text = text.replace(word, other)
        # An English text without any of these words has no translation here: None.
        return translated if text == sourceText else text


def language_for(locale: str | None) -> str:
    """Return the catalogue of a locale such as `ja`, `zh` or `zh_CN.UTF-8`.

    None stands for the first language of the system. Raises `UsageError` for an unknown language.
    """
    name = locale or [*QLocale.system().uiLanguages(), ENGLISH][0]
    tag = name.replace("-", "_").split(".")[0]
    for language in LANGUAGE_NAMES:
        is_same = tag.split("_")[0] == language.split("_")[0]
        if is_same and QLocale(tag).script() == QLocale(language).script():
            return language

    if locale:
        names = ", ".join(LANGUAGE_NAMES)
        raise UsageError(
            f"unknown language: {locale!r}",
            f"choose one of {names}",
        )
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


def tr(text: str, /, **values: object) -> str:
    """Return the translation of a text, or the text itself, with values for its names in braces.

    A whole number `count` chooses between singular and plural.
    """
    translated = QCoreApplication.translate("", text)
    if not values:
        return translated

    count = values.get("count")
    if isinstance(count, int):
        translated = singular(translated, count)
        values["count"] = f"{count:,}"
    return translated.format(**values)


def target_name(target: str) -> str:
    """Return the name of a place such as `later`, or the class itself."""
    return _place_texts().get(target.removeprefix(":"), (target,))[0]


def describe_target(target: str) -> str:
    """Return what a place is for, or the class itself."""
    return _place_texts().get(target.removeprefix(":"), (target,))[-1]


def _place_texts() -> dict[str, tuple[str, ...]]:
    rejected = (
        tr("Not a face"),
        tr("Something else, such as a hand or a wheel. Left out of exports."),
    )

    return {
        Place.QUEUE: (
            tr("Not sorted yet"),
            tr("Without a name yet. They come on the next pages."),
        ),
        Place.LATER: (
            tr("Not sure"),
            tr("For later, such as a face in the dark. A click here shows them again."),
        ),
        Place.OTHER: (
            tr("Nobody I collect"),
            tr(
                "Somebody you do not collect, such as a passer-by. Left out of exports."
            ),
        ),
        Place.REJECT: rejected,
        "rejected": rejected,  # the status of samples in that place
    }


def step_words(operation: Operation) -> str:
    """Return the translated description of a step."""
    if operation.kind == UNDO:
        return tr("Undo: {what}", what=step_words(operation.undone()))
    template = STEP_TEXTS.get(operation.kind, "")
    translated = tr(template)
    # The words of the operation itself, which call a sample a face: the window may translate them.
    if translated == template:
        return tr(operation.text("face"))
    return singular(translated, operation.arguments.get("count", 0)).format(
        **operation.arguments
    )


def report_change(what: str, kind: StepKind) -> str:
    """Return what was done, undone or redone."""
    texts = {
        StepKind.STEP: what,
        StepKind.UNDO: tr("Undone: {what}", what=what),
        StepKind.REDO: tr("Redone: {what}", what=what),
    }
    return texts[kind]


def translate_split_warning(line: str) -> str:
    """Return the translation of a warning of `labeler split`, or the line itself.

    The values in a warning can be words of another text. The line has "1 image" for "1 images".
    """
    for text in SPLIT_TEXTS:
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(text))
        if match := re.fullmatch(re.sub("(image|group)s", r"\1s?", pattern), line):
            values = {
                name: translate_split_warning(value)
                for name, value in match.groupdict().items()
            }
            return line if tr(text) == text else tr(text, **values)
    return line


_NOUN = re.compile(
    r"(\{\w+\} (?:new |labelled )?\w+)s\b( are| have| were| go| look)?\b"
)
_VERBS = {
    " are": " is",
    " have": " has",
    " were": " was",
    " go": " goes",
    " look": " looks",
}


def singular(text: str, count: int) -> str:
    """Return the singular of an English text if `count` is 1: `{count} faces` -> `{count} face`.

    The other languages have only one form.
    """
    if count != 1:
        return text
    return _NOUN.sub(
        lambda match: match[1] + _VERBS.get(match[2] or "", ""), text, count=1
    )
