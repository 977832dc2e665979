"""Searches with a small Bing, several sources, and four sites: limits, resuming, blocked sites."""

import json
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from faulty_server import NO_COUNTS, Handler
from four_sites import SOURCES, FourSites, SiteImage
from small_bing import Shelf, SmallBing, image_names, load_images, search, shelf
from tools_for_tests import Ran, eventually, examples, run_here, running, start_cli

from gleanset import Dataset, Image
from gleanset.errors import GleansetError
from gleanset.records import Candidate, Origin
from gleanset.settings import NetSettings
from gleanset.work.pool import IN_FLIGHT_PER_WORKER
from harvest.candidates import CandidateQueue, SharedQueue
from harvest.http import Client
from harvest.importer import SimulatedImporter
from harvest.sources import Pages, Query


def test_limit_counts_distinct_images(bing: SmallBing, tmp_path: Path) -> None:
    # Every image has two URLs, and every fifth has a third that fails.
    bing.results["cat"] = [
        name
        for n in range(60)
        for name in (f"{n}a.jpg", f"{n}b.jpg", *([f"x{n}"] * (n % 5 == 0)))
    ]
    done = bing.harvest(tmp_path, "cat", "--limit", "21")
    assert done.json["added"] == 21
    images = load_images(tmp_path)
    assert len(images) == 21
    assert {f"{n}a.jpg" for n in range(21)} <= image_names(tmp_path)
    assert all(
        len(image.origins) == 2
        for image in images[:-1]
        if "20a" not in str(image.origins)
    )
    with Dataset.open(tmp_path) as dataset:
        assert {r.reason for r in dataset.rejections.iterate()} == {"http 404"}


def test_second_run_downloads_nothing(bing: SmallBing, tmp_path: Path) -> None:
    bing.results["cat"].insert(3, "x.jpg")
    assert bing.harvest(tmp_path, "cat", "--limit", "20").stderr == ""
    assert image_names(tmp_path) == {f"{n}.jpg" for n in range(20)}
    before = len(bing.fetched)
    done = bing.harvest(tmp_path, "cat", "--limit", "20")
    assert (len(bing.fetched), done.json) == (before, NO_COUNTS | {"known": 21})
    bing.harvest(tmp_path, "cat", "--limit", "25")
    assert (len(load_images(tmp_path)), len(bing.fetched)) == (25, before + 5)


def test_shared_url_gets_both_weak_labels(bing: SmallBing, tmp_path: Path) -> None:
    bing.results = {"cat": ["1.jpg", "2.jpg"], "kitten": ["2.jpg", "3.jpg"]}
    done = bing.harvest(tmp_path, "cat", "kitten")
    assert sorted(bing.fetched) == ["1.jpg", "2.jpg", "3.jpg"]
    hints = {
        str(image.origins[0].url)[-5]: {(o.query, o.hint) for o in image.origins}
        for image in load_images(tmp_path)
    }
    assert hints["2"] == {("cat", "cat"), ("kitten", "kitten")}
    assert done.json["keywords"]["kitten"]["known"] == 1
    assert (done.json["added"], done.json["known"]) == (3, 1)


@pytest.mark.parametrize(
    ("words", "more"),
    [
        (["qwxyz"], {"no_results": True}),
        (["cat", "--filter", "width > 9000"], {"filtered": 80}),
    ],
)
def test_search_without_images_exits_with_code_0(
    bing: SmallBing, tmp_path: Path, words: list[str], more: dict[str, object]
) -> None:
    assert bing.harvest(tmp_path, *words).checked().json == NO_COUNTS | more


def test_results_are_printed_in_words(bing: SmallBing, tmp_path: Path) -> None:
    """Nothing is printed as `True`, and the parts of a search have no zeros."""
    nothing = [word for word in bing.line(tmp_path, "qwxyz") if word != "--json"]
    printed = run_here("harvest.cli", *nothing).checked().stdout.splitlines()
    assert printed == ["result: the search found nothing", "added: 0"]
    printed = (
        run_here("harvest.cli", "retry", "-d", tmp_path).checked().stdout.splitlines()
    )
    assert printed == ["result: nothing to retry"]
    both = [
        word
        for word in bing.line(tmp_path, "cat", "qwxyz", "--limit", "3")
        if word != "--json"
    ]
    printed = run_here("harvest.cli", *both).checked().stdout.splitlines()
    results = ["added: 3", "keywords:", "  cat: 3 added", "  qwxyz: nothing"]
    assert printed == [*results, "next:", f"  facecrop run -d {tmp_path}"]


def test_blocked_search_exits_with_code_4(bing: SmallBing, tmp_path: Path) -> None:
    bing.blocked_from["cat"] = 1
    assert bing.harvest(tmp_path, "cat").refused(4, "captcha").stdout == ""


def test_blocked_keyword_does_not_stop_others(bing: SmallBing, tmp_path: Path) -> None:
    bing.results["dog"] = ["90.jpg", "91.jpg"]
    bing.blocked_from["cat"] = 36
    done = bing.harvest(tmp_path, "cat", "dog", "--limit", "60")
    assert (done.code, done.json["added"]) == (4, 37)
    assert "search incomplete: bing 'cat'" in done.stderr
    assert "captcha" in done.json["keywords"]["cat"]["status"]
    assert done.json["keywords"]["dog"]["status"] == "ok"


def test_incomplete_search_exits_with_code_4(bing: SmallBing, tmp_path: Path) -> None:
    answer = bing.site.otherwise
    bing.site.otherwise = lambda h: (
        answer(h) if "first=36" not in h.path else h.answer(200)
    )
    done = bing.harvest(tmp_path, "cat", "--limit", "60")
    assert (done.code, done.json["added"]) == (4, 35)
    assert "an empty page" in done.json["sources"]["bing"]["status"]
    # A run that reaches its limit earlier does not notice where the list ends.
    assert bing.harvest(tmp_path, "cat", "--limit", "35").code == 0
    preview = bing.harvest(tmp_path / "new", "cat", "--limit", "60", "--simulate")
    assert (
        preview.code,
        json.loads(preview.stdout.splitlines()[-1])["candidates"],
    ) == (4, 35)


def test_concurrent_run_on_dataset_raises_error(
    bing: SmallBing, tmp_path: Path
) -> None:
    bing.pause = 0.3
    process = start_cli("harvest.cli", *bing.line(tmp_path, "cat"))
    try:
        assert eventually(lambda: bool(bing.fetched))
        bing.harvest(tmp_path, "cat").refused(3, "already running")
    finally:
        process.kill()
        process.wait()


def test_slow_source_does_not_block_others(bing: SmallBing, dataset: Dataset) -> None:
    # It waits for the other one's images: if sources took turns, this would never end.
    def wait(_: int) -> None:
        assert eventually(lambda: len(bing.fetched) >= 5)

    slow = shelf(bing, "slow", *range(20), before=wait)
    quick = shelf(bing, "quick", *range(20, 40))
    result = search(dataset, slow, quick)
    assert result["added"] == 10
    assert result["sources"] == {
        name: NO_COUNTS | {"status": "ok", "added": 5} for name in ("slow", "quick")
    }
    assert all(name.startswith("2") for name in bing.fetched[:5])


@pytest.mark.parametrize(
    ("cause", "error"),
    [(ZeroDivisionError, ZeroDivisionError), (SystemExit, RuntimeError)],
)
def test_unexpected_source_error_is_raised(
    bing: SmallBing,
    dataset: Dataset,
    cause: type[BaseException],
    error: type[Exception],
) -> None:
    def break_down(number: int) -> None:
        if number == 3:
            raise cause

    broken = shelf(bing, "broken", *range(20), before=break_down)
    with pytest.raises(error):
        search(dataset, broken, shelf(bing, "good", *range(20, 40)))
    # Downloads in progress are kept.
    assert dataset.images.count() >= 3


class Simulated(CandidateQueue):
    """A simulated source whose results and downloads follow a random generator."""

    def __init__(
        self, dataset: Dataset, numbers: list[int], common: set[str], die: random.Random
    ) -> None:
        super().__init__([], SimulatedImporter(dataset), set(), 0)
        self._common = common
        self.visited = 0
        self.under_way: list[Candidate] = []
        self._numbers = numbers
        self._die = die

    @property
    def is_searching(self) -> bool:
        return self._count_missing() > 0 and not self._is_exhausted

    def _next(self) -> Candidate | None:
        self._is_exhausted = self.visited == len(self._numbers)
        if self._is_exhausted or self._die.random() < 0.5:
            return None
        self.visited += 1
        url = str(self._numbers[self.visited - 1])
        self.under_way.append(Candidate(url, Origin("", str(self.visited), url=url)))
        return self.under_way[-1]

    def settle(self) -> None:
        candidate = self.under_way.pop(self._die.randrange(len(self.under_way)))
        self.images.add(candidate.url)
        self._common.add(candidate.url)
        self.mark_settled(candidate)


def simulate(
    dataset: Dataset, lists: list[list[int]], limit: int, seed: int
) -> tuple[list[int], int]:
    """Return the candidates visited per source and all distinct images."""
    die = random.Random(seed)
    common = set[str]()
    queues = {
        str(n): Simulated(dataset, numbers, common, die)
        for n, numbers in enumerate(lists)
    }
    shared = SharedQueue(limit, queues, common)
    while True:
        candidate = shared.pop_candidate()
        pending = [queue for queue in queues.values() if queue.under_way]
        if candidate is None and not pending and not shared.is_searching:
            return [queue.visited for queue in queues.values()], len(common)
        if pending and die.random() < 0.5:
            die.choice(pending).settle()


def test_result_is_independent_of_timing(dataset: Dataset) -> None:
    die = random.Random(7)
    for _ in range(examples(15, 60)):
        lists = [
            [die.randrange(60) for _ in range(die.randrange(40))]
            for _ in range(die.randint(1, 4))
        ]
        limit = die.randint(1, 50)
        ends = {str(simulate(dataset, lists, limit, seed)) for seed in range(12)}
        assert len(ends) == 1, (lists, limit, ends)
        _, count = simulate(dataset, lists, limit, 0)
        assert count == min(
            limit, len({number for numbers in lists for number in numbers})
        )


def test_interrupt_does_not_wait_for_servers(bing: SmallBing, tmp_path: Path) -> None:
    answer = bing.site.otherwise
    is_over = threading.Event()

    def hang(h: Handler) -> None:
        if "first=36" in h.path or "/p/7.jpg" in h.path:
            is_over.wait(50)
        answer(h)

    bing.site.otherwise = hang
    line = bing.line(tmp_path, "cat", "--limit", "80")
    with start_cli("harvest.cli", *line, stderr=subprocess.PIPE) as process:
        assert eventually(lambda: len(bing.fetched) >= 34)
        # Finished downloads are recorded although a download and the site hang.
        assert eventually(lambda: len(load_images(tmp_path)) == 34)
        process.send_signal(signal.SIGINT)
        start = time.monotonic()
        _, error = process.communicate(timeout=60)
    assert time.monotonic() - start < 25
    is_over.set()
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert image_names(tmp_path) == {f"{n}.jpg" for n in range(35) if n != 7}
    with Dataset.open(tmp_path) as dataset:
        assert list(dataset.rejections.iterate()) == []


def test_error_in_run_cancels_searches(bing: SmallBing, dataset: Dataset) -> None:
    is_held = threading.Event()

    class Waits(Shelf):
        def pages(
            self, query: Query, settings: Mapping[str, str], client: Client
        ) -> Pages:
            # Like a source that pauses between two requests.
            is_held.set()
            client.slots.wait(60)
            yield from ()

    def break_down(_: int) -> None:
        is_held.wait(60)
        raise ZeroDivisionError

    began = time.monotonic()
    with pytest.raises((ZeroDivisionError, GleansetError)):
        search(
            dataset, Waits("waits", []), shelf(bing, "b", *range(9), before=break_down)
        )
    assert time.monotonic() - began < 30


PROGRAMS = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
WORDS = ("alpha", "beta")
PLAIN = ("bing", "flickr", "pixiv")
# Downloads in progress, or finished but not yet recorded.
MAX_IN_FLIGHT = NetSettings().threads * IN_FLIGHT_PER_WORKER


def command_line(
    sites: FourSites,
    folder: Path,
    limit: int,
    sources: tuple[str, ...] = PLAIN,
    words: tuple[str, ...] = WORDS,
) -> list[str | Path]:
    names = [
        "--source",
        ",".join(sources),
        "--limit",
        str(limit),
        *sites.options(sources),
    ]
    return ["keyword", *words, *names, "-d", folder, "--json", "-q"]


def run(sites: FourSites, line: list[str | Path]) -> Ran:
    return run_here("harvest.cli", *line, **sites.environment).checked()


def images_by_path(folder: Path) -> dict[str, Image]:
    """Return the dataset's images by the path of their URL."""
    return {
        urlsplit(str(image.origins[0].url)).path: image for image in load_images(folder)
    }


def assert_image_matches(expected: SiteImage, image: Image) -> None:
    """Check an image's content, and its origin against the site's data."""
    [origin] = image.origins
    assert image.sha256 == expected.sha256
    assert (origin.source, origin.key) == (expected.source, expected.key)
    assert (origin.url, origin.page_url) == (expected.url, expected.page)
    assert (origin.query, origin.hint) == (expected.keyword, expected.keyword)
    assert (origin.author, origin.licence) == (expected.author, expected.licence)
    assert origin.title == expected.title


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sources", "words", "share"),
    [
        pytest.param(PLAIN, WORDS[:1], 6, id="without a browser"),
        pytest.param(
            SOURCES,
            WORDS,
            20,
            id="all",
            marks=[
                pytest.mark.long,
                pytest.mark.skipif(
                    bool(PROGRAMS), reason=f"needs {', '.join(PROGRAMS)}"
                ),
            ],
        ),
    ],
)
def test_repeated_harvest_requests_nothing(
    tmp_path: Path, sources: tuple[str, ...], words: tuple[str, ...], share: int
) -> None:
    with running(FourSites(list(WORDS), each=share + 10)) as sites:
        line = command_line(sites, tmp_path, len(sources) * share, sources, words)
        total = len(words) * len(sources) * share
        assert run(sites, line).json["added"] == total
        images = images_by_path(tmp_path)
        assert len(images) == total
        for path, image in images.items():
            assert_image_matches(sites.images[path], image)
        counts = Counter(
            (sites.images[path].source, sites.images[path].keyword) for path in images
        )
        assert counts == {(source, word): share for source in sources for word in words}
        requested = sites.image_requests()
        assert Counter(requested) == dict.fromkeys(images, 1)

        second = run(sites, line).json
        assert (second["added"], second["rejected"]) == (0, 0)
        assert (sites.image_requests(), len(images_by_path(tmp_path))) == (
            requested,
            total,
        )


@pytest.mark.long
def test_harvest_resumes_after_kill(tmp_path: Path) -> None:
    with running(FourSites(list(WORDS), each=40)) as sites:
        sites.pause = 0.1
        line = command_line(sites, tmp_path, limit=90)
        in_flight: set[str] = set()
        settled: dict[str, int] = {}
        for kill_at in (40, 110):
            kill_after_requests(sites, line, kill_at)
            recorded = set(images_by_path(tmp_path))
            assert recorded >= set(settled), "recorded images are lost"
            requested = Counter(sites.image_requests())
            assert settled == {path: requested[path] for path in settled}, (
                "requested twice"
            )
            settled = {path: requested[path] for path in recorded}
            assert len(set(requested) - recorded) <= MAX_IN_FLIGHT
            in_flight |= set(requested) - recorded
        run(sites, line)
        images = images_by_path(tmp_path)
        requested = Counter(sites.image_requests())
        assert len(images) == 180
        for path, image in images.items():
            assert_image_matches(sites.images[path], image)
        assert settled == {path: requested[path] for path in settled}
        assert {path for path, times in requested.items() if times > 1} <= in_flight


def kill_after_requests(sites: FourSites, line: list[str | Path], images: int) -> None:
    """Run until that many images were requested in total, then kill -9."""
    with start_cli("harvest.cli", *line, environment=sites.environment) as process:
        assert eventually(lambda: len(sites.image_requests()) >= images)
        assert process.poll() is None, "the run ended before the kill"
        process.kill()
