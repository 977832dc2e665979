"""What a screen reader, and a person without a pointer, gets of the page of `labeler serve`."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser_page import LOOK_SECONDS, Person, check_accessible, opened_page
from drawn_faces import FaceSet, assigned_labels, copied, drawn_once
from many_samples import make_many
from served_labeler import Server, running_labeler
from tools_for_tests import needs_chromium

from gleanset import Dataset
from gleanset.db.duplicates import SAME, Pairs, PairVerdict
from gleanset.db.journal import Choice

FACES = 60
CLASSES = 4
NUMBER_LABELLED = 5  # faces of each known class
pytestmark = [needs_chromium, pytest.mark.slow]


@pytest.fixture
def faces(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> FaceSet:
    """Return a set of which every kind of page is made.

    Some faces of all classes but one are labelled, the first one wrongly, the last two as copies
    of each other.
    """
    faces = copied(
        drawn_once(tmp_path_factory, FACES, CLASSES), tmp_path / "d", named=False
    )
    by_class: dict[str, list[str]] = {}
    for key, name in faces.truth.items():
        by_class.setdefault(name, []).append(key)
    classes = sorted(by_class, key=lambda name: -len(by_class[name]))
    known = [name for name in classes[:3] if name != classes[1]]
    chosen = [key for name in known for key in by_class[name][:NUMBER_LABELLED]]
    names = {key: faces.truth[key] for key in chosen} | {chosen[0]: known[1]}

    with Dataset.open(faces.root) as dataset:
        choices = [Choice(key, "label", name) for key, name in names.items()]
        dataset.journal.apply("Label", choices)
        pairs = Pairs(dataset.db)
        pair = tuple(sorted(pairs.get_ids(chosen[-2:])))
        with dataset.db.transaction():
            pairs.add_candidates([pair])
        pairs.save_verdicts([PairVerdict(*pair, 0.0, 1.0, SAME)])
    return faces


@pytest.fixture
def server(faces: FaceSet) -> Iterator[Server]:
    """Serve the faces."""
    with running_labeler(faces.root) as server:
        yield server


FACE_LINE = r"(button|checkbox) (Keep f|F)ace \d+ of"
PRESSED_ROLES = ("button", "checkbox", "combobox", "textbox", "option")


def visit_kinds(person: Person) -> Iterator[Any]:
    """Yield the first page of each kind; sort all faces, and settle nothing in the checks."""
    kinds = set()
    page = person.wait_for_page()
    while page["kind"] != "done":
        if page["kind"] not in kinds:
            yield page
        kinds.add(page["kind"])
        person.sort_page(page)
        page = person.wait_for_page(page["id"])
    assert kinds >= {"clusters", "mixed"}
    yield page
    for view in ("Review doubtful labels", "Choose among duplicates"):
        person.tap(f"#page button:has-text('{view}')")
        yield person.wait_for_page()
        show_view(person, "Class pages")
        person.wait_for_page()


def show_view(person: Person, name: str) -> None:
    """Open a view by its tab, which a phone has in a sheet."""
    if person.by_touch:
        person.tap("#menu-button")
        person.tap(f"#sheet .tab:has-text('{name}')")
    else:
        person.tap(f"#tabs .tab:has-text('{name}')")


def visit_dialogs(person: Person) -> Iterator[str]:
    """Yield the name of each dialog that a page of clusters has while it is open."""
    settings = "#menu-button" if person.by_touch else "#settings-button"

    def close(name: str) -> str:
        person.wait_for("document.querySelector('dialog[open]') !== null")
        return name

    person.page.locator(".face").nth(1).focus()
    person.press("ContextMenu")
    yield close("Face 2 of")
    person.press("Escape")
    person.page.locator(".card .more").first.focus()
    person.press("Enter")
    yield close("faces")
    person.press("Escape")
    person.page.locator(".portrait").first.focus()
    person.press("Enter")
    yield close("Face 1 in its image")
    person.press("Escape")
    person.page.locator(settings).focus()
    person.press("Enter")
    yield close("Classes and settings" if person.by_touch else "Settings")
    person.press("Escape")
    person.press("F1")
    yield close("All keys")
    person.press("Escape")
    person.page.locator(settings).focus()
    person.press("Enter")
    person.tap("#sheet button:has-text('People')")
    person.page.fill("#dialog form input", "Yuki")
    person.press("Enter")
    person.wait_for("document.querySelector('.link') !== null")
    yield close("People")
    person.press("Escape")


@pytest.mark.parametrize("phone", [False, True])
def test_axe_finds_nothing(
    browser: Any, faces: FaceSet, server: Server, phone: bool
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened_page(browser, server.url, faces.truth, phone=phone) as person:
        for page in visit_kinds(person):
            check_accessible(axe, person)
            width = person.page.viewport_size["width"]
            assert person.page.evaluate("document.documentElement.scrollWidth") == width
            if page["kind"] != "clusters":
                continue
            for _ in visit_dialogs(person):
                check_accessible(axe, person)
            person.page.context.set_offline(True)
            person.name_card(0, "Rin")
            person.wait_for("document.querySelector('#waiting').hidden === false")
            check_accessible(axe, person)
            person.press("Control+z")
            person.page.context.set_offline(False)
            person.wait_for("localStorage.getItem('steps') === '[]'")


def test_tree_of_each_page_names_faces_and_buttons(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth) as person:
        for page in visit_kinds(person):
            lines = [line.strip() for line in person.read_tree()]
            check_landmarks(lines)
            check_names(lines)
            assert list_focused(lines) == [
                f"heading {title(person)} [focused] [level=1]"
            ]
            expected = [*describe_faces(page)]
            names = [line for line in lines if re.match(FACE_LINE, line)]
            assert names == expected, page["kind"]


def title(person: Person) -> str:
    return str(person.page.inner_text("#title"))


def describe_faces(page: Any) -> Iterator[str]:
    """Yield the line of each face in the tree."""
    tiles = [tile for card in page["cards"] for tile in card["tiles"]]
    for tile in tiles:
        place = f"ace {tile['n'] + 1} of {len(tiles)}"
        match page["kind"]:
            case "duplicates":
                best = ", best copy" if tile["n"] == 0 else ""
                yield f"button Keep f{place}, {tile['caption']}{best}"
            case "review":
                change = f"{tile['label']} → {tile['name']}?"
                yield f"button F{place}, {change} [hasPopup=dialog]"
            case "clusters":
                yield f"checkbox F{place} [checked=true]"
            case _:
                doubtful = ", Low confidence" if tile["doubtful"] else ""
                yield f"checkbox F{place}, {tile['name']}?{doubtful} [checked=true]"


def check_landmarks(lines: list[str]) -> None:
    """Check the parts of the page, and that its headings begin with the title."""
    landmarks = ("banner", "navigation", "main", "complementary", "region")
    parts = [line for line in lines if line.partition(" ")[0] in landmarks]
    assert parts == [
        "banner",
        "navigation Views",
        "main",
        "complementary Classes",
        "complementary The face that is pointed at",
        "region Messages",
    ]
    headings = "\n".join(line for line in lines if line.startswith("heading"))
    levels = [int(level) for level in re.findall(r"\[level=(\d)]", headings)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(levels) == 2


def check_names(lines: list[str]) -> None:
    """Check that everything that can be pressed or filled has a name."""
    pressed = [line for line in lines if line.partition(" ")[0] in PRESSED_ROLES]
    assert pressed
    assert [line for line in pressed if re.fullmatch(r"\w+( \[.*)?", line)] == []


def list_focused(lines: list[str]) -> list[str]:
    return [line for line in lines[1:] if "[focused]" in line]


def test_tree_of_each_dialog_has_only_the_dialog(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth) as person:
        person.wait_for_page()
        for name in visit_dialogs(person):
            lines = [line.strip() for line in person.read_tree()]
            assert lines[1].startswith("dialog ")
            assert name in lines[1]
            check_names(lines)
            assert not {"main", "banner"}.intersection(lines)
            assert len(list_focused(lines)) == 1
            # What is said meanwhile is heard.
            assert "region Messages" in lines


def test_focus_returns_and_stays_in_the_page(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    def focused() -> str:
        [line] = list_focused(person.read_tree())
        return line.strip()

    def said() -> str:
        return str(person.page.inner_text("#said"))

    with opened_page(browser, server.url, faces.truth) as person:
        person.wait_for_page()
        person.press("ArrowRight")
        assert focused() == "checkbox Face 1 of 16 [checked=true] [focused]"
        person.press("Control+Space")
        assert focused() == "checkbox Face 1 of 16, excluded [focused] [unchecked]"
        for key in ("ContextMenu", "Space", "F1"):
            person.press(key)
            person.wait_for("document.querySelector('dialog[open]') !== null")
            person.press("Escape")
            assert focused() == "checkbox Face 1 of 16, excluded [focused] [unchecked]"

        # Undo that has nothing more to undo keeps the focus: elsewhere Enter accepts the page.
        person.press("Control+Space")
        person.page.locator("#undo").focus()
        person.press("Enter")
        person.wait_for("document.querySelector('#undo').ariaDisabled === 'true'")
        assert focused() == "button Undo [disabled] [focused]"
        assert said() == "Undo: Label"
        person.page.locator("#redo").focus()
        person.press("Enter")
        person.wait_for("document.querySelector('#redo').ariaDisabled === 'true'")
        assert focused() == "button Redo [disabled] [focused]"

        # The end of a view, and the way to another one.
        person.sort_everything()
        assert focused() == "heading Class pages [focused] [level=1]"
        person.page.locator("#tabs button").nth(2).focus()
        person.press("Enter")
        page = person.wait_for_page()
        assert focused() == "heading Are these labels right? [focused] [level=1]"
        person.press("ArrowRight")
        person.press("Enter")
        person.wait_for("localStorage.getItem('steps') === '[]'")
        if len(page["cards"][0]["tiles"]) > 1:
            assert focused().startswith("button Face 2 of")


def test_question_about_a_name_has_the_focus(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    with opened_page(browser, server.url, faces.truth) as person:
        person.wait_for_page()
        person.type_name("Hanna")
        assert "button hana [focused]" in [line.strip() for line in person.read_tree()]
        assert "Is “Hanna” hana?" in person.page.inner_text("#said")
        # A slow click: what happens when the button takes the focus must not remove it.
        person.page.hover("#said button >> nth=1")
        person.page.mouse.down()
        time.sleep(0.2)
        person.page.mouse.up()
        person.wait_for("localStorage.getItem('steps') === '[]'")
        with Dataset.open(faces.root) as dataset:
            assert "Hanna" in {sample.label for sample in dataset.samples.iterate()}


def test_plain_page_offers_the_menu_of_each_face(browser: Any, tmp_path: Path) -> None:
    make_many(tmp_path / "d", 24)
    with running_labeler(tmp_path / "d") as server:
        # At once: cards come as soon as the faces are compared.
        assert server.client.page()["kind"] == "plain"
        with opened_page(browser, server.url, {}, follows=False) as person:
            person.wait_for_page()
            lines = [line.strip() for line in person.read_tree()]
    check_landmarks(lines)
    check_names(lines)
    faces = [f"button Face {n} of 24 [hasPopup=dialog]" for n in range(1, 25)]
    assert [line for line in lines if " Face " in line] == faces


MAX_TABS = 60
FOCUS = """(() => {
    const at = document.activeElement;
    const {outlineStyle, outlineWidth, textDecorationLine} = getComputedStyle(at);
    const {top, bottom, left, right} = at.getBoundingClientRect();
    return {
        name: at.nodeName,
        html: at.outerHTML.slice(0, 200),
        isMarked: (outlineStyle !== "none" && outlineWidth !== "0px")
            || textDecorationLine === "underline" || at.matches(".card.lit"),
        isSeen: bottom > 0 && right > 0 && top < innerHeight && left < innerWidth,
    };
})()"""


class KeyboardUser(Person):
    """A person with a keyboard only, who always sees where the focus is."""

    def press(self, key: str) -> None:
        super().press(key)
        focus = self.page.evaluate(FOCUS)
        assert focus["name"] != "BODY", key
        assert focus["isMarked"], (key, focus)
        assert focus["isSeen"], (key, focus)

    def tap(self, selector: str) -> None:
        raise AssertionError(f"needs a pointer: {selector}")

    def press_button(self, selector: str, text: str = "") -> None:
        """Go to a button with Tab, and press it."""
        find = f"""[...document.querySelectorAll('{selector}')]
            .find((button) => button.textContent.startsWith('{text}'))"""
        before = f"{find}.compareDocumentPosition(document.activeElement) & 4"
        key = "Shift+Tab" if self.page.evaluate(before) else "Tab"
        for _ in range(MAX_TABS):
            if self.page.evaluate(f"{find} === document.activeElement"):
                return self.press("Enter")
            self.press(key)
        raise AssertionError(f"{key} does not reach {selector} {text}")

    def point_at(self, n: int) -> None:
        """Go to a face with the arrows."""
        for _ in range(2 * FACES):
            at = int(self.page.evaluate("document.activeElement.dataset.n ?? '-1'"))
            if at == n:
                return
            self.press("ArrowRight" if at < n else "ArrowLeft")
        raise AssertionError(f"the arrows do not reach face {n}")

    def correct(self, n: int, name: str, suggested_card: int) -> None:
        """Exclude a face, and name it where that is not done later."""
        self.point_at(n)
        self.press("Control+Space")
        if suggested_card < 0:
            self.type_name(name)

    def name_card(self, number: int, name: str) -> None:
        """Go to a card, and name it."""
        if self.page.evaluate(f"!document.querySelector('#who-{number}.asks')"):
            return
        is_lit = f"document.querySelector('[data-card=\"{number}\"]').matches('.lit')"
        while not self.page.evaluate(is_lit):
            self.press("Control+ArrowRight")
        time.sleep(LOOK_SECONDS)
        self.type_name(name)

    def wait_until_sent(self) -> None:
        """Wait until steps are saved, and look at the page that came with the answer."""
        self.wait_for("localStorage.getItem('steps') === '[]'")
        time.sleep(LOOK_SECONDS)


def test_everything_is_done_with_the_keyboard(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    def count(name: str) -> int:
        return [*assigned_labels(faces.root).values()].count(name)

    with opened_page(browser, server.url, faces.truth) as watcher:
        person = KeyboardUser(watcher.page, faces.truth)
        page = person.wait_for_page()
        [card] = page["cards"]
        number = len(card["tiles"])

        # A step, undone and done again by keys and by buttons.
        person.type_name("Rin")
        person.wait_until_sent()
        assert count("Rin") == number
        person.press("Control+z")
        person.wait_until_sent()
        assert count("Rin") == 0
        person.press_button("#redo")
        person.wait_until_sent()
        assert count("Rin") == number
        person.press_button("#undo")
        person.wait_until_sent()
        assert count("Rin") == 0

        # The menu of a face, and a class of the list.
        person.point_at(1)
        person.press("Shift+F10")
        person.press_button("#sheet .item", "Not sure")
        person.wait_until_sent()
        person.point_at(2)
        named = count("hana")
        person.press_button("#classes button", "hana")
        person.wait_until_sent()
        assert count("hana") == named + number - 1, "the open faces of the card"
        for _ in range(2):
            person.press("Control+z")
            person.wait_until_sent()
        assert count("hana") == named

        # The settings.
        person.press_button("#settings-button")
        person.press_button("#sheet button", "All keys")
        person.press("Escape")

        person.sort_everything()
        person.press_button("#page button", "Review doubtful labels")
        settle_labels(person)
        person.press_button("#tabs button", "Duplicates")
        page = person.wait_for_page()
        assert page["kind"] == "duplicates"
        person.press("Enter")
        person.wait_for("document.querySelector('.end') !== null")
        assert "Nothing is left here" in person.page.inner_text("#page")

    with Dataset.open(faces.root) as dataset:
        kept = [sample for sample in dataset.samples.iterate() if sample.kept]
    assert len(kept) == FACES - 1
    assert {sample.key: sample.label for sample in kept}.items() <= faces.truth.items()


def settle_labels(person: KeyboardUser) -> None:
    """Accept suggestions of classes where they are right, keep the label elsewhere."""
    page = person.wait_for_page()
    assert page["kind"] == "review"
    while page["kind"] != "done":
        tiles = page["cards"][0]["tiles"]
        for tile in tiles:
            person.point_at(tile["n"])
            is_right = person.truth[tile["key"]] == tile["name"]
            person.press("Enter" if is_right else "k")
        page = person.wait_for_page(page["id"])
