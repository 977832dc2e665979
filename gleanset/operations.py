"""Operations of the journal: the kind of a step and its arguments, from which texts are made.

Texts are never parsed: a class may be called "A to B" or "later".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NAMED = "named"
UNDO = "undo"
AUTOMATIC = "take-back-hints"
"""An operation that a stage performs by itself: undo of the last step skips it."""

# Texts for people. `{faces}` is `count` with a noun: samples, or in the window faces or images.
TEXTS = {
    NAMED: "{name}",
    "label": "Label {faces} as {label}",
    "label-each": "Label {faces} as {classes} classes",
    "exclude": "Exclude {faces} from suggestions",
    "reject": "Mark {faces} as not a face",
    "other": "Mark {faces} as unlisted person",
    "later": "Mark {faces} as not sure",
    "queue": "Mark {faces} as not sorted yet",
    "suggested": "Accept suggestions for {faces}",
    "confirm": "Confirm {faces}",
    "new-class": "Create class {name}",
    "rename-class": "Rename {old} to {new}",
    "merge-class": "Merge {old} into {into}: {faces}",
    "delete-class": "Delete class {name}: {faces} no longer sorted",
    "add-alias": "Add alias {alias} of {name}",
    "remove-alias": "Delete alias {alias} of {name}",
    "draw-box": "Draw 1 box",
    "move-box": "Move 1 box",
    "remove-box": "Delete 1 box",
    "set-aside": "Mark {count} as duplicates",
    "keep-all": "Not duplicates: {count} images",
    "take-back-copies": "Restore {count} duplicates",
    "same": "Mark {one} and {other} as duplicates",
    "not-same": "Mark {one} and {other} as different",
    "label-by-command": "Label {count} as {label}",
    "reject-by-command": "Reject {count}",
    "accept-hints": "Accept {count} weak labels",
    "accept-proposals": "Accept {count} predictions",
    AUTOMATIC: "Withdraw {count} disputed weak labels",
    "import": "Import {count} from {folder}",
    "import-moves": "Import {count} changed files from {folder}",
    "accept-reports": "Accept {count} web reports",
    "refuse-reports": "Refuse {count} web reports",
    "restore": "Restore snapshot {name}: {count} changed",
    "take-in": "Merge {dataset}: {count} decisions",
}

_NOUNS = "decision duplicate file image label prediction report"
_SINGULAR = {f"{noun}s": noun for noun in _NOUNS.split()} | {"classes": "class"}


@dataclass(frozen=True)
class Operation:
    """An operation: `kind` is a key of `TEXTS`, or `undo` with the undone operation as `of`."""

    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def text(self, noun: str = "sample") -> str:
        """Return a description in English."""
        if self.kind == UNDO:
            return f"Undo: {self.undone().text(noun)}"
        if self.kind not in TEXTS:  # written by another version of Gleanset
            return " ".join([self.kind, *map(str, self.arguments.values())])

        count = self.arguments.get("count", 0)
        words = TEXTS[self.kind].split(" ")
        if count == 1:
            words = [_SINGULAR.get(word, word) for word in words]
        faces = f"{count} {noun}{'s' if count != 1 else ''}"
        return " ".join(words).format(faces=faces, **self.arguments)

    def undone(self) -> Operation:
        """Return the operation that this undo reverts."""
        return Operation(**self.arguments["of"])

    def first(self) -> Operation:
        """Return the original operation behind any chain of undos."""
        return self.undone().first() if self.kind == UNDO else self


def make_operation(kind: str, **arguments: str | int) -> Operation:
    """Return an operation with the arguments of its text in `TEXTS`; `NAMED` has only a name."""
    return Operation(kind, arguments)


def make_undo(undone: Operation) -> Operation:
    """Return the undo of an operation."""
    return Operation(
        UNDO,
        {"of": {"kind": undone.kind, "arguments": undone.arguments}},
    )
