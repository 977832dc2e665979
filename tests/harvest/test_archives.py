"""Archives of pictures: zip and tar, their hints and second runs, and everything hostile."""

from __future__ import annotations

import io
import os
import signal
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tools_for_tests import eventually, picture, python

from gleanset import Dataset, Image
from gleanset.errors import DiskFull, InputUnusable, Unreadable
from harvest import unpack_archive
from harvest.archives import checked_places, harvest_archives
from harvest.folder import PictureOptions
from harvest.unpack_archive import ArchiveMember, open_archive

CLEAN = {"added": 0, "duplicate": 0, "known": 0, "rejected": 0}
PICTURES = {"cats/a.jpg": 1, "cats/old/b.jpg": 2, "dogs/c.jpg": 3, "d.jpg": 4}
TARS = {"tar": "w:", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


def packed(path: Path, members: dict[str, bytes]) -> Path:
    """An archive of the kind that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, TARS[path.name.partition(".")[2]]) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def pictures(count: int = 4) -> dict[str, bytes]:
    return {f"p/{number:04}.jpg": picture(number) for number in range(count)}


def harvest(dataset: Dataset, *archives: Path, **options: object) -> dict[str, object]:
    return harvest_archives(dataset, archives, PictureOptions(workers=1, **options))  # type: ignore[arg-type]


def images(dataset: Dataset) -> dict[str, Image]:
    return {str(i.origins[0].title): i for i in dataset.images.each()}


def reasons(dataset: Dataset) -> dict[str, str]:
    """By what stands behind the key of the archive."""
    return {r.what.partition(":")[2]: r.reason for r in dataset.rejections.each()}


def read_one(entry: ArchiveMember) -> bytes | str:
    """Its bytes, or the reason why there are none."""
    try:
        return b"".join(entry.read())
    except Unreadable as error:
        return error.reason


def read(path: Path) -> dict[str, bytes | str]:
    return {entry.name: read_one(entry) for entry in open_archive(path)}


def test_every_kind_is_read_and_known_again(dataset: Dataset, tmp_path: Path) -> None:
    members = {name: picture(seed) for name, seed in PICTURES.items()}
    archives = [packed(tmp_path / f"pets.{kind}", members) for kind in ("zip", *TARS)]
    counts = CLEAN | {"added": 4, "duplicate": 16, "without_hint": 5}
    assert harvest(dataset, *archives, hints=True) == counts
    for name, hint in {"a.jpg": "cats", "b.jpg": "cats", "c.jpg": "dogs", "d.jpg": None}.items():
        assert {origin.hint for origin in images(dataset)[name].origins} == {hint}
    origins = images(dataset)["b.jpg"].origins
    assert {(origin.source, origin.path) for origin in origins} == {
        ("archive", str(archive)) for archive in archives
    }
    keys = [origin.key.partition(":") for origin in origins]
    assert {(len(key), name) for key, _, name in keys} == {(16, "cats/old/b.jpg")}
    assert harvest(dataset, *archives, hints=True) == CLEAN | {"known": 20}
    assert list((dataset.root / "cache" / "scratch").rglob("*")) == []


def test_an_archive_without_folders_is_of_one_class(dataset: Dataset, tmp_path: Path) -> None:
    members = {"a.jpg": picture(1), "__MACOSX/._a.jpg": b"", "b.jpg": picture(2)}
    found = harvest(dataset, packed(tmp_path / "pets.tar.gz", members), hints=True)
    assert found["added"] == 2
    assert {o.hint for i in dataset.images.each() for o in i.origins} == {"pets"}


def test_two_members_of_one_name_are_two(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for seed in (1, 2):
            info = tarfile.TarInfo("same.jpg")
            info.size = len(picture(seed))
            archive.addfile(info, io.BytesIO(picture(seed)))
    assert harvest(dataset, path) == CLEAN | {"added": 2}
    assert harvest(dataset, path) == CLEAN | {"known": 2}


def test_names_never_become_paths(dataset: Dataset, tmp_path: Path) -> None:
    evil = ["../../x.jpg", "/etc/y.jpg", f"{tmp_path}/z.jpg", "a/../../../w.jpg", "C:\\v.jpg"]
    members = {name: picture(seed) for seed, name in enumerate(evil)}
    archives = [packed(tmp_path / f"evil.{kind}", members) for kind in ("zip", "tar")]
    before = sorted(p for p in tmp_path.rglob("*") if dataset.root not in p.parents)
    assert harvest(dataset, *archives, hints=True)["added"] == 5
    after = sorted(p for p in tmp_path.rglob("*") if dataset.root not in p.parents)
    assert before == after
    assert not Path("/etc/y.jpg").exists()
    stored = {p.stem for p in (dataset.root / "images").rglob("*.jpg")}
    assert stored == {image.sha256 for image in dataset.images.each()}
    assert {origin.hint for origin in images(dataset)["x.jpg"].origins} == {None}
    # The one lies in no folder, beside others that do.
    assert {origin.hint for origin in images(dataset)["w.jpg"].origins} == {"a"}


def test_folders_hidden_files_and_a_macs_are_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    members = {
        "a/": b"",
        "./a/one.jpg": picture(1),
        ".git/x.jpg": picture(2),
        "a/.two.jpg": picture(3),
        "__MACOSX/a/._one.jpg": b"\0\5\x16\7",
    }
    assert harvest(dataset, packed(tmp_path / "a.zip", members)) == CLEAN | {"added": 1}


def test_links_and_devices_are_rejected(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    kinds = {
        "sym": tarfile.SYMTYPE,
        "hard": tarfile.LNKTYPE,
        "device": tarfile.CHRTYPE,
        "pipe": tarfile.FIFOTYPE,
        "folder": tarfile.DIRTYPE,
    }
    with tarfile.open(path, "w") as archive:
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    linked = zipfile.ZipInfo("zip-link.jpg")
    linked.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        made.writestr(linked, "/etc/passwd")
    assert harvest(dataset, path, tmp_path / "a.zip") == CLEAN | {
        "rejected": 5,
        "reasons": {"not a file": 5},
    }
    assert set(reasons(dataset)) == {"sym", "hard", "device", "pipe", "zip-link.jpg"}


def test_what_is_no_picture_is_rejected_and_nested_archives_stay_closed(
    dataset: Dataset, tmp_path: Path
) -> None:
    inner = packed(tmp_path / "inner.zip", pictures(1)).read_bytes()
    members = {"inner.zip": inner, "notes.txt": b"hello", "empty.jpg": b"", "a.jpg": picture(9)}
    assert harvest(dataset, packed(tmp_path / "a.tar.gz", members))["added"] == 1
    assert reasons(dataset) == {
        "inner.zip": "unsupported format",
        "notes.txt": "not an image",
        "empty.jpg": "empty",
    }


def test_a_member_may_not_grow_beyond_what_a_picture_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack_archive, "MAX_BYTES", 1_000_000)
    archive = packed(tmp_path / "a.zip", {"huge.bmp": bytes(1_100_000), "b.bmp": bytes(900_000)})
    assert read(archive) == {"huge.bmp": "too large", "b.bmp": bytes(900_000)}


PLAIN = 1_000_000


@pytest.fixture
def _small_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten members of a bomb are within what a small archive may unpack to."""
    monkeypatch.setattr(unpack_archive, "FREE_BYTES", 10 * PLAIN)


def zip_bomb(path: Path, members: int, *, overlapped: bool) -> Path:
    """Many members of 1 MB of zeros, or as many directory entries for one and the same."""
    data = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = data.compress(bytes(PLAIN)) + data.flush()
    sizes = struct.pack("<LLL", zlib.crc32(bytes(PLAIN)), len(body), PLAIN)
    local = struct.pack("<4s5H", b"PK\3\4", 20, 0, 8, 0, 0) + sizes + struct.pack("<HH", 1, 0)
    one = local + b"x" + body
    bodies = one * (1 if overlapped else members)
    listed = b""
    for number in range(members):
        listed += struct.pack("<4s6H", b"PK\1\2", 20, 20, 0, 8, 0, 0) + sizes
        place = 0 if overlapped else number * len(one)
        listed += struct.pack("<5H2L", 1, 0, 0, 0, 0, 0, place) + b"x"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, members, members, len(listed), len(bodies), 0)
    path.write_bytes(bodies + listed + end)
    return path


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    entries = open_archive(zip_bomb(tmp_path / "42.zip", 100, overlapped=True))
    ended = Counter("read" if isinstance(had, bytes) else had for had in map(read_one, entries))
    assert ended == {"archive bomb": 99, "read": 1}


@pytest.mark.usefixtures("_small_budget")
def test_a_bomb_ends_when_it_is_noticed(dataset: Dataset, tmp_path: Path) -> None:
    bomb = zip_bomb(tmp_path / "42.zip", 30, overlapped=False)
    found = harvest(dataset, bomb)
    assert found["added"] == 0
    assert reasons(dataset)[""] == "archive bomb"
    assert len(reasons(dataset)) == 12


@pytest.mark.parametrize("skipped", [False, True])
@pytest.mark.usefixtures("_small_budget")
def test_a_compressed_tar_bomb_ends_when_it_is_noticed(tmp_path: Path, skipped: bool) -> None:
    members = {f"{number}.bmp": bytes(PLAIN) for number in range(18)}
    path = packed(tmp_path / "a.tar.gz", members)
    # Known members are passed by, which unpacks them all the same.
    entries = (entry for entry in open_archive(path) if not skipped or not entry.name)
    had = [read_one(entry) for entry in entries]
    assert had[-1] == "archive bomb"
    assert len(had) < 16


def test_headers_may_lie_about_sizes(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", {"small.jpg": picture(1), "big.jpg": picture(2)})
    data = bytearray(archive.read_bytes())
    place = data.rindex(b"PK\1\2")
    struct.pack_into("<L", data, place + 24, 4_000_000_000)
    first = data.index(b"PK\1\2")
    struct.pack_into("<L", data, first + 24, 10)
    archive.write_bytes(data)
    # The directory's word for more than there is harms nobody, for less it costs the member.
    assert read(archive) == {"small.jpg": "damaged", "big.jpg": picture(2)}


def test_a_tar_header_that_claims_a_huge_name_is_damage(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 8_000_000_000
    path = tmp_path / "a.tar"
    good = packed(tmp_path / "good.tar", {"a.jpg": picture(1)}).read_bytes()
    good = good[: 512 + -(-len(picture(1)) // 512) * 512]
    path.write_bytes(good + info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert read(path) == {"a.jpg": picture(1), "": "damaged"}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz"])
def test_what_came_before_the_damage_counts(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    # Noise after the first pictures, so that every compression has begun a new block.
    members = pictures(3) | {"noise": os.urandom(2_000_000), "never.jpg": picture(7)}
    archive = packed(tmp_path / f"a.{kind}", members)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    found = harvest(dataset, archive)
    assert (found["added"], found["rejected"]) == (3, 2)
    assert reasons(dataset) == {"noise": "cut off", "": "cut off"}
    assert harvest(dataset, archive) == CLEAN | {"known": 5}


def test_a_tar_that_ends_between_two_members_is_noticed(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.tar", {"a": b"x" * 512, "b": b"y" * 512})
    whole = archive.read_bytes()
    for length, expected in ((1024, "cut off"), (1100, "cut off"), (2048, "cut off")):
        archive.write_bytes(whole[:length])
        found = read(archive)
        assert (found["a"], found[""]) == (b"x" * 512, expected)
    archive.write_bytes(whole[:1024] + b"\xff" * 4096)
    assert read(archive)[""] == "cut off"


def test_one_damaged_member_of_a_zip_costs_only_itself(dataset: Dataset, tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", pictures(3))
    data = bytearray(archive.read_bytes())
    middle = data.index(b"p/0001.jpg") + 100
    data[middle : middle + 50] = bytes(50)
    archive.write_bytes(data)
    found = harvest(dataset, archive)
    assert (found["added"], reasons(dataset)) == (2, {"p/0001.jpg": "damaged"})


def test_names_in_old_encodings_come_in(dataset: Dataset, tmp_path: Path) -> None:
    names = {"schön.jpg".encode("cp437"): "schön.jpg", "猫.jpg".encode(): "猫.jpg"}
    archive = tmp_path / "a.zip"
    packed(archive, {"X" * len(name): picture(n) for n, name in enumerate(names)})
    data = archive.read_bytes()
    for name in names:
        data = data.replace(b"X" * len(name), name)
    archive.write_bytes(data)
    tar = tmp_path / "a.tar"
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as made:
        info = tarfile.TarInfo("é/ü.jpg")
        info.size = len(picture(5))
        made.addfile(info, io.BytesIO(picture(5)))
    assert harvest(dataset, archive, tar, hints=True)["added"] == 3
    assert set(images(dataset)) == {"schön.jpg", "猫.jpg", "\\xfc.jpg"}
    assert images(dataset)["\\xfc.jpg"].origins[0].hint == "\\xe9"
    assert harvest(dataset, archive, tar, hints=True) == CLEAN | {"known": 3}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_number_of_members_is_bounded(tmp_path: Path, kind: str) -> None:
    entries = list(open_archive(packed(tmp_path / f"a.{kind}", pictures(5)), most=3))
    assert [entry.name for entry in entries] == ["p/0000.jpg", "p/0001.jpg", "p/0002.jpg", ""]
    assert read_one(entries[-1]) == "too large"


def test_what_is_no_archive_is_said_before_any_work(dataset: Dataset, tmp_path: Path) -> None:
    good = packed(tmp_path / "a.zip", pictures(1))
    (tmp_path / "a.txt").write_text("no archive")
    for wrong in (tmp_path / "a.txt", tmp_path / "gone.zip"):
        with pytest.raises(InputUnusable, match=wrong.name):
            checked_places([good, wrong], dataset.root)
    assert checked_places([good, tmp_path], dataset.root) == ([tmp_path], [good])


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_memory_is_bounded_over_many_members(tmp_path: Path, kind: str) -> None:
    noise = {f"{number:05}.jpg": os.urandom(10_000) for number in range(400)}
    path = packed(tmp_path / f"a.{kind}", noise)
    del noise
    tracemalloc.start()
    for entry in open_archive(path):
        for _ in entry.read():
            pass
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The directory of a zip is in memory, 4 MB of members are not.
    assert most < 1_000_000


HARVEST = """
import sys
from pathlib import Path
from gleanset import Dataset
from harvest.archives import harvest_archives
from harvest.folder import PictureOptions
if __name__ == "__main__":
    with Dataset.create(sys.argv[1]) as dataset:
        print(harvest_archives(dataset, [Path(sys.argv[2])], PictureOptions(hints=True, workers=2)))
"""


def rows(dataset: Dataset) -> Iterator[tuple[str, tuple[object, ...]]]:
    for image in dataset.images.each():
        yield image.sha256, image.origins


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_stopped(dataset: Dataset, tmp_path: Path) -> None:
    members = pictures(120)
    members |= {f"bad/{number}": b"no picture" for number in range(20)}
    archive = packed(tmp_path / "a.tar.gz", members)
    harvest(dataset, archive, hints=True)
    root = tmp_path / "killed"
    process = python(HARVEST, root, archive)
    assert eventually(lambda: stored(root) >= 20, 60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with Dataset.open(root) as killed:
        had = killed.images.count()
        assert 0 < had < 120
        assert harvest(killed, archive, hints=True)["known"] >= had
        assert killed.images.count() == 120
        assert list(rows(killed)) == list(rows(dataset))
        assert list(killed.rejections.each()) == list(dataset.rejections.each())
        assert stored(root) == 120
    assert list((root / "cache" / "scratch").rglob("*")) == []


def stored(root: Path) -> int:
    return sum(1 for _ in (root / "images").rglob("*.jpg")) if root.is_dir() else 0


def test_a_full_disk_ends_the_run(tmp_path: Path, small_disk: object) -> None:
    disk = small_disk("size=1m")  # type: ignore[operator]
    members = {f"{seed}.bmp": picture(seed, (400, 300), "BMP") for seed in range(8)}
    archive = packed(tmp_path / "a.zip", members)
    with Dataset.create(disk / "d") as dataset, pytest.raises(DiskFull):
        harvest(dataset, archive)
