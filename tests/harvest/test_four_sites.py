"""The `harvest keyword` command with all four sites: undisturbed, with every fault, and killed."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from faulty_server import BEHAVIOURS, Behaviour, Handler
from four_sites import SOURCES, FourSites, SiteImage, running_sites
from tools_for_tests import Ran, command, eventually, python_path, run_here

from gleanset.settings import NetSettings
from gleanset.work.pool import IN_FLIGHT_PER_WORKER

PROGRAMS = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(PROGRAMS), reason=f"not installed: {', '.join(PROGRAMS)}"),
]
WORDS = ("alpha", "beta")
PLAIN = ("bing", "flickr", "pixiv")
# A slow drip takes as long as one download may; all other downloads take some 20 seconds.
ONE_DOWNLOAD = "15"
LONGEST = 90.0
# Python with its imports takes 130 MB; a response is limited to 50 MB.
MOST_MEMORY = 400_000_000
# Downloads in progress, or finished but not yet recorded.
MOST_IN_FLIGHT = NetSettings().threads * IN_FLIGHT_PER_WORKER


def command_line(
    sites: FourSites, folder: Path, limit: int, sources: tuple[str, ...] = SOURCES
) -> list[str | Path]:
    """Return the command line that harvests both keywords."""
    selected = [word for source in sources for word in ("--source", source)]
    private = [] if sites.as_proxy else ["--allow-private"]
    line = ["keyword", *WORDS, *selected, "--limit", str(limit), *sites.options(sources), *private]
    return [*line, "-d", folder, "--json", "-q"]


def start(sites: FourSites, line: list[str | Path]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command("harvest.cli", *line),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "PYTHONPATH": python_path(),
            "GLEANSET_NET_SECONDS": ONE_DOWNLOAD,
            **sites.environment,
        },
    )


def run(sites: FourSites, line: list[str | Path]) -> Ran:
    limits = {"GLEANSET_NET_SECONDS": ONE_DOWNLOAD, **sites.environment}
    done = run_here("harvest.cli", *line, **limits)
    assert done.code == 0, done.stderr
    return done


def listed(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = run_here("pipeline.cli", "list", kind, "-d", folder).stdout.splitlines()
    return [json.loads(line) for line in lines]


def images_by_path(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the dataset's images by the path of their URL."""
    result: dict[str, dict[str, Any]] = {}
    for image in listed(folder, "images"):
        [origin] = image["origins"]
        result[urlsplit(origin["url"]).path] = image
    return result


def assert_image_matches(expected_image: SiteImage, image: dict[str, Any]) -> None:
    """Check an image's content, and its origin against the site's data."""
    [origin] = image["origins"]
    assert image["sha256"] == expected_image.sha256
    expected = {
        "source": expected_image.source,
        "source_id": expected_image.key,
        "url": expected_image.url,
        "page_url": expected_image.page,
        "query": expected_image.keyword,
        "hint": expected_image.keyword,
        "author": expected_image.author,
        "licence": expected_image.licence,
        "title": expected_image.title,
    }
    assert {name: origin[name] for name in expected} == expected


# Faults of hosts with the expected rejection reason; None: the image arrives in the end.


def _good(h: Handler) -> None:
    assert isinstance(h.server, FourSites)
    h.server.send(h)


def _fine_after(status: int, times: int, **headers: str) -> Behaviour:
    def behave(h: Handler) -> None:
        if h.count() <= times:
            h.answer(status, b"not now", **headers)
        else:
            _good(h)

    return behave


# Sends 300,000 bytes that decompress to 300 million.
_BOMB = gzip.compress(bytes(1_000_000)) * 300
FAULTS: dict[str, tuple[Behaviour, str | None]] = {
    "404": (lambda h: h.answer(404, b"gone"), "http 404"),
    "403": (lambda h: h.answer(403, b"no"), "http 403"),
    "429 then fine": (_fine_after(429, 1, Retry_After="1"), None),
    "500 then fine": (_fine_after(500, 1), None),
    "500 always": (lambda h: h.answer(500, b"broken"), "http 500"),
    "reset mid-body": (BEHAVIOURS["/reset"], "cut off"),
    "endless body": (BEHAVIOURS["/endless"], "too large"),
    "slow drip": (BEHAVIOURS["/drip-body"], "too slow"),
    "gzip bomb": (lambda h: h.answer(200, _BOMB, Content_Encoding="gzip"), "too large"),
    "HTML as JPEG": (BEHAVIOURS["/html.jpg"], "not an image"),
    "zero bytes": (BEHAVIOURS["/empty"], "empty"),
    "wrong length": (BEHAVIOURS["/wrong-length"], "cut off"),
    "redirect loop": (BEHAVIOURS["/loop"], "bad redirect"),
    "redirect to file:": (BEHAVIOURS["/to-file"], "bad redirect"),
    "redirect to 169.254.169.254": (BEHAVIOURS["/to-metadata"], "private address"),
    "X-Robots-Tag": (
        lambda h: h.answer(200, b"x", Content_Type="image/jpeg", X_Robots_Tag="noai"),
        "robots tag noai",
    ),
}


# Slow faults are all on one site, where they run at the same time.
SLOW = {"500 always", "reset mid-body", "slow drip", "wrong length"}


def add_faults(sites: FourSites) -> dict[str, str]:
    """Put each fault on an image; return the expected rejections."""
    rejected: dict[str, str] = {}
    for at, (name, (behaviour, reason)) in enumerate(FAULTS.items()):
        slow = name in SLOW
        for source in SOURCES[:1] if slow else SOURCES:
            image = sites.results_of(source, WORDS[1 if slow else at % 2])[at]
            sites.behaviours[image.path] = behaviour
            if reason:
                rejected[image.key] = reason
    return rejected


@dataclass
class FaultyRun:
    """A run with faults, which takes a minute."""

    sites: FourSites
    folder: Path
    rejected: dict[str, str]
    process: subprocess.Popen[str]
    began: float = field(default_factory=time.monotonic)
    took: float = 0.0
    peak: int = 0

    def watch(self) -> None:
        """Record the peak memory of the process until it ends."""
        status = Path(f"/proc/{self.process.pid}/status")
        while self.process.poll() is None:
            # The process may end between the two lines.
            with suppress(OSError):
                result = dict(line.split(":", 1) for line in status.read_text().splitlines())
                self.peak = max(self.peak, 1024 * int(result.get("VmHWM", "0 kB").split()[0]))
            time.sleep(0.05)
        self.took = time.monotonic() - self.began


@pytest.fixture
def faulty_run(tmp_path: Path) -> Iterator[FaultyRun]:
    folder = tmp_path / "dataset"
    with running_sites(FourSites(list(WORDS), each=20, as_proxy=True)) as sites:
        rejected = add_faults(sites)
        run = FaultyRun(
            sites, folder, rejected, start(sites, command_line(sites, folder, limit=500))
        )
        watcher = threading.Thread(target=run.watch)
        watcher.start()
        yield run
        run.process.kill()
        watcher.join()
        run.process.communicate()


@pytest.mark.parametrize(
    ("sources", "share"),
    [
        pytest.param(PLAIN, 6, id="without a browser"),
        pytest.param(SOURCES, 20, id="all", marks=pytest.mark.long),
    ],
)
def test_repeated_harvest_requests_nothing(
    tmp_path: Path, sources: tuple[str, ...], share: int
) -> None:
    with running_sites(FourSites(list(WORDS), each=share + 10)) as sites:
        line = command_line(sites, tmp_path / "dataset", len(sources) * share, sources)
        total = len(WORDS) * len(sources) * share
        assert run(sites, line).json["added"] == total
        images = images_by_path(tmp_path / "dataset")
        assert len({image["sha256"] for image in images.values()}) == len(images) == total
        for path, image in images.items():
            assert_image_matches(sites.images[path], image)
        counts = Counter((sites.images[path].source, sites.images[path].keyword) for path in images)
        assert counts == {(source, word): share for source in sources for word in WORDS}
        requested = sites.image_requests()
        assert Counter(requested) == dict.fromkeys(images, 1)

        again = run(sites, line).json
        assert (again["added"], again["rejected"]) == (0, 0)
        assert sites.image_requests() == requested
        assert len(images_by_path(tmp_path / "dataset")) == total


@pytest.mark.long
def test_harvest_resumes_after_kill(tmp_path: Path) -> None:
    with running_sites(FourSites(list(WORDS), each=40)) as sites:
        sites.pause = 0.1
        folder = tmp_path / "dataset"
        line = command_line(sites, folder, limit=90, sources=PLAIN)
        in_flight: set[str] = set()
        settled: dict[str, int] = {}
        for kill_at in (40, 110):
            kill_when_asked(sites, line, kill_at)
            recorded = set(images_by_path(folder))
            assert recorded >= set(settled), "recorded images are lost"
            requested = Counter(sites.image_requests())
            assert {path: requested[path] for path in settled} == settled, (
                "images are requested twice"
            )
            settled = {path: requested[path] for path in recorded}
            assert len(set(requested) - recorded) <= MOST_IN_FLIGHT
            in_flight |= set(requested) - recorded
        run(sites, line)
        images, requested = images_by_path(folder), Counter(sites.image_requests())
        assert len(images) == 180
        for path, image in images.items():
            assert_image_matches(sites.images[path], image)
        assert {path: requested[path] for path in settled} == settled
        assert {path for path, times in requested.items() if times > 1} <= in_flight


def kill_when_asked(sites: FourSites, line: list[str | Path], pictures: int) -> None:
    """Run until that many images were requested in total, then kill -9."""
    process = start(sites, line)
    far = eventually(lambda: len(sites.image_requests()) >= pictures)
    process.kill()
    _, error = process.communicate()
    assert far, error
    assert process.returncode == -signal.SIGKILL, "the run ended before the kill"


@pytest.mark.long
def test_harvest_with_server_faults(faulty_run: FaultyRun) -> None:
    out, error = faulty_run.process.communicate(timeout=LONGEST)
    assert faulty_run.process.returncode == 0, error
    assert eventually(lambda: faulty_run.took > 0)
    sites, result = faulty_run.sites, json.loads(out.splitlines()[-1])
    rejections = {item["what"]: item["reason"] for item in listed(faulty_run.folder, "rejections")}
    assert rejections == faulty_run.rejected
    images = images_by_path(faulty_run.folder)
    good = {
        item.path: item for item in sites.images.values() if item.key not in faulty_run.rejected
    }
    assert set(images) == set(good)
    for path, image in images.items():
        assert_image_matches(good[path], image)
    assert (result["added"], result["rejected"]) == (len(good), len(faulty_run.rejected))
    assert not [
        target for target in sites.requests if "169.254" in target or target.startswith("file")
    ]
    assert faulty_run.took < LONGEST
    assert faulty_run.peak < MOST_MEMORY
    print(  # noqa: T201
        f"{len(good)} images, {len(rejections)} rejections, {faulty_run.took:.0f} s, "
        f"{faulty_run.peak / 1e6:.0f} MB at most"
    )
