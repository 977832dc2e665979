"""Zip and tar archives: names in old encodings, weak labels, repeated runs, hostile files."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import pytest
from tools_for_tests import picture, python, run_here

from gleanset import Dataset, Image
from gleanset.errors import InputUnusable
from gleanset.tree import HIDDEN, NOT_AN_IMAGE, SYSTEM
from harvest import archives
from harvest.archives import NESTED, find_members, harvest_archives, split_archives
from harvest.folder import DEFAULT_OPTIONS, ImportOptions

CLEAN = {"added": 0, "duplicate": 0, "known": 0, "rejected": 0, "ignored": 0}
PICTURES = {"cats/a.jpg": 1, "cats/old/b.jpg": 2, "dogs/c.jpg": 3, "d.jpg": 4}
WITH_HINTS = ImportOptions(hints=True)
TARS = {"tar": "w:", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


def make_archive(path: Path, files: dict[str, bytes]) -> Path:
    """Make an archive of the type that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, TARS[path.name.partition(".")[2]]) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def legacy_zip(path: Path, names: list[bytes]) -> Path:
    """Make a zip with names in a legacy encoding, like old programs."""
    placeholders = {bytes((97 + n,)) * len(name): name for n, name in enumerate(names)}
    make_archive(path, {place.decode(): picture(n) for n, place in enumerate(placeholders)})
    data = path.read_bytes()
    for place, name in placeholders.items():
        data = data.replace(place, name)
    path.write_bytes(data)
    return path


def pictures(count: int = 4) -> dict[str, bytes]:
    return {f"p/{number:04}.jpg": picture(number) for number in range(count)}


def harvest(dataset: Dataset, *paths: Path, **options: object) -> dict[str, object]:
    return harvest_archives(dataset, paths, ImportOptions(workers=1, **options))  # type: ignore[arg-type]


def images(dataset: Dataset) -> dict[str, Image]:
    return {str(i.origins[0].title): i for i in dataset.images.iterate()}


def reasons(dataset: Dataset) -> dict[str, str]:
    """Return rejection reasons by the part after the archive's key."""
    return {r.item.partition(":")[2]: r.reason for r in dataset.rejections.iterate()}


def member_names(path: Path) -> list[str]:
    return [
        picture.origin.key.partition(":")[2]
        for picture in find_members(path, DEFAULT_OPTIONS, Counter())
    ]


def test_archive_formats_are_imported_once(dataset: Dataset, tmp_path: Path) -> None:
    files = {name: picture(seed) for name, seed in PICTURES.items()}
    made_archives = [make_archive(tmp_path / f"pets.{kind}", files) for kind in ("zip", *TARS)]
    counts: dict[str, object] = CLEAN | {"added": 4, "duplicate": 16, "without_hint": 5}
    counts["hints"] = {"cats": 10, "dogs": 5}
    assert harvest(dataset, *made_archives, hints=True) == counts
    for name, hint in {"a.jpg": "cats", "b.jpg": "cats", "c.jpg": "dogs", "d.jpg": None}.items():
        assert {origin.hint for origin in images(dataset)[name].origins} == {hint}
    origins = images(dataset)["b.jpg"].origins
    assert {(origin.source, origin.path) for origin in origins} == {
        ("archive", str(path)) for path in made_archives
    }
    keys = [origin.key.partition(":") for origin in origins]
    assert {(len(key), name) for key, _, name in keys} == {(16, "cats/old/b.jpg")}
    assert harvest(dataset, *made_archives, hints=True)["known"] == 20
    assert list((dataset.root / "cache" / "scratch").rglob("*")) == []


def test_flat_archive_name_is_weak_label(dataset: Dataset, tmp_path: Path) -> None:
    files = {"a.jpg": picture(1), "__MACOSX/._a.jpg": b"", "b.jpg": picture(2)}
    done = harvest(dataset, make_archive(tmp_path / "pets.tar.gz", files), hints=True)
    assert (done["added"], done["ignored_reasons"]) == (2, {SYSTEM: 1})
    assert {o.hint for i in dataset.images.iterate() for o in i.origins} == {"pets"}


def test_members_with_equal_names_are_both_imported(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for seed in (1, 2):
            info = tarfile.TarInfo("same.jpg")
            info.size = len(picture(seed))
            archive.addfile(info, io.BytesIO(picture(seed)))
    assert harvest(dataset, path) == CLEAN | {"added": 2}
    assert harvest(dataset, path) == CLEAN | {"known": 2}


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        # Where the encoding allows it, each has a character whose second byte is a backslash.
        ("cp932", ["花子/一枚目.png", "花子/一覧表.png", "ソフィア/予定.png"]),
        ("cp950", ["功夫/許蓋.png", "貓/圖片.png", "台灣/餐廳.jpg"]),
        ("gbk", ["图片/猫一.png", "誠/誠.png", "新建文件夹/照片.jpg", "王芳/自拍.jpg"]),
        ("cp949", ["한국/고양이.png", "새 폴더/사진.jpg", "똠방/개.png"]),
        ("euc_jp", ["花子/さくら.png", "ソフィア/表.png"]),
        ("euc_jp", ["花子/一枚目.png", "初音ミク/写真.png", "猫/1.png"]),
        ("gbk", ["初音ミク/图片1.png", "新建文件夹/照片.jpg"]),
        # GB18030's four-byte characters are not in gbk, Hong Kong's not in cp950.
        ("gb18030", ["图片/𠮷野家.png", "新建文件夹/㐂.jpg", "王芳/自拍.jpg"]),
        ("big5hkscs", ["香港/深水埗.jpg", "照片/啲貓.png", "新資料夾/餐廳.jpg"]),
        ("cp437", ["Bäume/schön.jpg", "été/garçon.jpg"]),
        ("cp866", ["кошки/фото.jpg", "Новая папка/1.jpg"]),
        ("cp1251", ["кошки/фото.jpg", "собаки/лето.jpg"]),
        ("utf-8", ["猫/é.jpg", "été/1.jpg"]),
    ],
)
def test_legacy_name_encodings_are_decoded(tmp_path: Path, encoding: str, names: list[str]) -> None:
    legacy = legacy_zip(tmp_path / "a.zip", [name.encode(encoding) for name in names])
    tar = tmp_path / "a.tar"
    with tarfile.open(tar, "w", format=tarfile.GNU_FORMAT, encoding=encoding) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    for path in (legacy, tar):
        members = [image.origin for image in find_members(path, WITH_HINTS, Counter())]
        assert {origin.original_path for origin in members} == set(names)
        assert {origin.hint for origin in members} == {name.partition("/")[0] for name in names}


def test_zip_with_mixed_name_encodings(tmp_path: Path) -> None:
    names = ["猫.jpg".encode(), *(f"花子/{n}覧表.jpg".encode("cp932") for n in "一二三")]
    assert member_names(legacy_zip(tmp_path / "a.zip", names)) == [
        "猫.jpg",
        "花子/一覧表.jpg",
        "花子/二覧表.jpg",
        "花子/三覧表.jpg",
    ]


def test_info_zip_unicode_path_needs_matching_checksum(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, checked in (("x1.jpg", b"x1.jpg"), ("x2.jpg", b"renamed since")):
            text = f"貓/{name}".encode()
            field = b"\1" + struct.pack("<L", zlib.crc32(checked)) + text
            info = zipfile.ZipInfo(name)
            info.extra = struct.pack("<HH", 0x7075, len(field)) + field
            archive.writestr(info, picture(1))
    assert member_names(path) == ["貓/x1.jpg", "x2.jpg"]


def test_member_names_never_become_paths(dataset: Dataset, tmp_path: Path) -> None:
    evil = ["../../x.jpg", "/etc/y.jpg", f"{tmp_path}/z.jpg", "a/../../../w.jpg", "C:\\v.jpg"]
    files = {name: picture(seed) for seed, name in enumerate(evil)}
    made_archives = [make_archive(tmp_path / f"evil.{kind}", files) for kind in ("zip", "tar")]
    before = sorted(p for p in tmp_path.rglob("*") if dataset.root not in p.parents)
    assert harvest(dataset, *made_archives, hints=True)["added"] == 5
    after = sorted(p for p in tmp_path.rglob("*") if dataset.root not in p.parents)
    assert before == after
    assert not Path("/etc/y.jpg").exists()
    stored_images = {p.stem for p in (dataset.root / "images").rglob("*.jpg")}
    assert stored_images == {image.sha256 for image in dataset.images.iterate()}
    assert {origin.hint for origin in images(dataset)["x.jpg"].origins} == {None}
    assert {origin.hint for origin in images(dataset)["w.jpg"].origins} == {"a"}


def test_summary_counts_every_member(dataset: Dataset, tmp_path: Path) -> None:
    inner = make_archive(tmp_path / "inner.zip", pictures(1)).read_bytes()
    files = {
        "./a/one.jpg": picture(1),
        "a/without_ending": picture(5),
        ".git/x.jpg": picture(2),
        "a/.two.jpg": picture(3),
        "__MACOSX/a/._one.jpg": b"\0\5\x16\7",
        "inner.zip": inner,
        "notes.txt": b"hello",
        "LICENSE": b"hello",
        "empty.jpg": b"",
    }
    done = harvest(dataset, make_archive(tmp_path / "a.tar.gz", files))
    assert (done["added"], reasons(dataset)) == (2, {"empty.jpg": "empty"})
    assert done["ignored_reasons"] == {HIDDEN: 2, NOT_AN_IMAGE: 2, SYSTEM: 1, NESTED: 1}
    second = harvest(dataset, tmp_path / "a.tar.gz")
    assert (second["known"], second["ignored"]) == (3, 6)


def test_links_devices_and_encrypted_members_are_rejected(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    kinds = {
        "sym.jpg": tarfile.SYMTYPE,
        "hard.jpg": tarfile.LNKTYPE,
        "device.jpg": tarfile.CHRTYPE,
        "pipe.jpg": tarfile.FIFOTYPE,
        "folder": tarfile.DIRTYPE,
    }
    with tarfile.open(path, "w") as archive:
        for name, kind in kinds.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    linked = zipfile.ZipInfo("zip-link.jpg")
    linked.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zip_file:
        zip_file.writestr(linked, "/etc/passwd")
        zip_file.writestr("squeezed.jpg", picture(1), zipfile.ZIP_LZMA)
        zip_file.writestr("locked.jpg", picture(1))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    harvest(dataset, path, tmp_path / "a.zip")
    assert reasons(dataset) == {
        **dict.fromkeys(("sym.jpg", "hard.jpg", "device.jpg", "pipe.jpg"), "not a file"),
        "zip-link.jpg": "not a file",
        "squeezed.jpg": "unsupported compression",
        "locked.jpg": "encrypted",
    }


def test_oversized_member_is_rejected(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_BYTES", 1_000_000)
    for kind in ("zip", "tar.gz"):
        path = make_archive(tmp_path / f"a.{kind}", {f"{kind}.bmp": bytes(1_100_000)})
        assert harvest(dataset, path)["reasons"] == {"too large": 1}


PLAIN = 1_000_000


def zip_bomb(path: Path, number: int) -> Path:
    """Make a zip whose directory lists one 1 MB member many times."""
    data = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = data.compress(bytes(PLAIN)) + data.flush()
    sizes = struct.pack("<LLL", zlib.crc32(bytes(PLAIN)), len(body), PLAIN)
    local = struct.pack("<4s5H", b"PK\3\4", 20, 0, 8, 0, 0) + sizes + struct.pack("<HH", 5, 0)
    bodies = local + b"x.bmp" + body
    entry = struct.pack("<4s6H", b"PK\1\2", 20, 20, 0, 8, 0, 0) + sizes
    directory = (entry + struct.pack("<5H2L", 5, 0, 0, 0, 0, 0, 0) + b"x.bmp") * number
    counts = (0, 0, number, number, len(directory), len(bodies), 0)
    path.write_bytes(bodies + directory + struct.pack("<4s4H2LH", b"PK\5\6", *counts))
    return path


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_archive_bomb_stops_import(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 5 * PLAIN)
    if kind == "zip":
        path = zip_bomb(tmp_path / "42.zip", 30)
    else:
        files = {f"{number}.bmp": bytes(PLAIN) for number in range(18)}
        path = make_archive(tmp_path / "a.tar.gz", files)
    done = harvest(dataset, path)
    assert (done["added"], reasons(dataset)[""]) == (0, "archive bomb")
    assert done["rejected"] == 6


def test_damaged_zip_members_do_not_affect_others(dataset: Dataset, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.zip", pictures(4))
    data = bytearray(archive.read_bytes())
    # The first one is larger than the directory says; in the second one bytes are missing.
    struct.pack_into("<L", data, data.index(b"PK\1\2") + 24, 10)
    middle = data.index(b"p/0001.jpg") + 100
    data[middle : middle + 50] = bytes(50)
    archive.write_bytes(data)
    assert harvest(dataset, archive)["added"] == 2
    assert reasons(dataset) == {"p/0000.jpg": "damaged", "p/0001.jpg": "damaged"}


def test_huge_tar_name_is_damage(dataset: Dataset, tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 8_000_000_000
    path = tmp_path / "a.tar"
    good = make_archive(tmp_path / "good.tar", {"a.jpg": picture(1)}).read_bytes()
    good = good[: 512 + -(-len(picture(1)) // 512) * 512]
    path.write_bytes(good + info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert harvest(dataset, path)["added"] == 1
    assert reasons(dataset) == {"": "damaged"}


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz"])
def test_members_before_damage_are_imported(dataset: Dataset, tmp_path: Path, kind: str) -> None:
    # Noise after the first images, so that every compression has begun a new block.
    files = pictures(3) | {"noise.jpg": os.urandom(400_000), "never.jpg": picture(7)}
    archive = make_archive(tmp_path / f"a.{kind}", files)
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    done = harvest(dataset, archive)
    assert (done["added"], done["rejected"]) == (3, 2)
    assert reasons(dataset) == {"noise.jpg": "cut off", "": "cut off"}
    assert harvest(dataset, archive) == CLEAN | {"known": 5}


def test_tar_truncated_between_members_is_reported(dataset: Dataset, tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "a.tar", {"a.jpg": b"x" * 512, "b.jpg": b"y" * 512})
    data = archive.read_bytes()
    parts = (data[:1024], data[:1100], data[:2048], data[:1024] + b"\xff" * 4096)
    for number, part in enumerate(parts):
        (tmp_path / f"{number}.tar").write_bytes(part)
    result = harvest(dataset, *(tmp_path / f"{number}.tar" for number in range(len(parts))))
    assert result["reasons"]["cut off"] == len(parts)  # type: ignore[index]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_number_of_members_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 3 * tarfile.BLOCKSIZE)
    monkeypatch.setattr(archives, "MAX_RATIO", 0)
    path = make_archive(tmp_path / f"a.{kind}", {f"{number}.jpg": b"" for number in range(5)})
    assert member_names(path) == ["0.jpg", "1.jpg", "2.jpg", ""]


def test_unsupported_file_fails_before_import(tmp_path: Path) -> None:
    good = make_archive(tmp_path / "a.zip", pictures(1))
    (tmp_path / "a.txt").write_text("no archive")
    (tmp_path / "a.rar").write_bytes(b"Rar!\x1a\7\0")
    (tmp_path / "a.mkv").write_bytes(b"\x1aE\xdf\xa3")
    hints = {"a.txt": "name a folder", "gone.zip": "check", "a.rar": "unpack it first"}
    for wrong, hint in (hints | {"a.mkv": "harvest frames"}).items():
        line = ("folder", good, tmp_path / wrong, "-d", tmp_path / "d")
        done = run_here("harvest.cli", *line)
        assert done.code == InputUnusable.exit_code
        assert wrong in done.stderr
        assert hint in done.stderr
    assert not (tmp_path / "d").exists()
    assert split_archives([good, tmp_path], tmp_path / "d") == ([tmp_path], [good])


READ_MEMBERS = """
import sys, tracemalloc
from collections import Counter
from pathlib import Path
from harvest.archives import find_members
from harvest.folder import DEFAULT_OPTIONS
for path in map(Path, sys.argv[1:]):
    tracemalloc.start()
    for member in find_members(path, DEFAULT_OPTIONS, Counter()):
        assert member.read()
    print(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
"""


def test_memory_is_bounded_for_many_members(tmp_path: Path) -> None:
    noise = {f"{number:05}.jpg": os.urandom(40_000) for number in range(100)}
    paths = [make_archive(tmp_path / f"a.{kind}", noise) for kind in ("zip", "tar", "tar.gz")]
    # In a new process: other threads of this one would be counted as well.
    with python(READ_MEMBERS, *paths) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    # The names are in memory, the 4 MB of members are not.
    assert max(map(int, output.split())) < 1_500_000
