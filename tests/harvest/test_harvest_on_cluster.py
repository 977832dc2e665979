"""Downloads on the nodes of a real cluster: a host sees no more of them than of one machine."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faulty_server import FaultyServer, Handler
from PIL import Image
from ray_nodes import NEEDS_RAY, RayCluster, ray_cluster
from tools_for_tests import ROOT, Ran, run_cli, run_here

PER_HOST = 3


class CountingSite(FaultyServer):
    """Counts the connections that are open at once, and from which port of whom they come."""

    def __init__(self) -> None:
        super().__init__()
        self.open = self.most_open = 0
        self.otherwise = _numbered

    def process_request(self, request: Any, client_address: Any) -> None:
        with self.lock:
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            self.open -= 1
        super().shutdown_request(request)


def _numbered(h: Handler) -> None:
    """A picture of its own for each number; some are broken off, some are busy at first."""
    if h.path == "/robots.txt":
        h.answer(404)
        return
    number = int(h.path.rpartition("/")[2])
    time.sleep(0.2)
    if number % 10 == 7 and h.count() == 1:
        h.answer(503, b"", Retry_After="0")
    elif number % 10 == 4:
        h.answer(404, b"gone")
    elif number % 10 == 5 and number < 1000:
        h.answer(302, b"", Location=f"/to/{number + 1000}")
    else:
        data = drawn(number)
        h.answer(200, data[: len(data) // 2] if number % 10 == 8 else data)


def drawn(number: int) -> bytes:
    file = io.BytesIO()
    colour = (number % 251, number * 7 % 251, number * 13 % 251)
    Image.new("RGB", (40 + number % 50, 40), colour).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def three() -> Iterator[RayCluster]:
    with ray_cluster(1, 1, 1) as cluster:
        yield cluster


@pytest.fixture
def counting() -> Iterator[CountingSite]:
    with CountingSite() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def harvest(root: Path, *words: str | Path, **environment: str) -> Ran:
    per_host = {"GLEANSET_NET_PER_HOST": str(PER_HOST), "GLEANSET_NET_THREADS": "8"}
    ran = run_cli(
        "harvest.cli", *words, "-d", root, "--json", timeout=300, **per_host, **environment
    )
    assert ran.code == 0, ran.stderr
    return ran


def rows(root: Path) -> dict[str, list[str]]:
    """All that is told of images and rejections, as lines."""
    found = {}
    for kind in ("images", "rejections"):
        ran = run_here("pipeline.cli", "list", kind, "-d", root)
        assert ran.code == 0, ran.stderr
        found[kind] = ran.stdout.splitlines()
    return found


@NEEDS_RAY
@pytest.mark.long
def test_no_host_sees_more_connections_than_it_may_over_three_nodes(
    tmp_path: Path, three: RayCluster, counting: CountingSite
) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_text("\n".join(f"{counting.url}/{number}" for number in range(150)))
    here = harvest(tmp_path / "here", "urls", urls, "--allow-private")
    asked_here, counting.hits = counting.hits, Counter()
    counting.most_open = counting.most_running = 0
    there = harvest(tmp_path / "there", "urls", urls, "--allow-private", "--on", three.address)
    assert counting.most_running == PER_HOST
    assert counting.most_open == PER_HOST
    # Each address as often as before, robots.txt once.
    assert counting.hits == asked_here
    assert there.json == here.json
    assert rows(tmp_path / "there") == rows(tmp_path / "here")
    assert len(rows(tmp_path / "there")["images"]) > 100
    reasons = {json.loads(line)["reason"] for line in rows(tmp_path / "there")["rejections"]}
    assert reasons == {"http 404", "truncated"}


@NEEDS_RAY
@pytest.mark.long
def test_a_pause_that_a_host_asks_for_holds_for_all_nodes(
    tmp_path: Path, three: RayCluster, counting: CountingSite
) -> None:
    def busy_once(h: Handler) -> None:
        if h.path == "/robots.txt":
            h.answer(404)
        elif h.server.hits["/0"] == 1 and h.path == "/0":
            h.answer(429, b"", Retry_After="3")
        else:
            h.answer(200, drawn(int(h.path[1:])))

    counting.otherwise = busy_once
    urls = tmp_path / "urls.txt"
    urls.write_text("\n".join(f"{counting.url}/{number}" for number in range(30)))
    net = {"GLEANSET_NET_DELAY": "0.1"}
    harvest(tmp_path / "there", "urls", urls, "--allow-private", "--on", three.address, **net)
    pauses = [b - a for a, b in zip(counting.times, counting.times[1:], strict=False)]
    assert max(pauses) > 2.5
    # Also where a process has to begin on a node before it can ask.
    assert min(pauses) > 0.095
    assert len(rows(tmp_path / "there")["images"]) == 30


@NEEDS_RAY
@pytest.mark.long
def test_addresses_on_private_networks_are_refused_on_nodes_too(
    tmp_path: Path, three: RayCluster, counting: CountingSite
) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_text(f"http://localhost.localdomain:{counting.server_address[1]}/1\n")
    harvest(tmp_path / "there", "urls", urls, "--on", three.address)
    assert counting.asked == []


@NEEDS_RAY
@pytest.mark.long
def test_videos_give_the_same_frames(tmp_path: Path, three: RayCluster) -> None:
    episode = ROOT / "datasets" / "sample" / "episode.mp4"
    again = tmp_path / "again.mp4"
    # Cut off in the middle: its beginning counts, and the rest is a rejection.
    again.write_bytes(episode.read_bytes()[: episode.stat().st_size * 2 // 3])
    for options in ("--every 2s", "--scenes --limit 6", "--every 1s --skip-openings"):
        place = tmp_path / options
        words = ["frames", episode, again, *options.split()]
        here = harvest(place / "here", *words)
        there = harvest(place / "there", *words, "--on", three.address)
        assert there.json == here.json
        assert rows(place / "there") == rows(place / "here")
        assert rows(place / "there")["images"]
