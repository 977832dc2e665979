"""Work on the nodes of a Ray cluster: the one module that knows Ray.

`Cluster` stands beside `Processes` and `Threads`. Worker processes are spread over the nodes, each
at one item at a time; functions, items and results travel, pictures stay in the dataset's folder,
which every node sees. The caller alone writes rows, as ever. Who does what, and what a death
means, is decided in `crew.py`.
"""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from gleanset.errors import GleansetError, InputUnusable, MissingComponent, Unreadable
from gleanset.work.cluster_nodes import NodeAnswer, NodeCheck, NodeQuestion, answer_question
from gleanset.work.crew import Crew
from gleanset.work.machines import WorkerLost
from gleanset.work.open_pool import OpenPool

SECONDS_TO_CONNECT = 5.0
CPUS_TO_WAIT = 0.125
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
    `number` is how many processes there are at most; 0 for as many as the nodes have CPUs, of
    which each takes `cpus_each`.
    """

    address: str
    folders: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    number: int = 0
    seconds_per_item: float = 120.0
    cpus_each: float = 1.0
    kept: Crew | None = None

    def waiting(self, number: int) -> Cluster:
        """Return so many processes that wait most of the time, several on a CPU."""
        return replace(self, number=number, cpus_each=CPUS_TO_WAIT)

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
        check = NodeCheck(self.folders, self.files)
        with _connected(self.address) as ray:
            machines = RayMachines(ray, self.cpus_each)
            # What waits for the net should not also wait for what waits before it.
            ahead = self.cpus_each > CPUS_TO_WAIT
            crew = Crew(machines, check, self.number, self.seconds_per_item, ahead)
            try:
                crew.begin()
                yield replace(self, kept=crew)
            finally:
                crew.stop()


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
            "Ray is not installed, and it runs clusters", "pip install 'gleanset[cluster]'"
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


class ItemRunner:
    """One worker process on a node."""

    def __init__(self, environment: dict[str, str], folder: str) -> None:
        from gleanset.work.one_thread import compute_on_one_thread

        os.environ.update(environment)
        compute_on_one_thread()
        with suppress(OSError):
            os.chdir(folder)  # what was named by a relative path is found where it is there

    def begun(self) -> None:
        """Answer as soon as the process has begun."""

    def run(self, function: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
        """Return the result, or the exception, a bug's with the text of its traceback."""
        try:
            return function(item), None
        except (GleansetError, Unreadable) as error:
            return None, error
        except Exception as error:
            error.add_note(traceback.format_exc())  # where it happened does not travel
            return None, error


class RayWorker:
    """An actor of Ray's: a process for one item at a time, never begun again by Ray itself."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor

    def begun(self) -> Future[None]:
        """Answer as soon as the process has begun."""
        return _future(self._ray, self._actor.begun.remote())

    def run(self, function: Callable[[Any], Any], item: Any) -> Future[Any]:
        """Do one item."""
        return _future(self._ray, self._actor.run.remote(function, item), _unpacked)

    def end(self) -> None:
        """End the process."""
        self._ray.kill(self._actor)


class RayMachines:
    """The nodes of the cluster that this process is connected to."""

    def __init__(self, ray: Any, cpus_each: float) -> None:
        self._ray, self._cpus = ray, cpus_each
        self._runner = ray.remote(ItemRunner)
        self._question = ray.remote(answer_question)
        self._environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._folder = str(Path.cwd())

    def nodes(self) -> dict[str, tuple[str, int]]:
        """Return those that are alive, and for how many workers they have CPUs."""
        return {
            node["NodeID"]: (
                node["NodeManagerAddress"],
                int(node["Resources"].get("CPU", 0) / self._cpus),
            )
            for node in self._ray.nodes()
            if node["Alive"]
        }

    def start(self, node: str) -> RayWorker:
        """Begin a worker there; it waits for a CPU that other users of the cluster may have."""
        fixed = {"num_cpus": self._cpus, "max_restarts": 0, "max_task_retries": 0}
        place = self._runner.options(**fixed, **_only(node))
        return RayWorker(self._ray, place.remote(self._environment, self._folder))

    def ask(self, node: str, question: NodeQuestion) -> Future[NodeAnswer]:
        """Have it look around, however busy it is."""
        place = self._question.options(num_cpus=0, max_retries=0, **_only(node))
        return _future(self._ray, place.remote(question, node))


def _only(node: str) -> dict[str, Any]:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node, soft=False)}


def _future(
    ray: Any, reference: Any, unpacked: Callable[[Any], Any] = lambda value: value
) -> Future[Any]:
    """Return what Ray will answer; what it says of a lost process or node is `WorkerLost`."""
    future: Future[Any] = Future()

    def settle(answer: Future[Any]) -> None:
        try:
            future.set_result(unpacked(answer.result()))
        except (ray.exceptions.RayTaskError, ray.exceptions.UnserializableException) as error:
            # The process is well: what goes there, or comes from there, could not travel.
            future.set_exception(_untravelled(ray, error))
        except ray.exceptions.RayError as error:
            future.set_exception(WorkerLost(str(error)))
        except Exception as error:
            future.set_exception(error)

    reference.future().add_done_callback(settle)
    return future


def _untravelled(ray: Any, error: Exception) -> Exception:
    cause = getattr(error, "cause", None)
    if not isinstance(cause, ray.exceptions.RaySystemError):
        return error
    return MissingComponent(
        f"a node cannot take in what is to be done: {str(cause).strip().splitlines()[-1]}",
        "install the same packages on every node",
    )


def _unpacked(answer: tuple[Any, Exception | None]) -> Any:
    result, error = answer
    if error is not None:
        raise error
    return result
