"""Stacks of look-alikes: what the newest presort put together, to be named at once."""

from __future__ import annotations

import hashlib
from itertools import groupby
from typing import NamedTuple

from gleanset.db.connection import Connection
from gleanset.db.sorting import WAITS
from gleanset.errors import UsageError

_LETTERS = 8


class LookAlikeStack(NamedTuple):
    """Look-alikes of which some are `waiting` for a person (keys, the most typical first).

    Its `id` tells all samples of it, decided or not: a stack of others has another one.
    """

    id: str
    waiting: tuple[str, ...]
    decided: int


def stacks(db: Connection) -> list[LookAlikeStack]:
    """Return the stacks in which something waits, the largest first."""
    return sorted(
        (one for one in _every(db) if one.waiting), key=lambda one: (-len(one.waiting), one.id)
    )


def stack_named(db: Connection, name: str) -> LookAlikeStack:
    """Return the stack of this id. Raises `UsageError` where there is none that waits."""
    stack = next((one for one in _every(db) if one.id == name), None)
    if stack is None:
        raise UsageError(
            f"there is no stack {name!r}: each presort makes them anew, of what is there then",
            "see those that there are: gleanset list stacks",
        )
    if not stack.waiting:
        raise UsageError(
            f"nothing waits in stack {name}: all {stack.decided} are decided, or put off",
            "see those that wait: gleanset list stacks; take the last step back: labeler undo",
        )
    return stack


def _every(db: Connection) -> list[LookAlikeStack]:
    rows = db.rows(
        f"SELECT t.cluster, s.key, {WAITS} AS waits FROM presorted t JOIN sample s ON "
        f"s.id=t.sample "
        "LEFT JOIN sorting_note m ON m.sample=s.id WHERE t.cluster IS NOT NULL "
        "ORDER BY t.cluster, t.outlier, s.key"
    )
    every_stack = []
    for _, some in groupby(rows, key=lambda row: int(row["cluster"])):
        members = list(some)
        told = "\n".join(sorted(str(row["key"]) for row in members))
        waiting = tuple(str(row["key"]) for row in members if row["waits"])
        name = hashlib.sha256(told.encode()).hexdigest()[:_LETTERS]
        every_stack.append(LookAlikeStack(name, waiting, len(members) - len(waiting)))
    return every_stack
