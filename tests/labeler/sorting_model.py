"""A reference model of sorting in plain Python, and random gestures to compare with it."""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gleanset import Dataset
from labeler.sorting.session import Place, SortingSession

NAMES = ("Miku", "Mio", "涼宮ハルヒ")
TARGETS = (*NAMES, *(place.target for place in Place))


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
    return Gesture("to", chosen, dice.choice(TARGETS))


@dataclass
class SortingModel:
    """Where each sample is: a class, or `:place`; `played` counts the gestures."""

    state: dict[int, str]
    undo_stack: list[dict[int, str]] = field(default_factory=list)
    redo_stack: list[dict[int, str]] = field(default_factory=list)
    played: int = 0

    def play(self, gesture: Gesture) -> None:
        self.played += 1
        after = self.state | dict.fromkeys(gesture.samples, gesture.target)
        if gesture.kind == "to" and after != self.state:
            self.undo_stack.append(self.state)
            self.redo_stack.clear()
            self.state = after
        elif gesture.kind == "undo" and self.undo_stack:
            self.redo_stack.append(self.state)
            self.state = self.undo_stack.pop()
        elif gesture.kind == "redo" and self.redo_stack:
            self.undo_stack.append(self.state)
            self.state = self.redo_stack.pop()

    def can_play(self, gesture: Gesture) -> bool:
        """Return whether the gesture has anything to undo or redo."""
        stacks = {"undo": self.undo_stack, "redo": self.redo_stack}
        return gesture.kind not in stacks or bool(stacks[gesture.kind])

    def next_gesture(self, dice: random.Random) -> Gesture:
        """Return the next random gesture that makes a step, reproducible from the seed."""
        while True:
            gesture = random_gesture(dice, len(self.state))
            is_new = any(self.state[n] != gesture.target for n in gesture.samples)
            if self.can_play(gesture) and (is_new or not gesture.samples):
                return gesture

    def replay(self, dice: random.Random, gestures: int) -> None:
        """Play the next gestures of a seed."""
        for _ in range(gestures):
            self.play(self.next_gesture(dice))


def ids_of(session: SortingSession, keys: Iterable[str]) -> list[int]:
    """Return the ids of samples, in the order of their keys."""
    return list(session.tiles.get_ids(keys).values())


def by_id(session: SortingSession, labels: Mapping[str, str]) -> dict[int, str]:
    """Return labels by sample id, given labels by sample key."""
    return {row: labels[key] for key, row in session.tiles.get_ids(labels).items()}


def carry_out(session: SortingSession, keys: list[str], gesture: Gesture) -> None:
    if gesture.kind == "to":
        session.decide(
            ids_of(session, [keys[number] for number in gesture.samples]),
            gesture.target,
        )
    else:
        (session.undo if gesture.kind == "undo" else session.redo)()


def read_state(dataset: Dataset, keys: list[str]) -> dict[int, str]:
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
        number: shown[rows[key]].label
        or places[shown[rows[key]].status, shown[rows[key]].mark]
        for number, key in enumerate(keys)
    }
