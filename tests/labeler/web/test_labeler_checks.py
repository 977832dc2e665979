"""Duplicate sets and doubtful labels in the browser."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from duplicate_images import COPIES, add_picture, drawing, encoded, search
from served_labeler import Server, make_faces_once, running_labeler

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


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_faces_once(tmp_path_factory, 96, 4)


@pytest.fixture
def mistaken(original: Path, tmp_path: Path) -> Path:
    """Label all faces, the first two wrongly."""
    root = Path(shutil.copytree(original, tmp_path / "d"))
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        rows = dataset.db.fetch_column("SELECT id FROM sample ORDER BY id")
        for person in range(4):
            session.decide(rows[person::4], f"person {person}")
        session.decide([rows[0]], "person 1")
        session.decide([rows[1]], "person 2")
    return root


@pytest.fixture
def server(mistaken: Path) -> Iterator[Server]:
    with running_labeler(mistaken) as server:
        yield server


def test_doubtful_labels_are_settled(server: Server, mistaken: Path) -> None:
    client = server.client
    page = client.ask("/api/v1/review").body
    labels = [face["label"] for face in page["faces"]]
    wrong = labels.index("person 1")
    assert page["faces"][wrong]["other"] == "person 0"
    settled = client.step(page, "settle", [wrong])
    assert settled.status == 200, settled
    second = client.ask("/api/v1/review").body
    keys = {face["key"] for face in second["faces"]}
    assert page["faces"][wrong]["key"] not in keys
    everything = [*range(len(second["faces"]))]
    assert client.step(second, "confirm", everything).status == 200
    third = client.ask("/api/v1/review").body
    assert keys.isdisjoint(face["key"] for face in third["faces"])
    with Dataset.open(mistaken) as dataset:
        counts = Counter(sample.label for sample in dataset.samples.iterate())
    assert (counts["person 0"], counts["person 1"]) == (24, 23)
