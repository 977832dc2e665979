"""Several people at once: invitations, pages that do not overlap, own undo, attackers."""

import json
import shutil
import stat
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner
from served_labeler import (
    Client,
    Server,
    list_tiles,
    make_faces_once,
    running_labeler,
    start_server,
)
from tools_for_tests import eventually

from gleanset import Dataset
from gleanset.platform import get_user_name
from gleanset.web.problems import RefusedRequest
from labeler.cli import commands
from labeler.web.api_models import LabelPage, SentStep
from labeler.web.sharing import SharedSorting
from labeler.web.threads import PageComposer

FACES = 300
NAMES = ("Yuki", "Haru", "Sora")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make faces of six people."""
    return make_faces_once(tmp_path_factory, FACES, 6)


def run_serve(root: Path, *options: str) -> str:
    command = ["serve", "-d", str(root), "--json", *options]
    result = CliRunner().invoke(commands, command)
    assert result.exit_code == 0, result.output
    return result.stdout


def invite(server: Server, root: Path, name: str) -> Client:
    (link,) = json.loads(run_serve(root, "--invite", name))["links"]
    return Client(server.url, link.partition("token=")[2])


def sort_all(client: Client, is_first: threading.Event) -> None:
    """Name every card with the name of the person, and accept suggestions."""
    page = client.page()
    name = client.state()["person"]
    is_first.wait(1)
    end = time.monotonic() + 120
    while client.state()["places"]["queue"] and time.monotonic() < end:
        for card in page["cards"]:
            tiles = [tile["n"] for tile in card["tiles"] if not tile["sent"]]
            if page["kind"] == "clusters" and tiles:
                label = f"{name} {page['id'][:3].strip('-_')}"
                client.step(page, "label", tiles, label=label, sure=True)
        page = client.accept(page)
        if page["kind"] == "done":
            time.sleep(0.2)
            page = client.page()


def test_no_face_is_decided_twice(server: Server, root: Path) -> None:
    people = [invite(server, root, name) for name in NAMES]
    begin = threading.Event()
    pages = [client.page() for client in people]
    shown = Counter(tile["key"] for page in pages for tile in list_tiles(page))
    assert max(shown.values()) == 1
    threads = [
        threading.Thread(target=sort_all, args=(client, begin)) for client in people
    ]
    for thread in threads:
        thread.start()
    begin.set()
    for thread in threads:
        thread.join()

    with Dataset.open(root) as dataset:
        decisions = Counter(d.sample for d in dataset.journal.iterate())
        by = Counter(d.by for d in dataset.journal.iterate())
    assert len(decisions) == FACES
    assert max(decisions.values()) == 1
    assert set(by) == set(NAMES)


def test_undo_is_for_own_steps(server: Server, root: Path) -> None:
    owner = server.client
    yuki = invite(server, root, "Yuki")
    page = yuki.page()
    step = yuki.step(page, "label", [0, 1], label="Miku").body
    assert owner.undo().status == 409
    haru = invite(server, root, "Haru")
    assert haru.undo().status == 409
    assert yuki.state()["news"] == []

    (news,) = owner.state()["news"]
    assert (news["by"], news["description"]) == ("Yuki", step["description"])
    undone = CliRunner().invoke(commands, ["undo", "-d", str(root)])
    assert undone.exit_code == 0, undone.output
    assert eventually(lambda: owner.state()["labelled"] == 0)
    tiles = {tile["n"]: tile for tile in list_tiles(yuki.page())}
    assert not tiles[0]["sent"]
    assert yuki.undo().status == 409

    # Of a person's own steps from before the server was started again.
    again = yuki.step(yuki.page(), "label", [0], label="Miku")
    assert again.status == 200
    server.kill()
    with running_labeler(root) as other:
        assert Client(other.url, yuki.token).undo().status == 200


def test_owner_undoes_a_step_of_somebody_else(server: Server, root: Path) -> None:
    owner = server.client
    yuki = invite(server, root, "Yuki")
    step = yuki.step(yuki.page(), "label", [0, 1], label="Miku").body["step"]
    own = owner.step(owner.page(), "label", [0], label="Rin").body["step"]
    assert yuki.undo(step=own).status == 403
    assert owner.undo(step=99_999).status == 409
    assert owner.undo(step=step).status == 200
    assert [row["count"] for row in owner.state()["classes"]] == [1]
    assert owner.undo(step=step).status == 409
    # The owner's own last step is still the one that the key undoes.
    assert owner.undo().status == 200
    assert owner.state()["labelled"] == 0


def test_invitation_says_that_a_link_is_of_no_use_elsewhere(root: Path) -> None:
    local = json.loads(run_serve(root, "--invite", "Yuki"))
    assert "--host 0.0.0.0" in local["note"]
    reachable = json.loads(run_serve(root, "--invite", "Yuki", "--host", "0.0.0.0"))
    assert "note" not in reachable


def test_owner_sees_and_changes_who_is_invited(server: Server, root: Path) -> None:
    owner = server.client
    invited = owner.ask("/api/v1/people?name=Yuki", b"").body
    (link,) = invited["links"]
    assert link.startswith(server.url.split("?")[0])
    yuki = Client(server.url, link.partition("token=")[2])
    yuki.step(yuki.page(), "label", [0, 1], label="Miku")
    people = owner.ask("/api/v1/people").body
    assert people == {"decided": {"Yuki": 2}, "invited": ["Yuki"], "links": []}
    for sent in (None, b""):
        assert yuki.ask("/api/v1/people?name=Haru", sent).status == 403
    assert owner.ask("/api/v1/people?name=", b"").status == 409
    assert owner.ask("/api/v1/people?name=Yuki", method="DELETE").status == 200
    assert yuki.ask("/api/v1/state").status == 401
    assert owner.ask("/api/v1/people?name=Yuki", method="DELETE").status == 409


def test_link_from_another_terminal_has_the_port_that_is_used(root: Path) -> None:
    with running_labeler(root) as server:
        (link,) = json.loads(run_serve(root, "--invite", "Yuki"))["links"]
        assert link.startswith(server.url.split("?")[0])
        token = link.partition("token=")[2]
        assert Client(link, token).state()["person"] == "Yuki"
        server.kill()
    (link,) = json.loads(run_serve(root, "--invite", "Yuki"))["links"]
    assert link.startswith("http://127.0.0.1:8000/")


def test_decisions_are_listed_by_person(server: Server, root: Path) -> None:
    yuki = invite(server, root, "Yuki")
    yuki.step(yuki.page(), "label", [0], label="Miku")
    owner = server.client
    owner.step(owner.page(), "label", [0], label="Miku")
    with Dataset.open(root) as dataset:
        by = [decision.by for decision in dataset.journal.iterate()]
    assert by == ["Yuki", owner.state()["person"]]


def test_page_of_idle_person_goes_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing = SharedSorting(root, 0.0)
    composer = PageComposer(root)

    def take_page(name: str) -> LabelPage:
        wish = sharing.make_wish(name)
        sharing.note_composed(name, composer.compose(name, wish))
        page = sharing.get_page(name)
        assert page is not None
        return page

    page = take_page("Yuki")
    keys = {tile.key for card in page.cards for tile in card.tiles}
    other = take_page("Haru")
    assert keys.isdisjoint(tile.key for card in other.cards for tile in card.tiles)

    # Yuki does nothing for longer than a lease.
    monkeypatch.setattr("labeler.web.sharing.LEASE_SECONDS", -1.0)
    third = take_page("Sora")
    assert not keys.isdisjoint(tile.key for card in third.cards for tile in card.tiles)
    step = SentStep(id="12345678", act="label", page=page.id, tiles=[0], label="Miku")
    with pytest.raises(RefusedRequest, match="page gone"):
        sharing.take_step("Haru", step)
    sharing.close()


def test_pages_that_are_prepared_go_to_people_without_one(root: Path) -> None:
    sharing = SharedSorting(root, 0.0)
    composer = PageComposer(root)

    def compose(name: str) -> None:
        wish = sharing.make_wish(name)
        sharing.note_composed(name, composer.compose(name, wish))

    def take_page(name: str) -> LabelPage:
        while (page := sharing.get_page(name)) is None:
            compose(name)
        return page

    # Where composing is slow, the page that follows is composed ahead.
    pages = [take_page("Yuki")]
    compose("Yuki")
    while pages[-1].kind != "done":
        pages.append(take_page(f"person {len(pages)}"))
    keys = {tile.key for page in pages for card in page.cards for tile in card.tiles}
    assert len(keys) == FACES
    sharing.close()


def test_revoked_token_is_refused_at_once(server: Server, root: Path) -> None:
    yuki = invite(server, root, "Yuki")
    page = yuki.page()
    file = root / "people.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert yuki.token not in file.read_text()
    run_serve(root, "--revoke", "Yuki")
    for answer in (
        yuki.ask("/api/v1/state"),
        yuki.step(page, "label", [0], label="Miku"),
        yuki.ask(f"/api/v1/faces/{list_tiles(page)[0]['key']}"),
    ):
        assert (answer.status, answer.body["reason"]) == (401, "wrong token")
    assert server.client.state()["labelled"] == 0


def test_request_that_waits_ends_with_the_invitation(
    server: Server, root: Path
) -> None:
    yuki = invite(server, root, "Yuki")
    version = yuki.state()["version"]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(yuki.ask, f"/api/v1/state?since={version}")
        run_serve(root, "--revoke", "Yuki")
        owner = server.client
        owner.step(owner.page(), "label", [0], label="Miku")
        assert waiting.result().status == 401


def test_id_of_the_step_of_somebody_else(server: Server, root: Path) -> None:
    yuki = invite(server, root, "Yuki")
    haru = invite(server, root, "Haru")
    step = {"id": str(uuid.uuid4()), "act": "label", "tiles": [0]}
    pages = [client.page()["id"] for client in (yuki, haru)]
    answers = [
        client.ask("/api/v1/steps", step | {"page": page, "label": label})
        for client, page, label in zip(
            (yuki, haru), pages, ("Miku", "Rin"), strict=True
        )
    ]
    assert [answer.status for answer in answers] == [200, 409]
    assert "Miku" not in str(answers[1].body)


def test_new_invitation_replaces_the_old_one(server: Server, root: Path) -> None:
    old = invite(server, root, "Yuki")
    new = invite(server, root, "Yuki")
    assert (old.ask("/api/v1/state").status, new.state()["person"]) == (401, "Yuki")


@pytest.mark.parametrize(
    ("option", "name", "message"),
    [
        ("--revoke", "Haru", "'Haru' is not invited"),
        ("--revoke", "", "'' is not invited"),
        ("--invite", "", "'' cannot be invited"),
        ("--invite", get_user_name(), "cannot be invited"),
    ],
)
def test_unusable_names_are_errors(
    root: Path, option: str, name: str, message: str
) -> None:
    command = ["serve", "-d", str(root), option, name]
    failed = CliRunner().invoke(commands, command)
    assert message in str(failed.exception)
    assert not (root / "people.json").exists()


def test_attackers_change_nothing_and_others_go_on(server: Server, root: Path) -> None:
    owner = server.client
    page = owner.page()
    key = list_tiles(page)[0]["key"]
    before = owner.state()["version"]
    stranger = Client(server.url, "")
    for path in ("state", "page", f"faces/{key}"):
        assert stranger.ask(f"/api/v1/{path}").status in (401, 429)
    assert stranger.ask("/?token=wrong").status in (200, 429)
    assert stranger.step(page, "label", [0], label="Miku").status in (401, 429)
    foreign = owner.ask("/api/v1/steps", {}, Origin="https://evil.example")
    assert (foreign.status, foreign.body["reason"]) == (403, "another site")
    assert owner.ask("/api/v1/state", Host="evil.example").status == 421

    statuses = Counter(
        stranger.ask("/api/v1/page", Authorization=f"Bearer {n}").status
        for n in range(500)
    )
    assert set(statuses) == {401, 429}
    assert statuses[401] < 100
    assert owner.step(page, "label", [0], label="Miku").status == 200
    assert owner.state()["version"] == before + 1


HOSTILE = (
    b"",
    b"null",
    b"[" * 100_000,
    b'{"tiles":' + b"[" * 30_000,
    b'{"id": "12345678", "page": "x", "act": "label", "tiles": [NaN]}',
    b'{"id": "12345678", "page": "x", "act": "label", "tiles": [1e400]}',
    b'{"id": "12345678", "page": "x", "act": "label", "tiles": [-1]}',
    b'{"id": "12345678", "page": "x", "act": "label", "tiles": ["0"]}',
    b'{"id": "12345678", "page": "x", "act": "drop", "tiles": [0]}',
    b'{"id": "12345678", "page": "x", "act": "label", "more": 1}',
    b'{"id": "../../etc", "page": "x", "act": "label"}',
    b'{"id": "12345678", "page": 7, "act": "label"}',
    b'{"id": "12345678", "page": "x", "act": "label", "label": "\xff"}',
    json.dumps(
        {"id": "12345678", "page": "x", "act": "lift", "tiles": [0] * 10_000}
    ).encode(),
    b'{"id": "12345678", "page": "x", "act": "undo", "step": 1e99}',
)


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_json_is_refused(body: bytes, hostile_server: Server) -> None:
    client = hostile_server.client
    answer = client.ask("/api/v1/steps", body)
    assert answer.status in (409, 413, 422), answer
    assert answer.body["reason"]
    assert client.state()["labelled"] == 0


@pytest.fixture(scope="module")
def hostile_server(
    original: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    root = shutil.copytree(original, tmp_path_factory.mktemp("hostile") / "d")
    with running_labeler(Path(root)) as server:
        yield server


def test_tile_that_is_not_on_the_page(hostile_server: Server) -> None:
    client = hostile_server.client
    page = client.page()
    for act in ("label", "lift", "place", "split"):
        assert client.step(page, act, [999], label="Miku").status == 409
        assert client.step(page, act, [0] * 10_000, label="Miku").status == 409
    assert client.ask("/api/v1/page?room=1e9").status == 422
    assert client.ask("/api/v1/state?since=x").status == 422


def test_server_ends_at_once_with_an_open_page(root: Path) -> None:
    server = start_server(root)
    version = server.client.state()["version"]
    waiting = threading.Thread(
        target=lambda: server.client.ask(f"/api/v1/state?since={version}")
    )
    waiting.start()
    time.sleep(0.5)
    server.process.terminate()
    server.wait(15)
    waiting.join()
