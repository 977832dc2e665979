"""`labeler serve` over HTTP: pages and steps of one person, and what survives."""

import time
import uuid
from pathlib import Path

import pytest
from served_labeler import (
    Client,
    Server,
    fork_server,
    list_tiles,
    make_faces_once,
    running_labeler,
)

from gleanset import Dataset
from labeler.sorting.session import SortingSession

FACES = 96
PEOPLE = 4


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make faces of four people."""
    return make_faces_once(tmp_path_factory, FACES, PEOPLE)


@pytest.fixture
def client(server: Server) -> Client:
    return server.client


def name_all(client: Client) -> None:
    """Name cards and accept suggestions until nothing waits."""
    page = client.page()
    while page["kind"] != "done":
        for card in page["cards"]:
            if page["kind"] == "clusters":
                tiles = [tile["n"] for tile in card["tiles"]]
                named = client.step(page, "label", tiles, label=who(card["tiles"][0]))
                assert named.status == 200, named.body
        page = client.accept(page)


def who(tile: dict[str, str]) -> str:
    return tile["key"][:6]


def test_faces_are_sorted_from_nothing(client: Client, root: Path) -> None:
    page = client.page()
    assert page["kind"] == "clusters"
    assert all(not card["name"] for card in page["cards"])
    name_all(client)
    state = client.state()
    assert (state["places"]["queue"], state["labelled"], state["total"]) == (
        0,
        FACES,
        FACES,
    )
    assert [row["key"] for row in state["classes"]][:2] == ["1", "2"]
    assert all(row["portraits"] for row in state["classes"])
    with Dataset.open(root) as dataset:
        assert {decision.by for decision in dataset.journal.iterate()} == {
            state["person"]
        }


def test_undo_shows_page_again(client: Client) -> None:
    page = client.page()
    tiles = [tile["n"] for tile in page["cards"][0]["tiles"]]
    named = client.step(page, "label", tiles, label="Miku").body
    assert [tile["sent"] for tile in named["page"]["cards"][0]["tiles"]] == [
        "Miku" for _ in tiles
    ]
    assert named["state"]["undo"]["text"] == f"Label {len(tiles)} faces as Miku"
    following = client.accept(page)
    assert following["id"] != page["id"]

    undone = client.undo().body
    assert undone["page"]["id"] == page["id"]
    assert not any(tile["sent"] for tile in list_tiles(undone["page"]))
    redone = client.undo("redo").body
    assert redone["page"]["cards"][0]["name"] == "Miku"
    assert client.state()["labelled"] == len(tiles)


def test_lifted_faces_are_not_labelled(client: Client) -> None:
    page = client.page()
    while page["kind"] == "clusters" or len(list_tiles(page)) < 3:
        # Some wait for suggestions.
        for card in page["cards"]:
            tiles = [tile["n"] for tile in card["tiles"]][:-2]
            client.step(page, "label", tiles or [0], label=who(card["tiles"][0]))
        page = client.accept(page)
    assert page["kind"] in ("class", "mixed")
    lifted = list_tiles(page)[0]
    marked = client.step(page, "lift", [lifted["n"]]).body["page"]
    assert [tile["n"] for tile in list_tiles(marked) if tile["lifted"]] == [lifted["n"]]

    answer = client.step(page, "accept").body
    shown = {tile["key"]: tile["name"] for tile in list_tiles(client.page())}
    assert shown.get(lifted["key"]) != lifted["name"]
    expected = sum(tile["size"] for tile in list_tiles(page)) - lifted["size"]
    assert f"Label {expected} faces" in answer["description"]["text"]


def test_card_is_split(client: Client) -> None:
    page = client.page()
    card = max(page["cards"], key=lambda card: len(card["tiles"]))
    tiles = [tile["n"] for tile in card["tiles"]]
    after = client.step(page, "split", tiles).body["page"]
    assert len(after["cards"]) == len(page["cards"]) + 1
    assert {t["n"] for t in list_tiles(after)} == {t["n"] for t in list_tiles(page)}


def test_names_are_checked(client: Client) -> None:
    page = client.page()
    first, second, third = list_tiles(page)[:3]
    client.step(page, "label", [first["n"]], label="Hatsune Miku")
    typo = client.step(page, "label", [second["n"]], label="Hatsune Mikuu")
    assert (typo.status, typo.body["suggestion"]) == (409, "Hatsune Miku")
    client.step(page, "label", [second["n"]], label="hatsune miku")
    client.step(page, "label", [third["n"]], label="Hatsune Mikuu", sure=True)
    classes = {row["name"]: row["count"] for row in client.state()["classes"]}
    assert classes == {"Hatsune Miku": 2, "Hatsune Mikuu": 1}
    for name in ("a/b", "", ":later", ".hidden", "a\u202eb", "x" * 201):
        assert client.step(page, "label", [third["n"]], label=name).status in (409, 422)
    assert len(client.state()["classes"]) == 2


def test_places(client: Client) -> None:
    page = client.page()
    numbers = [tile["n"] for tile in list_tiles(page)]
    for number, place in enumerate(("not a face", "other", "later")):
        assert client.step(page, "place", [numbers[number]], label=place).status == 200
    places = client.state()["places"]
    assert (places["reject"], places["other"], places["later"]) == (1, 1, 1)
    sent = {tile["n"]: tile["sent"] for tile in list_tiles(client.page())}
    assert [sent[n] for n in numbers[:3]] == [":not a face", ":other", ":later"]
    client.step(page, "place", [numbers[0]], label="queue")
    assert client.state()["places"]["reject"] == 0
    assert client.step(page, "place", [numbers[0]], label="nowhere").status == 409


def test_images(client: Client) -> None:
    tile = list_tiles(client.page())[0]
    face = client.ask(f"/api/v1/faces/{tile['key']}?side=256&v=1")
    assert (face.status, face.body[:2]) == (200, b"\xff\xd8")
    assert "immutable" in face.headers["cache-control"]
    whole = client.ask(f"/api/v1/faces/{tile['key']}?side=99999")
    assert len(whole.body) > len(face.body)
    assert client.ask("/api/v1/faces/unknown").status == 404
    assert client.ask(f"/api/v1/faces/{tile['key']}?side=x").status == 422


def test_repeated_request_is_done_once(root: Path) -> None:
    with running_labeler(root) as server:
        client = server.client
        page = client.page()
        numbers = [tile["n"] for tile in page["cards"][0]["tiles"]]
        lift = {"id": str(uuid.uuid4()), "page": page["id"], "act": "lift"}
        for _ in range(2):
            lifted = client.ask("/api/v1/steps", lift | {"tiles": numbers[-1:]}).body
        assert sum(tile["lifted"] for tile in list_tiles(lifted["page"])) == 1
        step = {"id": str(uuid.uuid4()), "page": page["id"], "act": "label"}
        step |= {"label": "Miku", "tiles": numbers[:3]}
        first = client.ask("/api/v1/steps", step).body
        assert client.ask("/api/v1/steps", step).body["step"] == first["step"]
        server.kill()

    # Another server knows the id from the step that is saved.
    with running_labeler(root) as server:
        again = server.client.ask("/api/v1/steps", step)
        assert (again.status, again.body["step"]) == (200, first["step"])
        assert server.client.state()["labelled"] == 3
    with Dataset.open(root) as dataset:
        assert dataset.journal.count() == 3


def test_killed_server_loses_nothing(root: Path) -> None:
    acknowledged: dict[str, str] = {}
    for number in range(20):
        server = fork_server(root)
        client = server.client
        page = client.page()
        waiting = [tile for tile in list_tiles(page) if not tile["sent"]]
        for tile in waiting[: 1 + number % 3]:
            name = f"name {number} {tile['n']}"
            answer = client.step(page, "label", [tile["n"]], label=name, sure=True)
            assert answer.status == 200
            acknowledged[tile["key"]] = name
        server.kill()

    with Dataset.open(root) as dataset:
        labels = {sample.key: sample.label for sample in dataset.samples.iterate()}
    assert {key: labels[key] for key in acknowledged} == acknowledged
    assert sum(label is not None for label in labels.values()) == len(acknowledged)


def test_changes_of_a_window_are_seen(client: Client, root: Path) -> None:
    page = client.page()
    state = client.state()
    tile = list_tiles(page)[0]
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        session.decide([session.tiles.get_ids([tile["key"]])[tile["key"]]], "Miku")
    begun = time.monotonic()
    after = client.ask(f"/api/v1/state?since={state['version']}").body
    assert time.monotonic() - begun < 10
    assert (after["labelled"], after["classes"][0]["name"]) == (1, "Miku")
    assert after["news"][0]["description"]["text"] == "Label 1 face as Miku"

    # The face is the window's now, and no undo of the browser takes it back.
    shown = {t["n"]: t for t in list_tiles(client.page())}[tile["n"]]
    assert (shown["sent"] or "Miku", shown["others"]) == ("Miku", True)
    refused = client.step(page, "label", [tile["n"]], label="Rin")
    assert (refused.status, refused.body["reason"]) == (409, "decided elsewhere")
    assert client.undo().status == 409


def test_two_servers_decide_nothing_twice(server: Server, root: Path) -> None:
    with running_labeler(root) as other_server:
        one = server.client
        two = other_server.client
        page = one.page()
        other_page = two.page()
        numbers = {tile["key"]: tile["n"] for tile in list_tiles(other_page)}
        tile = next(tile for tile in list_tiles(page) if tile["key"] in numbers)
        assert one.step(page, "label", [tile["n"]], label="Miku").status == 200
        refused = two.step(other_page, "label", [numbers[tile["key"]]], label="Rin")
        assert (refused.status, refused.body["reason"]) == (409, "decided elsewhere")
