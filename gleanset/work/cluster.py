"""Work on the nodes of a Ray cluster: the one module that knows Ray.

`Cluster` stands beside `Processes` and `Threads`. An item is a task of Ray's on a node that is
chosen here: Ray queues it there, runs it in a worker process, and tells what became of it.
Functions, items and results travel, pictures stay in the dataset's folder, which every node sees.
The caller alone writes rows, as ever.

A worker's death costs its item one of two attempts, but only once the node has answered after it:
where the node is gone, too, the item was not to blame and is simply done again. Of a node that
falls silent Ray says that it is dead long before it gives its tasks back, so they are taken back.
"""

from __future__ import annotations

import faulthandler
import logging
import math
import os
import signal
import socket
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from gleanset.errors import GleansetError, InputUnusable, MissingComponent, Unreadable
from gleanset.installation import install_command
from gleanset.work.cluster_nodes import NodeCheck, NodeQuestion, answer_question, unusable_nodes
from gleanset.work.pool import ATTEMPTS, OpenPool

log = logging.getLogger(__name__)

SECONDS_TO_CONNECT = 5.0
SECONDS_TO_ANSWER = 90.0
"""So long a node may take to begin a process that looks around."""
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_TO_STOP = 10.0
"""An item that takes too long, in code that cannot be interrupted, ends its process after these."""

# How the net is reached is said where the command was given.
_BY_EITHER_NAME = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_PASSED_ON = (
    *_BY_EITHER_NAME,
    *map(str.lower, _BY_EITHER_NAME),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
)


@dataclass(frozen=True)
class Cluster:
    """Worker processes on the nodes of the Ray cluster at `address` (HOST:PORT).

    A node works when it writes to all `folders` and reads all `files` as they are here.
    `number` is how many items are worked on at most; 0 for as many as the nodes have CPUs, of
    which each takes `cpus_each`.
    """

    address: str
    folders: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    number: int = 0
    seconds_per_item: float = 120.0
    cpus_each: float = 1.0
    kept: NodeTasks | None = None

    @contextmanager
    def pool(self, function: Callable[[Any], Any]) -> Iterator[OpenPool]:
        """Workers that do `function`; they end with the block."""
        with self.keep("") as cluster:
            assert cluster.kept is not None
            yield OpenPool(partial(cluster.kept.schedule, function), cluster.kept.width)

    @contextmanager
    def keep(self, _job: str) -> Iterator[Cluster]:
        """The same workers for every run in the block.

        Raises `MissingComponent` without Ray, `InputUnusable` where nobody answers at the address
        and, before any work, for nodes that cannot work.
        """
        if self.kept is not None:
            yield self
            return
        with _connected(self.address) as ray:
            tasks = NodeTasks(ray, self)
            try:
                tasks.begin()
                yield replace(self, kept=tasks)
            finally:
                tasks.stop()


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    """The module `ray`, connected for the time of the block."""
    # Ray counts its users by default, unless it is told not to before it is imported.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        import ray
        import ray._private.worker
    except ImportError as error:
        raise MissingComponent(
            "Ray is not installed, and it runs clusters", install_command("cluster")
        ) from error
    _check_listening(address)
    try:
        _connect(ray, address)
        yield ray
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    # What it says of dead workers goes to stdout, where results are printed; nothing turns it off.
    vars(ray._private.worker)["print_to_stdstream"] = lambda *_, **__: None  # noqa: SLF001
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (Exception, SystemExit) as error:
        raise InputUnusable(
            f"cannot join the cluster at {address}: {str(error).strip() or type(error).__name__}",
            "make this machine one of its nodes, with the same versions of Ray and Python, and its "
            f"token (RAY_AUTH_TOKEN) where it asks for one: ray start --address={address}",
        ) from error


def _check_listening(address: str) -> None:
    """Tell at once where nobody listens: Ray tries for two minutes."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), SECONDS_TO_CONNECT).close()
    except (OSError, OverflowError) as error:
        raise InputUnusable(
            f"no cluster answers at {address}: {error}",
            f"start one: ray start --head --port={port} --disable-usage-stats",
        ) from error


class TooSlow(BaseException):
    """An item takes too long; no `Exception`, so that no item takes it for an error of its own."""


@dataclass(frozen=True, slots=True)
class WorkerSetup:
    """What is made of a worker process before its first item, and how long an item may take."""

    environment: tuple[tuple[str, str], ...]
    folder: str
    seconds: float

    @cache  # noqa: B019 - once a process, for each setup
    def prepare(self) -> None:
        """Compute on one thread, reach the net as the driver does, find relative paths."""
        from gleanset.work.one_thread import compute_on_one_thread

        os.environ.update(self.environment)
        compute_on_one_thread()
        with suppress(OSError):
            os.chdir(self.folder)

    @contextmanager
    def in_time(self) -> Iterator[None]:
        """Raise `TooSlow` when the time is over; code that does not hear it ends with the process.

        Where the system has no such alarm (Windows), every item that is too slow ends its process.
        """
        if math.isinf(self.seconds):
            yield
            return

        def stop(*_: object) -> None:
            raise TooSlow

        if hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, stop)
            signal.setitimer(signal.ITIMER_REAL, self.seconds)
        faulthandler.dump_traceback_later(self.seconds + SECONDS_TO_STOP, exit=True)
        try:
            yield
        finally:
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()


def run_item(
    setup: WorkerSetup, function: Callable[[Any], Any], item: Any
) -> tuple[Any, Exception | None]:
    """Return on a node the result, or the exception, a bug's with the text of its traceback."""
    setup.prepare()
    try:
        with setup.in_time():
            return function(item), None
    except TooSlow:
        return None, TimeoutError()
    except (GleansetError, Unreadable) as error:
        return None, error
    except Exception as error:
        error.add_note(traceback.format_exc())  # where it happened does not travel
        return None, error


@dataclass(eq=False, slots=True)
class NodeTask:
    """One item on its way. `attempts` are those that failed, `shunned` is the node of the last."""

    function: Callable[[Any], Any]
    item: Any
    future: Future[Any]
    attempts: int = 0
    shunned: str = ""


@dataclass(eq=False, slots=True)
class WorkingNode:
    """A node that was asked and can work, and what it is at or has waiting.

    The answer to a task that is no longer among them is not taken.
    """

    key: str
    address: str
    room: int
    tasks: set[NodeTask] = field(default_factory=set)

    @property
    def load(self) -> float:
        """How many tasks there are for each that it does at once."""
        return len(self.tasks) / self.room


class NodeTasks:
    """Gives items to nodes; one thread decides, by what reaches it and a look every second."""

    def __init__(self, ray: Any, cluster: Cluster) -> None:
        self._ray, self._cluster = ray, cluster
        self._check = NodeCheck(cluster.folders, cluster.files)
        environment = tuple((name, os.environ[name]) for name in _PASSED_ON if name in os.environ)
        self._setup = WorkerSetup(environment, str(Path.cwd()), cluster.seconds_per_item)
        self._run_item = ray.remote(num_cpus=cluster.cpus_each, max_retries=0)(run_item)
        # A node answers however busy it is.
        self._answer = ray.remote(num_cpus=0, max_retries=0)(answer_question)
        self._nodes: dict[str, WorkingNode] = {}
        self._asked: set[str] = set()
        self._waiting: deque[NodeTask] = deque()
        self._events: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._over = False
        self._trouble: GleansetError | None = None
        self._thread = threading.Thread(target=self._run, name="gleanset-cluster", daemon=True)
        self._admitting: list[threading.Thread] = []

    def begin(self) -> None:
        """Ask all nodes, and begin. Raises `InputUnusable` where one of them cannot work."""
        nodes = self._alive()
        if troubles := self._troubles_of(list(nodes.values())):
            raise unusable_nodes(troubles, len(nodes))
        self._asked = set(nodes)
        self._nodes = {key: nodes[key] for key in self._alive() if key in nodes}
        if not self._nodes:
            raise InputUnusable(
                "no node of the cluster has a CPU to work with", "ray start --address=HOST:PORT"
            )
        self._thread.start()

    def width(self) -> int:
        """Return how many items are worked on at once, as things stand; 1 at least."""
        room = sum(node.room for node in list(self._nodes.values()))
        return max(min(room, self._cluster.number or room), 1)

    def schedule(self, function: Callable[[Any], Any], item: Any) -> Future[Any]:
        """Have an item done. Its exceptions are `Unreadable`, `TimeoutError`, and its own."""
        task = NodeTask(function, item, Future())
        self._events.put(partial(self._take, task))
        return task.future

    def stop(self) -> None:
        """Decide nothing more; Ray ends what is under way with the connection.

        No thread may still ask Ray for anything when the connection ends: that would kill us.
        """
        self._over = True
        if self._thread.ident is not None:
            self._thread.join()
        for thread in self._admitting:
            thread.join()

    # In the one thread

    def _run(self) -> None:
        looked = time.monotonic()
        while not self._over:
            try:
                for event in self._happened():
                    event()
                if self._trouble is None and time.monotonic() - looked >= SECONDS_BETWEEN_LOOKS:
                    self._look()
                    looked = time.monotonic()
                self._give()
            except Exception as error:
                log.debug("the cluster is lost", exc_info=True)
                self._give_up(error)

    def _happened(self) -> Iterator[Callable[[], object]]:
        """Wait a while for something, then give all that is there."""
        with suppress(Empty):
            yield self._events.get(timeout=SECONDS_BETWEEN_LOOKS)
            while True:
                yield self._events.get_nowait()

    def _take(self, task: NodeTask) -> None:
        if self._trouble is None:
            self._waiting.append(task)
        else:
            task.future.set_exception(self._trouble)

    def _give_up(self, error: Exception) -> None:
        self._trouble = GleansetError(
            f"the cluster is lost: {_last_line(error)}",
            "run the command again: it goes on where it was",
        )
        for node in self._nodes.values():
            self._waiting += node.tasks
            node.tasks.clear()
        while self._waiting:
            self._waiting.popleft().future.set_exception(self._trouble)

    # Nodes

    def _alive(self) -> dict[str, WorkingNode]:
        """Return the nodes that are alive and have a CPU."""
        nodes = (
            WorkingNode(
                node["NodeID"],
                node["NodeManagerAddress"],
                int(node["Resources"].get("CPU", 0) / self._cluster.cpus_each),
            )
            for node in self._ray.nodes()
            if node["Alive"]
        )
        return {node.key: node for node in nodes if node.room}

    def _look(self) -> None:
        """Ask nodes that joined, and take back what was on those that died: nobody is to blame."""
        alive = self._alive()
        for key in self._nodes.keys() - alive.keys():
            node = self._nodes.pop(key)
            log.info("node %s is gone", node.address)
            self._waiting.extendleft(node.tasks)
            node.tasks.clear()
            if not self._nodes:
                log.error("no node is left to work; this goes on as soon as one joins the cluster")
        for key in alive.keys() - self._asked:
            self._asked.add(key)
            thread = threading.Thread(target=self._admit, args=(alive[key],), daemon=True)
            self._admitting.append(thread)
            thread.start()

    def _admit(self, node: WorkingNode) -> None:
        """In a thread of its own: ask a node that has joined."""
        try:
            troubles = self._troubles_of([node])
        except GleansetError as error:
            troubles = {node.address: [str(error)]}
        for why in troubles.values() if not self._over else ():
            log.error("node %s is left out: it %s", node.address, "; ".join(why))
        if not troubles:
            self._events.put(partial(self._nodes.setdefault, node.key, node))

    def _troubles_of(self, nodes: list[WorkingNode]) -> dict[str, list[str]]:
        """Return by its address why a node cannot work; one that dies meanwhile is no trouble."""
        troubles: dict[str, list[str]] = {}
        with self._check.asking() as question:
            answers = {node: self._ask(node, question) for node in nodes}
            self._wait_for(list(answers.values()))
            for node, answer in answers.items():
                try:
                    why = self._check.troubles(question, node.key, self._ray.get(answer, timeout=0))
                except Exception as error:
                    # Without Gleanset it cannot even take the question in.
                    why = [f"does not answer: {_last_line(error)}"]
                if why and node.key in self._alive():
                    troubles[node.address] = why
        return troubles

    def _wait_for(self, answers: list[Any]) -> None:
        """Wait until all have come, in short steps, so that the end of the work is heard."""
        until = time.monotonic() + SECONDS_TO_ANSWER
        while answers and not self._over and time.monotonic() < until:
            _, answers = self._ray.wait(
                answers, num_returns=len(answers), timeout=SECONDS_BETWEEN_LOOKS
            )

    def _ask(self, node: WorkingNode, question: NodeQuestion) -> Any:
        return self._answer.options(**_only(node)).remote(question, node.key)

    # Items

    def _give(self) -> None:
        """Give what waits to the nodes with least to do."""
        while self._waiting and sum(len(node.tasks) for node in self._nodes.values()) < (
            self._cluster.number or math.inf
        ):
            if not self._nodes:
                return
            self._start(self._waiting.popleft())

    def _start(self, task: NodeTask) -> None:
        # Not where it failed, while there is another node.
        others = [node for node in self._nodes.values() if node.key != task.shunned]
        node = min(others or self._nodes.values(), key=lambda node: node.load)
        node.tasks.add(task)
        place = self._run_item.options(**_only(node))
        reference = place.remote(self._setup, task.function, task.item)
        self._when_done(reference, partial(self._answered, task, node))

    def _when_done(self, reference: Any, then: Callable[[Future[Any]], object]) -> None:
        reference.future().add_done_callback(lambda answer: self._events.put(partial(then, answer)))

    def _answered(self, task: NodeTask, node: WorkingNode, answer: Future[Any]) -> None:
        if task not in node.tasks:
            return  # it was taken back
        exceptions, lost = self._ray.exceptions, answer.exception()
        if isinstance(lost, (exceptions.RayTaskError, exceptions.UnserializableException)):
            # The process is well: what goes there, or comes from there, could not travel.
            node.tasks.remove(task)
            task.future.set_exception(_untravelled(exceptions, lost))
        elif lost is not None:
            self._ask_after(task, node, lost)
        else:
            node.tasks.remove(task)
            self._ended(task, node, answer)

    def _ask_after(self, task: NodeTask, node: WorkingNode, lost: BaseException) -> None:
        """See whether the node is still there; if not, a look takes back what was on it."""
        asked = self._ask(node, NodeQuestion("", (), {}))
        self._when_done(asked, partial(self._judge, task, node, lost))

    def _judge(
        self, task: NodeTask, node: WorkingNode, lost: BaseException, answer: Future[Any]
    ) -> None:
        if task not in node.tasks:
            return
        if answer.exception() is not None:
            again = partial(self._ask_after, task, node, lost)
            timer = threading.Timer(SECONDS_BETWEEN_LOOKS, self._events.put, (again,))
            timer.daemon = True
            timer.start()
            return
        node.tasks.remove(task)
        exceptions = self._ray.exceptions
        if isinstance(lost, (exceptions.NodeDiedError, exceptions.TaskUnschedulableError)):
            self._waiting.appendleft(task)
        else:
            self._failed(task, node, Unreadable("crashed", "the worker died on it twice"))

    def _ended(self, task: NodeTask, node: WorkingNode, answer: Future[Any]) -> None:
        result, error = answer.result()
        if error is None:
            task.future.set_result(result)
        elif isinstance(error, TimeoutError):
            self._failed(task, node, error)
        else:
            task.future.set_exception(error)

    def _failed(self, task: NodeTask, node: WorkingNode, error: Exception) -> None:
        task.attempts += 1
        task.shunned = node.key
        if task.attempts < ATTEMPTS:
            self._waiting.appendleft(task)
        else:
            task.future.set_exception(error)


def _only(node: WorkingNode) -> dict[str, Any]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node.key, soft=False)}


def _untravelled(exceptions: Any, error: Exception) -> Exception:
    cause = getattr(error, "cause", None)
    if not isinstance(cause, exceptions.RaySystemError):
        return error
    return MissingComponent(
        f"a node cannot take in what is to be done: {_last_line(cause)}",
        "install the same packages on every node",
    )


def _last_line(error: BaseException) -> str:
    """Return what an error ends with: the rest is for whoever wrote Ray."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()
