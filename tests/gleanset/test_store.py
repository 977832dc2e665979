"""Files appear whole or not at all, with the permissions of the person, and never twice."""

from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tools_for_tests import eventually, python

from gleanset.errors import DiskFull, NotWritable
from gleanset.files.atomic import write_atomic
from gleanset.files.store import EXTENSIONS, Store, sha256_of
from gleanset.images.decode import FORMATS
from gleanset.images.plugin_formats import WITH_PLUGINS


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "images", tmp_path / "scratch")


def test_bytes_are_kept_under_their_name(store: Store) -> None:
    name = sha256_of(b"abc")
    assert name == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path = store.put(name, "JPEG", b"abc")
    assert path == store.path(name, "JPEG") == store.root / "ba" / f"{name}.jpg"
    assert path.read_bytes() == b"abc"
    assert files_below(store.scratch) == []


def test_every_format_has_its_extension() -> None:
    assert set(EXTENSIONS) == {*FORMATS, *WITH_PLUGINS}
    assert len(set(EXTENSIONS.values())) == len(EXTENSIONS)


def test_what_is_there_is_not_written_again(store: Store) -> None:
    path = store.put("abcd", "PNG", b"abc")
    before = path.stat()
    store.put("abcd", "PNG", b"abc")
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_file_cut_short_is_written_again(store: Store) -> None:
    path = store.put("abcd", "PNG", b"abc")
    path.write_bytes(b"a")
    store.put("abcd", "PNG", b"abc")
    assert path.read_bytes() == b"abc"


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "new" / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "file").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o777 & ~umask


def test_a_reader_sees_the_old_or_the_new_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([65 + n]) * (200_000 + n) for n in range(2)]
    write_atomic(path, contents[0])
    done = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not done.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(60):
        write_atomic(path, contents[turn % 2])
    done.set()
    reader.join()
    assert seen <= set(contents)


def test_writers_side_by_side_leave_one_whole_file(store: Store) -> None:
    data = os.urandom(300_000)
    name = sha256_of(data)
    threads = [threading.Thread(target=store.put, args=(name, "PNG", data)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.path(name, "PNG").read_bytes() == data
    assert files_below(store.scratch) == []


def test_a_full_disk_leaves_no_part(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=200k")
    write_atomic(disk / "file", b"old")
    with pytest.raises(DiskFull, match="free some space"):
        write_atomic(disk / "file", bytes(400_000))
    assert (disk / "file").read_bytes() == b"old"
    assert files_below(disk) == ["file"]


def test_a_read_only_disk_is_told(small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=200k")
    write_atomic(disk / "file", b"old")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(NotWritable, match="copy the dataset") as caught:
        write_atomic(disk / "file", b"new")
    assert str(disk / "file") in caught.value.what
    assert (disk / "file").read_bytes() == b"old"


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_a_place_where_nothing_can_be_made_is_told() -> None:
    with pytest.raises(NotWritable, match="cannot make /proc/nothing/file"):
        write_atomic(Path("/proc/nothing/file"), b"new")


def test_a_limit_on_the_size_of_files_leaves_no_part(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            write_atomic(tmp_path / "file", bytes(400_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert files_below(tmp_path) == []


def test_killed_while_writing_the_name_never_shows_a_part(tmp_path: Path) -> None:
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
        assert len(data) == 3_000_000
        assert len(set(data)) == 1
