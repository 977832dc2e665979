"""Who does which item on many machines: deaths of workers and of nodes, told apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tools_for_tests import eventually

from gleanset.errors import InputUnusable, Unreadable
from gleanset.work import admission
from gleanset.work import crew as module
from gleanset.work.cluster_nodes import NodeAnswer, NodeCheck, NodeQuestion, answer_question
from gleanset.work.crew import Crew
from gleanset.work.machines import WorkerLost


class Worker:
    """A worker whose items end when the test says so, one after the other."""

    def __init__(self, room: MachineRoom, node: str) -> None:
        self.room, self.node = room, node
        self.items: list[tuple[Any, Future[Any]]] = []
        self.ended = False
        self.start: Future[None] = Future()

    def begun(self) -> Future[None]:
        if self.room.failing(self.node):
            self.start.set_exception(WorkerLost())
        else:
            self.start.set_result(None)
        return self.start

    def run(self, function: Callable[[Any], Any], item: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.items.append((item, future))
        self.room.given.append((self.node, item))
        if not self.room.by_hand:
            self.finish(function(item))
        return future

    def end(self) -> None:
        self.ended = True

    def finish(self, result: Any) -> None:
        _, future = self.items.pop(0)
        future.set_result(result)

    def die(self) -> None:
        while self.items:
            _, future = self.items.pop(0)
            future.set_exception(WorkerLost())


class MachineRoom:
    """Machines of this test: `alive` are their rooms by name; those in `silent` do not answer."""

    def __init__(self, *, by_hand: bool = False, **alive: int) -> None:
        self.alive, self.by_hand = dict(alive), by_hand
        self.silent: set[str] = set()
        self.failing: Callable[[str], bool] = lambda node: False
        self.workers: list[Worker] = []
        self.given: list[tuple[str, Any]] = []
        self.answers: dict[str, NodeAnswer] = {}

    def nodes(self) -> dict[str, tuple[str, int]]:
        return {key: (f"10.0.0.{key}", room) for key, room in self.alive.items()}

    def start(self, node: str) -> Worker:
        self.workers.append(Worker(self, node))
        return self.workers[-1]

    def ask(self, node: str, question: NodeQuestion) -> Future[NodeAnswer]:
        future: Future[NodeAnswer] = Future()
        if node in self.silent:
            future.set_exception(WorkerLost())
        else:
            future.set_result(self.answers.get(node) or answer_question(question, node))
        return future

    def busy(self, node: str, item: Any) -> Worker:
        """Wait until that item is being done there."""

        def found() -> Worker | None:
            at = (one for one in self.workers if one.node == node and not one.ended and one.items)
            return next((one for one in at if one.items and one.items[0][0] == item), None)

        assert eventually(lambda: found() is not None), self.given
        worker = found()
        assert worker is not None
        return worker


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.setattr(admission, "SECONDS_BETWEEN_QUESTIONS", 0.02)


@contextmanager
def working(room: MachineRoom, check: NodeCheck, **options: Any) -> Iterator[Crew]:
    given = {"number": 0, "seconds_per_item": 60.0} | options
    crew = Crew(room, check, **given)
    try:
        crew.begin()
        yield crew
    finally:
        crew.stop()
    assert all(worker.ended for worker in room.workers if worker.items)


def double(number: int) -> int:
    return 2 * number


ANYWHERE = NodeCheck(())


def test_every_item_is_done_and_spread_over_the_nodes() -> None:
    room = MachineRoom(a=2, b=1)
    with working(room, ANYWHERE) as crew:
        assert crew.width() == 3
        found = [crew.schedule(double, n) for n in range(40)]
        assert [one.result(10) for one in found] == [2 * n for n in range(40)]
    assert {worker.node for worker in room.workers} == {"a", "b"}
    assert len(room.workers) <= 3


def test_no_more_workers_than_asked_for() -> None:
    room = MachineRoom(a=4, b=4)
    with working(room, ANYWHERE, number=3) as crew:
        assert crew.width() == 3
        assert [crew.schedule(double, n).result(10) for n in range(9)] == [2 * n for n in range(9)]
    assert len(room.workers) <= 3


def test_a_death_counts_once_the_node_has_answered_and_the_second_one_is_the_end() -> None:
    room = MachineRoom(a=1, b=1, by_hand=True)
    with working(room, ANYWHERE) as crew:
        victim = crew.schedule(double, 7)
        first = next(iter(eventually_given(room)))[0]
        room.busy(first, 7).die()
        # The other node gets it now.
        other = {"a": "b", "b": "a"}[first]
        room.busy(other, 7).die()
        with pytest.raises(Unreadable, match="crashed"):
            victim.result(10)


def test_the_only_worker_moves_to_another_node_for_a_second_attempt() -> None:
    room = MachineRoom(a=1, b=1, by_hand=True)
    with working(room, ANYWHERE, number=1) as crew:
        victim, other = crew.schedule(double, 7), crew.schedule(double, 8)
        first = next(iter(eventually_given(room)))[0]
        room.silent.add(first)  # while it has not answered, the other item takes the place
        room.busy(first, 7).die()
        assert eventually(lambda: 8 in {item for _, item in room.given})
        room.silent.clear()
        room.busy(room.given[-1][0], 8).finish(16)
        assert other.result(10) == 16
        room.busy({"a": "b", "b": "a"}[first], 7).finish(14)
        assert victim.result(10) == 14


def test_an_item_on_a_node_that_died_is_not_to_blame() -> None:
    room = MachineRoom(a=1, by_hand=True)
    with working(room, ANYWHERE) as crew:
        item = crew.schedule(double, 7)
        for number in range(4):
            node = "a" if not number else f"later{number}"
            worker = room.busy(node, 7)
            # As it is with a machine that lost its power: the worker goes first, and nobody
            # knows yet that the node went with it.
            room.silent.add(node)
            worker.die()
            time.sleep(0.1)
            assert not item.done()
            del room.alive[node]
            room.alive[f"later{number + 1}"] = 1
        room.busy("later4", 7).finish(14)
        assert item.result(10) == 14


def test_a_node_that_vanishes_with_its_worker_still_at_it_costs_nothing() -> None:
    room = MachineRoom(a=1, by_hand=True)
    with working(room, ANYWHERE) as crew:
        item = crew.schedule(double, 7)
        late = room.busy("a", 7)
        del room.alive["a"]
        room.alive["b"] = 1
        room.busy("b", 7)
        assert late.ended
        late.finish(99)  # what comes from there after all is not taken
        room.busy("b", 7).finish(14)
        assert item.result(10) == 14


def test_a_slow_node_costs_time_and_an_item_that_is_slow_twice_is_a_failure() -> None:
    room = MachineRoom(a=1, b=1, by_hand=True)
    with working(room, ANYWHERE, seconds_per_item=0.1) as crew:
        item = crew.schedule(double, 7)
        slow = next(iter(eventually_given(room)))[0]
        room.busy({"a": "b", "b": "a"}[slow], 7).finish(14)
        assert item.result(10) == 14
        with pytest.raises(TimeoutError):
            crew.schedule(double, 8).result(10)
        assert {node for node, given in room.given if given == 8} == {"a", "b"}


@pytest.fixture
def ahead() -> Iterator[tuple[MachineRoom, Crew, Worker, list[Future[Any]]]]:
    """A quick worker that is at item 7, while item 8 waits behind it."""
    room = MachineRoom(a=1, by_hand=True)
    with working(room, ANYWHERE, ahead=True) as crew:
        first = crew.schedule(double, 6)
        room.busy("a", 6).finish(12)
        assert first.result(10) == 12
        found = [crew.schedule(double, number) for number in (7, 8, 9)]
        worker = room.busy("a", 7)
        assert eventually(lambda: len(worker.items) == 2)
        yield room, crew, worker, found


def test_what_waits_behind_an_item_that_kills_is_not_to_blame(
    ahead: tuple[MachineRoom, Crew, Worker, list[Future[Any]]],
) -> None:
    room, _, worker, (suspect, *others) = ahead
    room.silent.add("a")  # before it answers, nobody has been blamed
    worker.die()
    room.busy("a", 8).finish(16)
    room.busy("a", 9).finish(18)
    assert [future.result(10) for future in others] == [16, 18]
    room.silent.clear()
    room.busy("a", 7).die()
    with pytest.raises(Unreadable, match="crashed"):
        suspect.result(10)


def test_an_answer_may_come_after_the_loss_of_the_next_one(
    ahead: tuple[MachineRoom, Crew, Worker, list[Future[Any]]],
) -> None:
    room, _, worker, (large, killed, _) = ahead
    worker.items.pop()[1].set_exception(WorkerLost())
    time.sleep(0.1)
    assert not large.done()
    assert [item for _, item in room.given] == [6, 7, 8]
    worker.finish(14)
    assert large.result(10) == 14
    # Item 8 has one attempt left, on the only node.
    room.busy("a", 8).finish(16)
    assert killed.result(10) == 16


def test_nothing_waits_behind_a_slow_item() -> None:
    room = MachineRoom(a=1, b=1, by_hand=True)
    with working(room, ANYWHERE, ahead=True) as crew:
        first = crew.schedule(double, 6)
        slow = room.busy(eventually_given(room)[0][0], 6)
        time.sleep(0.15)
        slow.finish(12)
        assert first.result(10) == 12
        found = [crew.schedule(double, number) for number in range(7, 11)]
        assert eventually(lambda: len(room.given) == 3)
        time.sleep(0.1)
        assert [len(worker.items) for worker in room.workers] == [1, 1]
        for number in (7, 8, 9, 10):
            assert eventually(lambda number=number: number in [i for _, i in room.given])
            at = next(
                worker
                for worker in room.workers
                if worker.items[:1] and worker.items[0][0] == number
            )
            at.finish(2 * number)
        assert [one.result(10) for one in found] == [14, 16, 18, 20]


def test_nodes_that_cannot_work_are_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "SECONDS_TO_ANSWER", 0.1)
    room = MachineRoom(a=1, b=1, c=1)
    room.silent.add("c")
    room.answers["b"] = NodeAnswer({}, ("does not see /store (No such file)",))
    crew = Crew(room, NodeCheck((tmp_path,)), 0, 60.0)
    with pytest.raises(InputUnusable) as caught:
        crew.begin()
    crew.stop()
    assert "2 of 3 nodes" in str(caught.value)
    assert "10.0.0.b: does not see /store" in str(caught.value)
    assert "10.0.0.c: does not answer" in str(caught.value)
    assert "same paths" in caught.value.mend
    assert list(tmp_path.iterdir()) == []
    assert room.given == []


def test_a_node_that_dies_just_then_is_no_trouble() -> None:
    room = MachineRoom(a=1, b=1)
    room.silent.add("b")
    crew = Crew(room, ANYWHERE, 0, 60.0)
    threading.Timer(0.1, lambda: room.alive.pop("b")).start()
    crew.begin()
    assert crew.width() == 1
    crew.stop()


def test_a_node_that_joins_and_cannot_work_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    room = MachineRoom(a=1, by_hand=True)
    with working(room, NodeCheck((tmp_path,))) as crew:
        room.answers["b"] = NodeAnswer({}, ("sees another folder at /store",))
        room.alive["b"] = 8
        assert eventually(lambda: "10.0.0.b is left out" in caplog.text)
        assert crew.width() == 1


def test_a_second_program_is_told_by_its_versions(tmp_path: Path) -> None:
    check = NodeCheck((tmp_path,))
    with check.asking() as question:
        mine = answer_question(question, "a")
        assert check.troubles(question, "a", mine) == []
        other = NodeAnswer({**mine.installed, "pillow": "9.0"}, ())
        [told] = check.troubles(question, "a", other)
        assert told.startswith("has pillow 9.0, and ")
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


def test_where_no_worker_begins_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_OF_FAILED_STARTS", 0.1)
    room = MachineRoom(a=1)
    room.failing = lambda node: True
    with working(room, ANYWHERE) as crew:
        with pytest.raises(InputUnusable, match="no worker process begins"):
            crew.schedule(double, 1).result(10)
        # And everything after it, at once.
        with pytest.raises(InputUnusable):
            crew.schedule(double, 2).result(10)


def test_a_node_where_workers_fail_for_a_while_goes_on() -> None:
    room = MachineRoom(a=1)
    until = time.monotonic() + 0.2
    room.failing = lambda node: time.monotonic() < until
    with working(room, ANYWHERE) as crew:
        assert crew.schedule(double, 1).result(10) == 2


def test_a_cluster_without_room_is_told() -> None:
    crew = Crew(MachineRoom(a=0), ANYWHERE, 0, 60.0)
    with pytest.raises(InputUnusable, match="no node of the cluster has a CPU"):
        crew.begin()
    crew.stop()


def test_no_thread_is_left() -> None:
    with working(MachineRoom(a=1), ANYWHERE) as crew:
        crew.schedule(double, 1).result(10)
    assert "gleanset-crew" not in {thread.name for thread in threading.enumerate()}


def eventually_given(room: MachineRoom) -> list[tuple[str, Any]]:
    assert eventually(lambda: bool(room.given))
    return room.given
