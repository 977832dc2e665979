"""What a crew asks of the machines that its workers are on, whoever connects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from gleanset.work.cluster_nodes import NodeAnswer, NodeQuestion


class WorkerLost(Exception):
    """A worker process is gone, or can no longer be reached."""


class RemoteWorker(Protocol):
    """A worker process on some node. What it is asked ends with `WorkerLost` where it is lost."""

    def begun(self) -> Future[None]:
        """Answer as soon as the process has begun."""

    def run(self, function: Callable[[Any], Any], item: Any) -> Future[Any]:
        """Do one item; what it raises is the exception of the future."""

    def end(self) -> None:
        """End it, whatever it does."""


class Machines(Protocol):
    """The machines there are."""

    def nodes(self) -> Mapping[str, tuple[str, int]]:
        """Return those that are alive: name to address and how many workers it has room for."""

    def start(self, node: str) -> RemoteWorker:
        """Begin a worker process on a node."""

    def ask(self, node: str, question: NodeQuestion) -> Future[NodeAnswer]:
        """Have a node look around."""


def last_line(error: BaseException | None) -> str:
    """Return what an error ends with: the rest is for whoever wrote the machines."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()
