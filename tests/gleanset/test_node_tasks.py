"""Which node does which item: deaths of workers and of nodes, told apart, without a cluster."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tools_for_tests import eventually

from gleanset.errors import GleansetError, InputUnusable, Unreadable
from gleanset.work import cluster as module
from gleanset.work.cluster import Cluster, NodeTasks
from gleanset.work.cluster_nodes import NodeAnswer, NodeCheck, NodeQuestion, answer_question


class RayError(Exception): ...


class NodeDiedError(RayError): ...


class WorkerCrashedError(RayError): ...


class Attempt:
    """One task on a node, which ends when the test says so."""

    def __init__(self, node: str, item: Any) -> None:
        self.node, self.item = node, item
        self._answer: Future[Any] = Future()

    def future(self) -> Future[Any]:
        return self._answer

    def give(self, result: Any) -> None:
        self._answer.set_result((result, None))

    def say(self, error: Exception) -> None:
        self._answer.set_result((None, error))

    def lose(self, error: Exception) -> None:
        self._answer.set_exception(error)


class StandInRay:
    """What is used of Ray: `alive` are CPUs by node; those in `silent` do not answer."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayTaskError=type("RayTaskError", (RayError,), {}),
        UnserializableException=type("UnserializableException", (RayError,), {}),
        RaySystemError=type("RaySystemError", (RayError,), {}),
        NodeDiedError=NodeDiedError,
        TaskUnschedulableError=type("TaskUnschedulableError", (RayError,), {}),
    )

    def __init__(self, **alive: int) -> None:
        self.alive = dict(alive)
        self.silent: set[str] = set()
        self.attempts: list[Attempt] = []
        self.answers: dict[str, NodeAnswer] = {}

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": key,
                "NodeManagerAddress": f"10.0.0.{key}",
                "Resources": {"CPU": float(room)},
                "Alive": True,
            }
            for key, room in self.alive.items()
        ]

    def remote(self, **_: Any) -> Callable[[Callable[..., Any]], Any]:
        def task(function: Callable[..., Any]) -> Any:
            start = self.ask if function is answer_question else self.begin
            return SimpleNamespace(
                options=lambda node: SimpleNamespace(remote=lambda *words: start(node, *words))
            )

        return task

    def begin(self, node: str, _setup: Any, _function: Any, item: Any) -> Attempt:
        self.attempts.append(Attempt(node, item))
        return self.attempts[-1]

    def ask(self, node: str, question: NodeQuestion, _: str) -> Attempt:
        asked = Attempt(node, question)
        if node not in self.silent:
            asked.future().set_result(self.answers.get(node) or answer_question(question, node))
        return asked

    def wait(self, asked: list[Attempt], **_: Any) -> tuple[list[Attempt], list[Attempt]]:
        """Say that all have answered; some never do."""
        return asked, []

    def get(self, reference: Attempt, **_: Any) -> Any:
        return reference.future().result(0)

    def at(self, item: Any, times: int = 1) -> Attempt:
        """Wait until an item is given to a node for so many times."""

        def tried() -> list[Attempt]:
            return [attempt for attempt in self.attempts if attempt.item == item]

        assert eventually(lambda: len(tried()) >= times), (item, times)
        return tried()[times - 1]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.setattr(module, "_only", lambda node: {"node": node.key})


@contextmanager
def working(ray: StandInRay, *folders: Path, number: int = 0) -> Iterator[NodeTasks]:
    tasks = NodeTasks(ray, Cluster("", folders, number=number))
    try:
        tasks.begin()
        yield tasks
    finally:
        tasks.stop()
    assert "gleanset-cluster" not in {thread.name for thread in threading.enumerate()}


def done(tasks: NodeTasks, item: int) -> Future[Any]:
    return tasks.schedule(abs, item)


def test_items_go_where_least_waits_and_no_more_of_them_than_asked_for() -> None:
    ray = StandInRay(a=2, b=1)
    with working(ray) as tasks:
        assert tasks.width() == 3
        for number in range(6):
            done(tasks, number)
        ray.at(5)
        assert sorted(attempt.node for attempt in ray.attempts) == list("aaaabb")
    ray = StandInRay(a=4, b=4)
    with working(ray, number=3) as tasks:
        assert tasks.width() == 3
        results = [done(tasks, number) for number in range(9)]
        for number in range(9):
            ray.at(number).give(2 * number)
            assert len(ray.attempts) <= number + 4
        assert [result.result(10) for result in results] == [2 * n for n in range(9)]


def test_a_death_counts_once_the_node_has_answered_and_the_second_one_is_the_end() -> None:
    ray = StandInRay(a=1, b=1)
    with working(ray) as tasks:
        victim = done(tasks, 7)
        first = ray.at(7)
        first.lose(WorkerCrashedError())
        second = ray.at(7, times=2)
        # The other node gets it now.
        assert {first.node, second.node} == {"a", "b"}
        second.lose(WorkerCrashedError())
        with pytest.raises(Unreadable, match="crashed"):
            victim.result(10)


def test_an_item_on_a_node_that_died_is_not_to_blame() -> None:
    ray = StandInRay(a=1)
    with working(ray) as tasks:
        item = done(tasks, 7)
        for number in range(1, 5):
            attempt = ray.at(7, number)
            # As it is with a machine that lost its power: the worker goes first, and nobody
            # knows yet that the node went with it. At times Ray knows.
            ray.silent.add(attempt.node)
            attempt.lose(WorkerCrashedError() if number % 2 else NodeDiedError())
            del ray.alive[attempt.node]
            ray.alive[f"later{number}"] = 1
        ray.at(7, 5).give(14)
        assert item.result(10) == 14


def test_what_was_at_a_node_that_fell_silent_is_done_elsewhere_and_its_late_answer_not_taken() -> (
    None
):
    ray = StandInRay(a=1)
    with working(ray) as tasks:
        item = done(tasks, 7)
        late = ray.at(7)
        ray.alive = {"b": 1}
        again = ray.at(7, times=2)
        late.give(99)
        done(tasks, 8)
        ray.at(8)
        again.give(14)
        assert item.result(10) == 14


def test_an_item_that_is_slow_is_tried_on_another_node_and_then_a_failure() -> None:
    ray = StandInRay(a=1, b=1)
    with working(ray) as tasks:
        item = done(tasks, 7)
        for times in (1, 2):
            ray.at(7, times).say(TimeoutError())
        with pytest.raises(TimeoutError):
            item.result(10)
    assert {attempt.node for attempt in ray.attempts} == {"a", "b"}


def test_where_the_cluster_is_lost_all_is_told_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = StandInRay(a=1)
    with working(ray) as tasks:
        item = done(tasks, 7)
        ray.at(7)
        monkeypatch.setattr(ray, "nodes", lambda: 1 / 0)
        for future in (item, done(tasks, 8)):
            with pytest.raises(GleansetError, match="the cluster is lost: division by zero"):
                future.result(10)


def test_nodes_that_cannot_work_are_told_before_any_work(tmp_path: Path) -> None:
    ray = StandInRay(a=1, b=1, c=1)
    ray.silent.add("c")
    ray.answers["b"] = NodeAnswer({}, ("does not see /store (No such file)",))
    with pytest.raises(InputUnusable) as caught, working(ray, tmp_path):
        pass
    assert "2 of 3 nodes" in str(caught.value)
    assert "10.0.0.b: does not see /store" in str(caught.value)
    assert "10.0.0.c: does not answer" in str(caught.value)
    assert "same paths" in caught.value.mend
    assert (list(tmp_path.iterdir()), ray.attempts) == ([], [])


def test_a_node_that_dies_just_then_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = StandInRay(a=1, b=1)
    ray.silent.add("b")
    monkeypatch.setattr(ray, "wait", lambda *_, **__: (ray.alive.pop("b"), []))
    with working(ray) as tasks:
        assert tasks.width() == 1


def test_a_node_that_joins_and_cannot_work_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ray = StandInRay(a=1)
    with working(ray, tmp_path) as tasks:
        ray.answers["b"] = NodeAnswer({}, ("sees another folder at /store",))
        ray.alive |= {"b": 8, "c": 1}
        assert eventually(lambda: "10.0.0.b is left out" in caplog.text)
        assert eventually(lambda: tasks.width() == 2)


def test_the_end_of_the_work_waits_for_whoever_still_asks_a_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray, asking = StandInRay(a=1), threading.Event()

    def wait(answers: list[Attempt], **_: Any) -> tuple[list[Attempt], list[Attempt]]:
        time.sleep(0.05)
        if len(ray.alive) > 1:
            asking.set()
        return ([], answers) if asking.is_set() else (answers, [])

    monkeypatch.setattr(ray, "wait", wait)
    with working(ray):
        ray.alive["b"] = 1
        assert asking.wait(10)
    # Ray ends with a fault of memory where it is asked while it ends.
    assert not [thread for thread in threading.enumerate() if "_admit" in thread.name]


def test_a_second_program_is_told_by_its_versions(tmp_path: Path) -> None:
    check = NodeCheck((tmp_path,))
    with check.asking() as question:
        mine = answer_question(question, "a")
        assert check.troubles(question, "a", mine) == []
        other = NodeAnswer({**mine.installed, "pillow": "9.0"}, ())
        [trouble] = check.troubles(question, "a", other)
        assert trouble.startswith("has pillow 9.0, and ")
        # Where what it writes never comes here, it is another folder of the same name.
        question.place(tmp_path, "a").unlink()
        assert "does not arrive here" in check.troubles(question, "a", mine)[0]


def test_a_folder_that_is_not_there_or_another_one_is_told(tmp_path: Path) -> None:
    question = NodeQuestion("mark", (tmp_path / "gone", tmp_path), {tmp_path / "list.txt": "9 x"})
    question.place(tmp_path).write_text("another mark")
    gone, other, file = answer_question(question, "a").missing
    assert gone.startswith(f"does not see {tmp_path / 'gone'}")
    assert other == f"sees another folder at {tmp_path}"
    assert file.startswith(f"does not see {tmp_path / 'list.txt'}")


def test_a_cluster_without_room_is_told() -> None:
    with (
        pytest.raises(InputUnusable, match="no node of the cluster has a CPU"),
        working(StandInRay(a=0)),
    ):
        pass
