"""Helpers for the tests of `labeler serve`: a server process, and a client of its API."""

import http.client
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from many_samples import make_many
from shared_folder import make_shared_folder
from tools_for_tests import start_server_of_workers

from curation.similarity.descriptor import EDGES_END, IDENTITY
from gleanset import Dataset
from gleanset.db.duplicates import ImageHashes
from gleanset.db.regions import PixelMeasures, QualityMeasures
from gleanset.start import labeler as run_labeler
from labeler.quality.due_samples import VERSION

TOKEN = "the token of the owner"


def make_faces(root: Path, number: int, people: int) -> None:
    """Make a dataset of faces with embeddings: face N shows person N % `people`."""
    make_many(root, number)
    dice = np.random.default_rng(1)
    centers = dice.normal(size=(people, IDENTITY))
    with Dataset.open(root) as dataset:
        rows = dataset.db.fetch_column("SELECT id FROM sample ORDER BY id")
        regions = ImageHashes(dataset.db).get_regions(rows)
        measures = []
        for n, row in enumerate(rows):
            identity = centers[n % people] + 0.5 * dice.normal(size=IDENTITY)
            identity *= 300 / np.linalg.norm(identity)
            layout = dice.integers(0, 256, EDGES_END)
            values = np.concatenate([layout, np.clip(128 + identity, 0, 255)])
            descriptor = values.astype(np.uint8).tobytes()
            measures.append(
                (regions[row], PixelMeasures(1.0, 10, 200, 0.1, descriptor))
            )
        QualityMeasures(dataset.db).save(measures, VERSION)


def make_faces_once(
    tmp_path_factory: pytest.TempPathFactory, number: int, people: int
) -> Path:
    """Return a dataset of `make_faces` that all processes share: copy it before a change."""
    folder = make_shared_folder(
        tmp_path_factory,
        f"served-faces-{number}-{people}",
        lambda folder: make_faces(folder / "d", number, people),
    )
    return folder / "d"


@dataclass
class Answer:
    """Status and JSON of a response; other bodies are bytes."""

    status: int
    body: Any
    headers: dict[str, str]


@dataclass
class Client:
    """One person's browser."""

    address: str
    token: str = TOKEN
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, path: str, sent: object = None, *, method: str = "", **headers: str
    ) -> Answer:
        """Get an address, or post JSON or bytes."""
        body = sent if isinstance(sent, bytes | None) else json.dumps(sent).encode()
        own = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection = http.client.HTTPConnection(
            urlsplit(self.address).netloc, timeout=60
        )
        try:
            method = method or ("GET" if body is None else "POST")
            connection.request(method, path, body, own | self.headers | headers)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        kind = response.headers.get("content-type", "")
        is_json = kind.startswith("application/") and "json" in kind
        return Answer(
            response.status,
            json.loads(data) if is_json else data,
            {name.lower(): value for name, value in response.headers.items()},
        )

    def page(self) -> Any:
        return self.ask("/api/v1/page").body

    def state(self) -> Any:
        return self.ask("/api/v1/state").body

    def step(self, page: Any, act: str, tiles: Any = (), **more: Any) -> Answer:
        """Send a step with an id of its own."""
        step = {"id": str(uuid.uuid4()), "page": page["id"], "act": act}
        return self.ask("/api/v1/steps", step | {"tiles": [*tiles]} | more)

    def accept(self, page: Any) -> Any:
        """Accept a page, and return the next one."""
        return self.step(page, "accept").body["page"] or self.page()

    def undo(self, act: str = "undo", **more: Any) -> Answer:
        return self.step({"id": ""}, act, **more)


def list_tiles(page: Any) -> list[Any]:
    """Return the tiles of a page."""
    return [tile for card in page["cards"] for tile in card["tiles"]]


@dataclass
class Server:
    """A running `labeler serve`."""

    process: subprocess.Popen[str] | BaseProcess
    url: str
    output: Connection | None = None
    """Kept open, so that the server may print."""

    @property
    def client(self) -> Client:
        """A client of the owner."""
        return Client(self.url)

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def interrupt(self) -> None:
        """Press Ctrl-C, unless the server has ended."""
        with suppress(ProcessLookupError):
            os.kill(self.process.pid or 0, signal.SIGINT)

    def wait(self, seconds: float = 60) -> None:
        """Wait until the server has ended."""
        if isinstance(self.process, subprocess.Popen):
            self.process.communicate(timeout=seconds)
        else:
            self.process.join(seconds)
            assert self.process.exitcode is not None, "the server does not end"


def start_server(root: Path, *options: str) -> Server:
    """Start a server as a user does, and wait until it answers."""
    process = subprocess.Popen(
        [sys.executable, "-m", *make_command(root, *options)],
        stdout=subprocess.PIPE,
        text=True,
        env=make_environment(),
    )
    assert process.stdout is not None
    return Server(process, process.stdout.readline().strip())


def make_command(root: Path, *options: str) -> list[str]:
    return ["labeler", "serve", "-d", str(root), "--port", "0", *options]


def make_environment(token: str = TOKEN) -> dict[str, str]:
    return os.environ | {"GLEANSET_LABELER_TOKEN": token, "BROWSER": "true"}


def fork_server(root: Path, *options: str, token: str = TOKEN) -> Server:
    """Start a server in a process that has its imports, which take a CPU second."""
    start_server_of_workers()
    context: Any = get_context("forkserver" if sys.platform == "linux" else "spawn")
    output, writer = context.Pipe(duplex=False)
    process = context.Process(
        target=_serve,
        args=(writer, make_command(root, *options), make_environment(token)),
    )
    process.start()
    writer.close()
    with open(output.fileno(), closefd=False) as printed:
        url = printed.readline().strip()
    assert url, "the server has failed"
    return Server(process, url, output)


def _serve(output: Connection, command: list[str], environment: dict[str, str]) -> None:
    sys.stdout = open(output.fileno(), "w", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = command
    run_labeler()


@contextmanager
def running_labeler(root: Path, *options: str) -> Iterator[Server]:
    """Serve a dataset while the body runs."""
    server = fork_server(root, *options)
    try:
        yield server
    finally:
        server.interrupt()
        try:
            server.wait()
        finally:
            server.kill()
