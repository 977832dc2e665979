"""What answers requests: the settings of a server, its model, and what computes."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from webapp.computations import ServedFacts
from webapp.compute_queue import ComputeQueue
from webapp.problems import RefusedRequest
from webapp.report_spool import ReportSpool
from webapp.settings import ServeSettings

MAX_AGE_SECONDS = 60.0


class OfModel:
    """What a computation tells of the model, kept for `MAX_AGE_SECONDS`.

    Counting and looking through a large catalogue takes a second.
    """

    def __init__(self, computation: str, queue: ComputeQueue) -> None:
        self._computation, self._queue = computation, queue
        self._one = asyncio.Lock()
        self._made: tuple[float, Any] | None = None

    async def get(self) -> Any:
        """Return it. Raises `RefusedRequest`."""
        async with self._one:
            if self._made is None or time.monotonic() - self._made[0] > MAX_AGE_SECONDS:
                # For nobody: whoever asks next waits for it too, and not for who asked first.
                answer = await self._queue.compute("", self._computation, None, 0)
                self._made = time.monotonic(), answer
            return self._made[1]


class Service(NamedTuple):
    """A server from its start to its end."""

    settings: ServeSettings
    facts: ServedFacts
    queue: ComputeQueue
    spool: ReportSpool | None
    cards: OfModel
    portraits: OfModel

    def spool_for(self, lacking: str) -> ReportSpool:
        """Return what keeps things in the dataset; `RefusedRequest` where there is none."""
        if self.spool is None:
            contact = self.settings.web.contact or ""
            raise RefusedRequest(404, lacking, "this server has no dataset", contact)
        return self.spool
