"""What a crew knows of its tasks, its nodes and its workers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from gleanset.work.machines import RemoteWorker

QUICK_SECONDS = 0.1
"""What is given in advance waits hardly longer than this for the item before it."""


@dataclass(eq=False, slots=True)
class CrewTask:
    """One item on its way. `attempts` are those that failed, `shunned` is the node of the last."""

    function: Callable[[Any], Any]
    item: Any
    future: Future[Any]
    attempts: int = 0
    shunned: str = ""


@dataclass(eq=False, slots=True)
class CrewNode:
    """One machine. `suspects` are items whose worker died, and it has not answered since.

    Since `failing_since` no worker has begun there; it `rests` until the next look.
    """

    key: str
    address: str
    room: int
    usable: bool = False
    suspects: list[CrewTask] = field(default_factory=list)
    asked: bool = False
    failing_since: float = math.inf
    rests: bool = False


@dataclass(eq=False, slots=True)
class CrewWorker:
    """A worker process and its `tasks`: the one that it is at since `since`, and the next one.

    `lost` are those of them that it will not answer. It is `quick` when its last one was.
    """

    remote: RemoteWorker
    node: CrewNode
    begun: bool = False
    tasks: list[CrewTask] = field(default_factory=list)
    lost: set[CrewTask] = field(default_factory=set)
    since: float = 0.0
    quick: bool = False

    @property
    def idle(self) -> bool:
        """Whether it has begun and has nothing to do."""
        return self.begun and not self.tasks

    @property
    def takes_another(self) -> bool:
        """Whether a task may wait behind the one that it is at."""
        return self.quick and len(self.tasks) == 1 and not self.lost

    def given(self, task: CrewTask) -> None:
        """Note that it has a task, and is at it where it had none."""
        if not self.tasks:
            self.since = time.monotonic()
        self.tasks.append(task)

    def has_done(self, task: CrewTask) -> None:
        """Note that it has answered, and is at the next task if it has one."""
        now = time.monotonic()
        self.quick = now - self.since < QUICK_SECONDS
        self.since = now
        self.tasks.remove(task)
