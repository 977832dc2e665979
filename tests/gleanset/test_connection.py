"""The catalogue file: created, opened, upgraded, copied, shared, damaged, locked, out of space."""

import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from catalogue_rows import add_image, sha
from tools_for_tests import python

from gleanset import Dataset
from gleanset.db import connection as module
from gleanset.db.connection import SCHEMA, CatalogueSchema, Connection, copy_catalogue
from gleanset.db.duplicates import Pairs
from gleanset.db.samples import Samples
from gleanset.errors import (
    CatalogueCorrupt,
    DatasetBusy,
    DatasetMissing,
    DatasetNewer,
    DatasetOlder,
    DiskFull,
    NotWritable,
)
from gleanset.records import Origin
from gleanset.settings import SplitSettings

SmallDisk = Callable[[str], Path]
FIRST = CatalogueSchema(
    "CREATE TABLE thing(name TEXT);\nCREATE TABLE other(name TEXT);", "1-old"
)
_STEP = ("2-new", "ALTER TABLE thing ADD COLUMN size INTEGER DEFAULT 7;")
SECOND = FIRST._replace(tables=f"{FIRST.tables}\n{_STEP[1]}", steps=(_STEP,))


def add_images(dataset: Dataset, numbers: range) -> None:
    for number in numbers:
        add_image(dataset, number, Origin("test", sha(number), title="t" * 200))


def test_dataset_is_created_and_reopened(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "a" / "b") as dataset:
        add_images(dataset, range(3))
    with Dataset.open(str(tmp_path / "a" / "b")) as reopened:
        assert reopened.images.count() == 3
    with Dataset.create(tmp_path / "a" / "b") as reopened:
        assert reopened.images.count() == 3
    names = {path.name for path in (tmp_path / "a" / "b").iterdir()}
    assert names == {"dataset.toml", "catalog.sqlite"}


def _tables(path: Path) -> dict[str, list[object]]:
    """Return columns per table and index: types, keys, defaults."""
    with closing(sqlite3.connect(path)) as file:
        names = file.execute(
            "SELECT name, type FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        )
        return {
            name: file.execute(f"PRAGMA {kind}_xinfo({name})").fetchall()
            for name, kind in names.fetchall()
        }


def test_new_schema_equals_upgraded_schema(oldest: Path, tmp_path: Path) -> None:
    Connection(tmp_path / "new.sqlite", create=True).close()
    before = _tables(oldest)
    Connection(oldest).close()
    assert _tables(oldest) == _tables(tmp_path / "new.sqlite") != before


@pytest.mark.damages  # a note without its sample
def test_catalogue_with_comments_is_upgraded(tmp_path: Path) -> None:
    """SQLite keeps the comments of a new catalogue; the oldest one was upgraded, without any."""
    Connection(tmp_path / "new.sqlite", create=True).close()
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as file, file:
        file.executescript(Path(__file__).with_name("schema_of_0034.sql").read_text())
        file.execute("CREATE TABLE migration(name TEXT PRIMARY KEY, at TEXT NOT NULL)")
        file.execute("INSERT INTO migration VALUES('0034-last-split', '2026-11-01')")
        file.execute(
            "INSERT INTO sorting_note(sample, mark, bond) VALUES(7, 'later', 1)"
        )
    upgraded = Connection(path)
    assert (
        upgraded.fetch_value("SELECT mark FROM sorting_note WHERE sample=7") == "later"
    )
    upgraded.close()
    assert _tables(path) == _tables(tmp_path / "new.sqlite")


@pytest.mark.damages  # splits without samples
def test_settings_of_earlier_splits_are_kept(tmp_path: Path) -> None:
    """They were words of a command line; a name with a space or a quote was quoted."""
    path = tmp_path / "old.sqlite"
    texts = {
        "ratio=6:2:2 seed=4": SplitSettings("6:2:2", 4),
        "ratio=8:1:1 seed=1 test-per-class=10": SplitSettings(
            seed=1, test_per_class=10
        ),
        """ratio=1:0:0 seed=0 hold-out=source=pixiv 'hold-out=video=it'"'"'s 1.mkv'""": (
            SplitSettings("1:0:0", 0, ("source=pixiv", "video=it's 1.mkv"))
        ),
        "seed 0": None,
    }
    with closing(sqlite3.connect(path)) as file, file:
        file.executescript(Path(__file__).with_name("schema_of_0034.sql").read_text())
        file.execute("CREATE TABLE migration(name TEXT PRIMARY KEY, at TEXT NOT NULL)")
        file.execute("INSERT INTO migration VALUES('0034-last-split', '2026-11-01')")
        for text in texts:
            file.execute(
                "INSERT INTO split_plan(settings, at) VALUES(?, '2026-11-01')", (text,)
            )
    upgraded = Connection(path)
    samples = Samples(upgraded)
    for settings in reversed(texts.values()):
        assert (samples.has_splits(), samples.get_split_settings()) == (True, settings)
        with upgraded.transaction():
            upgraded.execute(
                "DELETE FROM split_plan WHERE id=(SELECT max(id) FROM split_plan)"
            )
    assert not samples.has_splits()


@pytest.mark.damages  # copies without their samples
def test_chosen_copies_stay_chosen(tmp_path: Path) -> None:
    """Up to 0038, only the text of a placement said that a person chose it."""
    path = tmp_path / "old.sqlite"
    with closing(sqlite3.connect(path)) as file, file:
        file.executescript(Path(__file__).with_name("schema_of_0034.sql").read_text())
        file.execute("CREATE TABLE migration(name TEXT PRIMARY KEY, at TEXT NOT NULL)")
        for name, sql in SCHEMA.steps:
            if "0034-last-split" < name < "0039":
                file.executescript(sql)
                file.execute("INSERT INTO migration VALUES(?, '2026-11-01')", (name,))
        reasons = [
            (1, 1, "kept: larger (800 x 600 vs. 400 x 300), no mark"),
            (1, 0, "a copy of 5f0d6a"),
            (2, 1, "kept: chosen by a person"),
            (3, 1, "kept: chosen by a person"),
            (3, 1, "no longer a duplicate"),
        ]
        file.executemany(
            """INSERT INTO placement(step,sample,kept,duplicate_set,before_kept,
            before_duplicate_set,reason) VALUES(1,?,?,'5f0d6a',1,NULL,?)""",
            reasons,
        )
    upgraded = Connection(path)
    assert Pairs(upgraded).get_chosen_copies() == {2}
    upgraded.close()


def test_too_old_catalogue_raises_error_unchanged(oldest: Path) -> None:
    with closing(sqlite3.connect(oldest)) as file, file:
        file.execute("DELETE FROM migration WHERE name>='0020'")
    before = oldest.read_bytes()
    with pytest.raises(DatasetOlder, match="git checkout"):
        Connection(oldest)
    assert oldest.read_bytes() == before


def test_folder_without_dataset_raises_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetMissing, match="gleanset init") as caught:
        Dataset.open(tmp_path)
    assert str(tmp_path) in caught.value.what
    assert list(tmp_path.iterdir()) == []


def test_newer_catalogue_raises_error_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    Connection(path, create=True, schema=SECOND).close()
    before = path.read_bytes()
    with pytest.raises(DatasetNewer, match=r"'2-new'.*\n.*pip install"):
        Connection(path, schema=FIRST)
    assert path.read_bytes() == before


def test_upgrade_makes_complete_backup(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    old = Connection(path, create=True, schema=FIRST)
    with old.transaction():
        old.execute_many(
            "INSERT INTO thing VALUES(?)", [(str(n),) for n in range(5000)]
        )
    # The old connection stays open: the backup must include what is only in the write-ahead log.
    new = Connection(path, schema=SECOND)
    assert new.fetch_int("SELECT sum(size) FROM thing") == 35_000
    new.close()
    old.close()
    with closing(sqlite3.connect(tmp_path / "c.sqlite.before-2-new")) as copy:
        assert copy.execute("SELECT count(*) FROM thing").fetchone() == (5000,)
        assert len(copy.execute("SELECT * FROM thing").fetchone()) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "c.sqlite",
        "c.sqlite.before-2-new",
    ]


def test_failed_migration_is_rolled_back(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    Connection(path, create=True, schema=FIRST).close()
    twice = "CREATE TABLE third(name TEXT);\nCREATE TABLE thing(name TEXT);"
    broken = FIRST._replace(steps=(("2-new", twice),))
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        Connection(path, schema=broken)
    reopened = Connection(path, schema=FIRST)
    assert (
        reopened.fetch_int("SELECT count(*) FROM sqlite_master WHERE name='third'") == 0
    )
    reopened.close()


def test_concurrent_upgrades_keep_one_old_backup(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    old = Connection(path, create=True, schema=FIRST)
    with old.transaction():
        old.execute_many(
            "INSERT INTO thing VALUES(?)", [("x" * 500,) for _ in range(20_000)]
        )
    old.close()
    code = (
        "import sys; from pathlib import Path; from gleanset.db.connection import Connection\n"
        "from gleanset.db.connection import CatalogueSchema\n"
        f"sys.stdin.readline(); Connection(Path(sys.argv[1]), schema={SECOND!r}).close()"
    )
    processes = [python(code, path) for _ in range(3)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        assert (process.communicate(timeout=60)[1], process.returncode) == ("", 0)
    with closing(sqlite3.connect(tmp_path / "c.sqlite.before-2-new")) as copy:
        assert len(copy.execute("SELECT * FROM thing").fetchone()) == 1
        assert copy.execute("SELECT count(*) FROM thing").fetchone() == (20_000,)


def _flip_pages(data: bytes) -> bytes:
    pages = [data[start : start + 4096] for start in range(0, len(data), 4096)]
    pages[1:-1:2] = [bytes(byte ^ 0xFF for byte in page) for page in pages[1:-1:2]]
    return b"".join(pages)


def _of_another_program(_: bytes) -> bytes:
    with closing(sqlite3.connect(":memory:")) as other:
        other.execute("CREATE TABLE photos(name TEXT)")
        return other.serialize()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda _: b"this is not a catalogue" * 400,
    "half": lambda data: data[: len(data) // 2],
    "flipped pages": _flip_pages,
    "empty": lambda _: b"",
    "other program": _of_another_program,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_catalogue_raises_error_with_hint(tmp_path: Path, damage: str) -> None:
    with Dataset.create(tmp_path) as dataset:
        add_images(dataset, range(300))
    path = tmp_path / "catalog.sqlite"
    before = DAMAGES[damage](path.read_bytes())
    path.write_bytes(before)
    with (
        pytest.raises(CatalogueCorrupt, match="recover") as caught,
        Dataset.open(tmp_path) as bad,
    ):
        list(bad.images.iterate())
    assert str(path) in caught.value.what
    assert path.read_bytes() == before


def test_create_fills_empty_catalogue_file(tmp_path: Path) -> None:
    # A kill between creating the file and its first transaction leaves this.
    Dataset.create(tmp_path).close()
    (tmp_path / "catalog.sqlite").write_bytes(b"")
    with Dataset.create(tmp_path) as dataset:
        add_images(dataset, range(2))
        assert dataset.images.count() == 2


def test_write_lock_times_out_as_dataset_busy(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    db = Connection(path, create=True, busy_seconds=0.3, schema=FIRST)
    code = (
        "import sys, sqlite3; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.readline()"
    )
    other = python(code, path)
    assert other.stdout.readline() == "held\n"
    with (
        pytest.raises(DatasetBusy, match="wait until it has finished"),
        db.transaction(),
    ):
        pytest.fail("there were two writers")
    assert db.fetch_int("SELECT count(*) FROM thing") == 0, "reading goes on"
    other.communicate("\n", timeout=60)
    with db.transaction():
        db.execute("INSERT INTO thing VALUES('later')")
    assert db.fetch_int("SELECT count(*) FROM thing") == 1
    db.close()


def test_concurrent_writers_lose_no_rows(tmp_path: Path) -> None:
    code = (
        "import sys; from gleanset import Dataset, Origin; from gleanset.records import Measured\n"
        "with Dataset.create(sys.argv[1]) as dataset:\n"
        "    for number in range(int(sys.argv[2]), int(sys.argv[2]) + 60):\n"
        "        measured = Measured(f'{number:064x}', 'JPEG', 1, 1, 1, 1, 1, number, 0.0)\n"
        "        dataset.images.add(measured, Origin('test', measured.sha256))"
    )
    processes = [python(code, tmp_path / "new", start) for start in ("0", "40")]
    for process in processes:
        assert process.communicate(timeout=60)[1] == ""
    with Dataset.open(tmp_path / "new") as dataset:
        assert dataset.images.count() == 100


@pytest.mark.parametrize("size", ["size=450k", "size=750k"])
def test_full_disk_raises_error_and_keeps_rows(
    small_disk: SmallDisk, size: str
) -> None:
    root = small_disk(size) / "dataset"
    with Dataset.create(root) as dataset:
        with pytest.raises(DiskFull, match="free some space"):
            add_images(dataset, range(10_000))
        stored = len(list(dataset.images.iterate()))
        # Transactions are stored in order and completely.
        assert {image.sha256 for image in dataset.images.iterate()} == {
            *map(sha, range(stored))
        }
        # This connection and a new one must still be able to read, and to write once there is room.
        assert dataset.images.count() == stored
        with pytest.raises(DiskFull):
            add_images(dataset, range(20_000, 30_000))
        stored = dataset.images.count()
    with Dataset.open(root) as reopened:
        assert len(list(reopened.images.iterate())) == stored
    subprocess.run(["mount", "-o", "remount,size=20m", str(root.parent)], check=True)
    with Dataset.open(root) as roomy:
        add_images(roomy, range(50_000, 50_010))
        assert roomy.images.count() == stored + 10


def test_file_size_limit_does_not_damage_catalogue(tmp_path: Path) -> None:
    code = """
import resource, sys
from gleanset import Dataset
from gleanset.errors import DiskFull
from gleanset.records import Measured, Origin
dataset = Dataset.create(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
try:
    for number in range(10_000):
        sha256 = f"{number:064x}"
        measured = Measured(sha256, "JPEG", 1, 1, 1, 1, 1, number, 0.0)
        dataset.images.add(measured, Origin("test", sha256))
except DiskFull as error:
    print("ulimit" in error.fix, dataset.images.count() > 0)
"""
    result, _ = python(code, tmp_path / "d").communicate(timeout=60)
    assert result.strip() == "True True"
    with Dataset.open(tmp_path / "d") as dataset:
        add_images(dataset, range(20_000, 20_003))


def test_create_on_full_disk_raises_error(small_disk: SmallDisk) -> None:
    with pytest.raises(DiskFull):
        Dataset.create(small_disk("size=16k") / "dataset")


def test_read_only_disk_raises_error(small_disk: SmallDisk) -> None:
    disk = small_disk("size=5m")
    root = disk / "dataset"
    with Dataset.create(root) as dataset:
        add_images(dataset, range(3))
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(NotWritable, match="choose another folder"):
        Dataset.create(disk / "another")
    with pytest.raises(NotWritable), Dataset.open(root) as dataset:
        add_images(dataset, range(3, 4))


def test_invalid_dataset_path_raises_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    # SQLite opens paths of at most 504 bytes.
    for path in ("file/dataset", "n" * 300, "/".join(["x" * 100] * 5)):
        with pytest.raises(NotWritable, match=path[:4]):
            Dataset.create(tmp_path / path)


def test_paging_by_key_tolerates_concurrent_writes(tmp_path: Path) -> None:
    db = Connection(tmp_path / "c.sqlite", create=True, schema=FIRST)
    with db.transaction():
        db.execute_many("INSERT INTO thing VALUES(?)", [(f"{n:02}",) for n in range(7)])
        db.execute_many("INSERT INTO other VALUES(?)", [("03",), ("03",), ("05",)])
    sql = "SELECT name FROM thing WHERE name<>?"
    result = []
    for rows in db.iter_pages(sql, ("name",), ("02",), size=3):
        result.append([row[0] for row in rows])
        if len(result) == 1:
            with db.transaction():
                db.execute_many("INSERT INTO thing VALUES(?)", [("00",), ("035",)])
    assert result == [["00", "01", "03"], ["035", "04", "05"], ["06"]]
    joined = "SELECT t.name, o.rowid AS n FROM ({page}) t JOIN other o USING(name) ORDER BY 1, 2"
    pages = list(
        db.iter_pages(f"{sql} AND name>'02'", ("name",), ("02",), size=4, within=joined)
    )
    assert [[tuple(row) for row in rows] for rows in pages] == [
        [("03", 1), ("03", 2), ("05", 3)]
    ]
    db.close()


def files(folder: Path) -> dict[str, bytes]:
    """Return all files except `-shm`, where readers note their position."""
    kept = (
        path for path in folder.iterdir() if not path.name.endswith((".toml", "-shm"))
    )
    return {path.name: path.read_bytes() for path in kept}


def images(copy: Path) -> int:
    with closing(Connection(copy)) as db:
        return db.fetch_int("SELECT count(*) FROM image")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with Dataset.create(tmp_path / "other") as other:
        add_image(other, 1)
    return tmp_path / "other"


def test_copy_of_closed_catalogue_leaves_no_files(root: Path, tmp_path: Path) -> None:
    before = files(root)
    copy_catalogue(root / "catalog.sqlite", tmp_path / "copy.sqlite")
    assert (images(tmp_path / "copy.sqlite"), files(root)) == (1, before)
    assert sorted(path.name for path in root.iterdir()) == [
        "catalog.sqlite",
        "dataset.toml",
    ]


@pytest.mark.parametrize("index", [True, False])
def test_copy_includes_log_of_killed_process(
    root: Path, tmp_path: Path, index: bool
) -> None:
    with Dataset.open(root) as writing:
        add_image(writing, 2)
        killed = shutil.copytree(root, tmp_path / "killed")
    if not index:
        (killed / "catalog.sqlite-shm").unlink()
    before = {path.name for path in killed.iterdir()}, files(killed)
    copy_catalogue(killed / "catalog.sqlite", tmp_path / "copy.sqlite")
    assert images(tmp_path / "copy.sqlite") == 2
    assert ({path.name for path in killed.iterdir()}, files(killed)) == before


def test_copy_is_upgraded_and_source_unchanged(oldest: Path, tmp_path: Path) -> None:
    before = files(oldest.parent)
    copy_catalogue(oldest, tmp_path / "copy.sqlite")
    assert (images(tmp_path / "copy.sqlite"), files(oldest.parent)) == (4, before)


def test_copy_error_names_the_source(tmp_path: Path) -> None:
    newer = tmp_path / "newer.sqlite"
    copy = tmp_path / "copy.sqlite"
    Connection(
        newer, create=True, schema=SCHEMA._replace(steps=(("9999-later", ""),))
    ).close()
    with pytest.raises(DatasetNewer, match=r"newer\.sqlite was written"):
        copy_catalogue(newer, copy)
    newer.write_bytes(b"no catalogue" * 1000)
    with pytest.raises(CatalogueCorrupt, match=r"newer\.sqlite is damaged"):
        copy_catalogue(newer, copy)


@pytest.mark.parametrize("changes", [1, 100])
def test_copy_is_repeated_after_concurrent_change(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: int
) -> None:
    remaining = [changes]

    def copied(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes())
        if remaining[0]:
            remaining[0] -= 1
            with Dataset.open(root) as dataset:
                add_image(dataset, 10 + remaining[0])

    monkeypatch.setattr(module.shutil, "copyfile", copied)
    if changes > 1:
        with pytest.raises(DatasetBusy, match="changes all the time"):
            copy_catalogue(root / "catalog.sqlite", tmp_path / "copy.sqlite")
    else:
        copy_catalogue(root / "catalog.sqlite", tmp_path / "copy.sqlite")
        assert images(tmp_path / "copy.sqlite") == 2


def test_copy_from_read_only_disk(
    small_disk: Callable[[str], Path], tmp_path: Path
) -> None:
    disk = small_disk("size=5m")
    with Dataset.create(disk / "other") as other:
        add_image(other, 1)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    copy_catalogue(disk / "other" / "catalog.sqlite", tmp_path / "copy.sqlite")
    assert images(tmp_path / "copy.sqlite") == 1
