"""Two people who decide about one face: `--double`, disagreements, and Cohen's kappa."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from served_labeler import (
    Client,
    Server,
    list_tiles,
    make_faces_once,
    running_labeler,
)
from test_labeler_people import invite

from gleanset import Dataset
from gleanset.db.journal import Choice, get_label_provenances
from gleanset.db.opinions import list_agreements
from gleanset.db.views import NO_FILTER
from labeler.review import list_doubtful, load_review_page
from labeler.sorting.session import SortingSession
from pipeline.cli import commands

FACES = 120
PEOPLE = 4


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make faces of four people."""
    return make_faces_once(tmp_path_factory, FACES, PEOPLE)


@pytest.fixture
def double_server(root: Path) -> Iterator[Server]:
    with running_labeler(root, "--double", "0.5") as server:
        yield server


def read_truth(root: Path) -> dict[str, str]:
    with Dataset.open(root) as dataset:
        keys = dataset.db.fetch_column("SELECT key FROM sample ORDER BY id")
    return {key: f"person {n % PEOPLE}" for n, key in enumerate(keys)}


def sort_all(client: Client, truth: dict[str, str]) -> list[str]:
    """Give each face that is shown its true class; return the keys in that order."""
    shown = []
    for _ in range(60):
        page = client.page()
        if page["kind"] == "done":
            return shown
        waiting = [tile for tile in list_tiles(page) if not tile["sent"]]
        shown += [tile["key"] for tile in waiting]
        for name in {truth[tile["key"]] for tile in waiting}:
            tiles = [tile["n"] for tile in waiting if truth[tile["key"]] == name]
            assert (
                client.step(page, "label", tiles, label=name, sure=True).status == 200
            )
        client.step(page, "accept")
    raise AssertionError("no end")


def read_labels(root: Path) -> dict[str, str | None]:
    with Dataset.open(root) as dataset:
        return {sample.key: sample.label for sample in dataset.samples.iterate()}


def test_a_share_of_faces_is_shown_to_a_second_person(
    double_server: Server, root: Path
) -> None:
    truth = read_truth(root)
    yuki, haru, sora = (
        invite(double_server, root, name) for name in ("Yuki", "Haru", "Sora")
    )
    assert sorted(sort_all(yuki, truth)) == sorted(truth)
    assert list_tiles(yuki.page()) == []

    # Haru sees no label of Yuki, and calls one face otherwise.
    page = haru.page()
    assert not any(tile["sent"] or tile["others"] for tile in list_tiles(page))
    doubtful = list_tiles(page)[0]["key"]
    again = sort_all(haru, truth | {doubtful: "somebody else"})
    assert 0.35 * FACES < len(again) < 0.65 * FACES
    assert max(Counter(again).values()) == 1
    assert list_tiles(sora.page()) == []
    assert haru.state()["labelled"] == FACES

    # The first label stays, and is that of Yuki.
    assert read_labels(root) == truth
    with Dataset.open(root) as dataset:
        assert "second" not in get_label_provenances(dataset.db).values()
        (agreement,) = list_agreements(dataset.db)
        assert (agreement.person, agreement.other) == ("Haru", "Yuki")
        assert agreement.faces == len(again)
        assert (agreement.kappa or 0) > 0.95

    # The share is the same after a restart, and what was decided stays so.
    double_server.kill()
    with running_labeler(root, "--double", "0.5") as server:
        for name in ("Yuki", "Haru"):
            assert list_tiles(invite(server, root, name).page()) == []

        review = server.client.ask("/api/v1/review").body
        face = review["faces"][0]
        assert (face["key"], face["other"]) == (doubtful, "somebody else")
        assert face["people"] == "Yuki → Haru"
        assert server.client.step(review, "settle", [0]).status == 200
        assert read_labels(root)[doubtful] == "somebody else"
        assert doubtful not in [
            face["key"] for face in server.client.ask("/api/v1/review").body["faces"]
        ]
        assert server.client.undo().status == 200
        assert server.client.ask("/api/v1/review").body["faces"][0]["key"] == doubtful


def test_second_person_undoes_and_rejects(double_server: Server, root: Path) -> None:
    truth = read_truth(root)
    yuki, haru = (invite(double_server, root, name) for name in ("Yuki", "Haru"))
    sort_all(yuki, truth)
    page = haru.page()
    first, second = [tile["n"] for tile in list_tiles(page)][:2]
    sent = haru.step(page, "place", [first], label="not a face").body
    tiles = {tile["n"]: tile for tile in list_tiles(sent["page"])}
    assert tiles[first]["sent"] == ":not a face"
    haru.step(page, "label", [second], label="somebody else", sure=True)
    assert haru.undo().status == 200
    tiles = {tile["n"]: tile for tile in list_tiles(haru.page())}
    assert (tiles[first]["sent"], tiles[second]["sent"]) == (":not a face", "")
    assert read_labels(root) == truth

    review = double_server.client.ask("/api/v1/review").body
    assert review["faces"][0]["other"] == ":not a face"
    settled = double_server.client.step(review, "settle", [0], label=":not a face")
    assert settled.status == 200
    review = double_server.client.ask("/api/v1/review").body
    assert not any(face["people"] for face in review["faces"])
    assert list(read_labels(root).values()).count(None) == 1
    # Yuki's own step can still be undone.
    assert yuki.undo().status == 200


@pytest.mark.parametrize("share", ["1.5", "-1", "x"])
def test_share_is_a_number_up_to_one(root: Path, share: str) -> None:
    from labeler.cli import commands as labeler_commands

    command = ["serve", "-d", str(root), "--double", share]
    assert CliRunner().invoke(labeler_commands, command).exit_code != 0


def decide(root: Path, name: str, labels: dict[str, str], provenance: str) -> int:
    with Dataset.open(root) as dataset:
        dataset.db.step_columns = {"person": name}
        choices = [
            Choice(key, "label", label, provenance) for key, label in labels.items()
        ]
        return dataset.journal.apply("Label", choices)


def show_status(root: Path, *options: str) -> str:
    result = CliRunner().invoke(commands, ["status", "-d", str(root), *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_kappa_is_that_of_cohen(root: Path) -> None:
    keys = [*read_truth(root)][:50]
    # Of 50 proposals, two readers accept 20 both and 15 neither (as on Wikipedia): .4.
    yuki = dict(zip(keys, 25 * ["yes"] + 25 * ["no"], strict=True))
    haru = dict(
        zip(keys, 20 * ["yes"] + 5 * ["no"] + 10 * ["yes"] + 15 * ["no"], strict=True)
    )
    decide(root, "Yuki", dict.fromkeys(keys, "typo"), "by hand")
    decide(root, "Yuki", yuki, "by hand")
    decide(root, "Haru", haru, "second")
    status: Any = json.loads(show_status(root, "--json"))
    assert status["disagreements"] == 15
    (agreement,) = status["agreements"]
    assert agreement == {"person": "Haru", "other": "Yuki", "faces": 50, "kappa": 0.4}
    assert "Cohen's kappa: 0.4, faces: 50" in show_status(root)


def test_undone_and_own_decisions_make_no_disagreements(root: Path) -> None:
    key = next(iter(read_truth(root)))
    decide(root, "Yuki", {key: "Miku"}, "by hand")
    decide(root, "Yuki", {key: "Rin"}, "by hand")
    with Dataset.open(root) as dataset:
        assert list_doubtful(dataset) == []
        step = decide(root, "Haru", {key: "Mei"}, "by hand")
        (item,) = list_doubtful(dataset)
        assert (item.label, item.other) == ("Mei", "Rin")
        (section,) = load_review_page(dataset, "doubtful", NO_FILTER).sections
        assert section.title == "Mei → Rin? Haru → Yuki"
        # The second person saw the label: that measures no agreement.
        assert list_agreements(dataset.db) == []

        dataset.journal.undo(step)
        assert list_doubtful(dataset) == []
        dataset.journal.undo(step + 1)
        assert len(list_doubtful(dataset)) == 1
        session = SortingSession(dataset)
        session.rename_class("Rin", "Mei")
        assert list_doubtful(dataset) == []
