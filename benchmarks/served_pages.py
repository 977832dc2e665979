"""Seconds until `labeler serve` answers a step with the next page, of many faces.

    python benchmarks/served_pages.py [--faces 20000] [--pages 60] [--pause 1.0]

One person names the cards of pages and accepts suggestions over HTTP, and looks at each card or
page for a while, as a person does. The faces are generated: eight people with embeddings. The last
line is JSON: for pages with the state of the work, and for steps on a page, the number of answers,
the median, 90th percentile and maximum of their milliseconds, the share within 100 ms, and the
median of the CPU milliseconds that the whole server used meanwhile, with the pages that it composes
for later.

`--cpu` measures the CPU milliseconds of composing and of answers in one process instead, one after
the other: wall-clock times of a busy machine say little.
"""

import argparse
import json
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any

sys.path.extend(
    str(Path(__file__).resolve().parents[1] / part)
    for part in ("", "tests", "tests/labeler", "tests/labeler/web")
)

from process_usage import read_process_cpu_seconds
from served_labeler import Client, list_tiles, make_faces, running_labeler

from gleanset import Dataset
from labeler.sorting.page_layout import MAX_PAGE_TILES
from labeler.web.api_models import LabelPage, SentStep
from labeler.web.sharing import SharedSorting
from labeler.web.threads import PageComposer

PEOPLE = 8
LIMIT_MS = 100


class Stopwatch:
    """Measures wall-clock and CPU milliseconds of a server's answers, by their kind."""

    def __init__(self, server: int):
        self._server = server
        self._answers = defaultdict[str, list[tuple[float, float]]](list)

    def measure(
        self, kind: str, ask: Callable[..., Any], *sent: Any, **options: Any
    ) -> Any:
        """Return the answer."""
        cpu = read_process_cpu_seconds(self._server)
        start = time.monotonic()
        answer = ask(*sent, **options)
        seconds = time.monotonic() - start
        cpu = read_process_cpu_seconds(self._server) - cpu
        self._answers[kind].append((1000 * seconds, 1000 * cpu))
        return answer

    def describe(self) -> dict[str, dict[str, float]]:
        """Return the figures of each kind."""
        figures = {}
        for kind, answers in self._answers.items():
            times = [wall for wall, _ in answers]
            figures[kind] = {
                "answers": len(times),
                "median": round(median(times)),
                "90th percentile": round(quantiles([*times, times[-1]], n=10)[-1]),
                "maximum": round(max(times)),
                "within 100 ms": round(
                    sum(wall <= LIMIT_MS for wall in times) / len(times), 2
                ),
                "CPU median": round(median(cpu for _, cpu in answers)),
            }
        return figures


def sort_page(
    client: Client, watch: Stopwatch, truth: dict[str, str], page: Any, pause: float
) -> None:
    """Name cards, and exclude what is suggested wrongly."""
    for card in page["cards"]:
        names = [truth[tile["key"]] for tile in card["tiles"]]
        name = card["name"] or Counter(names).most_common(1)[0][0]
        right = []
        for tile, other in zip(card["tiles"], names, strict=True):
            if other == name:
                right.append(tile["n"])
            else:
                time.sleep(pause / 2)
                watch.measure("step", client.step, page, "lift", [tile["n"]])

        if page["kind"] == "clusters":
            time.sleep(pause)
            watch.measure(
                "step", client.step, page, "label", right, label=name, sure=True
            )

    time.sleep(pause)


def measure_cpu(root: Path, pages: int) -> dict[str, dict[str, float]]:
    """Return the CPU milliseconds of composing, and of answers with pages that are prepared."""
    sharing = SharedSorting(root, 0.0)
    composer = PageComposer(root)
    times = defaultdict[str, list[float]](list)

    def run(kind: str, work: Callable[..., Any], *arguments: Any) -> Any:
        start = time.thread_time()
        result = work(*arguments)
        times[kind].append(1000 * (time.thread_time() - start))
        return result

    def answer(
        page: LabelPage, act: str, tiles: list[int], label: str
    ) -> LabelPage | None:
        step = SentStep(str(uuid.uuid4()), act, page.id, tiles, label, sure=True)
        sharing.take_step(None, step)
        sharing.get_state(None)
        return sharing.get_page(None, MAX_PAGE_TILES)

    for _ in range(pages):
        if (page := sharing.get_page(None, MAX_PAGE_TILES)) is None:
            composed = run("composing", composer.compose, None, sharing.make_wish(None))
            sharing.note_composed(None, composed)
            page = sharing.get_page(None, MAX_PAGE_TILES)
        for number, card in enumerate(page.cards):
            if page.kind == "clusters":
                tiles = [tile.n for tile in card.tiles]
                label = f"Person {number} of {page.left}"
                run("step", answer, page, "label", tiles, label)
        run("next page", answer, page, "accept", [], "")
    return {
        kind: {
            "answers": len(values),
            "median": round(median(values)),
            "maximum": round(max(values)),
        }
        for kind, values in times.items()
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faces", type=int, default=20_000)
    parser.add_argument("--pages", type=int, default=60)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--pause", type=float, default=1.0, help="seconds")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        root = Path(folder) / "d"
        make_faces(root, options.faces, PEOPLE)
        with Dataset.open(root) as dataset:
            keys = dataset.db.fetch_column("SELECT key FROM sample ORDER BY id")
        if options.cpu:
            print(json.dumps(measure_cpu(root, options.pages)))
            return
        truth = {
            key: f"Person {'ABCDEFGH'[n % PEOPLE] * 3}" for n, key in enumerate(keys)
        }
        with running_labeler(root) as server:
            watch = Stopwatch(server.process.pid)
            page = watch.measure("first page", server.client.page)
            for _ in range(options.pages):
                if page["kind"] != "done":
                    sort_page(server.client, watch, truth, page, options.pause)
                    page = watch.measure("next page", server.client.accept, page)
                    tiles = len(list_tiles(page))
                    print(page["kind"], page["left"], tiles, file=sys.stderr)
    print(json.dumps(watch.describe()))


if __name__ == "__main__":
    main()
