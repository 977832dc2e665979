"""One worker of the server: a thread that computes, and how many requests wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

from webapp.refusal import RefusedRequest
from webapp.served import ModelInForce
from webapp.settings import ServeSettings

T = TypeVar("T")


class Worker:
    """Computes off the event loop, one request after the other; a model takes one core."""

    def __init__(self, settings: ServeSettings, models: ModelInForce) -> None:
        self.settings = settings
        self.models = models
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="webapp")
        self._waiting = 0

    def refuse_if_busy(self) -> None:
        """Raise `RefusedRequest` where too many requests wait already, before a body is read."""
        if self._waiting >= self.settings.limits.waiting:
            raise RefusedRequest(
                503, "busy", "too many requests at a time", "ask again", {"retry-after": "1"}
            )

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, when its turn has come. Raises what it raises."""
        self.refuse_if_busy()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)
