"""Duplicate sets and doubtful labels in the browser."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from drawn_faces import FaceSet, copied, drawn_once
from duplicate_images import COPIES, add_picture, drawing, encoded, search
from served_labeler import Client, Server, running_labeler

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
    return mislabel(faces, 2)


def mislabel(faces: FaceSet, number: int) -> Path:
    """Label all faces, the first ones wrongly, as the character before theirs."""
    labels = dict(faces.truth)
    for key in [*labels][:number]:
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


def test_page_of_another_device_is_refused_once_its_faces_are_others(
    faces: FaceSet,
) -> None:
    """Two devices of one person show doubtful labels, and one of them settles some."""
    root = mislabel(faces, 8)
    with running_labeler(root) as server:
        settle_on_two_devices(server.client, root, faces.names[0])


def settle_on_two_devices(client: Client, root: Path, name: str) -> None:
    on_phone = client.ask("/api/v1/review").body
    on_laptop = client.ask("/api/v1/review").body
    assert on_laptop["id"] == on_phone["id"]
    assert client.step(on_laptop, "confirm", [1]).status == 200
    on_laptop = client.ask("/api/v1/review").body
    # The first face is the same, the second one is another.
    assert on_laptop["faces"][0] == on_phone["faces"][0]
    assert on_laptop["faces"][1] != on_phone["faces"][1]
    stale = client.step(on_phone, "settle", [1], label=name)
    assert (stale.status, stale.body["reason"]) == (409, "page gone")
    with Dataset.open(root) as dataset:
        key = on_laptop["faces"][1]["key"]
        assert dataset[key].label == on_laptop["faces"][1]["label"]


def test_typed_names_of_doubtful_labels_mean_known_classes(
    faces: FaceSet,
) -> None:
    root = mislabel(faces, 8)
    with running_labeler(root) as server:
        settle_by_typed_names(server.client, root, faces.names)


def settle_by_typed_names(client: Client, root: Path, names: Sequence[str]) -> None:
    page = client.ask("/api/v1/review").body
    name = names[0]
    assert client.step(page, "settle", [0], label=f" {name.upper()} ").status == 200
    typo = client.step(page, "settle", [1], label=f"{names[1]}x")
    assert (typo.status, typo.body["suggestion"]) == (409, names[1])
    sure = client.step(page, "settle", [1], label=f"{names[1]}x", sure=True)
    assert sure.status == 200, sure
    assert client.step(page, "settle", [2], label=":not a face").status == 200
    with Dataset.open(root) as dataset:
        keys = [face["key"] for face in page["faces"]]
        assert [dataset[key].label for key in keys[:3]] == [
            name,
            f"{names[1]}x",
            None,
        ]
        assert len(dataset.classes.list_names()) == len(names) + 1
