"""Which labels look doubtful, and in which order they are listed."""

from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, drawn_once
from sorting_model import by_id

from gleanset import Dataset
from gleanset.db.views import NO_FILTER
from labeler.review import (
    FIRST_DOUBTFUL,
    MAX_LEAD,
    confirm_labels,
    list_doubtful,
    load_review_page,
)
from labeler.sorting.session import SortingSession

FACES = 120


@pytest.fixture
def faces(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> FaceSet:
    return copied(drawn_once(tmp_path_factory, FACES), tmp_path / "faces")


def label_faces(session: SortingSession, labels: dict[str, str]) -> None:
    session.label_each(by_id(session, labels), "all")


@pytest.mark.parametrize("wrong_count", [1, 4])
def test_wrong_labels_are_listed_first(faces: FaceSet, wrong_count: int) -> None:
    names = faces.names
    wrong = list(faces.truth)[5 :: FACES // wrong_count][:wrong_count]
    labels = dict(faces.truth)
    for key in wrong:
        labels[key] = names[names.index(labels[key]) - 1]
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        label_faces(session, labels)
        items = list_doubtful(dataset)
        assert {item.id for item in items[:wrong_count]} == {
            *by_id(session, dict.fromkeys(wrong, ""))
        }

        # What the window shows first, by pairs of classes, is the same.
        page = load_review_page(dataset, "doubtful", NO_FILTER)
        first = {item.id for item in items[:FIRST_DOUBTFUL]}
        assert {*page.ids[:FIRST_DOUBTFUL]} == first
        assert sorted(page.ids) == sorted(item.id for item in items)
        assert sum(section.size for section in page.sections) == len(page.ids)


def test_contradicted_labels_come_before_close_ones(faces: FaceSet) -> None:
    """A class of one half of a person's faces looks like the other half."""
    labels = dict(faces.truth)
    twins = [key for key, name in labels.items() if name == faces.names[0]]
    labels |= dict.fromkeys(twins[::2], "twin")
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        label_faces(session, labels)
        items = list_doubtful(dataset)
        by_row = {row: key for key, row in session.tiles.get_ids(labels).items()}
        assert len(items) >= min(len(twins), FIRST_DOUBTFUL)
        assert {by_row[item.id] for item in items[:FIRST_DOUBTFUL]} <= {*twins}
        assert {item.other for item in items[:FIRST_DOUBTFUL]} == {
            "twin",
            faces.names[0],
        }
        # Two of equal probability have a half each; of a close call the other class has less.
        close = [
            item.value or 0 for item in items if (item.value or 0) < (1 - MAX_LEAD) / 2
        ]
        assert not close

        confirm_labels(session, {item.id: str(item.label) for item in items})
        left = list_doubtful(dataset)
        assert not {item.id for item in items} & {item.id for item in left}


def test_class_of_one_face_is_not_judged(faces: FaceSet) -> None:
    key = next(iter(faces.truth))
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        label_faces(session, faces.truth | {key: "somebody"})
        assert "somebody" not in {item.label for item in list_doubtful(dataset)}
