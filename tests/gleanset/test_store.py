"""Stored files: complete or absent, and changed together with their rows, in exclusive stages."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
from tools_for_tests import eventually, picture, python

from gleanset import Dataset, Origin
from gleanset.errors import DatasetBusy, DiskFull, NotWritable, Unreadable
from gleanset.files.atomic import write_atomic
from gleanset.files.store import Store, hash_bytes
from gleanset.images.staging import StageBytes
from gleanset.records import Measured
from gleanset.work.progress import Progress
from pipeline.maintenance.check_files import collect_garbage, verify
from pipeline.maintenance.removals import RemovalPlan, remove_images


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images", tmp_path / "scratch")


def test_put_stores_bytes_by_hash(store: Store) -> None:
    name = hash_bytes(b"abc")
    assert name == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path = store.put(name, "JPEG", b"abc")
    assert path == store.path(name, "JPEG") == store.root / "ba" / f"{name}.jpg"
    assert (path.read_bytes(), files_below(store.scratch)) == (b"abc", [])


def test_reader_sees_complete_old_or_new_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([65 + n]) * (200_000 + n) for n in range(2)]
    write_atomic(path, contents[0])
    done = threading.Event()
    contents_read: set[bytes] = set()

    def read() -> None:
        while not done.is_set():
            contents_read.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(20):
        write_atomic(path, contents[turn % 2])
    done.set()
    reader.join()
    assert contents_read <= set(contents)


def test_full_disk_leaves_no_partial_file(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=200k")
    write_atomic(disk / "file", b"old")
    with pytest.raises(DiskFull, match="free some space"):
        write_atomic(disk / "file", bytes(400_000))
    assert ((disk / "file").read_bytes(), files_below(disk)) == (b"old", ["file"])


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_unwritable_folder_raises_error() -> None:
    with pytest.raises(NotWritable, match="cannot create /proc/nothing/file"):
        write_atomic(Path("/proc/nothing/file"), b"new")


def test_killed_writer_leaves_no_partial_file(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gleanset.files.atomic import write_atomic\n"
        "for turn in range(10**6):\n"
        "    byte = b'AB'[turn % 2:][:1]\n"
        "    write_atomic(Path(sys.argv[1]), byte * 3_000_000, scratch=Path(sys.argv[2]))"
    )
    for _ in range(3):
        process = python(code, tmp_path / "file", tmp_path / "scratch")
        assert eventually((tmp_path / "file").exists)
        process.kill()
        process.communicate()
        data = (tmp_path / "file").read_bytes()
        assert (len(data), len(set(data))) == (3_000_000, 1)


class Harvest:
    """A run of a stage with its own connection, like another process."""

    def __init__(self, root: Path, name: str) -> None:
        self.dataset = Dataset.open(root)
        self._name = name
        self._stage = self.dataset.stage(name)
        self.store: Store = self.dataset.originals(self._stage.__enter__())

    def stage(self, data: bytes) -> Measured:
        return StageBytes(self.store)(data)

    def record(self, measured: Measured) -> bool:
        return self.dataset.take_original(
            self.store, measured, Origin("test", self._name)
        )

    def end(self) -> None:
        self._stage.__exit__(None, None, None)
        self.dataset.close()


Runs = tuple[Harvest, Harvest]


@pytest.fixture
def runs(dataset: Dataset) -> Iterator[Runs]:
    harvests = Harvest(dataset.root, "one"), Harvest(dataset.root, "other")
    yield harvests
    for run in harvests:
        run.end()


def is_sound(dataset: Dataset, images: int) -> bool:
    result = verify(dataset, repair=False, progress=Progress())
    return (result.images, result.sound, result.unused_files) == (images, images, 0)


def test_image_discarded_by_other_run_is_recorded(dataset: Dataset, runs: Runs) -> None:
    first, second = runs
    data = picture(1)
    measured = first.stage(data)
    second.stage(data)
    first.store.discard(measured.sha256, measured.format)
    assert collect_garbage(dataset, 0.0, simulate=False).removed == 0
    assert second.record(measured)
    assert is_sound(dataset, 1)


def test_image_of_two_runs_is_stored_once(dataset: Dataset, runs: Runs) -> None:
    first, second = runs
    measured = [run.stage(picture(1)) for run in (first, second, first)]
    assert [run.record(measured[0]) for run in (first, second, first)] == [
        True,
        False,
        False,
    ]
    assert is_sound(dataset, 1)
    assert not any(list(run.store.scratch.iterdir()) for run in runs)


def test_image_removed_while_fetched_leaves_no_file(
    dataset: Dataset, runs: Runs
) -> None:
    first, second = runs
    measured = first.stage(picture(1))
    first.record(measured)
    second.stage(picture(1))
    remove_images(dataset, RemovalPlan((measured.sha256,), 0, 0, ()), "asked to")
    with pytest.raises(Unreadable, match="forgotten"):
        second.record(measured)
    assert is_sound(dataset, 0)
    assert not list(dataset.root.rglob(f"{measured.sha256}*"))


def test_gc_keeps_stray_that_gets_row(dataset: Dataset, runs: Runs) -> None:
    first, _ = runs
    measured = first.stage(picture(1))
    # Left by a run that was killed between writing the file and its row.
    first.store.publish(measured.sha256, measured.format, measured.bytes)
    first.stage(picture(1))
    assert collect_garbage(dataset, 0.0, simulate=False).removed == 1
    assert first.record(measured)
    assert collect_garbage(dataset, 0.0, simulate=False).removed == 0
    assert is_sound(dataset, 1)


def test_missing_staged_file_is_rejected(dataset: Dataset, runs: Runs) -> None:
    first, _ = runs
    measured = first.stage(picture(1))
    first.store.discard(measured.sha256, measured.format)
    with pytest.raises(Unreadable, match="cannot be read"):
        first.record(measured)
    assert dataset.images.count() == 0


def test_folders_are_synced_once_before_commit(
    dataset: Dataset, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = runs
    synced: list[Path] = []

    def sync(folder: Path) -> None:
        # Renamed files exist, but no row refers to them yet.
        with Dataset.open(dataset.root) as looker:
            assert looker.images.count() == 0
        assert list(folder.iterdir())
        synced.append(folder)

    monkeypatch.setattr("gleanset.files.store.sync_folder", sync)
    measured = [first.stage(picture(number)) for number in range(12)]
    with first.dataset.publishing(first.store):
        for image in measured:
            first.record(image)
        assert synced == []
    paths = [dataset.image_path(m.sha256, m.format) for m in measured]
    assert sorted(synced) == sorted({path.parent for path in paths})
    assert all(path.is_file() for path in paths)
    assert dataset.images.count() == 12


HOLD = (
    "import sys; from gleanset import Dataset\n"
    "with Dataset.open(sys.argv[1]) as d, d.stage('harvest-folder') as scratch:\n"
    "    (scratch / 'half').write_bytes(b'x'); print('held', flush=True); sys.stdin.readline()"
)


def hold_stage(dataset: Dataset) -> subprocess.Popen[str]:
    process = python(HOLD, dataset.root)
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
    scratch = dataset.cache / "scratch" / "harvest-folder"
    ended = Event()

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
