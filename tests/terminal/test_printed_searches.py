"""What searches, retries and logins print; the sites are imitated on this machine."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from printed_lines import PrintedLines
from states import NAME, States
from syrupy.assertion import SnapshotAssertion
from terminal_for_tests import run_in_terminal
from tools_for_tests import running

sys.path.insert(0, str(Path(__file__).parents[1] / "harvest"))

from faulty_server import Handler
from four_sites import FourSites

SITES = "bing,flickr,pixiv"
HERE = f"--allow-private -d {NAME}"
SEARCHES = [
    f"harvest keyword disc --source bing --limit 4 {HERE}",
    f"harvest keyword disc --source bing --limit 4 --simulate {HERE}",
    f"harvest keyword disc cross --source {SITES} --limit 4 {HERE}",
    f"harvest keyword nothing --source bing {HERE}",
    f"harvest keyword disc nothing --source {SITES} --limit 4 {HERE}",
    f"harvest keyword disc --source bing --filter width<=1 --limit 4 {HERE}",
]


@pytest.fixture
def sites(monkeypatch: pytest.MonkeyPatch) -> Iterator[FourSites]:
    with running(FourSites(["disc", "cross"], each=8)) as sites:
        for name, value in sites.environment.items():
            monkeypatch.setenv(name, value)
        yield sites


def _is_down(h: Handler) -> None:
    h.answer(503, b"later", Content_Type="text/html")


def search_here(line: str, sites: FourSites) -> str:
    """Add the options that direct the sites of a line to this server."""
    sources = line.partition("--source ")[2].split()[0].split(",")
    return f"{line} {' '.join(sites.options(tuple(sources)))}"


@pytest.mark.slow
def test_searches_print(
    states: States, sites: FourSites, snapshot: SnapshotAssertion
) -> None:
    lines = PrintedLines(states, states.make("empty"))
    for line in SEARCHES:
        here = search_here(line, sites)
        lines.run(here, on_pipe=True)
        lines.run(f"{here} && {here}")
    lines.check(snapshot)


def test_failed_downloads_print(
    states: States, sites: FourSites, snapshot: SnapshotAssertion
) -> None:
    lines = PrintedLines(states, states.make("empty"))
    search = search_here(SEARCHES[0], sites)
    for image in sites.images.values():
        sites.behaviours[image.path] = _is_down
    lines.run(search)
    lines.run(f"{search} && harvest retry {HERE}")
    lines.check(snapshot)


def test_missing_login_prints(
    states: States, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    for name in ("FLICKR_API_KEY", "FLICKR_API_SECRET", "PIXIV_REFRESH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    lines = PrintedLines(states, states.make("empty"))
    for source in ("flickr", "pixiv"):
        lines.run(f"harvest keyword disc --source {source} {HERE}", on_pipe=True)
    lines.check(snapshot)


@pytest.mark.parametrize("source", ["flickr", "pixiv"])
def test_login_is_interrupted(source: str, tmp_path: Path) -> None:
    ended = run_in_terminal(
        "harvest.cli", "login", source, cwd=tmp_path, interrupt_at=":"
    )
    assert (ended.code, ended.lines[-1]) == (130, f"  harvest login {source}")
    assert "Traceback" not in ended.text
