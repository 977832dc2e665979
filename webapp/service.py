"""State of a running server, shared by its endpoints."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from starlette.requests import Request

from gleanset.web.problems import RefusedRequest
from webapp.computations import ServedFacts
from webapp.compute_queue import ComputeQueue
from webapp.report_spool import ReportSpool
from webapp.settings import ServeSettings

MAX_AGE_SECONDS = 15.0


@dataclass
class CachedResult:
    """Result of a computation about the model, cached for `MAX_AGE_SECONDS`.

    Reading a large catalogue takes a second.
    """

    _computation: str
    _queue: ComputeQueue
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _result: Any = None
    _result_time: float = 0.0

    async def get(self) -> Any:
        """Return the result. Raises `RefusedRequest`."""
        # Requests that arrive meanwhile wait for the same result.
        async with self._lock:
            age = time.monotonic() - self._result_time
            if self._result is None or age > MAX_AGE_SECONDS:
                # "" instead of a client: several clients may wait for this result.
                self._result = await self._queue.compute(
                    client="", computation=self._computation, request=None, size=0
                )
                self._result_time = time.monotonic()
            return self._result


class Service(NamedTuple):
    """Settings, model facts and workers of a server."""

    settings: ServeSettings
    facts: ServedFacts
    queue: ComputeQueue
    spool: ReportSpool | None
    cards: CachedResult
    portraits: CachedResult

    def require_spool(self) -> ReportSpool:
        """Return the spool of reports. Raises `RefusedRequest` without a dataset."""
        if self.spool is None:
            raise RefusedRequest(
                404,
                "no reports here",
                "this server has no dataset",
                self.settings.web.contact or "ask the operator of this server",
            )
        return self.spool


def get_service(request: Request) -> Service:
    """Return the state of the server."""
    service: Service = request.app.state.service
    return service
