"""A reference model of sorting in plain Python, and random gestures to compare with it."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gleanset import Dataset
from labeler.sorting.session import LATER, OTHER, QUEUE, REJECT, SortingSession

NAMES = ("Miku", "Mio", "涼宮ハルヒ")
PLACES = (REJECT, OTHER, LATER, QUEUE)


class Gesture(NamedTuple):
    """A gesture; `kind` is to, undo or redo, `target` as in `SortingSession.to`."""

    kind: str
    samples: tuple[int, ...] = ()
    target: str = ""


def random_gesture(dice: random.Random, samples: int) -> Gesture:
    kind = dice.choices(("to", "undo", "redo"), (6, 2, 2))[0]
    if kind != "to":
        return Gesture(kind)
    chosen = tuple(sorted(dice.sample(range(samples), dice.randint(1, samples))))
    return Gesture("to", chosen, dice.choice((*NAMES, *(f":{place}" for place in PLACES))))


@dataclass
class Book:
    """A model of where each sample is: a class, or `:place`."""

    state: dict[int, str]
    done: list[dict[int, str]] = field(default_factory=list)
    undone: list[dict[int, str]] = field(default_factory=list)

    def copy(self) -> Book:
        return Book(dict(self.state), list(self.done), list(self.undone))

    def play(self, gesture: Gesture) -> None:
        if gesture.kind == "to":
            self.done.append(dict(self.state))
            self.undone.clear()
            self.state |= dict.fromkeys(gesture.samples, gesture.target)
        elif gesture.kind == "undo" and self.done:
            self.undone.append(self.state)
            self.state = self.done.pop()
        elif gesture.kind == "redo" and self.undone:
            self.done.append(self.state)
            self.state = self.undone.pop()

    def may(self, gesture: Gesture) -> bool:
        """Return whether the gesture has anything to undo or redo."""
        return {"undo": bool(self.done), "redo": bool(self.undone)}.get(gesture.kind, True)


def ids_of(session: SortingSession, keys: Iterable[str]) -> list[int]:
    """Return the ids of samples, in the order of their keys."""
    return list(session.tiles.get_ids(keys).values())


def by_id(session: SortingSession, labels: Mapping[str, str]) -> dict[int, str]:
    """Return labels by sample id, given labels by sample key."""
    return {row: labels[key] for key, row in session.tiles.get_ids(labels).items()}


def carry_out(session: SortingSession, keys: list[str], gesture: Gesture) -> None:
    if gesture.kind == "to":
        session.to(ids_of(session, [keys[number] for number in gesture.samples]), gesture.target)
    else:
        (session.undo if gesture.kind == "undo" else session.redo)()


def found(dataset: Dataset, keys: list[str]) -> dict[int, str]:
    """Return where every sample is in the catalogue."""
    tiles = SortingSession(dataset).tiles
    rows = tiles.get_ids(keys)
    places = {
        ("queue", None): ":queue",
        ("queue", "later"): ":later",
        ("rejected", None): ":not a face",
        ("rejected", "other"): ":other",
    }
    shown = tiles.get_many(list(rows.values()))
    return {
        number: shown[rows[key]].label or places[shown[rows[key]].status, shown[rows[key]].mark]
        for number, key in enumerate(keys)
    }


def replayed(book: Book, dice: random.Random, done: int, samples: int) -> None:
    """Replay the first `done` gestures of a seed in the book."""
    for _ in range(done):
        book.play(next_gesture(dice, book, samples))


def next_gesture(dice: random.Random, book: Book, samples: int) -> Gesture:
    """Return the next possible random gesture, reproducible from the seed."""
    while not book.may(gesture := random_gesture(dice, samples)):
        pass
    return gesture
