"""How many gestures sorting takes, by a scripted user in the real window."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet, hint, labels
from person import Opened, Person


def finish(person: Person, faces: FaceSet) -> int:
    """Close the window where every label is right; return the gestures that it took."""
    person.window.close()
    assert labels(faces.root) == faces.truth
    return sum(person.gestures.values())


@pytest.mark.parametrize("how", ["drag", "send"])
def test_one_by_one_costs_a_gesture_each(person: Person, few: FaceSet, how: str) -> None:
    person.one_by_one(how)
    assert dict(person.gestures) == {how: len(few.truth)}
    assert finish(person, few) == len(few.truth)


@pytest.mark.parametrize(("right", "budget"), [(0.9, 15), (0.97, 9)])
def test_pages_of_a_small_set(opened: Opened, few: FaceSet, right: float, budget: int) -> None:
    hint(few, right)
    person = Person(opened(few.root, "pages"), few)
    person.sort_pages()
    assert finish(person, few) <= budget
