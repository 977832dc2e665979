"""What a step did, in the person's language. Others than the window tell it in English."""

from __future__ import annotations

from PySide6.QtCore import QT_TRANSLATE_NOOP, QCoreApplication

from gleanset.operations import UNDO, Operation

_TEMPLATES = {
    "label": QT_TRANSLATE_NOOP("Steps", "{count} faces to {label}"),
    "label-each": QT_TRANSLATE_NOOP("Steps", "{count} faces to {classes} classes"),
    "reject": QT_TRANSLATE_NOOP("Steps", "{count} faces to not a face"),
    "other": QT_TRANSLATE_NOOP("Steps", "{count} faces to other faces"),
    "later": QT_TRANSLATE_NOOP("Steps", "{count} faces to later"),
    "queue": QT_TRANSLATE_NOOP("Steps", "{count} faces to the queue"),
    "suggested": QT_TRANSLATE_NOOP("Steps", "{count} faces as suggested"),
    "confirm": QT_TRANSLATE_NOOP("Steps", "{count} faces confirmed"),
    "new-class": QT_TRANSLATE_NOOP("Steps", "New class {name}"),
    "rename-class": QT_TRANSLATE_NOOP("Steps", "Rename {old} to {new}"),
    "merge-class": QT_TRANSLATE_NOOP("Steps", "Merge {old} into {into}: {count} faces"),
    "draw-box": QT_TRANSLATE_NOOP("Steps", "1 box drawn"),
    "move-box": QT_TRANSLATE_NOOP("Steps", "1 box moved"),
    "remove-box": QT_TRANSLATE_NOOP("Steps", "1 box taken away"),
    "drop": QT_TRANSLATE_NOOP("Steps", "{count} dropped"),
    "drop-on-class": QT_TRANSLATE_NOOP("Steps", "{count} dropped on {label}"),
    "set-aside": QT_TRANSLATE_NOOP("Steps", "Set {count} duplicates aside"),
    "keep-all": QT_TRANSLATE_NOOP("Steps", "Keep all {count}: not the same"),
    "same": QT_TRANSLATE_NOOP("Steps", "{one} and {other} are the same"),
    "not-same": QT_TRANSLATE_NOOP("Steps", "{one} and {other} are not the same"),
    "label-by-command": QT_TRANSLATE_NOOP("Steps", "Label {count} as {label}"),
    "reject-by-command": QT_TRANSLATE_NOOP("Steps", "Reject {count}"),
    "accept-hints": QT_TRANSLATE_NOOP("Steps", "Accept {count} hints"),
    "take-back-hints": QT_TRANSLATE_NOOP("Steps", "Take back {count} disputed hints"),
    "import": QT_TRANSLATE_NOOP("Steps", "Import {count} from {folder}"),
    "import-moves": QT_TRANSLATE_NOOP("Steps", "Import: {count} moved in {folder}"),
    "add-boxes": QT_TRANSLATE_NOOP("Steps", "Add {count} by hand"),
    "remove-boxes": QT_TRANSLATE_NOOP("Steps", "Remove {count} by hand"),
    "take-in": QT_TRANSLATE_NOOP("Steps", "Merge of {dataset}: {count} decided"),
}


def step_words(operation: Operation) -> str:
    """What is shown of a step; its English text where there is no other."""
    if operation.kind == UNDO:
        return _translated("Undo: {what}").format(what=step_words(operation.undone()))
    template = str(_TEMPLATES.get(operation.kind, ""))
    told = _translated(template)
    if told == template:
        return operation.text()
    return told.format(**operation.arguments)


def _translated(text: str) -> str:
    return QCoreApplication.translate("Steps", text)
