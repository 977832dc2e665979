"""Worker processes on the nodes of a Ray cluster: the only module that imports Ray.

Ray schedules tasks, detects failures and retries; `run_batches` limits the number in flight.
Functions, items and results are sent over the network; images stay in the dataset's folder, which
all nodes share. Only the caller writes rows.
"""

from __future__ import annotations

import faulthandler
import hashlib
import math
import os
import secrets
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from gleanset.errors import GleansetError, InputUnusable, MissingComponent, Unreadable
from gleanset.files.atomic import disk_errors
from gleanset.installation import install_command
from gleanset.plugins import find_plugins
from gleanset.work.pool import ATTEMPTS, IN_FLIGHT_PER_WORKER, OpenPool

CONNECT_TIMEOUT_SECONDS = 5.0

# Their versions affect how an image is decoded, measured and cropped.
PACKAGES = ("animeface", "numpy", "onnxruntime", "opencv-python-headless", "pillow")
CODE_PACKAGES = ("gleanset", "curation", "harvest", "facecrop", "labeler", "baseline")


@dataclass(frozen=True)
class Cluster:
    """Worker processes on the nodes of the Ray cluster at `address` (HOST:PORT).

    Every node must be able to write to all `folders` and read all `files` at the same paths.
    `number` limits the items in flight; 0 means two for each CPU.
    """

    address: str
    folders: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    number: int = 0
    seconds_per_item: float = 120.0
    tasks: NodeTasks | None = None

    @contextmanager
    def pool(self, function: Callable[[Any], Any]) -> Iterator[OpenPool]:
        """Open workers that run `function`; they end with the block."""
        with self.keep("") as cluster:
            assert cluster.tasks is not None
            yield OpenPool(partial(cluster.tasks.submit, function), cluster.tasks.capacity)

    @contextmanager
    def keep(self, _job: str) -> Iterator[Cluster]:
        """Keep the workers for the block. Raises `MissingComponent`, `InputUnusable`."""
        if self.tasks is not None:
            yield self
            return
        with _connected(self.address) as ray, _marked(self.folders) as mark:
            files = tuple((path, path.stat().st_size) for path in self.files)
            check = NodeCheck(mark, self.folders, files, installed_versions(), Path.cwd())
            yield replace(self, tasks=NodeTasks(ray, self, check))


class NodeTasks:
    """Submits items as Ray tasks; each is tried up to twice."""

    def __init__(self, ray: Any, cluster: Cluster, check: NodeCheck) -> None:
        self._ray, self._number = ray, cluster.number
        if not self._cpus():
            raise InputUnusable("no node of the cluster has a CPU", "ray start --address=HOST:PORT")
        run = ray.remote(max_retries=ATTEMPTS - 1, scheduling_strategy="SPREAD")(run_item)
        self._start = partial(run.remote, check, cluster.seconds_per_item)

    def submit(self, function: Callable[[Any], Any], item: Any) -> Future[Any]:
        """Schedule an item; the future raises `Unreadable` or exceptions of `function`."""
        answer: Future[Any] = Future()
        self._start(function, item).future().add_done_callback(partial(self._settle, answer))
        return answer

    def capacity(self) -> int:
        """Return the limit of items in flight, which changes with the nodes."""
        return self._number or max(self._cpus(), 1) * IN_FLIGHT_PER_WORKER

    def _cpus(self) -> int:
        return int(self._ray.cluster_resources().get("CPU", 0))

    def _settle(self, answer: Future[Any], done: Future[Any]) -> None:
        exceptions, error = self._ray.exceptions, done.exception()
        if error is None:
            result, error = done.result()
        elif isinstance(error, (exceptions.WorkerCrashedError, exceptions.OutOfMemoryError)):
            error = Unreadable("crashed", "its worker died twice, or took too long")
        else:
            # Not caused by the item: it must not be recorded as a rejection.
            lines = str(error).strip().splitlines() or [type(error).__name__]
            error = GleansetError(
                f"the cluster cannot do this work: {lines[-1].strip()}",
                "install the same packages on every node, and run the command again",
            )
        if error is None:
            answer.set_result(result)
        else:
            answer.set_exception(error)


def run_item(
    check: NodeCheck, seconds: float, function: Callable[[Any], Any], item: Any
) -> tuple[Any, Exception | None]:
    """Run an item on a node; return result or exception with traceback."""
    if seconds < math.inf:
        # Ray has no timeout for tasks, but notices when the process dies.
        faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        check.prepare()
        return function(item), None
    except (GleansetError, Unreadable) as error:
        return None, error
    except Exception as error:
        error.add_note(traceback.format_exc())  # pickling drops the traceback
        return None, error
    finally:
        faulthandler.cancel_dump_traceback_later()


class NodeCheck(NamedTuple):
    """Requirements for a node: folders that contain `mark`, files, equal versions."""

    mark: str
    folders: tuple[Path, ...]
    files: tuple[tuple[Path, int], ...]
    versions: tuple[tuple[str, str], ...]
    current_folder: Path

    @cache  # noqa: B019 - once in each process and run
    def prepare(self) -> None:
        """Check this node and set up the process. Raises `InputUnusable`."""
        from gleanset.work.one_thread import compute_on_one_thread

        with suppress(OSError):
            os.chdir(self.current_folder)  # paths may be relative to it
        if problems := [*self._folder_problems(), *self._version_problems()]:
            problem = f"node {socket.gethostname()} cannot work on this dataset"
            hint = "give all nodes the same folders and versions, or take it out: ray stop"
            raise InputUnusable(f"{problem}: {'; '.join(problems)}", hint)
        compute_on_one_thread()

    def _folder_problems(self) -> Iterator[str]:
        for folder in self.folders:
            try:
                if (folder / f".cluster-{self.mark}").read_text() != self.mark:
                    yield f"sees another folder at {folder}"
            except OSError as error:
                yield f"does not see {folder} ({error.strerror})"
        for path, size in self.files:
            try:
                if path.stat().st_size != size:
                    yield f"sees another file at {path}"
            except OSError as error:
                yield f"does not see {path} ({error.strerror})"

    def _version_problems(self) -> Iterator[str]:
        installed = dict(installed_versions())
        for name, expected in self.versions:
            if (actual := installed.get(name, "not installed")) != expected:
                yield f"has {name} {actual}, not {expected}"


@cache
def installed_versions() -> tuple[tuple[str, str], ...]:
    """Return versions that affect results: Python, packages, plugins, Gleanset's code."""
    root, digest = Path(__file__).parents[2], hashlib.sha256()
    for path in sorted(path for room in CODE_PACKAGES for path in (root / room).rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    versions = {
        "Python": "{}.{}".format(*sys.version_info),
        "the code of gleanset": digest.hexdigest()[:12],
    }
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    versions |= dict(plugin.made_by.split(" ", 1) for plugin in find_plugins())
    return tuple(versions.items())


@contextmanager
def _marked(folders: tuple[Path, ...]) -> Iterator[str]:
    mark = secrets.token_hex(8)
    try:
        for folder in folders:
            with disk_errors(folder):
                (folder / f".cluster-{mark}").write_text(mark)
        yield mark
    finally:
        for folder in folders:
            with suppress(OSError):
                (folder / f".cluster-{mark}").unlink()


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Ray reads this when it is imported
    try:
        import ray
        import ray._private.worker
    except ImportError as error:
        raise MissingComponent(
            "Ray is not installed, and it runs clusters", install_command("cluster")
        ) from error
    host, _, port = address.rpartition(":")
    try:
        # Ray itself retries for two minutes.
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise InputUnusable(
            f"no cluster answers at {address}: {error}",
            f"start one: ray start --head --port={port} --disable-usage-stats",
        ) from error
    # Ray prints messages of dead workers to stdout, which is reserved for results.
    vars(ray._private.worker)["print_to_stdstream"] = lambda *_, **__: None  # noqa: SLF001
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (Exception, SystemExit) as error:
        raise InputUnusable(
            f"cannot join the cluster at {address}: {str(error).strip() or type(error).__name__}",
            "make this machine one of its nodes, with the same versions of Ray and Python, and its "
            f"token (RAY_AUTH_TOKEN) where it asks for one: ray start --address={address}",
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
