"""Operations of the journal: the kind of a step and its arguments, from which texts are made.

Texts are never parsed: a class may be called "A to B" or "later".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

NAMED, UNDO = "named", "undo"
REMOVAL = "take-down"
"""The operation that cannot be undone: the images were removed."""
AUTOMATIC = "take-back-hints"
"""An operation that a stage performs by itself: undo of the last step skips it."""

# Texts for people. `{faces}` is `count` with its noun.
TEXTS = {
    NAMED: "{name}",
    "label": "{faces} to {label}",
    "label-each": "{faces} to {classes} classes",
    "reject": "{faces} to not a face",
    "other": "{faces} to other faces",
    "later": "{faces} to later",
    "queue": "{faces} to the queue",
    "suggested": "{faces} as suggested",
    "confirm": "{faces} confirmed",
    # Written by earlier versions only: the history of a dataset may name them.
    "not-of-class": "{faces} not of {label}",
    "same-person": "{faces} of one person",
    "other-person": "{faces} of another person than {others}",
    "new-class": "New class {name}",
    "rename-class": "Rename {old} to {new}",
    "class-show": "{name} is of {show}",
    "class-no-show": "{name} is of no show",
    "merge-class": "Merge {old} into {into}: {faces}",
    "delete-class": "Delete class {name}: {faces} back to the queue",
    "add-alias": "{alias} also means {name}",
    "remove-alias": "{alias} does not mean {name} any more",
    "import-classes": "Import {count} classes",
    "draw-box": "1 box drawn",
    "move-box": "1 box moved",
    "remove-box": "1 box taken away",
    # Written by earlier versions only.
    "drop": "{count} dropped",
    "drop-on-class": "{count} dropped on {label}",
    "set-aside": "Set {count} duplicates aside",
    "keep-all": "Keep all {count}: not the same",
    "take-back-copies": "Take {count} back that were set aside",
    "same": "{one} and {other} are the same",
    "not-same": "{one} and {other} are not the same",
    "label-by-command": "Label {count} as {label}",
    "reject-by-command": "Reject {count}",
    "accept-hints": "Accept {count} hints",
    "accept-proposals": "Accept {count} proposals",
    AUTOMATIC: "Take back {count} disputed hints",
    "import": "Import {count} from {folder}",
    "import-moves": "Import: {count} moved in {folder}",
    "add-boxes": "Add {count} by hand",
    "remove-boxes": "Remove {count} by hand",
    "accept-reports": "Accept {count} reports from the web",
    "refuse-reports": "Refuse {count} reports from the web",
    # Written by earlier versions only.
    REMOVAL: "Take {count} pictures down",
    "refuse-take-downs": "Refuse {count} requests to take a picture down",
    "restore-begun": "Restore snapshot {name}, not ended",
    "restore": "Restore snapshot {name}: {count} changed",
    "take-in": "Merge of {dataset}: {count} decided",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation: `kind` is a key of `TEXTS`, or `undo` with the undone operation as `of`."""

    kind: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """Return a description in English."""
        if self.kind == UNDO:
            return f"Undo: {self.undone().text()}"
        if self.kind not in TEXTS:  # written by a newer Gleanset
            return " ".join([self.kind, *map(str, self.arguments.values())])
        count = self.arguments.get("count", 0)
        return TEXTS[self.kind].format(faces=format_faces(count), **self.arguments)

    def undone(self) -> Operation:
        """Return the operation that this undo reverts."""
        return Operation(**self.arguments["of"])

    def first(self) -> Operation:
        """Return the original operation behind any chain of undos."""
        return self.undone().first() if self.kind == UNDO else self


def make_operation(kind: str, **arguments: str | int) -> Operation:
    """Return an operation with the arguments of its text in `TEXTS`."""
    return Operation(kind, arguments)


def make_named_operation(name: str) -> Operation:
    """Return an operation of which only the name is known."""
    return Operation(NAMED, {"name": name})


def make_undo(undone: Operation) -> Operation:
    """Return the undo of an operation."""
    return Operation(UNDO, {"of": {"kind": undone.kind, "arguments": undone.arguments}})


def format_faces(count: int) -> str:
    """Format a number of faces: '1 face', '45 faces'."""
    return f"{count} face{'s' if count != 1 else ''}"
