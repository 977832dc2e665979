"""Stages: exclusive on a dataset; a killed run does not block later ones."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event

import pytest
from tools_for_tests import python

from gleanset import Dataset
from gleanset.errors import DatasetBusy, NotWritable
from gleanset.files.atomic import write_atomic

HOLD = (
    "import sys; from gleanset import Dataset\n"
    "with Dataset.open(sys.argv[1]) as d, d.stage('harvest-folder') as scratch:\n"
    "    (scratch / 'half').write_bytes(b'x'); print('held', flush=True); sys.stdin.readline()"
)


def hold_stage(dataset: Dataset) -> subprocess.Popen[str]:
    process = python(HOLD, dataset.root)
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_stage_is_exclusive_between_processes(dataset: Dataset) -> None:
    process = hold_stage(dataset)
    with pytest.raises(DatasetBusy, match="'harvest-folder' is already"):
        dataset.stage("harvest-folder").__enter__()
    with dataset.stage("harvest-urls"):
        pass
    assert (dataset.cache / "scratch" / "harvest-folder" / "half").exists()
    process.communicate("\n", timeout=60)
    with dataset.stage("harvest-folder") as scratch:
        assert list(scratch.iterdir()) == []


def test_killed_stage_is_free_with_empty_scratch(dataset: Dataset) -> None:
    process = hold_stage(dataset)
    process.kill()
    process.communicate()
    assert (dataset.cache / "scratch" / "harvest-folder" / "half").exists()
    with dataset.stage("harvest-folder") as scratch:
        assert list(scratch.iterdir()) == []


def test_surviving_workers_do_not_block_new_stage(dataset: Dataset) -> None:
    scratch, ended = dataset.cache / "scratch" / "harvest-folder", Event()

    def outlive() -> None:
        while not ended.is_set():
            with suppress(NotWritable):
                write_atomic(scratch / "picture", b"x", sync_name=False)

    with ThreadPoolExecutor(4) as workers:
        outliving = [workers.submit(outlive) for _ in range(4)]
        try:
            for _ in range(60):
                with dataset.stage("harvest-folder") as own:
                    assert own.is_dir()
        finally:
            ended.set()
        for worker in outliving:
            worker.result()


def test_failure_frees_the_stage(dataset: Dataset) -> None:

    def fail() -> None:
        with dataset.stage("x") as scratch:
            (scratch / "deep" / "er").mkdir(parents=True)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list((dataset.cache / "scratch").iterdir()) == []
    with dataset.stage("x"):
        pass


def test_child_processes_do_not_hold_the_stage(dataset: Dataset) -> None:
    with dataset.stage("x"):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        with dataset.stage("x"):
            pass
    finally:
        child.kill()
        child.wait()
