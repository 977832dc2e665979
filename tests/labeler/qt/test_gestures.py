"""The number of gestures a scripted user needs to sort a dataset."""

from __future__ import annotations

import pytest
from drawn_faces import FaceSet, hint, labels
from person import OpenWindow, Person


def count_gestures(person: Person, faces: FaceSet) -> int:
    """Close the window, check all labels and return the number of gestures."""
    person.window.close()
    assert labels(faces.root) == faces.truth
    return person.gestures


@pytest.mark.parametrize("how", ["drag", "send"])
def test_each_face_costs_one_gesture(person: Person, faces: FaceSet, how: str) -> None:
    person.sort_grid(how)
    assert count_gestures(person, faces) == len(faces.truth)


def test_pages_stay_within_gesture_budget(open_window: OpenWindow, faces: FaceSet) -> None:
    hint(faces, 0.9)
    person = Person(open_window(faces.root, "pages"), faces)
    person.sort_pages()
    assert count_gestures(person, faces) <= 15
