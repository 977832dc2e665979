"""`baseline presort --follow`: it learns while somebody sorts, and ends with whom it follows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from filled import fill
from tools_for_tests import eventually, python_path

from baseline.presort.follow import PresortFollower
from baseline.presort.following import (
    ASKED,
    FOLLOWER,
    FollowedProgram,
    PresortRequests,
    alone,
    is_followed,
)
from baseline.presort.presorter import Presorter, SamplesInUse, presort
from baseline.settings import Settings, load_preset
from gleanset import Dataset
from gleanset.db.changes import Change, Changes, Curation, Placement
from gleanset.db.journal import Choice
from gleanset.db.proposals import Presort, PresortSamples, Proposals
from gleanset.db.watch import CatalogueWatch
from gleanset.errors import InputUnusable
from gleanset.work.progress import Progress
from gleanset.work.stage import hold

QUICK = {"backbone": "efficientnet_lite0", "weights": "none", "size": "32"}
SETTINGS = load_preset("transfer", QUICK)


class FakeWindow(FollowedProgram):
    """The program that is followed: a test ends it."""

    def close(self) -> None:
        self._ended.set()


@contextmanager
def followed(root: Path, settings: Settings = SETTINGS) -> Iterator[FakeWindow]:
    """A follower at work in a thread, with a connection of its own."""
    window = FakeWindow()

    def work() -> None:
        with Dataset.open(root) as dataset, alone(dataset, Progress(), window) as may_begin:
            if may_begin:
                PresortFollower(Presorter(dataset, settings), Progress(), window).run()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield window
    finally:
        window.close()
        thread.join(60)


def newer(dataset: Dataset, before: Presort | None) -> Presort:
    """The next presort."""
    known = before.id if before is not None else 0
    nothing = Presort(0, "", {})
    assert eventually(lambda: (Proposals(dataset.db).newest() or nothing).id > known, 90)
    return Proposals(dataset.db).newest() or nothing


def label(dataset: Dataset, truth: dict[str, str], keys: list[str]) -> None:
    dataset.journal.step("Page", [Choice(key, "label", truth[key]) for key in keys])


def test_it_learns_what_is_decided_and_answers_who_asks(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 10, labelled=False)
        proposals, keys = Proposals(dataset.db), list(truth)
        with followed(tmp_path):
            first = newer(dataset, None)
            assert not any(one.proposals for one in proposals.each())
            label(dataset, truth, keys[:18])
            second = newer(dataset, first)
            assert (second.facts["labelled"], second.facts["classes"]) == (18, 2)
            # One decision is learnt from after a rest.
            label(dataset, truth, keys[18:19])
            third = newer(dataset, second)
            assert third.facts["labelled"] == 19
            # New samples are taken in.
            truth |= fill(dataset, 3, seed=5, labelled=False)
            fourth = newer(dataset, third)
            assert fourth.facts["samples"] == 39
            assert len(list(proposals.each())) == 39

            asked = presort(dataset, SETTINGS)
            newest = proposals.newest()
            assert newest is not None
            assert asked["presort"] == newest.id > fourth.id
            assert asked["samples"] == 39
            assert dataset.db.number("SELECT count(*) FROM presort") == 1
        told = {one.sample: one for one in proposals.each()}
        waiting = [one for key, one in told.items() if key not in keys[:19]]
        assert all(one.proposals for one in waiting)
        assert not is_followed(dataset.cache)


def test_it_says_what_a_presort_from_the_beginning_says(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 12, labelled=False)
        keys = list(truth)
        with followed(tmp_path):
            before = newer(dataset, None)
            for start in (0, 12):
                label(dataset, truth, keys[start : start + 12])
                before = newer(dataset, before)
        followed_says = {one.sample: one.proposals for one in Proposals(dataset.db).each()}
        presort(dataset, SETTINGS)
        alone_says = {one.sample: one.proposals for one in Proposals(dataset.db).each()}
        assert followed_says == alone_says


def test_another_one_goes_on_where_the_first_ends(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 6, labelled=False)
        with followed(tmp_path) as first:
            before = newer(dataset, None)
            with followed(tmp_path):
                time.sleep(0.2)
                first.close()
                label(dataset, truth, list(truth)[:12])
                assert newer(dataset, before).facts["labelled"] in (0, 12)
                assert eventually(lambda: _labelled(dataset) == 12, 90)


def _labelled(dataset: Dataset) -> object:
    newest = Proposals(dataset.db).newest()
    return newest.facts["labelled"] if newest is not None else None


def test_a_presort_by_hand_does_it_itself_where_the_follower_dies(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        fill(dataset, 4, labelled=False)
        here, dies = threading.Event(), threading.Event()

        def hung() -> None:
            with hold(dataset.cache, FOLLOWER):
                here.set()
                dies.wait(60)

        thread = threading.Thread(target=hung)
        thread.start()
        assert here.wait(60)
        threading.Timer(0.5, dies.set).start()
        assert presort(dataset, SETTINGS)["samples"] == 12
        thread.join()
        assert list((dataset.cache / "following").iterdir()) == []


def test_what_the_follower_cannot_do_is_said_by_who_asked(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset, followed(tmp_path):
        assert eventually(lambda: is_followed(dataset.cache), 90)
        with pytest.raises(InputUnusable, match="no sample to sort"):
            presort(dataset, SETTINGS)


def test_requests_that_nobody_waits_for_are_removed_unread(tmp_path: Path) -> None:
    requests = PresortRequests(tmp_path)
    folder = tmp_path / "following"
    folder.mkdir()
    old, broken = folder / f"old{ASKED}", folder / f"broken{ASKED}"
    for path in (old, broken):
        path.write_text("{")
    os.utime(old, (0, 0))
    assert list(requests.waiting()) == []
    assert not old.exists()
    answered = json.loads((folder / "broken.answered").read_text())
    assert "no method" in answered["error"]


ASKS = """
import sys
from pathlib import Path
from baseline.presort.following import PresortRequests
from baseline.settings import load_preset
print(PresortRequests(Path(sys.argv[1])).ask(load_preset("transfer", {})))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="nothing can be put to sleep")
def test_who_asks_and_sleeps_meanwhile_is_answered_all_the_same(tmp_path: Path) -> None:
    requests, folder = PresortRequests(tmp_path), tmp_path / "following"
    with (
        hold(tmp_path, FOLLOWER),
        subprocess.Popen(
            [sys.executable, "-c", ASKS, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": python_path()},
            stdout=subprocess.PIPE,
            text=True,
        ) as asking,
    ):
        try:
            assert eventually(lambda: list(folder.glob(f"*{ASKED}")) != [], 90)
            asking.send_signal(signal.SIGSTOP)
            (asked,) = folder.glob(f"*{ASKED}")
            os.utime(asked, (0, 0))  # as after a night
            assert list(requests.waiting()) == []
            assert not asked.exists()
            asking.send_signal(signal.SIGCONT)
            assert eventually(asked.exists, 90)
            requests.answer(asked.name.removesuffix(ASKED), {"samples": 12})
            assert asking.communicate(timeout=30)[0].strip() == "{'samples': 12}"
        finally:
            asking.kill()
    assert list(folder.iterdir()) == []


@pytest.fixture
def standing_by(tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """The command, which waits because another one follows: so it is there soon."""
    with Dataset.create(tmp_path) as dataset:
        cache = dataset.cache
    begun: list[subprocess.Popen[str]] = []

    def begin() -> subprocess.Popen[str]:
        words = ["presort", "--follow", "-d", str(tmp_path), "--progress", "json", "--json"]
        process = subprocess.Popen(
            [sys.executable, "-m", "baseline", *words],
            env={**os.environ, "PYTHONPATH": python_path()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        begun.append(process)
        assert process.stderr is not None
        assert "another window" in json.loads(process.stderr.readline())["message"]
        assert json.loads(process.stderr.readline())["stage"] == "standby"
        return process

    with hold(cache, FOLLOWER):
        yield begin
    for process in begun:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def test_it_ends_with_whom_it_follows(standing_by: Callable[[], subprocess.Popen[str]]) -> None:
    process = standing_by()
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0


def test_it_ends_at_once_however_long_it_would_take_to_put_things_away() -> None:
    code = (
        "import atexit, time\n"
        "from baseline.presort.following import following\n"
        "atexit.register(time.sleep, 60)\n"
        "with following() as program:\n"
        "    print('here', flush=True)\n"
        "    program.wait(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": python_path()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        process.stdin.close()
        assert process.wait(60) == 0


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGTERM")
def test_it_ends_when_told_so(standing_by: Callable[[], subprocess.Popen[str]]) -> None:
    process = standing_by()
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 130


def test_only_what_was_touched_is_read_again_and_nothing_is_missed(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 5, labelled=False)
        known, keys = SamplesInUse(dataset), list(truth)
        rows = {row[1]: row[0] for row in dataset.db.rows("SELECT id, key FROM sample")}

        def same() -> bool:
            return known.now() == list(PresortSamples(dataset.db).each())

        assert same()
        label(dataset, truth, keys[3:4])  # a new class is more than a decision
        assert same()
        watch = CatalogueWatch(dataset.db)
        marks = watch.marks()
        label(dataset, truth, keys[:3])
        dataset.journal.step("Reject", [Choice(keys[4], "reject")])
        assert sorted(watch.touched(marks) or ()) == sorted(
            rows[key] for key in (*keys[:3], keys[4])
        )
        assert same()
        dataset.journal.undo()
        assert same()
        with dataset.db.write():
            step = dataset.journal.step("Refuse", [])
            refused = str(dataset.classes.find_or_make(truth[keys[0]]))
            Changes(dataset.db).make(step, [Change("refused", rows[keys[6]], refused)])
        assert watch.touched(marks) is not None
        assert same()
        assert known.now()[sorted(keys).index(keys[6])].refused == {truth[keys[0]]}
        # More than decisions: all is read again.
        with dataset.db.write():
            step = dataset.journal.step("Copies", [])
            Curation(dataset.db).place(step, [Placement(rows[keys[7]], False, "g", "copy")])
        assert watch.touched(marks) is None
        assert same()
        fill(dataset, 2, seed=3, labelled=False)
        assert same()
        assert len(known.now()) == 20
