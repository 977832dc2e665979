"""The page of `labeler serve` on phones and tablets: sizes, languages, touch."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from browser_page import LOOK_SECONDS, PHONE, Person, opened_page
from drawn_faces import FaceSet, add_classes, copied, drawn_once
from served_labeler import Server, running_labeler
from tools_for_tests import needs_chromium

from gleanset import Dataset
from gleanset.db.journal import Choice

FACES = 60
CLASSES = 4
SCREENS = {
    "phone": PHONE,
    "small phone": (320, 568),
    "phone on its side": (844, 390),
    "small phone on its side": (667, 375),
    "tablet": (768, 1024),
    "tablet on its side": (1180, 820),
}
LOCALES = ("en-US", "ja-JP", "zh-CN")
LONG_NAMES = (
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtin",
    "超電磁砲の御坂美琴お姉様とその妹達9982号（量産型能力者計画）",
    "魔法少女小圆与她的朋友们在见泷原市的漫长夏天第二章番外篇",
)
NUMBER_OF_CLASSES = 60
NUMBER_LABELLED = 4  # faces of each class with a long name
pytestmark = [needs_chromium, pytest.mark.slow]


@pytest.fixture
def faces(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> FaceSet:
    """Return faces of 60 classes, three of them with long names and some labels."""
    faces = copied(
        drawn_once(tmp_path_factory, FACES, CLASSES), tmp_path / "d", named=False
    )
    names = dict(zip(faces.names, LONG_NAMES, strict=False))
    truth = {key: names.get(name, name) for key, name in faces.truth.items()}
    keys = sorted(truth, key=lambda key: truth[key])
    choices = [
        Choice(key, "label", name)
        for name in LONG_NAMES
        for key in [key for key in keys if truth[key] == name][:NUMBER_LABELLED]
    ]
    with Dataset.open(faces.root) as dataset:
        dataset.journal.apply("Label", choices)
    add_classes(
        faces.root, [f"class {n}" for n in range(len(LONG_NAMES), NUMBER_OF_CLASSES)]
    )
    return FaceSet(faces.root, truth)


@pytest.fixture
def server(faces: FaceSet) -> Iterator[Server]:
    """Serve the faces."""
    with running_labeler(faces.root) as server:
        yield server


IS_SHOWN = "(node) => node.checkVisibility() && node.getClientRects().length"
# The lens on a face leaves the middle of the face free: a long press does the same.
TOO_SMALL = f"""(() => {{
    const place = document.querySelector("dialog[open]") ?? document;
    const sideOf = (node) => (node.matches(".magnify") ? 36 : 44);
    return [...place.querySelectorAll("button, input, select, [role=option]")]
        .filter({IS_SHOWN})
        .map((node) => [node, node.getBoundingClientRect()])
        .filter(([node, {{width, height}}]) => Math.min(width, height) < sideOf(node))
        .map(([node, {{width, height}}]) => [node.outerHTML.slice(0, 120), width, height]);
}})()"""
CUT_OFF = f"""[...document.querySelectorAll("button, h1, h2, p, .title")]
    .filter({IS_SHOWN})
    .filter((node) => !node.closest(".unseen"))
    .filter((node) => node.scrollWidth > node.clientWidth + 1 && node.clientWidth)
    .map((node) => [node.outerHTML.slice(0, 120), node.scrollWidth, node.clientWidth])"""
OFF_SCREEN = f"""[...document.querySelectorAll("button, h1, h2, p, input, dialog")]
    .filter({IS_SHOWN})
    .map((node) => [node, node.getBoundingClientRect()])
    .filter(([, {{left, right}}]) => left < 0 || right > innerWidth + 1)
    .map(([node, {{left, right}}]) => [node.outerHTML.slice(0, 120), left, right])"""
OUTSIDE = f"""(insets) => [...document.querySelectorAll(".top button, .bar button, .bar input")]
    .filter({IS_SHOWN})
    .map((node) => [node, node.getBoundingClientRect()])
    .filter(([, {{left, top, right, bottom}}]) => left < insets.left || top < insets.top
        || right > innerWidth - insets.right || bottom > innerHeight - insets.bottom)
    .map(([node]) => node.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("screen", SCREENS)
def test_nothing_is_cut_off_or_too_small_to_touch(
    browser: Any, faces: FaceSet, server: Server, screen: str
) -> None:
    def check(place: str) -> None:
        assert person.page.evaluate(TOO_SMALL) == [], (place, locale)
        assert person.page.evaluate(CUT_OFF) == [], (place, locale)
        assert person.page.evaluate(OFF_SCREEN) == [], (place, locale)

    for number, locale in enumerate(LOCALES):
        scheme = "dark" if number else "light"
        with opened_page(
            browser,
            server.url,
            faces.truth,
            size=SCREENS[screen],
            phone=True,
            locale=locale,
            color_scheme=scheme,
        ) as person:
            person.wait_for_page()
            check("page")
            for place in open_sheets(person):
                check(place)


def open_sheets(person: Person) -> Iterator[str]:
    """Yield the name of each sheet and view while it is shown."""
    face = person.page.locator(".face").first.bounding_box()
    assert face is not None
    person.hold(face["x"] + 10, face["y"] + 10)
    yield "menu of a face"
    # A name that is nearly that of a class, and the question about it.
    person.tap("#sheet .item")
    person.page.fill("#name", LONG_NAMES[0] + "s")
    yield "name"
    person.press("Enter")
    person.wait_for("document.querySelector('#said button') !== null")
    yield "question"
    person.tap("#said button")
    for n in range(3):
        is_narrow = person.page.locator("#menu-button").is_visible()
        person.tap("#menu-button" if is_narrow else "#settings-button")
        yield "settings"
        if not is_narrow:
            person.page.keyboard.press("Escape")
        person.tap(f"{'#sheet' if is_narrow else '#tabs'} .tab >> nth={2 - n}")
        person.wait_for_page()
        yield f"view {2 - n}"


IS_OPEN = "document.querySelector('dialog[open]') !== null"


def test_buttons_are_in_the_safe_area(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    for size, insets in (
        (PHONE, {"top": 59, "bottom": 34, "left": 0, "right": 0}),
        ((844, 390), {"top": 0, "bottom": 21, "left": 59, "right": 59}),
    ):
        with opened_page(
            browser, server.url, faces.truth, size=size, phone=True
        ) as person:
            session = person.page.context.new_cdp_session(person.page)
            session.send("Emulation.setSafeAreaInsetsOverride", {"insets": insets})
            person.wait_for_page()
            person.wait_for(f"{INSETS} === '{insets['left']}px {insets['bottom']}px'")
            assert person.page.evaluate(OUTSIDE, insets) == []
            person.tap("#menu-button")
            person.wait_for(IS_OPEN)
            for button in person.page.locator("#sheet-content button").all():
                box = button.bounding_box()
                assert box is not None
                assert box["x"] >= insets["left"]
            last = "document.querySelector('#sheet-content').lastChild"
            person.page.evaluate(f"{last}.scrollIntoView()")
            end = person.page.evaluate(f"{last}.getBoundingClientRect().bottom")
            assert end <= size[1] - insets["bottom"]


INSETS = """(() => {
    const node = document.createElement("p");
    node.style.padding = "0 0 env(safe-area-inset-bottom) env(safe-area-inset-left)";
    document.body.append(node);
    const {paddingLeft, paddingBottom} = getComputedStyle(node);
    node.remove();
    return `${paddingLeft} ${paddingBottom}`;
})()"""


def test_taps_swipes_and_long_presses(
    browser: Any, faces: FaceSet, server: Server
) -> None:
    def excluded() -> Sequence[str]:
        return [
            face.get_attribute("data-n")
            for face in person.page.locator(".face.lifted").all()
        ]

    def press_long(selector: str) -> None:
        box = person.page.locator(selector).first.bounding_box()
        assert box is not None
        person.hold(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
        person.wait_for(IS_OPEN)

    def close() -> None:
        person.page.keyboard.press("Escape")

    with opened_page(browser, server.url, faces.truth, phone=True) as person:
        page = person.wait_for_page()
        # A tap takes a face out, another one puts it back.
        person.tap(".face[data-n='1']")
        assert excluded() == ["1"]
        person.tap(".face[data-n='1']")
        assert excluded() == []

        # The lens shows the face in its image; a long press opens the menu of a face or card.
        person.tap(".magnify")
        person.wait_for(IS_OPEN)
        assert person.page.inner_text("#dialog h2") == "Face 1 in its image"
        close()
        press_long(".face")
        assert person.page.inner_text("#sheet h2").startswith("Face 1 of")
        close()
        assert excluded() == []

        # A short swipe and a scroll do nothing.
        person.swipe(-60)
        time.sleep(LOOK_SECONDS)
        person.page.mouse.wheel(0, 300)
        assert person.ask("currentPage()")["id"] == page["id"]

        # To the left the page is skipped, to the right it is accepted.
        before = person.ask("currentState()")["labelled"]
        person.swipe(-160)
        page = person.wait_for_page(page["id"])
        assert person.ask("currentState()")["labelled"] == before
        while page["kind"] not in ("class", "mixed"):
            person.swipe(-160)
            page = person.wait_for_page(page["id"])
        person.look_at_all()
        person.swipe(160)
        person.wait_for_page(page["id"])
        count = sum(tile["size"] for card in page["cards"] for tile in card["tiles"])
        assert person.ask("currentState()")["labelled"] == before + count
