"""The `harvest keyword` command with several sites: repeated, and killed."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from faulty_server import running
from four_sites import SOURCES, FourSites, SiteImage
from small_bing import load_images
from tools_for_tests import Ran, eventually, run_here, start_cli

from gleanset import Image
from gleanset.settings import NetSettings
from gleanset.work.pool import IN_FLIGHT_PER_WORKER

PROGRAMS = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
pytestmark = pytest.mark.slow
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
    names = ["--source", ",".join(sources), "--limit", str(limit), *sites.options(sources)]
    return ["keyword", *words, *names, "-d", folder, "--json", "-q"]


def run(sites: FourSites, line: list[str | Path]) -> Ran:
    done = run_here("harvest.cli", *line, **sites.environment)
    assert done.code == 0, done.stderr
    return done


def images_by_path(folder: Path) -> dict[str, Image]:
    """Return the dataset's images by the path of their URL."""
    return {urlsplit(str(image.origins[0].url)).path: image for image in load_images(folder)}


def assert_image_matches(expected: SiteImage, image: Image) -> None:
    """Check an image's content, and its origin against the site's data."""
    [origin] = image.origins
    assert image.sha256 == expected.sha256
    assert (origin.source, origin.key) == (expected.source, expected.key)
    assert (origin.url, origin.page_url) == (expected.url, expected.page)
    assert (origin.query, origin.hint) == (expected.keyword, expected.keyword)
    assert (origin.author, origin.licence) == (expected.author, expected.licence)
    assert origin.title == expected.title


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
                pytest.mark.skipif(bool(PROGRAMS), reason=f"needs {', '.join(PROGRAMS)}"),
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
        counts = Counter((sites.images[path].source, sites.images[path].keyword) for path in images)
        assert counts == {(source, word): share for source in sources for word in words}
        requested = sites.image_requests()
        assert Counter(requested) == dict.fromkeys(images, 1)

        second = run(sites, line).json
        assert (second["added"], second["rejected"]) == (0, 0)
        assert sites.image_requests() == requested
        assert len(images_by_path(tmp_path)) == total


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
            assert settled == {path: requested[path] for path in settled}, "requested twice"
            settled = {path: requested[path] for path in recorded}
            assert len(set(requested) - recorded) <= MAX_IN_FLIGHT
            in_flight |= set(requested) - recorded
        run(sites, line)
        images, requested = images_by_path(tmp_path), Counter(sites.image_requests())
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
