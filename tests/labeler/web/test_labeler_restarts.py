"""Pages of `labeler serve` that are gone or outlive their server, and steps that arrive late."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from many_samples import make_many
from served_labeler import (
    Answer,
    Client,
    list_tiles,
    make_faces_once,
    running_labeler,
)
from test_labeler_people import invite

from gleanset import Dataset
from labeler.sorting.session import SortingSession
from labeler.web.api_models import LabelPage, SentStep
from labeler.web.sharing import SharedSorting
from labeler.web.threads import POLL_SECONDS, PageComposer, SortingThreads

FACES = 240
PEOPLE = 4


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make faces of four people."""
    return make_faces_once(tmp_path_factory, FACES, PEOPLE)


def read_labels(root: Path) -> dict[str, str]:
    with Dataset.open(root) as dataset:
        samples = dataset.samples.iterate()
        return {sample.key: sample.label for sample in samples if sample.label}


def decide(root: Path, keys: list[str], target: str) -> None:
    """Label faces in a window."""
    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        session.decide([*session.tiles.get_ids(keys).values()], target)


def crop_otherwise(root: Path, key: str) -> None:
    with Dataset.open(root) as dataset, dataset.db.transaction():
        dataset.db.execute("UPDATE sample SET w=w-1 WHERE key=?", (key,))


def name_cards(client: Client, page: Any, *, stacks: bool = True) -> Any:
    """Name cards, perhaps without stacks, until suggestions come; return their page."""
    while page["kind"] == "clusters":
        page = name_page(client, page, stacks=stacks)
    assert page["kind"] in ("class", "mixed"), page["kind"]
    return page


def name_page(client: Client, page: Any, *, stacks: bool = True) -> Any:
    """Name the cards of a page, perhaps without stacks; return the next page."""
    for card in page["cards"]:
        open_tiles = [tile for tile in card["tiles"] if not tile["sent"]]
        tiles = [tile["n"] for tile in open_tiles if stacks or tile["size"] == 1]
        if tiles:
            name = f"person {tiles[0]}"
            assert (
                client.step(page, "label", tiles, label=name, sure=True).status == 200
            )
    return client.accept(page)


def send_again(client: Client, step: dict[str, Any]) -> Answer:
    return client.ask("/api/v1/steps", step)


def test_page_and_its_steps_outlive_the_server(root: Path) -> None:
    with running_labeler(root) as server:
        page = server.client.page()
        numbers = [tile["n"] for tile in list_tiles(page)]
        assert (
            server.client.step(page, "label", numbers[:3], label="Miku").status == 200
        )
        lift = {"id": str(uuid.uuid4()), "page": page["id"], "act": "lift"}
        lift["tiles"] = numbers[3:4]
        before = send_again(server.client, lift).body["page"]
        server.kill()

    with running_labeler(root) as server:
        client = server.client
        assert client.page() == before
        # The answer may have been lost: the face is not put back by the same request.
        assert send_again(client, lift).body["page"] == before
        # Labels of before are the person's own.
        labelled = client.step(page, "label", numbers[:1], label="Rin").body["page"]
        assert [tile["sent"] for tile in list_tiles(labelled)[:3]] == [
            "Rin",
            "Miku",
            "Miku",
        ]
        following = client.accept(page)
        assert following["id"] != page["id"]
        server.kill()

    # The undo shows the page where the step was made.
    with running_labeler(root) as server:
        shown = server.client.undo().body["page"]
        assert shown["id"] == page["id"]
        assert list_tiles(shown)[0]["sent"] == "Miku"


def test_faces_that_were_put_off_stay_put_off(root: Path) -> None:
    with running_labeler(root) as server:
        client = server.client
        # Pages for a small screen, so that many faces are on later ones.
        page = name_cards(client, client.ask("/api/v1/page?room=24").body)
        excluded = list_tiles(page)[0]
        client.step(page, "lift", [excluded["n"]])
        skipped = {tile["key"] for tile in list_tiles(page)}
        client.step(page, "leave")
        following = client.page()
        server.kill()

    with running_labeler(root) as server:
        client = server.client
        page = client.page()
        assert page == following
        others_left = page["left"] - len(skipped)
        seen = set[str]()
        while skipped.isdisjoint(tile["key"] for tile in list_tiles(page)):
            seen.update(tile["key"] for tile in list_tiles(page))
            page = sort_page(client, page)
        # All others came first.
        assert len(seen) == others_left > 24

        while excluded["key"] not in {tile["key"] for tile in list_tiles(page)}:
            page = sort_page(client, page)
        (again,) = [t for t in list_tiles(page) if t["key"] == excluded["key"]]
        assert again["name"] != excluded["name"]


def sort_page(client: Client, page: Any) -> Any:
    """Name the cards of a page, or accept its suggestions; return the next page."""
    if page["kind"] == "clusters":
        return name_page(client, page)
    return client.accept(page)


def test_stack_that_was_split_stays_split(root: Path) -> None:
    with Dataset.open(root) as dataset, dataset.db.transaction():
        dataset.db.execute("UPDATE sample SET track='t' WHERE id % 4 = 1 AND id < 40")
    with running_labeler(root) as server:
        client = server.client
        page = name_cards(client, client.page(), stacks=False)
        while not (found := [t for t in list_tiles(page) if t["size"] > 1]):
            page = client.accept(page)
        (stack,) = found
        client.step(page, "split", [stack["n"]])
        server.kill()
    with running_labeler(root) as server:
        client = server.client
        page = client.page()
        while stack["key"] not in {tile["key"] for tile in list_tiles(page)}:
            page = client.accept(page)
        assert {tile["size"] for tile in list_tiles(page)} == {1}


@pytest.mark.parametrize("act", ["label", "place", "accept"])
def test_late_step_changes_faces_that_still_wait(root: Path, act: str) -> None:
    with running_labeler(root) as server:
        client = server.client
        page = client.page()
        if act == "accept":
            page = name_cards(client, page)
        tiles = list_tiles(page)[:6]
        server.kill()

    decide(root, [tiles[0]["key"], tiles[1]["key"]], "Kaito")
    crop_otherwise(root, tiles[2]["key"])
    before = read_labels(root)
    with running_labeler(root) as server:
        numbers = [tile["n"] for tile in list_tiles(page)]
        label = {"label": "Miku", "place": "not a face", "accept": ""}[act]
        answer = server.client.step(page, act, numbers, label=label)
        assert (answer.status, answer.body["changed_since"]) == (200, 3)
        # Sent alone, they are refused.
        late = server.client.step(page, "label", [0, 1, 2], label="Miku", sure=True)
        assert (late.status, late.body["reason"]) == (409, "decided elsewhere")
        rejected = server.client.state()["places"]["reject"]

    given = {
        key: label for key, label in read_labels(root).items() if key not in before
    }
    left = [tile for tile in list_tiles(page) if tile not in tiles[:3]]
    assert tiles[2]["key"] not in given
    if act == "place":
        assert (given, rejected) == ({}, sum(tile["size"] for tile in left))
    else:
        assert given == {tile["key"]: label or tile["name"] for tile in left}
    assert {key: read_labels(root)[key] for key in before} == before


def test_failed_measuring_does_not_stop_the_server(tmp_path: Path) -> None:
    make_many(tmp_path / "d", 30)

    async def serve() -> None:
        threads = SortingThreads(tmp_path / "d", 0.0)
        await threads.start()
        watching = asyncio.create_task(threads.watch())
        # Its embeddings cannot be stored: the folder is somewhere else for a while.
        (tmp_path / "d").rename(tmp_path / "elsewhere")
        await asyncio.sleep(2 * POLL_SECONDS)
        assert (await threads.run(SharedSorting.get_state, None)).unmeasured == 30
        watching.cancel()
        await threads.stop()

    asyncio.run(serve())


def take_page(sharing: SharedSorting, composer: PageComposer, name: str) -> LabelPage:
    """Return the page of a person, composed if need be."""
    while (page := sharing.get_page(name)) is None:
        wish = sharing.make_wish(name)
        sharing.note_composed(name, composer.compose(name, wish))
    return page


def make_step(page: LabelPage, act: str, *tiles: int, label: str = "") -> SentStep:
    return SentStep(
        id=str(uuid.uuid4()), act=act, page=page.id, tiles=[*tiles], label=label
    )


def test_late_step_on_a_page_that_others_have(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sharing = SharedSorting(root, 0.0)
    composer = PageComposer(root)
    page = take_page(sharing, composer, "Yuki")
    # Yuki does nothing for longer than a lease.
    monkeypatch.setattr("labeler.web.sharing.LEASE_SECONDS", -1.0)
    other = take_page(sharing, composer, "Haru")
    monkeypatch.undo()
    mine = [tile for card in page.cards for tile in card.tiles]
    theirs = {tile.key: tile.n for card in other.cards for tile in card.tiles}
    both = [tile for tile in mine if tile.key in theirs]
    assert len(both) >= 4

    decided = theirs[both[0].key]
    sharing.take_step("Haru", make_step(other, "label", decided, label="Rin"))
    late = sharing.take_step(
        "Yuki", make_step(page, "label", both[0].n, both[1].n, label="Mei")
    )
    assert (late.changed_since, late.operation.text("face")) == (
        1,
        "Label 1 face as Mei",
    )
    # Haru sees it, and does not decide the face again.
    seen = sharing.get_page("Haru")
    assert seen is not None
    states = {tile.n: tile for card in seen.cards for tile in card.tiles}
    taken = states[theirs[both[1].key]]
    assert (taken.sent, taken.others) == ("Mei", True)
    numbers = [tile.n for card in seen.cards for tile in card.tiles]
    sharing.take_step("Haru", make_step(other, "label", *numbers, label="Kaito"))
    sharing.close()

    labels = read_labels(root)
    assert labels[both[1].key] == "Mei"
    assert labels[both[2].key] == "Kaito"
    with Dataset.open(root) as dataset:
        decisions = [decision.sample for decision in dataset.journal.iterate()]
    assert len([key for key in decisions if key == both[1].key]) == 1


def test_page_that_was_left_takes_late_labels_of_its_person(
    root: Path,
) -> None:
    with running_labeler(root) as server:
        client = server.client
        yuki = invite(server, root, "Yuki")
        page = client.page()
        client.step(page, "leave")
        present = client.page()
        refused = yuki.step(page, "label", [0], label="Miku")
        assert (refused.status, refused.body["reason"]) == (409, "page gone")
        made_up = client.step({"id": "no such page"}, "label", [0], label="Miku")
        assert (made_up.status, made_up.body["reason"]) == (409, "page gone")
        answer = client.step(page, "label", [0], label="Miku").body
        # What is shown stays.
        assert answer["page"]["id"] == present["id"]
    assert read_labels(root) == {list_tiles(page)[0]["key"]: "Miku"}


def test_member_of_a_stack_that_is_decided_is_not_decided_again(root: Path) -> None:
    with Dataset.open(root) as dataset, dataset.db.transaction():
        dataset.db.execute("UPDATE sample SET track='t' WHERE id % 4 = 1 AND id < 40")
        members = dataset.db.fetch_column(
            "SELECT key FROM sample WHERE track='t' ORDER BY id"
        )
    with running_labeler(root) as server:
        page = server.client.page()
        stacks = [tile for tile in list_tiles(page) if tile["size"] > 1]
        assert [tile["size"] for tile in stacks] == [len(members)]
        decide(root, members[-2:], "Kaito")
        answer = server.client.step(page, "label", [stacks[0]["n"]], label="Miku")
        assert (
            answer.body["description"]["text"]
            == f"Label {len(members) - 2} faces as Miku"
        )
    labels = read_labels(root)
    assert [labels[key] for key in members[-3:]] == ["Miku", "Kaito", "Kaito"]


def test_pages_that_follow_are_prepared(root: Path) -> None:
    sharing = SharedSorting(root, 0.0)
    composer = PageComposer(root)
    page = take_page(sharing, composer, "Yuki")
    while page.kind == "clusters":
        for number, card in enumerate(page.cards):
            tiles = [tile.n for tile in card.tiles]
            label = f"{page.id[:4].strip('-_')} {number}"
            step = make_step(page, "label", *tiles, label=label)
            sharing.take_step("Yuki", step)
        sharing.take_step("Yuki", make_step(page, "accept"))
        page = take_page(sharing, composer, "Yuki")

    # Composed once, while the person looks at a page, and again after that page was left.
    pages = [page]
    wish = sharing.make_wish("Yuki")
    composed = composer.compose("Yuki", wish)
    sharing.note_composed("Yuki", composed)
    assert len(composed) >= 2
    wish = sharing.make_wish("Yuki")
    sharing.take_step("Yuki", make_step(page, "accept"))
    following = sharing.get_page("Yuki")
    assert following is not None
    sharing.note_composed("Yuki", composer.compose("Yuki", wish))
    while following is not None:
        pages.append(following)
        sharing.take_step("Yuki", make_step(following, "leave"))
        following = sharing.get_page("Yuki")
    keys = [tile.key for page in pages for card in page.cards for tile in card.tiles]
    assert len(keys) == len(set(keys)), "no face is shown again"
    assert len(pages) >= 3
    sharing.close()


@pytest.mark.parametrize("is_fast", [True, False])
def test_page_learns_from_the_last_one_where_composing_is_fast(
    root: Path, monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    seconds = 1e6 if is_fast else 0.0
    monkeypatch.setattr("labeler.web.threads.MAX_COMPOSING_SECONDS", seconds)
    kept = []
    note = SharedSorting.note_composed

    def note_composed(self: SharedSorting, name: str | None, pages: Any) -> None:
        kept.append(len(pages))
        note(self, name, pages)

    monkeypatch.setattr(SharedSorting, "note_composed", note_composed)

    async def sort_pages() -> int:
        threads = SortingThreads(root, 0.0)
        await threads.start()
        shown = 0
        while (page := await threads.get_page(None, 24)).kind != "done":
            shown += 1
            if page.kind == "clusters":
                for number, card in enumerate(page.cards):
                    tiles = [tile.n for tile in card.tiles]
                    label = f"{page.id[:4].strip('-_')} {number}"
                    await threads.take(
                        None, make_step(page, "label", *tiles, label=label)
                    )
            await threads.take(None, make_step(page, "accept"))
        await threads.stop()
        return shown

    shown = asyncio.run(sort_pages())
    assert shown >= 4
    if is_fast:
        assert max(kept) == 1
        assert len(kept) >= shown, "each page is composed after the one before"
    else:
        assert max(kept) > 1
