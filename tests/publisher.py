"""File servers on this machine: a publisher of one file, and a small Hugging Face hub."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tools_for_tests import LoopbackServer, QuietHandler, running


class Publisher(LoopbackServer):
    """A server of one file, `data`; `range_headers` has the Range header of each request.

    It hangs up after `break_after` bytes, once. `query` is the last non-empty query string.
    """

    data = b""
    status = 200
    location = ""
    query = ""
    break_after: int | None = None
    ranges = True

    def __init__(self) -> None:
        super().__init__(Handler)
        self.range_headers: list[str | None] = []

    def file_url(self, name: str = "weights.xml") -> str:
        return f"{self.url}/path/{name}?download=true"

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers and body for a path."""
        return (
            self.status,
            {"Location": self.location},
            self.data if self.status == 200 else b"",
        )


class Hub(Publisher):
    """A hub with the commits of one `repository`; `headers` override its own."""

    repository = "deepghs/models"

    def __init__(self) -> None:
        super().__init__()
        self.commits: dict[str, dict[str, bytes]] = {}
        self.headers: dict[str, str] = {}

    def commit(self, **files: bytes) -> str:
        """Add a commit of files (`face_model` is face/model.onnx) and return its id."""
        name = f"{len(self.commits) + 1:040x}"
        self.commits[name] = {
            f"{k.replace('_', '/', 1)}.onnx": x for k, x in files.items()
        }
        return name

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        repository, _, rest = path.strip("/").partition("/resolve/")
        revision, _, name = rest.partition("/")
        commit = next(reversed(self.commits), "") if revision == "main" else revision
        files = self.commits.get(commit, {}) if repository == self.repository else {}
        if name not in files:
            missing = (
                "Entry"
                if files
                else "Revision"
                if repository == self.repository
                else "Repo"
            )
            return 404, {"X-Error-Code": f"{missing}NotFound"}, b""
        digest = hashlib.sha256(files[name]).hexdigest()
        facts = {"X-Linked-Size": str(len(files[name])), "X-Linked-Etag": f'"{digest}"'}
        return 200, {"X-Repo-Commit": commit} | facts | self.headers, files[name]


class Handler(QuietHandler):
    server: Publisher

    def do_GET(self) -> None:
        range_header = self.headers.get("Range")
        self.server.range_headers.append(range_header)
        start = (
            int(range_header.removeprefix("bytes=").rstrip("-")) if range_header else 0
        )
        path, _, query = self.path.partition("?")
        self.server.query = query or self.server.query
        status, headers, data = self.server.answer(path)
        partly = bool(start and self.server.ranges) and status == 200
        if partly and start >= len(data):
            self.send_error(416)
            return
        if partly:
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            data = data[start:]
        self.begin_answer(status, *headers.items(), ("Content-Length", len(data)))
        if self.command == "GET":
            max_bytes = self.server.break_after
            self.server.break_after = None
            self.wfile.write(data[:max_bytes])
            self.close_connection = True

    do_HEAD = do_GET


@contextmanager
def serving(server: Publisher, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve until the end of the block."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with running(server):
        yield


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Yield an empty hub that replaces huggingface.co here and in child processes."""
    from huggingface_hub import constants

    server = Hub()
    for name, value in {
        "ENDPOINT": server.url,
        "HUB_CACHE": str(tmp_path / "hub"),
    }.items():
        monkeypatch.setenv(f"HF_{name}", value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with serving(server, monkeypatch):
        yield server
