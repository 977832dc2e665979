"""Zip and tar archives: names, weak labels, repeated runs, hostile files; credits of own images."""

import io
import os
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin
from test_folder import CLEAN, harvest, images
from tools_for_tests import (
    TARS,
    make_archive,
    picture,
    python,
    run_here,
    write_pictures,
)

from gleanset import Dataset
from gleanset.credit import (
    NO_CREDIT,
    Credit,
    clean_credit_text,
    clean_page_url,
    validate_page_url,
)
from gleanset.errors import InputUnusable, UsageError
from gleanset.images.embedded_credit import read_embedded_credit
from gleanset.tree import HIDDEN, NOT_AN_IMAGE, SOURCE_TABLE, SYSTEM
from harvest import archives
from harvest.archives import NESTED, find_members, harvest_files, split_archives
from harvest.importer import ImportOptions

PICTURES = {"cats/a.jpg": 1, "cats/old/b.jpg": 2, "dogs/c.jpg": 3, "d.jpg": 4}
WITH_HINTS = ImportOptions(hints=True)


def legacy_zip(path: Path, names: list[bytes]) -> Path:
    """Make a zip with names in a legacy encoding, like old programs."""
    placeholders = {bytes((97 + n,)) * len(name): name for n, name in enumerate(names)}
    make_archive(
        path, {place.decode(): picture(n) for n, place in enumerate(placeholders)}
    )
    data = path.read_bytes()
    for place, name in placeholders.items():
        data = data.replace(place, name)
    path.write_bytes(data)
    return path


def pictures(count: int = 4) -> dict[str, bytes]:
    return {f"p/{number:04}.jpg": picture(number) for number in range(count)}


def reasons(dataset: Dataset) -> dict[str, str]:
    """Return rejection reasons by the part after the archive's key."""
    return {r.item.partition(":")[2]: r.reason for r in dataset.rejections.iterate()}


def member_names(path: Path) -> list[str]:
    return [
        picture.origin.key.partition(":")[2]
        for picture in find_members(path, ImportOptions(), Counter())
    ]


def test_archive_formats_are_imported_once(dataset: Dataset, tmp_path: Path) -> None:
    files = {name: picture(seed) for name, seed in PICTURES.items()}
    made_archives = [
        make_archive(tmp_path / f"pets.{kind}", files) for kind in ("zip", *TARS)
    ]
    counts: dict[str, object] = CLEAN | {"added": 4, "duplicate": 16, "without_hint": 5}
    counts["hints"] = {"cats": 10, "dogs": 5}
    assert harvest(dataset, *made_archives, hints=True) == counts
    for name, hint in {
        "a.jpg": "cats",
        "b.jpg": "cats",
        "c.jpg": "dogs",
        "d.jpg": None,
    }.items():
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


def test_members_with_equal_names_are_both_imported(
    dataset: Dataset, tmp_path: Path
) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for seed in (1, 2):
            info = tarfile.TarInfo("same.jpg")
            info.size = len(picture(seed))
            archive.addfile(info, io.BytesIO(picture(seed)))
    assert harvest(dataset, path) == CLEAN | {"added": 2}
    assert harvest(dataset, path) == CLEAN | {"known": 2}


DOS_CODE_PAGES = ("cp437", "cp850", "cp852", "cp866")


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
        ("cp850", ["Léa/été.jpg", "ÉTÉ/1.jpg"]),
        ("cp852", ["kočka/Jiří Dvořák.jpg", "Nagy Győző/1.jpg"]),
        ("cp1250", ["kočka/Jiří Dvořák.jpg", "Škoda/1.jpg"]),
        ("cp1251", ["кошки/фото.jpg", "собаки/лето.jpg"]),
        ("cp1252", ["Léa/été.jpg", "Hänsel/São Paulo.jpg"]),
        ("utf-8", ["猫/é.jpg", "été/1.jpg"]),
    ],
)
def test_legacy_name_encodings_are_decoded(
    tmp_path: Path, encoding: str, names: list[str]
) -> None:
    legacy = legacy_zip(tmp_path / "a.zip", [name.encode(encoding) for name in names])
    tar = tmp_path / "a.tar"
    with tarfile.open(
        tar, "w", format=tarfile.GNU_FORMAT, encoding=encoding
    ) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    # Of a tar DOS code pages are never guessed.
    for path in (legacy,) if encoding in DOS_CODE_PAGES else (legacy, tar):
        members = [image.origin for image in find_members(path, WITH_HINTS, Counter())]
        assert {origin.original_path for origin in members} == set(names)
        assert {origin.hint for origin in members} == {
            name.partition("/")[0] for name in names
        }


def test_zip_with_mixed_name_encodings(tmp_path: Path) -> None:
    names = [
        "猫.jpg".encode(),
        *(f"花子/{n}覧表.jpg".encode("cp932") for n in "一二三"),
    ]
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
    evil = [
        "../../x.jpg",
        "/etc/y.jpg",
        f"{tmp_path}/z.jpg",
        "a/../../../w.jpg",
        "C:\\v.jpg",
    ]
    files = {name: picture(seed) for seed, name in enumerate(evil)}
    made_archives = [
        make_archive(tmp_path / f"evil.{kind}", files) for kind in ("zip", "tar")
    ]
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


def test_links_devices_and_encrypted_members_are_rejected(
    dataset: Dataset, tmp_path: Path
) -> None:
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
            info.type = kind
            info.linkname = "/etc/passwd"
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
        **dict.fromkeys(
            ("sym.jpg", "hard.jpg", "device.jpg", "pipe.jpg"), "not a file"
        ),
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
    local = (
        struct.pack("<4s5H", b"PK\3\4", 20, 0, 8, 0, 0)
        + sizes
        + struct.pack("<HH", 5, 0)
    )
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


def test_damaged_zip_members_do_not_affect_others(
    dataset: Dataset, tmp_path: Path
) -> None:
    archive = make_archive(tmp_path / "a.zip", pictures(4))
    data = bytearray(archive.read_bytes())
    # The first one is larger than the directory says; in the second one bytes are missing.
    struct.pack_into("<L", data, data.index(b"PK\1\2") + 24, 10)
    middle = data.index(b"p/0001.jpg") + 100
    data[middle : middle + 50] = bytes(50)
    archive.write_bytes(data)
    assert harvest(dataset, archive)["added"] == 2
    assert reasons(dataset) == {"p/0000.jpg": "damaged", "p/0001.jpg": "damaged"}


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_damaged_files_are_named_with_their_archive(tmp_path: Path, kind: str) -> None:
    files = {f"a/b/c/{number}.jpg": picture(number) for number in range(3)}
    damaged = make_archive(tmp_path / f"party.{kind}", files | {"clip.mp4": b"x"})
    data = bytearray(damaged.read_bytes())
    middle = data.index(b"a/b/c/1.jpg") + (100 if kind == "zip" else 512)
    data[middle : middle + 50] = bytes(50)
    damaged.write_bytes(data)
    cut = make_archive(tmp_path / f"holiday.{kind}", files)
    cut.write_bytes(cut.read_bytes()[: len(data) // 2])
    done = run_here("harvest.cli", "folder", cut, damaged, "-d", tmp_path / "d")
    printed = " ".join(done.stdout.split())
    assert f"party.{kind}: c/1.jpg: " in printed
    assert f"holiday.{kind}: " in printed
    assert "video inside an archive: unpack it, then use harvest frames: 1" in printed
    with Dataset.open(tmp_path / "d") as dataset:
        details = [rejection.detail for rejection in dataset.rejections.iterate()]
    assert details
    assert all(
        detail.startswith((f"party.{kind}: ", f"holiday.{kind}: "))
        for detail in details
    )


def test_damaged_archive_is_named_before_its_members(tmp_path: Path) -> None:
    archive = tmp_path / "holiday.tar"
    with tarfile.open(archive, "w") as tar:
        for number in range(9):
            info = tarfile.TarInfo(f"{number}.jpg")
            info.size = 5
            tar.addfile(info, io.BytesIO(b"noise"))
    archive.write_bytes(archive.read_bytes()[: 9 * 1024])
    done = run_here("harvest.cli", "folder", archive, "-d", tmp_path / "set", "--json")
    assert done.json["rejected_files"]["files"][0] == "holiday.tar: cut off"
    # Only downloads can be tried again.
    assert "retry" not in done.stdout


def test_huge_tar_name_is_damage(dataset: Dataset, tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type = tarfile.GNUTYPE_LONGNAME
    info.size = 8_000_000_000
    path = tmp_path / "a.tar"
    good = make_archive(tmp_path / "good.tar", {"a.jpg": picture(1)}).read_bytes()
    good = good[: 512 + -(-len(picture(1)) // 512) * 512]
    path.write_bytes(good + info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert (harvest(dataset, path)["added"], reasons(dataset)) == (1, {"": "damaged"})


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz"])
def test_members_before_damage_are_imported(
    dataset: Dataset, tmp_path: Path, kind: str
) -> None:
    # Noise after the first images, so that every compression has begun a new block.
    files = pictures(3) | {"noise.jpg": os.urandom(400_000), "never.jpg": picture(7)}
    archive = make_archive(tmp_path / f"a.{kind}", files)
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    done = harvest(dataset, archive)
    assert (done["added"], done["rejected"]) == (3, 2)
    assert reasons(dataset) == {"noise.jpg": "cut off", "": "cut off"}
    assert harvest(dataset, archive) == CLEAN | {"known": 5}


def test_tar_truncated_between_members_is_reported(
    dataset: Dataset, tmp_path: Path
) -> None:
    archive = make_archive(
        tmp_path / "a.tar", {"a.jpg": b"x" * 512, "b.jpg": b"y" * 512}
    )
    data = archive.read_bytes()
    parts = (data[:1024], data[:1100], data[:2048], data[:1024] + b"\xff" * 4096)
    for number, part in enumerate(parts):
        (tmp_path / f"{number}.tar").write_bytes(part)
    result = harvest(
        dataset, *(tmp_path / f"{number}.tar" for number in range(len(parts)))
    )
    assert result["reasons"]["cut off"] == len(parts)  # type: ignore[index]


@pytest.mark.parametrize("kind", TARS)
def test_joined_tars_are_read_to_the_end(
    dataset: Dataset, tmp_path: Path, kind: str
) -> None:
    parts = [
        make_archive(
            tmp_path / f"{n}.{kind}", {f"{n}/{n}.jpg": picture(n)}
        ).read_bytes()
        for n in range(3)
    ]
    archive = tmp_path / f"all.{kind}"
    archive.write_bytes(b"".join(parts))
    assert harvest(dataset, archive, hints=True)["hints"] == {"0": 1, "1": 1, "2": 1}

    archive.write_bytes(parts[0] + parts[1][:600])
    assert "cut off" in harvest(dataset, archive)["reasons"]  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_number_of_members_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 3 * tarfile.BLOCKSIZE)
    monkeypatch.setattr(archives, "MAX_RATIO", 0)
    path = make_archive(
        tmp_path / f"a.{kind}", {f"{number}.jpg": b"" for number in range(5)}
    )
    assert member_names(path) == ["0.jpg", "1.jpg", "2.jpg", ""]


def test_unsupported_file_fails_before_import(tmp_path: Path) -> None:
    good = make_archive(tmp_path / "a.zip", pictures(1))
    (tmp_path / "a.txt").write_text("no archive")
    (tmp_path / "a.rar").write_bytes(b"Rar!\x1a\7\0")
    (tmp_path / "a.mkv").write_bytes(b"\x1aE\xdf\xa3")
    hints = {"a.txt": "name a folder", "gone.zip": "check", "a.rar": "unpack it first"}
    for wrong, hint in (hints | {"a.mkv": "harvest frames"}).items():
        line = ("folder", good, tmp_path / wrong, "-d", tmp_path / "d")
        run_here("harvest.cli", *line).refused(InputUnusable.exit_code, wrong, hint)
    assert not (tmp_path / "d").exists()
    assert split_archives([good, tmp_path], tmp_path / "d") == ([tmp_path], [good])


READ_MEMBERS = """
import sys, tracemalloc
from collections import Counter
from pathlib import Path
from harvest.archives import find_members
from harvest.importer import ImportOptions
for path in map(Path, sys.argv[1:]):
    tracemalloc.start()
    for member in find_members(path, ImportOptions(), Counter()):
        assert member.read()
    print(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
"""


def test_memory_is_bounded_for_many_members(tmp_path: Path) -> None:
    noise = {f"{number:05}.jpg": os.urandom(40_000) for number in range(100)}
    paths = [
        make_archive(tmp_path / f"a.{kind}", noise) for kind in ("zip", "tar", "tar.gz")
    ]
    # In a new process: other threads of this one would be counted as well.
    with python(READ_MEMBERS, *paths) as process:
        output, errors = process.communicate()
    assert process.returncode == 0, errors
    # The names are in memory, the 4 MB of members are not.
    assert max(map(int, output.split())) < 1_500_000


XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:cc="http://creativecommons.org/ns#"
 xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"
 xmpRights:WebStatement="https://example.org/p/1">
 <dc:creator><rdf:Seq><rdf:li>Ann</rdf:li><rdf:li>Bob</rdf:li></rdf:Seq></dc:creator>
 <dc:rights><rdf:Alt><rdf:li xml:lang="x-default">(c) Ann</rdf:li></rdf:Alt></dc:rights>
 <cc:license rdf:resource="https://creativecommons.org/licenses/by/4.0/"/>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
BY = "https://creativecommons.org/licenses/by/4.0/"


def with_exif(seed: int, author: str, notice: str) -> bytes:
    exif = Pillow.Exif()
    exif[0x013B] = author
    exif[0x8298] = notice
    return picture(seed, exif=exif)


def with_xmp(xmp: str, kind: str = "JPEG") -> bytes:
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp)
        return picture(1, kind=kind, pnginfo=text)
    return picture(1, kind=kind, xmp=xmp.encode())


def with_iptc(author: bytes, notice: bytes) -> bytes:
    fields = b"".join(
        b"\x1c\x02" + bytes([number]) + len(text).to_bytes(2, "big") + text
        for number, text in ((80, author), (116, notice))
    )
    block = (
        b"8BIM\x04\x04\0\0"
        + len(fields).to_bytes(4, "big")
        + fields
        + b"\0" * (len(fields) % 2)
    )
    body = b"Photoshop 3.0\0" + block
    jpeg = picture(2)
    return jpeg[:2] + b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def credits_by_name(dataset: Dataset) -> dict[str, Credit]:
    result = {}
    for image in dataset.images.iterate():
        origin = image.origins[0]
        result[str(origin.title)] = Credit(
            origin.author, origin.licence, origin.page_url
        )
    return result


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_xmp_credit_is_read(kind: str) -> None:
    assert read_embedded_credit(with_xmp(XMP, kind)) == Credit(
        "Ann, Bob", BY, "https://example.org/p/1"
    )


def test_exif_and_iptc_credits_are_read() -> None:
    assert read_embedded_credit(with_exif(1, "Ann", "(c) 2020 Ann")) == Credit(
        "Ann", "(c) 2020 Ann"
    )
    result = read_embedded_credit(with_iptc("Zoë".encode(), b"all rights reserved"))
    assert result == Credit("Zoë", "all rights reserved")


def test_hostile_metadata_gives_no_credit() -> None:
    bomb = XMP.replace("<x:xmpmeta", '<!DOCTYPE x [<!ENTITY a "aaaa">]><x:xmpmeta', 1)
    assert read_embedded_credit(with_xmp(bomb.replace("Ann", "&a;"))) == NO_CREDIT
    assert read_embedded_credit(with_xmp("<broken")) == NO_CREDIT
    assert read_embedded_credit(b"no image") == NO_CREDIT
    assert read_embedded_credit(picture(1)) == NO_CREDIT
    long = read_embedded_credit(with_exif(1, "A\x00\x1b[31m\n" + "b" * 5000, "")).author
    assert len(long) == 500
    assert long.isprintable()
    assert clean_page_url("javascript:alert(1)") is None
    assert clean_credit_text(" \n ") is None


def test_table_overrides_metadata_and_metadata_overrides_options(
    dataset: Dataset, tmp_path: Path
) -> None:
    place = tmp_path / "mine"
    (place / "deep").mkdir(parents=True)
    (place / "a.jpg").write_bytes(picture(11))
    (place / "b.jpg").write_bytes(with_exif(12, "Eve", ""))
    (place / "deep" / "c.jpg").write_bytes(with_exif(13, "Eve", "(c) Eve"))
    (place / "deep" / "d.jpg").write_bytes(picture(14))
    (place / "sources.csv").write_text(
        "\ufeffsep=,\n"
        "File,Author,License,URL,else\n"
        "b.jpg,Bea,,https://b.example/1,x\n"
        "deep\\c.jpg,Cleo,CC0,,\n"
        "deep/d.jpg,far,far,,\n",
        encoding="utf-8",
    )
    (place / "deep" / "sources.csv").write_text("file,author\nd.jpg,near\n")
    own_credit = Credit("me", "my own", "https://me.example")
    done = harvest_files(dataset, [place], ImportOptions(credit=own_credit, workers=1))
    assert (done.added, done.rejected) == (4, 0), "a table is not an image"
    assert credits_by_name(dataset) == {
        "a.jpg": own_credit,
        "b.jpg": Credit("Bea", "my own", "https://b.example/1"),
        "c.jpg": Credit("Cleo", "CC0", "https://me.example"),
        "d.jpg": Credit("near", "far", "https://me.example"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title;author\n", "no column named file"),
        ("", "no column"),
        ("file\nÃ©\n\xff", "line 3 of .* is not UTF-8"),
    ],
)
def test_unreadable_table_raises_error(
    dataset: Dataset, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(picture(11))
    (tmp_path / "sources.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputUnusable, match=message):
        harvest_files(dataset, [tmp_path], ImportOptions(workers=1))
    archive = make_archive(tmp_path / "a.zip", {"Sources.csv": text.encode("latin-1")})
    with pytest.raises(InputUnusable, match=message):
        harvest_files(dataset, [archive], ImportOptions())


def test_rows_match_normalized_names(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    names = [unicodedata.normalize("NFD", "が.jpg"), "Two.jpg", "two.jpg", "x/Ä.jpg"]
    (place / "empty").mkdir(parents=True)
    write_pictures(place, names)
    rows = [
        "が.jpg",
        "TWO.jpg",
        "two.jpg",
        f"x/{unicodedata.normalize('NFD', 'Ä')}.jpg",
    ]
    text = "file,author,licence,page,group\n"
    for n, name in enumerate([*rows, "gone.png"]):
        text += f"{name},{n},CC0,https://a.example/{n},day\n"
    (place / "sources.csv").write_text(text, encoding="utf-8")
    (place / "empty" / "Sources.CSV").write_text("file,author\nalso.jpg,a\n")
    paths = [path for path in sorted(place.rglob("*")) if path.is_file()]
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in paths}
    files["__MACOSX/mine/sources.csv"] = b"not a table"
    archives = [make_archive(tmp_path / name, files) for name in ("a.zip", "a.tar.gz")]
    for source in (place, *archives):
        root = tmp_path / f"{source.name}-dataset"
        done = run_here("harvest.cli", "folder", source, "-d", root, "--json")
        assert done.json["ignored_reasons"][SOURCE_TABLE] == 2
        assert done.json["rows_without_file"] == 3
        assert sorted(done.json["rows_without_file_names"]["files"]) == [
            "empty/sources.csv: also.jpg",
            "mine/sources.csv: TWO.jpg",
            "mine/sources.csv: gone.png",
        ]
        with Dataset.open(root) as dataset:
            result = {
                unicodedata.normalize("NFC", n): c
                for n, c in credits_by_name(dataset).items()
            }
            assert [i.origins[0].post for i in dataset.images.iterate()].count(
                "day"
            ) == 3
        assert result == {
            "が.jpg": Credit("0", "CC0", "https://a.example/0"),
            "Two.jpg": NO_CREDIT,
            "two.jpg": Credit("2", "CC0", "https://a.example/2"),
            "Ä.jpg": Credit("3", "CC0", "https://a.example/3"),
        }
    imported = run_here("labeler.cli", "import", place, "-d", tmp_path / "e", "--json")
    assert imported.json["rows_without_file_names"]["files"][:2] == [
        "mine/sources.csv: TWO.jpg",
        "mine/sources.csv: gone.png",
    ]


def test_credit_options_of_folder_command(tmp_path: Path) -> None:
    place = write_pictures(tmp_path / "mine", 1)
    root = tmp_path / "dataset"
    options = (
        "--author",
        "me",
        "--licence",
        "CC-BY-4.0",
        "--page",
        "https://me.example/1",
    )
    run_here(
        "harvest.cli", "folder", place, *options, "-q", "--workers", "1", "-d", root
    ).checked()
    with Dataset.open(root) as dataset:
        assert credits_by_name(dataset) == {
            "0.jpg": Credit("me", "CC-BY-4.0", "https://me.example/1")
        }
    with pytest.raises(UsageError, match="not a page address"):
        validate_page_url("me")
