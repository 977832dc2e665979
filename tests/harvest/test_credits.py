"""Credits of own images from a table, from metadata and from options."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin
from test_archives import make_archive
from tools_for_tests import picture, run_here

from gleanset import Dataset
from gleanset.credit import NO_CREDIT, Credit, clean_credit_text, clean_page_url, validate_page_url
from gleanset.errors import InputUnusable, UsageError
from gleanset.images.embedded_credit import read_embedded_credit
from gleanset.tree import SOURCE_TABLE
from harvest.archives import harvest_archives
from harvest.folder import ImportOptions, harvest_folders

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
    image, buffer = Pillow.open(io.BytesIO(picture(seed))), io.BytesIO()
    exif = Pillow.Exif()
    exif[0x013B], exif[0x8298] = author, notice
    image.save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def with_xmp(xmp: str, kind: str = "JPEG") -> bytes:
    image, buffer = Pillow.open(io.BytesIO(picture(1))), io.BytesIO()
    if kind == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp)
        image.save(buffer, kind, pnginfo=text)
    else:
        image.save(buffer, kind, xmp=xmp.encode())
    return buffer.getvalue()


def with_iptc(author: bytes, notice: bytes) -> bytes:
    fields = b"".join(
        b"\x1c\x02" + bytes([number]) + len(text).to_bytes(2, "big") + text
        for number, text in ((80, author), (116, notice))
    )
    block = (
        b"8BIM\x04\x04\0\0" + len(fields).to_bytes(4, "big") + fields + b"\0" * (len(fields) % 2)
    )
    body = b"Photoshop 3.0\0" + block
    jpeg = picture(2)
    return jpeg[:2] + b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def credits_by_name(dataset: Dataset) -> dict[str, Credit]:
    result = {}
    for image in dataset.images.iterate():
        origin = image.origins[0]
        result[str(origin.title)] = Credit(origin.author, origin.licence, origin.page_url)
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
    assert long is not None
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
        "\ufeffFile,Author,License,URL,else\n"
        "b.jpg,Bea,,https://b.example/1,x\n"
        "deep\\c.jpg,Cleo,CC0,,\n"
        "deep/d.jpg,far,far,,\n",
        encoding="utf-8",
    )
    (place / "deep" / "sources.csv").write_text("file,author\nd.jpg,near\n")
    own_credit = Credit("me", "my own", "https://me.example")
    done = harvest_folders(dataset, [place], ImportOptions(credit=own_credit, workers=1))
    assert (done["added"], done["rejected"]) == (4, 0), "a table is not an image"
    assert credits_by_name(dataset) == {
        "a.jpg": own_credit,
        "b.jpg": Credit("Bea", "my own", "https://b.example/1"),
        "c.jpg": Credit("Cleo", "CC0", "https://me.example"),
        "d.jpg": Credit("near", "far", "https://me.example"),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name;author\n", "no column named file"),
        ("", "no column"),
        ("file\n\xff", "cannot be read"),
    ],
)
def test_unreadable_table_raises_error(
    dataset: Dataset, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(picture(11))
    (tmp_path / "sources.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputUnusable, match=message):
        harvest_folders(dataset, [tmp_path], ImportOptions(workers=1))
    archive = make_archive(tmp_path / "a.zip", {"Sources.csv": text.encode("latin-1")})
    with pytest.raises(InputUnusable, match=message):
        harvest_archives(dataset, [archive])


def test_rows_match_normalized_names(tmp_path: Path) -> None:
    place = tmp_path / "mine"
    names = [unicodedata.normalize("NFD", "が.jpg"), "Two.jpg", "two.jpg", "x/Ä.jpg"]
    (place / "x").mkdir(parents=True)
    (place / "empty").mkdir()
    for seed, name in enumerate(names):
        (place / name).write_bytes(picture(seed))
    rows = ["が.jpg", "TWO.jpg", "two.jpg", f"x/{unicodedata.normalize('NFD', 'Ä')}.jpg"]
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
                unicodedata.normalize("NFC", n): c for n, c in credits_by_name(dataset).items()
            }
            assert [i.origins[0].post for i in dataset.images.iterate()].count("day") == 3
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
    place, root = tmp_path / "mine", tmp_path / "dataset"
    place.mkdir()
    (place / "1.jpg").write_bytes(picture(1))
    options = ("--author", "me", "--licence", "CC-BY-4.0", "--page", "https://me.example/1")
    done = run_here("harvest.cli", "folder", place, *options, "-q", "--workers", "1", "-d", root)
    assert done.code == 0, done.stderr
    with Dataset.open(root) as dataset:
        assert credits_by_name(dataset) == {
            "1.jpg": Credit("me", "CC-BY-4.0", "https://me.example/1")
        }
    with pytest.raises(UsageError, match="not a page address"):
        validate_page_url("me")
