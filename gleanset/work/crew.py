"""Who does which item on many machines, and what the death of one of them means. Knows no Ray.

One thread decides everything, by what reaches it: items, answers, and a look at the machines every
second. A worker that dies costs its item one of two attempts, but only once its node has answered
after that: where the node is gone, too, the item was not to blame and is simply done again. A
second attempt goes to another node where there is one. A worker whose items are quick is given its
next one before it has answered: else it waits as long as an answer and an item travel.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from typing import Any

from gleanset.errors import GleansetError, InputUnusable, Unreadable
from gleanset.work.admission import troubles_of, unusable_nodes
from gleanset.work.cluster_nodes import NodeCheck, NodeQuestion
from gleanset.work.crew_members import CrewNode, CrewTask, CrewWorker
from gleanset.work.machines import Machines, WorkerLost, last_line

log = logging.getLogger(__name__)

ATTEMPTS = 2
SECONDS_OF_FAILED_STARTS = 60.0
"""So long workers may end on a node before they begin: a dead one is known as dead by then."""
SECONDS_BETWEEN_LOOKS = 1.0


class Crew:
    """Workers on all machines, at most `number` of them (0 for as many as there is room for).

    With `ahead` those with quick items are given one before they have answered.
    """

    def __init__(
        self,
        machines: Machines,
        check: NodeCheck,
        number: int,
        seconds_per_item: float,
        ahead: bool = False,
    ) -> None:
        self._machines, self._check = machines, check
        self._number, self._seconds, self._ahead = number, seconds_per_item, ahead
        self._nodes: dict[str, CrewNode] = {}
        self._workers: list[CrewWorker] = []
        self._waiting: deque[CrewTask] = deque()
        self._events: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._over = False
        self._trouble: GleansetError | None = None
        self._told_alone = False
        self._thread = threading.Thread(target=self._run, name="gleanset-crew", daemon=True)

    # For whoever has work

    def begin(self) -> None:
        """Ask all nodes, and begin. Raises `InputUnusable` where one of them cannot work."""
        for node in self._fresh_nodes():
            self._nodes[node.key] = node
        troubles = self._troubles_of(*self._nodes.values())
        if troubles:
            raise unusable_nodes(troubles, len(self._nodes))
        alive = self._machines.nodes()
        self._nodes = {key: node for key, node in self._nodes.items() if key in alive}
        if not self._nodes:
            raise InputUnusable(
                "no node of the cluster has a CPU to work with", "ray start --address=HOST:PORT"
            )
        for node in self._nodes.values():
            node.usable = True
        self._thread.start()

    def width(self) -> int:
        """Return how many items are worked on at once, as things stand; 1 at least."""
        room = sum(node.room for node in list(self._nodes.values()) if node.usable)
        return max(min(room, self._number or room), 1)

    def schedule(self, function: Callable[[Any], Any], item: Any) -> Future[Any]:
        """Have an item done. Its exceptions are `Unreadable`, `TimeoutError`, and its own."""
        task = CrewTask(function, item, Future())
        self._events.put(partial(self._take, task))
        return task.future

    def stop(self) -> None:
        """End all workers, whatever they do."""
        self._over = True
        self._events.put(lambda: None)
        if self._thread.ident is not None:
            self._thread.join()
        for worker in self._workers:
            worker.remote.end()

    # In the one thread

    def _run(self) -> None:
        looked = time.monotonic()
        try:
            while not self._over:
                for event in self._happened():
                    event()
                if time.monotonic() - looked >= SECONDS_BETWEEN_LOOKS:
                    self._look()
                    looked = time.monotonic()
                self._deal()
        except Exception as error:
            log.debug("the crew ends", exc_info=True)
            self._give_up(error)
            while not self._over:
                for event in self._happened():
                    event()

    def _happened(self) -> Iterator[Callable[[], object]]:
        """Wait a while for something, then give all that is there."""
        with suppress(Empty):
            yield self._events.get(timeout=SECONDS_BETWEEN_LOOKS)
            while True:
                yield self._events.get_nowait()

    def _take(self, task: CrewTask) -> None:
        if self._trouble is None:
            self._waiting.append(task)
        else:
            task.future.set_exception(self._trouble)

    def _give_up(self, error: Exception) -> None:
        self._trouble = error if isinstance(error, GleansetError) else _lost(error)
        tasks = list(self._waiting)
        for worker in self._workers:
            tasks += worker.tasks
        for node in self._nodes.values():
            tasks += node.suspects
        for task in tasks:
            task.future.set_exception(self._trouble)
        self._waiting.clear()

    # Machines

    def _fresh_nodes(self) -> list[CrewNode]:
        alive = self._machines.nodes()
        for key in [key for key in self._nodes if key not in alive]:
            self._drop(self._nodes.pop(key))
        return [
            CrewNode(key, address, room)
            for key, (address, room) in alive.items()
            if room > 0 and key not in self._nodes
        ]

    def _look(self) -> None:
        """Take in nodes that joined, let those go that died, end what takes too long."""
        for node in self._fresh_nodes():
            self._nodes[node.key] = node
            threading.Thread(target=self._admit, args=(node,), daemon=True).start()
        for node in self._nodes.values():
            node.rests = False
            if node.suspects and not node.asked:
                self._ask_again(node)
        begun_by = time.monotonic() - self._seconds
        for worker in [one for one in self._workers if one.tasks and one.since < begun_by]:
            self._too_slow(worker)
        self._tell_if_alone()

    def _drop(self, node: CrewNode) -> None:
        """Do again what was done on a node that is gone: nobody is to blame."""
        log.info("node %s is gone", node.address)
        self._waiting.extendleft(node.suspects)
        for worker in [one for one in self._workers if one.node is node]:
            self._end(worker)

    def _admit(self, node: CrewNode) -> None:
        """In a thread of its own: ask a node that has joined."""
        try:
            troubles = self._troubles_of(node)
        except GleansetError as error:
            troubles = {node.address: [str(error)]}
        for why in troubles.values():
            log.error("node %s is left out: it %s", node.address, "; ".join(why))
        if not troubles:
            self._events.put(partial(setattr, node, "usable", True))

    def _troubles_of(self, *nodes: CrewNode) -> dict[str, list[str]]:
        addresses = {node.key: node.address for node in nodes}
        return troubles_of(addresses, self._machines, self._check)

    def _ask_again(self, node: CrewNode) -> None:
        """See whether a node is still there after a worker died on it."""
        node.asked = True
        suspects = list(node.suspects)
        answer = self._machines.ask(node.key, NodeQuestion("", (), {}))
        answer.add_done_callback(
            lambda found: self._events.put(
                partial(self._judge, node, suspects, answered=found.exception() is None)
            )
        )

    def _judge(self, node: CrewNode, suspects: list[CrewTask], *, answered: bool) -> None:
        """The node has answered, and so it was the item that its worker died of."""
        node.asked = False
        if answered and self._nodes.get(node.key) is node:
            for task in suspects:
                node.suspects.remove(task)
                self._failed(task, node, Unreadable("crashed", "the worker died on it twice"))

    def _tell_if_alone(self) -> None:
        alone = not self._nodes
        if alone and not self._told_alone:
            log.error("no node is left to work; this goes on as soon as one joins the cluster")
        self._told_alone = alone

    # Items

    def _deal(self) -> None:
        """Give what waits to workers that are free, and begin more where they are wanted."""
        for worker in self._workers:
            if worker.idle and (task := self._task_for(worker.node)):
                self._start(worker, task)
        for task in self._without_worker():
            if (node := self._emptiest(task)) is None:
                continue
            if len(self._workers) >= self.width() and not self._ended_idle():
                break
            self._begin_worker(node)
        if self._ahead and self._waiting and all(worker.tasks for worker in self._workers):
            self._deal_in_advance()

    def _deal_in_advance(self) -> None:
        for worker in self._workers:
            if worker.takes_another and (task := self._task_for(worker.node)):
                self._start(worker, task)

    def _task_for(self, node: CrewNode) -> CrewTask | None:
        task = next((one for one in self._waiting if self._may(one, node)), None)
        if task is not None:
            self._waiting.remove(task)
        return task

    def _may(self, task: CrewTask, node: CrewNode) -> bool:
        """Return whether a node may try: not the one that failed while there is another."""
        return task.shunned != node.key or not any(
            one.usable and one is not node for one in self._nodes.values()
        )

    def _without_worker(self) -> Iterator[CrewTask]:
        """Yield what waits and will not be taken by a worker that is just beginning."""
        free = [worker for worker in self._workers if not worker.tasks]
        for task in list(self._waiting):
            fit = next((one for one in free if self._may(task, one.node)), None)
            if fit is None:
                yield task
            else:
                free.remove(fit)

    def _ended_idle(self) -> bool:
        """Make room for a worker on another node: end one that may take nothing that waits."""
        idle = next((worker for worker in self._workers if worker.idle), None)
        if idle is not None:
            self._end(idle)
        return idle is not None

    def _start(self, worker: CrewWorker, task: CrewTask) -> None:
        worker.given(task)
        answer = worker.remote.run(task.function, task.item)
        answer.add_done_callback(
            lambda found: self._events.put(partial(self._answered, worker, task, found))
        )

    def _answered(self, worker: CrewWorker, task: CrewTask, answer: Future[Any]) -> None:
        if task not in worker.tasks:
            return  # it was taken away from there
        error = answer.exception()
        if isinstance(error, WorkerLost):
            worker.lost.add(task)
        else:
            worker.has_done(task)
            if error is None:
                task.future.set_result(answer.result())
            else:
                task.future.set_exception(error)
        # What was done may be told later than what was not.
        if worker.tasks and worker.lost.issuperset(worker.tasks):
            self._died(worker)

    def _died(self, worker: CrewWorker) -> None:
        """Suspect what it was at, and do the next one elsewhere."""
        worker.node.suspects.append(worker.tasks.pop(0))
        self._end(worker)
        if not worker.node.asked:
            self._ask_again(worker.node)

    def _too_slow(self, worker: CrewWorker) -> None:
        """Try once more, on another machine: it may be this one that is slow."""
        task = worker.tasks.pop(0)
        self._end(worker)
        self._failed(task, worker.node, TimeoutError())

    def _failed(self, task: CrewTask, node: CrewNode, error: Exception) -> None:
        task.attempts += 1
        task.shunned = node.key
        if task.attempts < ATTEMPTS:
            self._waiting.appendleft(task)
        else:
            task.future.set_exception(error)

    # Workers

    def _emptiest(self, task: CrewTask) -> CrewNode | None:
        """Return the node with most room left, so that workers are spread evenly."""
        free = {
            node.key: node.room - sum(one.node is node for one in self._workers)
            for node in self._nodes.values()
            if node.usable and not node.rests and self._may(task, node)
        }
        key = max(free, key=lambda one: free[one], default=None)
        return self._nodes[key] if key is not None and free[key] > 0 else None

    def _begin_worker(self, node: CrewNode) -> None:
        worker = CrewWorker(self._machines.start(node.key), node)
        self._workers.append(worker)
        worker.remote.begun().add_done_callback(
            lambda found: self._events.put(partial(self._has_begun, worker, found))
        )

    def _has_begun(self, worker: CrewWorker, answer: Future[None]) -> None:
        if worker not in self._workers:
            return
        node = worker.node
        if answer.exception() is None:
            worker.begun, node.failing_since = True, inf
            return
        self._end(worker)
        node.rests = True
        node.failing_since = min(node.failing_since, time.monotonic())
        if time.monotonic() - node.failing_since > SECONDS_OF_FAILED_STARTS:
            self._leave_out(node, last_line(answer.exception()))

    def _leave_out(self, node: CrewNode, why: str) -> None:
        node.usable = False
        if any(one.usable for one in self._nodes.values()):
            log.error("node %s is left out: no worker begins there: %s", node.address, why)
            return
        raise InputUnusable(
            f"no worker process begins on any node: {why}",
            "close other programs there, or start nodes with fewer CPUs: ray start --num-cpus=N",
        )

    def _end(self, worker: CrewWorker) -> None:
        """End a worker; what it has not done waits again."""
        self._workers.remove(worker)
        worker.remote.end()
        self._waiting.extendleft(reversed(worker.tasks))
        worker.tasks.clear()


def _lost(error: Exception) -> GleansetError:
    return GleansetError(
        f"the cluster is lost: {last_line(error)}",
        "run the command again: it goes on where it was",
    )
