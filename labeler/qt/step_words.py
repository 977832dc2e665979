"""Names of steps in the person's language. In the journal they are English, for every reader."""

from __future__ import annotations

import re

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

# The name as it is written, and what is shown of it; `{0}` is the first part in brackets.
_SHAPES = (
    (r"(\d+) faces? to (.+)", QT_TRANSLATE_NOOP("Steps", "{0} faces to {1}")),
    (r"New class (.+)", QT_TRANSLATE_NOOP("Steps", "New class {0}")),
    (r"Rename (.+) to (.+)", QT_TRANSLATE_NOOP("Steps", "Rename {0} to {1}")),
    (
        r"Merge (.+) into (.+): (\d+) faces?",
        QT_TRANSLATE_NOOP("Steps", "Merge {0} into {1}: {2} faces"),
    ),
    (r"Set (\d+) duplicates aside", QT_TRANSLATE_NOOP("Steps", "Set {0} duplicates aside")),
    (r"Keep all (\d+): not the same", QT_TRANSLATE_NOOP("Steps", "Keep all {0}: not the same")),
    (r"(\d+) faces? as suggested", QT_TRANSLATE_NOOP("Steps", "{0} faces as suggested")),
    (r"(\d+) faces? confirmed", QT_TRANSLATE_NOOP("Steps", "{0} faces confirmed")),
    (r"1 box drawn", QT_TRANSLATE_NOOP("Steps", "1 box drawn")),
    (r"1 box moved", QT_TRANSLATE_NOOP("Steps", "1 box moved")),
    (r"1 box taken away", QT_TRANSLATE_NOOP("Steps", "1 box taken away")),
)
_PLACES = (
    QT_TRANSLATE_NOOP("Steps", "not a face"), QT_TRANSLATE_NOOP("Steps", "other faces"),
    QT_TRANSLATE_NOOP("Steps", "later"), QT_TRANSLATE_NOOP("Steps", "the queue"),
)  # fmt: skip


def step_words(name: str) -> str:
    """What is shown of a step; the name itself in English, and where no shape fits."""
    for pattern, template in _SHAPES:
        match = re.fullmatch(pattern, name, re.DOTALL)
        told = _translated(str(template))
        if match and told != template:
            return told.format(*(_translated(p) if p in _PLACES else p for p in match.groups()))
    return name


def _translated(text: str) -> str:
    return QCoreApplication.translate("Steps", text)
