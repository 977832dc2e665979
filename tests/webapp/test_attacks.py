"""Denial of service: an attack affects only its own requests."""

import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from color_model import write_model
from PIL import Image
from server_helpers import Serve, make_settings, running_server, solid_image
from starlette.testclient import TestClient
from tools_for_tests import encode, eventually

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import web_attackers
from web_attackers import read_response

from gleanset.db.faces import CropMethod
from webapp.settings import RequestLimits, ServeSettings

PREDICT = "/api/v1/predict"
ATTACKER = "127.0.0.2"
OTHER = "127.0.0.3"
HONEST = "127.0.0.4"
NO_RATE_LIMIT = RequestLimits(per_minute=1_000_000)


@pytest.fixture(scope="module")
def crowd() -> bytes:
    """Return an image of many faces, for which animeface holds the GIL for seconds."""
    return web_attackers.draw_crowd()


def post_images(port: int, *pictures: bytes, source: str = HONEST) -> socket.socket:
    """Send images from a local address; return the open connection."""
    parts = [web_attackers.encode_part("files", picture) for picture in pictures]
    return web_attackers.open_post(port, *parts, source=source)


def predict_red(port: int, source: str = HONEST) -> int:
    """Send a red image; return the status of the response."""
    return read_response(post_images(port, solid_image("red"), source=source))[0]


def worker_ids() -> set[int]:
    """Return the IDs of the compute processes."""
    return {process.pid or 0 for process in multiprocessing.active_children()}


def cpu_ticks(pids: set[int]) -> int:
    """Return the CPU time of processes, in clock ticks."""
    total = 0
    for pid in pids:
        with suppress(OSError):  # it has ended
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total


@contextmanager
def animeface_server(root: Path, scratch: Path, **limits: Any) -> Iterator[int]:
    """Yield the port of a server that detects with animeface, in two processes."""
    file = write_model(
        scratch / "colours.onnx", crops=(CropMethod("animeface", "", "", 10),)
    )
    bounds = msgspec.structs.replace(NO_RATE_LIMIT, **limits)
    with running_server(make_settings(file, root, limits=bounds, processes=2)) as port:
        yield port


@pytest.mark.slow
def test_expensive_images_do_not_block_others(
    root: Path, tmp_path: Path, crowd: bytes
) -> None:
    red = solid_image("red", (200, 200))
    with animeface_server(root, tmp_path, seconds_computed=1.0) as port:
        read_response(post_images(port, red))
        ended = threading.Event()
        attack_statuses = list[int]()
        last = dict[str, socket.socket]()

        def attack(source: str) -> None:
            while not ended.is_set():
                last[source] = post_images(port, crowd, crowd, source=source)
                attack_statuses.append(read_response(last[source])[0])

        sources = (ATTACKER, OTHER)
        attackers = [
            threading.Thread(target=attack, args=(source,)) for source in sources
        ]
        for attacker in attackers:
            attacker.start()
        assert eventually(lambda: len(attack_statuses) > 0)
        begun = time.monotonic()
        answers = [read_response(post_images(port, red)) for _ in range(3)]
        seconds = time.monotonic() - begun
        ended.set()
        for connection in last.values():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for attacker in attackers:
            attacker.join()
    assert [status for status, _, _ in answers] == [200] * 3
    assert seconds < 30


def test_overlong_computation_is_stopped(
    root: Path, tmp_path: Path, crowd: bytes
) -> None:
    with animeface_server(root, tmp_path, seconds_computed=0.3) as port:
        status, _, problem = read_response(post_images(port, *[crowd] * 5))
        assert (status, problem["reason"]) == (413, "too much work")
        assert eventually(lambda: predict_red(port) == 200)


@pytest.fixture(scope="module")
def patient_port(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Yield the port of a server that computes for minutes."""
    with animeface_server(
        root, tmp_path_factory.mktemp("model"), seconds_computed=300.0
    ) as port:
        yield port


def test_disconnect_stops_computation(patient_port: int, crowd: bytes) -> None:
    assert predict_red(patient_port) == 200
    before = worker_ids()
    ticks = cpu_ticks(before)
    with post_images(patient_port, *[crowd] * 10):
        assert eventually(lambda: cpu_ticks(before) > ticks + 20)  # one is at work
    assert eventually(lambda: not before <= worker_ids())
    assert predict_red(patient_port) == 200


def test_abandoned_small_requests_end_no_process(settings: ServeSettings) -> None:
    with running_server(
        msgspec.structs.replace(settings, limits=NO_RATE_LIMIT)
    ) as port:
        assert predict_red(port) == 200
        before = worker_ids()
        for _ in range(40):
            post_images(port, solid_image("red", (300, 300))).close()
        assert eventually(lambda: predict_red(port) == 200)
        assert before <= worker_ids()


def test_small_requests_do_not_starve_large_one(settings: ServeSettings) -> None:
    large = encode(Image.frombytes("RGB", (300, 300), os.urandom(270_000)), "PNG")
    single_process = msgspec.structs.replace(
        settings, limits=NO_RATE_LIMIT, processes=1
    )
    with running_server(single_process) as port, ThreadPoolExecutor() as pool:
        assert predict_red(port) == 200
        is_answered = threading.Event()
        small = list[int]()

        def send_small_requests() -> None:
            end = time.monotonic() + 20
            while time.monotonic() < end and not is_answered.is_set():
                small.append(predict_red(port, source=OTHER))

        senders = [pool.submit(send_small_requests) for _ in range(8)]
        assert eventually(lambda: len(small) > 8)
        begun = time.monotonic()
        status = read_response(post_images(port, large))[0]
        seconds = time.monotonic() - begun
        is_answered.set()
        for sender in senders:
            sender.result()
        assert {*small} == {200}
    assert (status, seconds < 15) == (200, True)


def test_dead_process_fails_one_request(
    patient_port: int, crowd: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert predict_red(patient_port) == 200
    lost = post_images(patient_port, *[crowd] * 10)
    seconds = 0.5
    while not select.select([lost], [], [], seconds)[
        0
    ]:  # one that had not begun goes on
        for process in multiprocessing.active_children():
            os.kill(process.pid or 0, signal.SIGKILL)
        seconds *= 2
    status, headers, problem = read_response(lost)
    assert (status, problem["reason"], headers["retry-after"]) == (503, "busy", "1")
    assert "a compute process failed" in caplog.text
    # A kill after the answer fails another request.
    assert eventually(lambda: predict_red(patient_port) == 200)


def test_request_pixels_are_limited(serve: Serve) -> None:
    client = serve(limits={"all_pixels": 3000})
    files = [("files", (str(n), solid_image("red", (40, 30)))) for n in range(5)]
    pictures = client.post(PREDICT, files=files).json()["images"]
    reasons = [picture.get("error", {}).get("reason") for picture in pictures]
    assert reasons == [None, None, "too large", "too large", "too large"]


def test_bytes_in_flight_are_limited(settings: ServeSettings) -> None:
    limits = msgspec.structs.replace(
        NO_RATE_LIMIT, client_bytes=400_000, server_bytes=600_000
    )
    part = web_attackers.encode_part("files", bytes(300_000))
    with running_server(msgspec.structs.replace(settings, limits=limits)) as port:

        def send(source: str) -> socket.socket:
            return web_attackers.open_post(port, part, source=source, length=900_000)

        def assert_refused(source: str) -> None:
            status, headers, problem = read_response(send(source))
            assert (status, problem["reason"], headers["retry-after"]) == (
                503,
                "busy",
                "1",
            )

        with send(ATTACKER):
            time.sleep(0.5)
            assert_refused(ATTACKER)
            with send(OTHER):
                time.sleep(0.5)
                assert_refused(HONEST)
        assert eventually(lambda: predict_red(port) == 200)


@pytest.mark.posix("a bound of memory for a process")
def test_process_memory_is_limited(serve: Serve) -> None:
    client: TestClient = serve(limits={"memory": 400_000_000})
    large = encode(Image.new("RGBA", (7000, 7000)), "PNG")
    files = [("files", ("bomb", large)), ("files", ("red", solid_image("red")))]
    bomb, red = client.post(PREDICT, files=files).json()["images"]
    assert (bomb["error"]["reason"], red["parts"][0]["answer"]) == ("too large", "red")


def test_forwarded_address_needs_trusted_proxy(settings: ServeSettings) -> None:
    limited = msgspec.structs.replace(settings, limits=RequestLimits(per_minute=8))

    def statuses(port: int) -> list[int]:
        return [request_classes(port, f"10.0.0.{number}") for number in range(4)]

    def request_classes(port: int, visitor: str) -> int:
        with socket.create_connection(("127.0.0.1", port), 60) as connection:
            words = f"Host: localhost\r\nX-Forwarded-For: {visitor}\r\nConnection: close\r\n\r\n"
            connection.sendall(f"GET /api/v1/classes HTTP/1.1\r\n{words}".encode())
            return int(connection.recv(65536).split()[1])

    for proxies, expected in (("", [200, 200, 429, 429]), ("127.0.0.0/8", [200] * 4)):
        with running_server(limited, proxies=proxies) as port:
            assert statuses(port) == expected


@pytest.mark.long
def test_attacks_for_a_minute_deny_no_answers(
    tmp_path: Path, shared_data: Path
) -> None:
    model = write_model(tmp_path / "colours.onnx")
    figures = web_attackers.measure_attack(
        model, shared_data / "hostile", 60, tmp_path / "dataset"
    )
    assert figures["answered"] >= 0.95, figures
    assert figures["seconds"]["p95"] < 10, figures
    assert figures["memory_mb"]["peak"] < 2500, figures
    assert figures["left_after_kill"] == 0, figures
