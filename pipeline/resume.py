"""Searches that an interrupted run of a recipe has completed: the next run does not repeat them.

They are stored in the dataset's cache until a run reaches its end, so that a run after that asks
the sites again.
"""

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from gleanset.command_result import CommandResult
from gleanset.files.atomic import write_atomic
from harvest.request import KeywordRequest

FILE = "recipe-searches.json"


class StoredResult(CommandResult):
    """Result of a completed search: its JSON values, and what it prints."""

    values: dict[str, Any]
    printed: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the values."""
        return self.values

    def brief(self) -> dict[str, Any]:
        """Return what is printed."""
        return self.printed


class CompletedSearches:
    """Results of the searches that the interrupted run has completed, by their request."""

    def __init__(self, cache: Path):
        self._file = cache / FILE
        self._results: dict[str, StoredResult] = {}
        # Without the file, or with a damaged one, the sites are asked again.
        with suppress(FileNotFoundError, msgspec.MsgspecError):
            self._results = msgspec.json.decode(
                self._file.read_bytes(), type=dict[str, StoredResult]
            )

    def find(self, request: KeywordRequest) -> StoredResult | None:
        """Return the result of a request, if it was completed."""
        return self._results.get(_digest(request))

    def add(self, request: KeywordRequest, result: CommandResult) -> None:
        """Store the result of a completed request."""
        stored = StoredResult(values=result.to_json(), printed=dict(result.brief()))
        self._results[_digest(request)] = stored
        write_atomic(self._file, msgspec.json.encode(self._results))

    def clear(self) -> None:
        """Forget all results, at the end of a run."""
        self._file.unlink(missing_ok=True)


def _digest(request: KeywordRequest) -> str:
    return hashlib.sha256(msgspec.json.encode(request)).hexdigest()
