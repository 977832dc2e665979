"""A server that replays recorded answers; their format is in `answers/README.md`."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from faulty_server import FaultyServer, Handler

ANSWERS = Path(__file__).parent / "answers"
# The endpoint has a path, to catch sources that replace it when they join URLs.
PREFIX = "/deep/path"
Response = Mapping[str, Any]


class RecordedSite(FaultyServer):
    """A server of one recording, under `PREFIX` and without it."""

    def __init__(self, folder: Path, responses: list[Response]) -> None:
        super().__init__()
        self._folder = folder
        self._responses = responses
        self._used: list[Response] = []
        self._turns = threading.Lock()
        self.behaviours.clear()
        self.otherwise = self._play

    @property
    def endpoint(self) -> str:
        return f"{self.url}{PREFIX}"

    def _play(self, h: Handler) -> None:
        with self._turns:
            result = self._next(
                h.command, urlsplit(h.path).path.removeprefix(PREFIX), h.fields
            )
        if result is None:
            h.answer(404, b"<html>not recorded</html>", Content_Type="text/html")
            return
        body = self._body(result)
        # Only the recorded headers: `send_response` would add a server name and the date.
        h.send_response_only(result["status"])
        for name, value in {
            **result.get("headers", {}),
            "Content-Length": str(len(body)),
        }.items():
            h.send_header(name, value)
        h.end_headers()
        h.wfile.write(body)

    def _next(self, method: str, path: str, fields: dict[str, str]) -> Response | None:
        """Return the first unused matching response, or the last matching one."""
        fits = [
            result
            for result in self._responses
            if result.get("method", method) == method
            and result.get("path", path) == path
            and result.get("form", {}).items() <= fields.items()
        ]
        new = [result for result in fits if result not in self._used]
        self._used += new[:1]
        return new[0] if new else fits[-1] if fits else None

    def _body(self, response: Response) -> bytes:
        if "file" in response:
            return (self._folder / response["file"]).read_bytes()
        body = response["body"]
        return (body if isinstance(body, str) else json.dumps(body)).encode()
