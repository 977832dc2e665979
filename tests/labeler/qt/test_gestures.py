"""The number of gestures a scripted user needs to sort a dataset."""

from __future__ import annotations

from drawn_faces import FaceSet, hint, labels
from person import OpenWindow, Person, settle


def count_gestures(person: Person, faces: FaceSet) -> int:
    """Close the window, check all labels and return the number of gestures."""
    person.window.close()
    assert labels(faces.root) == faces.truth
    return person.gestures


def test_each_face_costs_one_gesture(person: Person, faces: FaceSet) -> None:
    for row in range(len(faces.truth)):
        move = person.drag if row % 2 else person.send
        move(row, person.true_class(row))
    settle(person.window)
    assert count_gestures(person, faces) == len(faces.truth)


def test_pages_stay_within_gesture_budget(open_window: OpenWindow, faces: FaceSet) -> None:
    hint(faces, 0.9)
    person = Person(open_window(faces.root, "pages"), faces)
    person.sort_pages()
    assert count_gestures(person, faces) <= 15
