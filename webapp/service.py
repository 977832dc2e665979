"""What answers requests: the settings of a server, its model in force, and what computes."""

from __future__ import annotations

import asyncio
import time
from typing import Any, NamedTuple

from webapp.computations import TELL
from webapp.compute_queue import ComputeQueue
from webapp.problems import RefusedRequest
from webapp.report_spool import ReportSpool
from webapp.served import ModelInForce, ServedFacts
from webapp.settings import ServeSettings

SECONDS = 60.0


class OfModel:
    """What the function `place` tells of the model in force, and anew when it is `SECONDS` old:
    counting and looking through a large catalogue takes a second.
    """

    def __init__(self, place: str, queue: ComputeQueue) -> None:
        self._place, self._queue = place, queue
        self._one = asyncio.Lock()
        self._made: tuple[ServedFacts, float, Any] | None = None

    async def of(self, model: ServedFacts) -> Any:
        """Return it of a model. Raises `RefusedRequest`."""
        async with self._one:
            made = self._made
            if made is None or made[0] is not model or time.monotonic() - made[1] > SECONDS:
                # For nobody: whoever asks next waits for it too, and not for who asked first.
                told = await self._queue.compute("", TELL, self._place, 0)
                made = self._made = model, time.monotonic(), told
            return made[2]


class Service(NamedTuple):
    """A server from its start to its end."""

    settings: ServeSettings
    models: ModelInForce
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
