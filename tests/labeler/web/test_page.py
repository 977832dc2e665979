"""The page of `labeler serve` in a real browser."""

import json
import re
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from browser_page import PHONE, Person, check_accessible, opened_page
from drawn_faces import FaceSet, copied, drawn_once
from served_labeler import (
    Client,
    Server,
    fork_server,
    list_tiles,
    running_labeler,
)
from test_labeler_people import invite
from tools_for_tests import needs_chromium

from gleanset import Dataset
from gleanset.db.duplicates import SAME, Pairs, PairVerdict
from gleanset.db.journal import Choice
from gleanset.operations import NAMED, TEXTS, UNDO
from gleanset.web.page_files import SHARED_PAGE

PAGE = Path(__file__).parents[3] / "labeler" / "web" / "page"
FACES = 60
CLASSES = 4
MAX_BYTES = 300_000
pytestmark = [needs_chromium, pytest.mark.slow]


@pytest.fixture
def faces(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> FaceSet:
    """Return faces of four characters, without classes or labels."""
    return copied(
        drawn_once(tmp_path_factory, FACES, CLASSES), tmp_path / "d", named=False
    )


@pytest.fixture
def server(faces: FaceSet) -> Iterator[Server]:
    """Serve the faces."""
    with running_labeler(faces.root) as server:
        yield server


def labels(faces: FaceSet) -> dict[str, str]:
    with Dataset.open(faces.root) as dataset:
        samples = dataset.samples.iterate()
        return {sample.key: sample.label for sample in samples if sample.label}


@pytest.mark.parametrize("phone", [False, True])
def test_everything_is_sorted_in_the_browser(
    browser: Any, faces: FaceSet, server: Server, phone: bool
) -> None:
    with opened_page(browser, server.url, faces.truth, phone=phone) as person:
        person.sort_everything()
        assert "Everything is sorted" in person.page.inner_text("#page")
        assert person.page.inner_text("#progress").startswith(f"{FACES} of {FACES}")
    assert labels(faces) == faces.truth
    assert person.gestures.total() < FACES


def test_steps_are_in_the_language_of_the_page(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    yuki = invite(server, faces.root, "Yuki")
    said = "document.querySelector('#said').textContent"
    with opened_page(browser, server.url, faces.truth, locale="ja-JP") as person:
        page = person.wait_for_page()
        count = len(page["cards"][0]["tiles"])
        person.type_name("Rin")
        title = "document.querySelector('#undo').title"
        person.wait_for(f"{title} === '元に戻す: {count} 枚に Rin のラベルを付ける'")
        # Steps of others, and their undo.
        theirs = yuki.page()
        tiles = [list_tiles(theirs)[0]["n"]]
        yuki.step(theirs, "label", tiles, label="Mei", sure=True)
        person.wait_for(f"{said}.startsWith('Yuki: 1 枚に Mei のラベルを付ける')")
        yuki.undo()
        person.wait_for(
            f"{said}.startsWith('Yuki: 元に戻す: 1 枚に Mei のラベルを付ける')"
        )
        # A class that was made by another program has no translated kind.
        with Dataset.open(faces.root) as dataset:
            dataset.journal.apply(
                "My step", [Choice(list_tiles(page)[-1]["key"], "reject")]
            )
        person.wait_for(f"{said}.includes('My step')")


def test_texts_of_steps_are_equal_to_the_window() -> None:
    script = (PAGE / "js/step_texts.js").read_text("utf-8")
    for language, name in (("ja", "ja"), ("zh", "zh_CN")):
        catalogue = (PAGE.parents[1] / f"qt/words/{name}.toml").read_text("utf-8")
        texts = tomllib.loads(catalogue)
        expected = {
            kind: texts[text.replace("{faces}", "{count} faces")]
            for kind, text in TEXTS.items()
            if kind != NAMED
        }
        block = script.partition(f"  {language}: ")[2].partition("},\n")[0] + "}"
        steps = json.loads(block.replace(",\n  }", "}"))
        assert steps == expected | {UNDO: texts["Undo: {what}"]}


def test_decisions_without_connection_arrive_later(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth) as person:
        page = person.wait_for_page()
        person.page.context.set_offline(True)
        person.type_name("Rin")
        person.wait_for("document.querySelector('#waiting').hidden === false")
        assert "1 decision waits" in person.page.inner_text("#waiting")
        person.page.keyboard.press("Control+z")
        person.page.locator(".who.asks").first.click()
        person.type_name("Mei")
        person.wait_for("document.querySelector('.who').textContent.includes('Mei')")
        assert labels(faces) == {}
        person.page.context.set_offline(False)
        person.wait_for("document.querySelector('#waiting').hidden")
        person.wait_for("localStorage.getItem('steps') === '[]'")
        first = [tile["key"] for tile in page["cards"][0]["tiles"]]
        assert labels(faces) == dict.fromkeys(first, "Mei")


def test_decisions_outlive_the_server(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth) as person:
        page = person.wait_for_page()
        person.page.context.set_offline(True)
        person.type_name("Rin")
        time.sleep(0.5)
        person.type_name("Mei")
        server.kill()
        # The owner has another token then, and a window named faces meanwhile.
        taken = page["cards"][1]["tiles"][0]["key"]
        with Dataset.open(faces.root) as dataset:
            dataset.journal.apply("Label", [Choice(taken, "label", "Kaito")])
        port = str(urlsplit(server.url).port)
        other = fork_server(faces.root, "--port", port, token="another token")
        try:
            person.page.context.set_offline(False)
            person.wait_for("document.querySelector('#token')")
            assert labels(faces) == {taken: "Kaito"}
            person.page.fill("#token", "another token")
            with person.page.expect_navigation():
                person.page.keyboard.press("Enter")
            person.wait_for("localStorage.getItem('steps') === '[]'")
            said = "document.querySelector('#said').textContent"
            person.wait_for(f"{said}.startsWith('1 face stays as it is')")
            assert person.wait_for_page()["id"] == page["id"], "nothing moves"
        finally:
            other.kill()

    expected = {taken: "Kaito"}
    for card, name in zip(page["cards"], ("Rin", "Mei"), strict=False):
        for tile in card["tiles"]:
            expected.setdefault(tile["key"], name)
    assert labels(faces) == expected


def test_question_about_a_name_is_for_its_page(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth) as person:
        page = person.wait_for_page()
        person.page.context.set_offline(True)
        person.type_name("Sakurakoo")
        person.page.keyboard.press("Escape")
        # A window makes a class of nearly this name; the page is left meanwhile.
        others = [tile["key"] for tile in page["cards"][-1]["tiles"]]
        with Dataset.open(faces.root) as dataset:
            choices = [Choice(key, "label", "Sakurako") for key in others]
            dataset.journal.apply("Label", choices)
        person.ask("act('leave')")
        person.page.context.set_offline(False)
        said = "document.querySelector('#said').textContent"
        person.wait_for(f"{said}.includes('Is “Sakurakoo” Sakurako?')")
        present = person.wait_for_page(page["id"])
        person.page.locator("#said button").first.click()
        person.wait_for("localStorage.getItem('steps') === '[]'")
        assert person.ask("currentPage()")["id"] == present["id"]
    first = [tile["key"] for tile in page["cards"][0]["tiles"]]
    assert labels(faces) == dict.fromkeys([*first, *others], "Sakurako")


def test_two_people_sort_at_once(browser: Any, faces: FaceSet, server: Server) -> None:
    yuki = invite(server, faces.root, "Yuki")
    with (
        opened_page(browser, server.url, faces.truth, phone=True) as owner,
        opened_page(
            browser, server.url, faces.truth, token=yuki.token, phone=True
        ) as guest,
    ):
        own = owner.wait_for_page()
        other = guest.wait_for_page()
        keys = [
            {tile["key"] for card in page["cards"] for tile in card["tiles"]}
            for page in (own, other)
        ]
        assert keys[0].isdisjoint(keys[1])
        guest.name_card(0, "Rin")
        owner.wait_for("document.querySelector('#said').textContent.includes('Yuki')")
        assert owner.ask("currentPage()")["id"] == own["id"], "nothing moves"


@pytest.mark.parametrize("phone", [False, True])
def test_owner_invites_and_undoes_in_the_browser(
    browser: Any, faces: FaceSet, server: Server, phone: bool
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    haru = invite(server, faces.root, "Haru")
    page = haru.ask("/api/v1/page?room=24").body
    with opened_page(browser, server.url, faces.truth, phone=phone) as owner:
        owner.wait_for_page()
        open_people(owner, phone)
        owner.page.fill("#dialog form input", "Yuki")
        owner.press("Enter")
        owner.wait_for("document.querySelector('.link') !== null")
        link = owner.page.input_value(".link")
        yuki = Client(link, link.partition("token=")[2])
        assert yuki.state()["person"] == "Yuki"
        check_accessible(axe, owner)
        owner.page.keyboard.press("Escape")

        haru.step(page, "label", [0, 1], label="Rin")
        haru.step(page, "label", [2, 3], label="Mei")
        said = "document.querySelector('#said')"
        owner.wait_for(f"{said}.textContent.includes('Haru: Label 2 faces as Mei')")
        owner.tap("#said button")
        owner.wait_for(f"{said}.textContent === 'Undo: Label 2 faces as Mei'")
        assert {*labels(faces).values()} == {"Rin"}

        open_people(owner, phone)
        owner.wait_for("document.querySelector('.people').innerText.includes('as Rin')")
        assert "2 faces" in owner.page.inner_text(".person:has-text('Haru')")
        owner.tap(".person:has-text('as Rin') button")
        owner.wait_for("localStorage.getItem('steps') === '[]'")
        assert labels(faces) == {}
        owner.tap(".person:has-text('Yuki') button")
        owner.wait_for("!document.querySelector('.people').innerText.includes('Yuki')")
        assert yuki.ask("/api/v1/state").status == 401


def open_people(person: Person, phone: bool) -> None:
    person.tap("#menu-button" if phone else "#settings-button")
    person.tap("#sheet button:has-text('People')")
    person.wait_for("document.querySelector('.people .person') !== null")


def test_faces_and_cards_are_dragged_with_the_mouse(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth) as person:
        page = person.wait_for_page()
        drag(person, ".card[data-card='0'] .card-head p", ".card[data-card='1'] .count")
        person.wait_for("document.activeElement.id === 'name'")
        person.type_name("Rin")
        person.wait_for("document.querySelector('[data-class=Rin]') !== null")
        both = [tile["key"] for card in page["cards"][:2] for tile in card["tiles"]]
        assert labels(faces) == dict.fromkeys(both, "Rin")

        face = page["cards"][2]["tiles"][0]
        drag(person, f".face[data-n='{face['n']}']", "[data-class=Rin]")
        person.wait_for("localStorage.getItem('steps') === '[]'")
        assert labels(faces) == dict.fromkeys([*both, face["key"]], "Rin")


def drag(person: Person, source: str, target: str) -> None:
    person.page.locator(source).first.hover()
    person.page.mouse.down()
    person.page.locator(target).first.hover(force=True)
    person.page.mouse.up()


def test_guests_see_no_people(browser: Any, faces: FaceSet, server: Server) -> None:
    yuki = invite(server, faces.root, "Yuki")
    with opened_page(browser, server.url, faces.truth, token=yuki.token) as person:
        person.wait_for_page()
        person.tap("#settings-button")
        person.wait_for("document.querySelector('#sheet').open")
        assert "People" not in person.page.inner_text("#sheet")


def test_hardly_seen_faces_are_not_labelled(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth) as person:
        person.wait_for_page()
        person.page.keyboard.type("Rin")
        # A page that has just appeared.
        person.page.evaluate(
            "import('./js/seen.js').then((m) =>"
            " m.watchFaces(document.querySelectorAll('.face')))"
        )
        person.press("Enter")
        assert "just appeared" in person.page.inner_text("#said") or (
            "more faces" in person.page.inner_text("#said")
        )
        time.sleep(0.5)
        assert labels(faces) == {}
        person.press("Enter")
        person.wait_for("localStorage.getItem('steps') === '[]'")
        assert {*labels(faces).values()} == {"Rin"}


def test_end_of_a_long_press_chooses_nothing(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth, phone=True) as person:
        person.wait_for_page()
        width, height = PHONE
        # The menu appears under the finger, at each place another of its parts.
        for part in (0.45, 0.55, 0.65, 0.75):
            person.hold(width / 4, part * height)
            assert person.page.evaluate("document.querySelector('#sheet').open")
            person.page.keyboard.press("Escape")
        person.wait_for("localStorage.getItem('steps') === null")
        assert labels(faces) == {}


def test_typing_error_of_a_class_is_asked_about(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth) as person:
        person.wait_for_page()
        person.type_name("Sakurako")
        time.sleep(0.4)
        person.type_name("Sakurakoo")
        person.page.locator("#said button").first.click()
        person.wait_for("localStorage.getItem('steps') === '[]'")
        person.wait_for("document.querySelector('#said').textContent === ''")
        assert {*labels(faces).values()} == {"Sakurako"}


def test_screen_reader_hears_steps_and_pages(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    heard = "document.querySelector('#heard').textContent"
    focus = "document.activeElement"
    with opened_page(browser, server.url, faces.truth) as person:
        page = person.wait_for_page()
        assert "people to name" in person.page.evaluate(heard)
        assert person.page.evaluate(f"{focus}.id") == "title"
        groups = [f"Who is this? Card {n} of {len(page['cards'])}" for n in (1, 2)]
        assert groups[0] in person.page.locator("main").aria_snapshot()

        person.type_name("Rin")
        person.wait_for(f"{heard}.includes('faces as Rin')")
        assert person.page.evaluate(f"{focus}.dataset.card") == "1"
        assert groups[1] in person.page.locator("main").aria_snapshot()
        person.tap('.card[data-card="1"] .face')
        person.wait_for(f"{heard}.includes('excluded')")
        person.press("Enter")
        person.wait_for_page(page["id"])
        person.wait_for(f"{focus}.id === 'title'")
    with opened_page(browser, server.url, faces.truth, token="a guess") as person:
        person.wait_for(f"{focus}.id === 'token'")


def test_page_without_token_shows_form(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth, token="a guess of 1") as person:
        person.wait_for("document.querySelector('#token')")
        assert "This token is not right" in person.page.inner_text("#page")
        person.page.fill("#token", server.url)
        with person.page.expect_navigation():
            person.page.keyboard.press("Enter")
        person.wait_for_page()
        assert "token" not in person.page.url


def test_doubtful_label_and_duplicates_are_settled(
    browser: Any, faces: FaceSet
) -> None:
    keys = sorted(faces.truth, key=lambda key: faces.truth[key])
    wrong = keys[0]
    second, first = keys[-2:]
    with Dataset.open(faces.root) as dataset:
        names = faces.truth | {wrong: faces.truth[keys[-1]]}
        choices = [Choice(key, "label", name) for key, name in names.items()]
        dataset.journal.apply("Label", choices)
        pairs = Pairs(dataset.db)
        pair = tuple(sorted(pairs.get_ids([first, second])))
        with dataset.db.transaction():
            pairs.add_candidates([pair])
        pairs.save_verdicts([PairVerdict(*pair, 0.0, 1.0, SAME)])

    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with (
        running_labeler(faces.root) as server,
        opened_page(browser, server.url, faces.truth) as person,
    ):
        assert person.wait_for_page()["kind"] == "done"
        person.tap("#page button:has-text('Review doubtful labels')")
        page = person.wait_for_page()
        tiles = page["cards"][0]["tiles"]
        assert (tiles[0]["key"], tiles[0]["name"]) == (wrong, faces.truth[wrong])
        check_accessible(axe, person)
        person.page.hover(".face")
        person.press("Enter")
        person.wait_for("localStorage.getItem('steps') === '[]'")
        assert labels(faces)[wrong] == faces.truth[wrong]

        person.tap("#tabs button:has-text('Duplicates')")
        page = person.wait_for_page()
        assert {tile["key"] for tile in page["cards"][0]["tiles"]} == {first, second}
        check_accessible(axe, person)
        person.press("Enter")
        person.wait_for("document.querySelector('.end')")
        with Dataset.open(faces.root) as dataset:
            kept = [sample.kept for sample in dataset.samples.iterate()]
        assert kept.count(False) == 1


def test_texts_are_translated_and_the_page_is_small() -> None:
    paths = [*PAGE.glob("js/*.js"), *SHARED_PAGE.glob("js/*.js")]
    scripts = {path.stem: path.read_text() for path in paths}
    assert len(scripts) == len(paths), "a shared script is hidden by one of the page"
    catalogue = scripts.pop("catalogue")
    japanese, chinese, _ = re.split(r"  (?:zh|one): \{", catalogue)
    texts = set(
        re.findall(r'data-(?:words|label)="([^"]+)"', (PAGE / "index.html").read_text())
    )
    for script in scripts.values():
        for call in re.findall(r"(?:words|translated)\(([^;\n]*)", script):
            texts |= {
                json.loads(text) for text in re.findall(r'"(?:[^"\\]|\\.)*"', call)
            }
    ignored = {"pages", "review", "duplicates", ""}
    texts = {text for text in texts - ignored if re.search("[A-Za-z]{2}", text)}
    for language in (japanese, chinese):
        missing = [
            text
            for text in texts
            if " " in text
            and f"{json.dumps(text, ensure_ascii=False)}:" not in language
        ]
        assert missing == []
    folders = (PAGE, SHARED_PAGE)
    files = [path for folder in folders for path in folder.rglob("*.*")]
    assert sum(path.stat().st_size for path in files) < MAX_BYTES / 2


def test_all_scripts_are_requested_at_once() -> None:
    requested = re.findall(
        r'(?:href|src)="js/([^"]+)"', (PAGE / "index.html").read_text()
    )
    imported = {"main.js"}
    for folder in (PAGE, SHARED_PAGE):
        for path in (folder / "js").iterdir():
            if path.name in requested:
                script = path.read_text()
                imported |= {*re.findall(r'^import [^;]*"\./([^"]+)"', script, re.M)}
    assert sorted(requested) == sorted(imported)
