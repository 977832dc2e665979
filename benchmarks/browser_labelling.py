"""Three people label one dataset in real browsers, while connections and servers fail.

    python benchmarks/browser_labelling.py [--faces 2000] [--double 0.1] [--kills 20]

Each person has a browser (Chromium) of their own, one of them a phone with touch, and names faces
by the same gestures as in the tests. The third one errs in one of ten faces. One browser is cut off
for a minute; meanwhile and after it the server is killed (SIGKILL) and started again a number of
times, each time after some steps, at any moment of the next one. The last line is JSON: faces
without a label, faces decided again other than as a second opinion, faces by the number of people
who decided about them, steps that the server acknowledged but that are not in the journal, Cohen's
kappa as `gleanset status` prints it and as it follows from the journal, and after how many seconds
a browser shows a label that a window gave.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

sys.path.extend(
    str(Path(__file__).resolve().parents[1] / part)
    for part in ("", "tests", "tests/labeler", "tests/labeler/web")
)

import browser_page
from browser_page import PHONE, WIDE, Person
from playwright.sync_api import Error, sync_playwright
from served_labeler import Server, make_faces, start_server

from gleanset import Dataset
from gleanset.db.journal import SECOND
from labeler.sorting.session import SortingSession
from labeler.web.access import Invitations

NAMES = ("Mio", "Haruka", "Sakura", "Rin", "Kotone", "Yuzu", "Aoi", "Tsubasa")
PEOPLE = ("Yuki", "Haru", "Sora")
ERROR_SHARE = 0.1
STEPS_BETWEEN_KILLS = 4
MAX_SECONDS_BETWEEN_KILLS = 60
DESCRIBE_PAGE = """
    import('./js/store.js').then((m) => ({
      page: m.currentPage() && { ...m.currentPage(), cards: m.currentPage().cards.length },
      steps: localStorage.getItem("steps"),
      message: document.querySelector("#said").textContent,
      waiting: document.querySelector("#waiting").textContent,
      name: document.querySelector("#name")?.value ?? null,
      dialog: document.querySelector("dialog[open]")?.innerText ?? null,
      text: document.querySelector("#page").innerText.slice(0, 200),
      images: [...document.querySelectorAll(".face img")].filter((i) => !i.naturalWidth).length,
    }))
    """
# Keeps what the server acknowledged, as the page sees it.
RECORD_ANSWERS = """
    window.acknowledged = [];
    const send = window.fetch;
    window.fetch = async (address, options) => {
      const answer = await send(address, options);
      if (String(address).endsWith("steps") && answer.ok) {
        const { step } = await answer.clone().json();
        if (step) window.acknowledged.push(JSON.parse(options.body).id);
      }
      return answer;
    };
    """


@contextmanager
def report_failures(person: Person, number: int) -> Iterator[None]:
    """Print why a person could not go on, and what the page shows."""
    try:
        yield
    except (AssertionError, Error, TypeError) as error:
        text = str(error).splitlines()[:3]
        print(number, "failed:", type(error).__name__, *text, file=sys.stderr)
        try:
            summary = person.page.evaluate(DESCRIBE_PAGE)
            print(number, json.dumps(summary, ensure_ascii=False), file=sys.stderr)
        except Error as other:
            print(number, "no answer:", str(other)[:200], file=sys.stderr)


def sort_in_a_browser(
    url: str, truth: dict[str, str], number: int, cut_off: int
) -> dict[str, Any]:
    """Sort until nothing waits; return the acknowledged steps and the gestures."""
    is_phone = number == 0
    width, height = PHONE if is_phone else WIDE
    unsent = 0
    browser_page.WAIT_SECONDS = 30
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        context = browser.new_context(
            viewport={"width": width, "height": height},
            has_touch=is_phone,
            is_mobile=is_phone,
        )
        context.add_init_script(RECORD_ANSWERS)
        page = context.new_page()
        page.goto(url)
        person = Person(page, truth, is_phone, names_faces=not is_phone)
        last = ""
        done_since = 0.0
        for turn in range(10_000):
            expected = last
            last = ""  # after a failure the same page is sorted again
            with report_failures(person, number):
                page_state = person.wait_for_page(expected)
                print(number, page_state["kind"], page_state["left"], file=sys.stderr)
                if page_state["kind"] == "done":
                    # Faces of others may come back, and second opinions become due.
                    done_since = done_since or time.monotonic()
                    if time.monotonic() - done_since > 30:
                        break
                    time.sleep(1)
                    continue
                done_since = 0.0
                if cut_off and turn:
                    context.set_offline(True)
                    try:
                        person.sort_page(page_state)
                    finally:
                        # An error must not leave the browser cut off.
                        steps = person.page.evaluate("localStorage.getItem('steps')")
                        unsent = len(json.loads(steps or "[]"))
                        time.sleep(cut_off)
                        context.set_offline(False)
                        cut_off = 0
                    person.wait_for("localStorage.getItem('steps') === '[]'")
                else:
                    person.sort_page(page_state)
                last = page_state["id"]
        acknowledged = page.evaluate("window.acknowledged")
        browser.close()
    return {
        "acknowledged": acknowledged,
        "gestures": dict(person.gestures),
        "sent after the cut-off": unsent,
    }


def kill_again_and_again(
    root: Path, server: Server, share: float, kills: int, wait: int
) -> Server:
    """Kill the server a number of times, and start it at the same port."""
    port = str(urlsplit(server.url).port)
    dice = random.Random(2)
    time.sleep(wait)
    for number in range(kills):
        wait_for_steps(root)
        time.sleep(dice.random())
        server.kill()
        print("kill", number + 1, file=sys.stderr)
        server = start_server(root, "--double", str(share), "--port", port)
    return server


def wait_for_steps(root: Path) -> None:
    """Wait until people have done some steps, or all is done."""
    end = time.monotonic() + MAX_SECONDS_BETWEEN_KILLS
    with Dataset.open(root) as dataset:
        first = dataset.db.fetch_int("SELECT max(id) FROM step")
        while time.monotonic() < end:
            last = dataset.db.fetch_int("SELECT max(id) FROM step")
            if last - first >= STEPS_BETWEEN_KILLS:
                return
            time.sleep(0.05)


def compute_kappa(pairs: list[tuple[str, str]]) -> float | None:
    """Return Cohen's kappa by its definition; None where both used one class only."""
    number = len(pairs)
    observed = sum(label == other for label, other in pairs) / number
    first = Counter(label for label, _ in pairs)
    second = Counter(other for _, other in pairs)
    expected = sum(first[name] * second[name] for name in first) / number**2
    if expected == 1:
        return None
    return round((observed - expected) / (1 - expected), 3)


def check(root: Path, results: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare the journal with the answers that browsers received."""
    with Dataset.open(root) as dataset:
        labels: dict[str, dict[str, str]] = defaultdict(dict)
        firsts = Counter[str]()
        deciders: dict[str, list[str]] = defaultdict(list)
        undone = {d.undoes for d in dataset.journal.iterate() if d.undoes}
        for decision in dataset.journal.iterate():
            if decision.step not in undone and decision.provenance != "undo":
                labels[decision.sample][decision.by] = decision.value or ""
                if decision.provenance != SECOND:
                    deciders[decision.sample].append(decision.by)
        for people in labels.values():
            firsts[str(len(people))] += 1
        requests = set(
            dataset.db.fetch_column("SELECT request FROM step WHERE request NOT NULL")
        )
        unlabelled = sum(sample.label is None for sample in dataset.samples.iterate())
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for by in labels.values():
        if len(by) == 2:
            (person, label), (other, other_label) = sorted(by.items())
            pairs[f"{person} and {other}"].append((label, other_label))
    command = [sys.executable, "-m", "pipeline", "status", "-d", str(root), "--json"]
    status = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    acknowledged = {step for result in results for step in result["acknowledged"]}
    return {
        "unlabelled": unlabelled,
        "decided twice": sum(len(by) > 1 for by in deciders.values()),
        "faces by number of people": dict(firsts),
        "acknowledged steps": len(acknowledged),
        "lost steps": len(acknowledged - requests),
        "disagreements": status.get("disagreements", 0),
        "kappa of status": {
            f"{row['person']} and {row['other']}": row["kappa"]
            for row in status["agreements"]
        },
        "kappa by hand": {
            people: compute_kappa(labels) for people, labels in sorted(pairs.items())
        },
        "gestures": [result["gestures"] for result in results],
        "sent after the cut-off": max(r["sent after the cut-off"] for r in results),
    }


def measure_delays(root: Path, url: str) -> dict[str, float]:
    """Return after how many seconds a window's label is in a browser, and the reverse."""
    with sync_playwright() as playwright, Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        rows = dataset.db.fetch_column("SELECT id FROM sample ORDER BY id LIMIT 30")
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium")
        page = browser.new_page()
        page.goto(url)
        time.sleep(3)
        delays = []
        for number, row in enumerate(rows[:10]):
            name = f"window {number}"
            start = time.monotonic()
            session.decide([row], name)
            while name not in page.inner_text("#classes"):
                time.sleep(0.02)
            delays.append(time.monotonic() - start)
        browser.close()
    return {"median": round(sorted(delays)[5], 2), "maximum": round(max(delays), 2)}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=2000)
    parser.add_argument("--double", type=float, default=0.1)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--cut-off", type=int, default=60, help="seconds")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        root = Path(folder) / "d"
        make_faces(root, options.faces, len(NAMES))
        with Dataset.open(root) as dataset:
            keys = dataset.db.fetch_column("SELECT key FROM sample ORDER BY id")
        truth = {key: NAMES[n % len(NAMES)] for n, key in enumerate(keys)}
        dice = random.Random(1)
        mistaken = {
            key: dice.choice(NAMES) if dice.random() < ERROR_SHARE else name
            for key, name in truth.items()
        }

        server = start_server(root, "--double", str(options.double))
        address = server.url.partition("?")[0]
        tokens = [Invitations(root).invite(name) for name in PEOPLE]
        start = time.monotonic()
        with get_context("spawn").Pool(len(PEOPLE)) as pool:
            work = [
                (
                    f"{address}?token={token}",
                    mistaken if n == 2 else truth,
                    n,
                    options.cut_off * (n == 1),
                )
                for n, token in enumerate(tokens)
            ]
            running = pool.starmap_async(sort_in_a_browser, work)
            server = kill_again_and_again(
                root, server, options.double, options.kills, wait=options.cut_off // 2
            )
            results = running.get()
        figures = check(root, results)
        figures["seconds"] = round(time.monotonic() - start)
        figures["seconds until a label of a window is shown"] = measure_delays(
            root, f"{address}?token={tokens[0]}"
        )
        server.kill()
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
