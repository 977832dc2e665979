"""Duplicate sets and doubtful labels in the browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, drawn_once
from duplicate_images import COPIES, add_picture, drawing, encoded, search
from served_labeler import Server, running_labeler

from gleanset import Dataset
from labeler.sorting.session import SortingSession


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Make two duplicate sets."""
    with Dataset.create(tmp_path / "d") as dataset:
        for seed in (41, 42):
            add_picture(dataset, f"good {seed}", encoded(drawing(seed), 95))
            for kind in ("small", "grey"):
                image = COPIES[kind](drawing(seed))
                add_picture(dataset, f"{kind} {seed}", encoded(image, 80))
        search(dataset)
    return tmp_path / "d"


def count_duplicates(root: Path) -> int:
    with Dataset.open(root) as dataset:
        return SortingSession(dataset).tiles.get_counts().duplicates


def test_duplicates_are_settled(copies: Path) -> None:
    with running_labeler(copies) as server:
        client = server.client
        first = client.ask("/api/v1/duplicates").body
        assert (first["left"], len(first["faces"])) == (2, 3)
        other = client.ask("/api/v1/duplicates?skip=1").body
        assert other["id"] != first["id"]
        # Only what was shown last can be settled.
        stale = client.step(first, "settle", [0])
        assert (stale.status, stale.body["reason"]) == (409, "page gone")
        assert client.step(other, "settle", [9]).status == 409

        kept = other["faces"][1]["key"]
        assert client.step(other, "settle", [1]).status == 200
        assert count_duplicates(copies) == 2
        with Dataset.open(copies) as dataset:
            assert dataset[kept].record.kept
        assert client.undo().status == 200
        assert count_duplicates(copies) == 0

        again = client.ask("/api/v1/duplicates").body
        client.step(again, "settle")
        last = client.ask("/api/v1/duplicates").body
        client.step(last, "settle", [0])
        done = client.ask("/api/v1/duplicates").body
        assert (done["left"], done["faces"]) == (0, [])
        assert count_duplicates(copies) == 2


@pytest.fixture
def faces(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> FaceSet:
    return copied(drawn_once(tmp_path_factory, 120), tmp_path / "d")


@pytest.fixture
def mistaken(faces: FaceSet) -> Path:
    """Label all faces, the first two wrongly, as the character before theirs."""
    labels = dict(faces.truth)
    for key in [*labels][:2]:
        labels[key] = faces.names[faces.names.index(labels[key]) - 1]
    with Dataset.open(faces.root) as dataset:
        session = SortingSession(dataset)
        rows = session.tiles.get_ids(list(labels))
        session.label_each({rows[key]: name for key, name in labels.items()}, "all")
    return faces.root


@pytest.fixture
def server(mistaken: Path) -> Iterator[Server]:
    with running_labeler(mistaken) as server:
        yield server


def test_doubtful_labels_are_settled(
    server: Server, faces: FaceSet, mistaken: Path
) -> None:
    client = server.client
    key = next(iter(faces.truth))
    page = client.ask("/api/v1/review").body
    wrong = [face["key"] for face in page["faces"]].index(key)
    assert page["faces"][wrong]["other"] == faces.truth[key]
    settled = client.step(page, "settle", [wrong])
    assert settled.status == 200, settled
    second = client.ask("/api/v1/review").body
    keys = {face["key"] for face in second["faces"]}
    assert key not in keys
    everything = [*range(len(second["faces"]))]
    assert client.step(second, "confirm", everything).status == 200
    third = client.ask("/api/v1/review").body
    assert keys.isdisjoint(face["key"] for face in third["faces"])
    with Dataset.open(mistaken) as dataset:
        labels = {sample.key: sample.label for sample in dataset.samples.iterate()}
    assert [name for key, name in labels.items() if name != faces.truth[key]] == [
        faces.names[faces.names.index(faces.truth[[*faces.truth][1]]) - 1]
    ]
