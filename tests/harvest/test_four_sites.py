"""The `harvest keyword` command with all four sites: calm, with every fault, and killed."""

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
from four_sites import SOURCES, FourSites, Picture, running_sites
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


def words(
    sites: FourSites, folder: Path, limit: int, sources: tuple[str, ...] = SOURCES
) -> list[str | Path]:
    """Return the command line that harvests both keywords."""
    asked = [word for source in sources for word in ("--source", source)]
    private = [] if sites.as_proxy else ["--allow-private"]
    line = ["keyword", *WORDS, *asked, "--limit", str(limit), *sites.options(sources), *private]
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


def had(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the dataset's images by the path of their URL."""
    result: dict[str, dict[str, Any]] = {}
    for image in listed(folder, "images"):
        [origin] = image["origins"]
        result[urlsplit(origin["url"]).path] = image
    return result


def assert_told(one: Picture, image: dict[str, Any]) -> None:
    """Check an image's content, and its origin against the site's data."""
    [origin] = image["origins"]
    assert image["sha256"] == one.sha256
    expected = {
        "source": one.source,
        "source_id": one.key,
        "url": one.url,
        "page_url": one.page,
        "query": one.keyword,
        "hint": one.keyword,
        "author": one.author,
        "licence": one.licence,
        "title": one.title,
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


def spoil(sites: FourSites) -> dict[str, str]:
    """Put each fault on an image; return the expected rejections."""
    rejected: dict[str, str] = {}
    for at, (name, (behaviour, reason)) in enumerate(FAULTS.items()):
        slow = name in SLOW
        for source in SOURCES[:1] if slow else SOURCES:
            one = sites.listed(source, WORDS[1 if slow else at % 2])[at]
            sites.behaviours[one.path] = behaviour
            if reason:
                rejected[one.key] = reason
    return rejected


@dataclass
class Rough:
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
def rough(tmp_path: Path) -> Iterator[Rough]:
    folder = tmp_path / "dataset"
    with running_sites(FourSites(list(WORDS), each=20, as_proxy=True)) as sites:
        rejected = spoil(sites)
        run = Rough(sites, folder, rejected, start(sites, words(sites, folder, limit=500)))
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
def test_one_command_brings_distinct_images_and_then_none(
    tmp_path: Path, sources: tuple[str, ...], share: int
) -> None:
    with running_sites(FourSites(list(WORDS), each=share + 10)) as sites:
        line = words(sites, tmp_path / "dataset", len(sources) * share, sources)
        whole = len(WORDS) * len(sources) * share
        assert run(sites, line).json["added"] == whole
        images = had(tmp_path / "dataset")
        assert len({image["sha256"] for image in images.values()}) == len(images) == whole
        for path, image in images.items():
            assert_told(sites.shown[path], image)
        had_of = Counter((one.source, one.keyword) for one in map(sites.shown.__getitem__, images))
        assert had_of == {(source, word): share for source in sources for word in WORDS}
        asked = sites.picture_requests()
        assert Counter(asked) == dict.fromkeys(images, 1)

        again = run(sites, line).json
        assert (again["added"], again["rejected"]) == (0, 0)
        assert sites.picture_requests() == asked
        assert len(had(tmp_path / "dataset")) == whole


@pytest.mark.long
def test_killed_in_mid_run_it_goes_on_where_it_was(tmp_path: Path) -> None:
    with running_sites(FourSites(list(WORDS), each=40)) as sites:
        sites.pause = 0.1
        folder = tmp_path / "dataset"
        line = words(sites, folder, limit=90, sources=PLAIN)
        in_flight: set[str] = set()
        settled: dict[str, int] = {}
        for kill_at in (40, 110):
            kill_when_asked(sites, line, kill_at)
            recorded = set(had(folder))
            assert recorded >= set(settled), "nothing is lost"
            asked = Counter(sites.picture_requests())
            assert {path: asked[path] for path in settled} == settled, "nothing is done twice"
            settled = {path: asked[path] for path in recorded}
            assert len(set(asked) - recorded) <= MOST_IN_FLIGHT
            in_flight |= set(asked) - recorded
        run(sites, line)
        whole, asked = had(folder), Counter(sites.picture_requests())
        assert len(whole) == 180
        for path, image in whole.items():
            assert_told(sites.shown[path], image)
        assert {path: asked[path] for path in settled} == settled
        assert {path for path, times in asked.items() if times > 1} <= in_flight


def kill_when_asked(sites: FourSites, line: list[str | Path], pictures: int) -> None:
    """Run until that many images were requested in total, then kill -9."""
    process = start(sites, line)
    far = eventually(lambda: len(sites.picture_requests()) >= pictures)
    process.kill()
    _, error = process.communicate()
    assert far, error
    assert process.returncode == -signal.SIGKILL, "it was over before it could be killed"


@pytest.mark.long
def test_among_faults_every_good_image_comes_and_every_bad_one_is_told(rough: Rough) -> None:
    out, error = rough.process.communicate(timeout=LONGEST)
    assert rough.process.returncode == 0, error
    assert eventually(lambda: rough.took > 0)
    sites, result = rough.sites, json.loads(out.splitlines()[-1])
    rejections = {one["what"]: one["reason"] for one in listed(rough.folder, "rejections")}
    assert rejections == rough.rejected
    images = had(rough.folder)
    good = {one.path: one for one in sites.shown.values() if one.key not in rough.rejected}
    assert set(images) == set(good)
    for path, image in images.items():
        assert_told(good[path], image)
    assert (result["added"], result["rejected"]) == (len(good), len(rough.rejected))
    assert not [asked for asked in sites.asked if "169.254" in asked or asked.startswith("file")]
    assert rough.took < LONGEST
    assert rough.peak < MOST_MEMORY
    print(  # noqa: T201
        f"{len(good)} images, {len(rejections)} rejections, {rough.took:.0f} s, "
        f"{rough.peak / 1e6:.0f} MB at most"
    )
