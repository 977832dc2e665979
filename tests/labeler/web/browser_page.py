"""A person at the page of `labeler serve`, in a real browser: with a keyboard, or by touch."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from served_labeler import TOKEN
from tools_for_tests import wait_for

WIDE = (1440, 900)
PHONE = (390, 844)
LOOK_SECONDS = 0.35
"""A person looks at faces for so long: what was shown for less than .3 s is not labelled."""
WAIT_SECONDS = 60
SWIPE_PIXELS = 160


@dataclass
class Person:
    """A browser page, the true class of each face by key, and the gestures that were made."""

    page: Any
    truth: Mapping[str, str]
    by_touch: bool = False
    names_faces: bool = False
    """Whether a face that is alone of its class gets a typed name, instead of being taken out."""
    gestures: Counter[str] = field(default_factory=Counter)

    def ask(self, script: str) -> Any:
        """Return what the page's store says, for example `currentPage()`."""
        return self.page.evaluate(f"import('./js/store.js').then((m) => m.{script})")

    def wait_for(self, script: str) -> Any:
        """Wait until the value of a script is true, and return it."""
        try:
            return wait_for(self.page, script, WAIT_SECONDS)
        except AssertionError as error:
            error.add_note(f"the page says: {self.page.inner_text('#said')!r}")
            raise

    def wait_for_page(self, last: str = "") -> Any:
        """Wait until another page than the last one is there and was looked at; return it."""
        is_next = f"""page && (page.kind === "done" && !page.left
            || !["", {json.dumps(last)}].includes(page.id) && !page.isLeft)"""
        page = self.wait_for(
            "import('./js/store.js').then((m) => m.currentPage())"
            f".then((page) => {is_next} ? page : null)"
        )
        if page["kind"] == "done" and not page["left"]:
            return page
        self.wait_for(
            "[...document.querySelectorAll('.face img')].every((image) =>"
            " image.naturalWidth || image.getBoundingClientRect().top > innerHeight)"
        )
        time.sleep(LOOK_SECONDS)
        return page

    def read_tree(self) -> list[str]:
        """Return what a screen reader is given, a node a line: role, name, and states."""
        session = self.page.context.new_cdp_session(self.page)
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
        session.detach()
        by_id = {node["nodeId"]: node for node in nodes}
        lines: list[str] = []
        waiting = [(nodes[0], 0)]
        while waiting:
            node, depth = waiting.pop()
            line = "" if node["ignored"] else _describe_node(node)
            if line:
                lines.append("  " * depth + line)
            children = [by_id[key] for key in node["childIds"] if key in by_id]
            deeper = depth + bool(line)
            waiting += [(child, deeper) for child in reversed(children)]
        return lines

    def press(self, key: str) -> None:
        self.gestures["keys"] += 1
        self.page.keyboard.press(key)

    def tap(self, selector: str) -> None:
        self.gestures["taps"] += 1
        place = self.page.locator(selector).first
        (place.tap if self.by_touch else place.click)()

    def type_name(self, name: str) -> None:
        self.page.keyboard.type(name)
        self.press("Enter")

    def swipe(self, dx: int) -> None:
        """Swipe over the page: to the right accepts it, to the left leaves it."""
        self.gestures["swipes"] += 1
        touch = self.page.context.new_cdp_session(self.page)

        def send(kind: str, *points: tuple[float, float]) -> None:
            places = [{"x": x, "y": y} for x, y in points]
            touch.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": places}
            )

        start = 200 - dx / 2
        send("touchStart", (start, 400))
        for part in range(1, 9):
            send("touchMove", (start + dx * part / 8, 400 + part))
        send("touchEnd")
        touch.detach()

    def hold(self, x: float, y: float) -> None:
        """Press long at a place, in pixels."""
        self.gestures["taps"] += 1
        touch = self.page.context.new_cdp_session(self.page)
        for kind, points in (("touchStart", [{"x": x, "y": y}]), ("touchEnd", [])):
            touch.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": points}
            )
            time.sleep(2 * LOOK_SECONDS)
        touch.detach()

    def look_at_all(self) -> None:
        """Scroll over the page as far as it goes."""
        scroll = """(() => {
            const page = document.getElementById("page"), at = page.scrollTop;
            page.scrollBy(0, 0.7 * page.clientHeight);
            return page.scrollTop > at;
        })()"""
        while self.page.evaluate(scroll):
            self.gestures["swipes"] += self.by_touch
            time.sleep(LOOK_SECONDS)

    def sort_page(self, page: Any) -> None:
        """Name the cards of a page, or exclude what is suggested wrongly, and accept it."""
        self.look_at_all()
        for number, card in enumerate(page["cards"]):
            names = [self.truth[tile["key"]] for tile in card["tiles"]]
            name = card["name"] or Counter(names).most_common(1)[0][0]
            for tile, true_name in zip(card["tiles"], names, strict=True):
                is_open = not (tile.get("lifted") or tile.get("sent"))
                if true_name != name and is_open:
                    self.correct(tile["n"], true_name, number if card["name"] else -1)
            if page["kind"] == "clusters":
                self.name_card(number, name)

        time.sleep(LOOK_SECONDS)
        if self.by_touch:
            self.swipe(SWIPE_PIXELS)
        else:
            self.press("Enter")

    def correct(self, n: int, name: str, suggested_card: int) -> None:
        """Take a face out; where its class is known, give it to the face."""
        face = f'.face[data-n="{n}"]'
        keys = {
            row["name"]: row["key"] for row in self.ask("currentState()")["classes"]
        }
        if self.names_faces and suggested_card >= 0 and name not in keys:
            self.page.hover(face)
            self.type_name(name)
            self.wait_for("localStorage.getItem('steps') === '[]'")
        elif suggested_card < 0 or name not in keys or self.by_touch:
            self.tap(face)
            # Chromium takes a tap soon after a swipe for the end of its motion, without a click; a
            # person sees that the face is not crossed out.
            if self.by_touch and not self.page.locator(f"{face}.lifted").count():
                time.sleep(LOOK_SECONDS)
                self.tap(face)
        else:
            self.page.hover(face)
            self.press(keys[name])

    def name_card(self, number: int, name: str) -> None:
        """Name a card: the next one is pointed at already."""
        card = f'.card[data-card="{number}"]'
        if self.page.evaluate(f"!document.querySelector('{card} .asks')"):
            return
        if not self.page.evaluate(f"document.querySelector('{card}').matches('.lit')"):
            self.tap(f"{card} .who")
        elif self.by_touch and self.page.evaluate(
            "document.activeElement.id !== 'name'"
        ):
            self.tap("#name")
        time.sleep(LOOK_SECONDS)
        self.type_name(name)

    def sort_everything(self) -> None:
        """Sort pages until no face waits."""
        page = self.wait_for_page()
        while page["kind"] != "done":
            self.sort_page(page)
            page = self.wait_for_page(page["id"])


UNSPOKEN_ROLES = ("none", "generic", "InlineTextBox", "LineBreak")
SPOKEN_STATES = (
    "checked",
    "disabled",
    "expanded",
    "focused",
    "hasPopup",
    "level",
    "selected",
)


def _describe_node(node: Mapping[str, Any]) -> str:
    """Return role, name and states of a node of Chromium's tree; "" for one without a meaning."""
    role = node["role"]["value"]
    if role in UNSPOKEN_ROLES:
        return ""
    states = [
        item["name"] if value is True else f"{item['name']}={value}"
        for item in node.get("properties", ())
        if item["name"] in SPOKEN_STATES
        and (value := item["value"].get("value")) not in (False, "false")
    ]
    if role == "checkbox" and not any(state.startswith("checked") for state in states):
        states.append("unchecked")
    parts = [role, node["name"]["value"], *(f"[{state}]" for state in sorted(states))]
    return " ".join(part for part in parts if part)


def check_accessible(axe: Any, person: Person) -> None:
    """Assert that axe finds nothing in the page as it is now, in light and in dark."""
    if not person.page.evaluate("'axe' in window"):
        person.page.evaluate(axe.axe_script)
    # Only colors differ in the dark.
    for scheme, rules in (("dark", "runOnly: ['color-contrast'],"), ("light", "")):
        person.page.emulate_media(color_scheme=scheme)
        # Colors are half-way while a page fades in.
        person.wait_for("document.getAnimations().length === 0")
        script = f"axe.run({{{rules} resultTypes: ['violations']}})"
        found = person.page.evaluate(script)["violations"]
        found = [(scheme, rule["id"], rule["nodes"][0]["html"]) for rule in found]
        assert not found, found


@contextmanager
def opened_page(
    browser: Any,
    url: str,
    truth: Mapping[str, str],
    *,
    token: str = TOKEN,
    phone: bool = False,
    size: tuple[int, int] | None = None,
    follows: bool = True,
    **options: Any,
) -> Iterator[Person]:
    """Open the page; errors in its console fail the test, except of the network.

    Without `follows` it keeps what it shows when something changes on the server.
    """
    width, height = size or (PHONE if phone else WIDE)
    context = browser.new_context(
        viewport={"width": width, "height": height},
        has_touch=phone,
        is_mobile=phone,
        **options,
    )
    context.set_default_timeout(120_000)
    page = context.new_page()
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on(
        "console",
        lambda said: troubles.append(said.text) if said.type == "error" else None,
    )
    if not follows:
        page.route("**/state?since=*", lambda route: None)
    page.goto(f"{url.split('?')[0]}?token={token}")
    try:
        yield Person(page, truth, phone)
    finally:
        context.close()
    network = ("INTERNET_DISCONNECTED", "ERR_CONNECTION_", "EMPTY_RESPONSE")
    expected = (*network, "(Not Found)", "(Conflict)", "(Unauthorized)")
    others = [text for text in troubles if not any(word in text for word in expected)]
    assert others == []
