"""Named faces in XMP: what photo programs write is labelled, and written for them again."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from PIL import Image, ImageOps
from tools_for_tests import (
    ROOT,
    WITHOUT_POSIX,
    encode,
    exif_orientation,
    pixels,
    run_here,
    write_pictures,
)

from gleanset import Dataset
from gleanset.images.xmp import read_face_regions
from gleanset.records import Box

needs_exiv2 = pytest.mark.skipif(
    shutil.which("exiv2") is None, reason="exiv2: apt install exiv2"
)
STORED_SIZE = (200, 160)
FACE = Box(100, 20, 40, 60)
"""A red rectangle, before EXIF turns the image."""
AREA = (0.6, 0.3125, 0.2, 0.375)
HEAD = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- a photo program -->
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
 xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
 xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#">"""
TAIL = "</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>   "
SIZE = 'stDim:w="200" stDim:h="160" stDim:unit="pixel"'


def as_digikam(name: str, area: Sequence[float] = AREA, size: str = SIZE) -> str:
    x, y, width, height = area
    return f"""{HEAD}<mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions {size}/><mwg-rs:RegionList><rdf:Bag>
    <rdf:li mwg-rs:Name="{name}" mwg-rs:Type="Face"><mwg-rs:Area stArea:x="{x}" stArea:y="{y}"
     stArea:w="{width}" stArea:h="{height}" stArea:unit="normalized"/></rdf:li>
    <rdf:li mwg-rs:Name="Rex" mwg-rs:Type="Pet"><mwg-rs:Area stArea:x=".5" stArea:y=".5"
     stArea:w=".1" stArea:h=".1" stArea:unit="normalized"/></rdf:li>
    </rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>{TAIL}"""


def as_exiftool(name: str) -> str:
    sides = zip("hwxy", (AREA[3], AREA[2], *AREA[:2]), strict=True)
    area = "".join(f"<stArea:{side}>{n}</stArea:{side}>" for side, n in sides)
    # Its recipe for turning regions leaves the size of the upright image.
    return f"""{HEAD}<mwg-rs:Regions rdf:parseType="Resource">
    <mwg-rs:AppliedToDimensions rdf:parseType="Resource"><stDim:h>200</stDim:h>
    <stDim:unit>pixel</stDim:unit><stDim:w>160</stDim:w></mwg-rs:AppliedToDimensions>
    <mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType="Resource">
    <mwg-rs:Area rdf:parseType="Resource">{area}</mwg-rs:Area>
    <mwg-rs:Name>{name}</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type>
    </rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>{TAIL}"""


def draw(seed: int, orientation: int, **options: object) -> bytes:
    image = pixels(seed, STORED_SIZE).point(lambda value: value // 4)
    x, y, width, height = FACE
    image.paste((250, 30, 30), (x, y, x + width, y + height))
    exif = exif_orientation(orientation)
    return encode(image, exif=exif, quality=95, **options)


def rows(folder: Path) -> list[tuple[str, str, Box, str]]:
    """Return the image, label and box of each labelled face."""
    with Dataset.open(folder) as dataset:
        return sorted(
            (sample.image, str(sample.label), sample.box, sample.detector)
            for sample in dataset.samples.iter_by_key()
            if sample.status == "labelled"
        )


@pytest.fixture
def library(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    return folder


def harvest_people(library: Path, *options: str) -> str:
    words = ("folder", library, "--people", *options, "-d", library.parent / "data")
    return run_here("harvest.cli", *words).checked().stdout


@pytest.mark.parametrize("place", ["image", "name.jpg.xmp", "name.XMP"])
def test_faces_follow_images_that_exif_turns(library: Path, place: str) -> None:
    for orientation in range(1, 9):
        packet = (as_digikam if orientation % 2 else as_exiftool)("Ann")
        xmp = packet.encode() if place == "image" else as_digikam("Old").encode()
        path = library / f"{orientation}.jpg"
        path.write_bytes(draw(orientation, orientation, xmp=xmp))
        if place != "image":
            name = f"{path.stem}{place.removeprefix('name')}"
            path.with_name(name).write_text(packet)

    printed = harvest_people(library)
    assert "named faces: 8\npeople:\n  Ann: 8" in printed
    assert ("XMP: names of faces are read with --people: 8" in printed) == (
        place != "image"
    )
    with Dataset.open(library.parent / "data") as dataset:
        for sample in dataset.samples.iter_by_key():
            image = Image.open(dataset.crop_path(sample.key)).convert("RGB")
            red = (np.asarray(image)[..., 0] > 150).mean()
            # The crop has the face with a margin.
            assert 0.3 < red < 0.9
            assert sorted(sample.box[2:]) == pytest.approx([60, 90], abs=32)
    assert len(rows(library.parent / "data")) == 8


def test_names_that_are_added_later_are_found(library: Path) -> None:
    path = library / "a.png"
    path.write_bytes(encode(pixels(1, STORED_SIZE), "PNG"))
    assert "named faces" not in harvest_people(library)
    path.with_suffix(".xmp").write_text(as_digikam("Ann"))
    assert "known: 1" in harvest_people(library)
    assert "people:\n  Ann: 1" in harvest_people(library)
    run_here("labeler.cli", "undo", "-d", library.parent / "data").checked()
    assert rows(library.parent / "data") == []
    assert "named faces" not in harvest_people(library, "--exclude", "*.xmp")


PRINTED = """\
added: 7, ignored: 7, named faces: 1, faces without a label: 6
people:
  Ann: 1
ignored, by reason:
  XMP: names of faces are read with --people: 7
unlabelled faces:
  see: gleanset list rejections --where stage=import -d data
  files:
    library/cropped since.jpg: another size than annotated
    library/slash.jpg: 'AC/DC' is not a class name
    library/unnamed.jpg: face without a name
    library/flat.jpg: box outside
    library/outside.jpg: box outside
    and 1 more
next: facecrop run --new -d data
"""


def test_unusable_faces_are_listed(library: Path) -> None:
    packets = {
        "unnamed": as_digikam(" "),
        "slash": as_digikam("AC/DC"),
        "outside": as_digikam("Ann", (3, 3, 0.1, 0.1)),
        "flat": as_digikam("Ann", (0.5, 0.5, 0, 0.1)),
        "cropped since": as_digikam("Ann", size='stDim:w="200" stDim:h="90"'),
        "numbers": as_digikam("Ann", (float("nan"), float("inf"), 1, 1)),
        "good": as_digikam("Ann", size='stDim:w="nan" stDim:h="-1"'),
    }
    for number, (name, packet) in enumerate(packets.items()):
        (library / f"{name}.jpg").write_bytes(draw(number, 1))
        (library / f"{name}.jpg.xmp").write_text(packet)
    data = library.parent / "data"
    words = ("folder", "library", "--people", "--workers", "1", "-d", "data")
    ran = run_here("harvest.cli", *words, cwd=library.parent).checked()
    assert ran.stdout == PRINTED
    ran = run_here("pipeline.cli", "list", "rejections", "-d", data)
    for text in (
        "face without a name",
        "'AC/DC' is not a class name",
        "box outside",
        "another size than annotated",
    ):
        assert text in ran.stdout


def test_archives_are_refused(library: Path) -> None:
    write_pictures(library, ["a.png"])
    archive = shutil.make_archive(str(library), "zip", library)
    words = ("folder", archive, "--people", "-d", library.parent / "data")
    run_here("harvest.cli", *words).refused(
        2, "in an archive are not read", "unpack it"
    )


BOMB = '<!DOCTYPE x [<!ENTITY a "Ann"><!ENTITY b "&a;&a;">]>'
GOOD = as_digikam("Ann")


@pytest.mark.parametrize(
    "packet",
    [
        (BOMB + GOOD.replace("Ann", "&b;")).encode(),
        (BOMB + GOOD).encode("utf-16"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd">' + GOOD).encode(),
        GOOD.encode() + b" " * 1_000_000,
        b'<?xml version="1.0" encoding="no-such"?><a/>',
        b"<a>" * 100_000,
        b"\0" * 1000,
        b"",
    ],
)
def test_hostile_packets_have_no_faces(packet: bytes) -> None:
    start = process_time()
    assert read_face_regions(packet).faces == []
    assert process_time() - start < 2


NAMES = [
    "Zoë", "山田 花子", "עברית", "👩‍🔬 Ann", "O'Neil", "A & B", "{name}", "%s", "Ann ", " Bob",
    "a  b", "x" * 100, "con", ".hidden", "x" * 101, "", " ", 'the "boss"', "<b>", "A|B", "a\nb",
    "50%", "#1", "=1+1", "ﬁ",
]  # fmt: skip
"""What people write; class names forbid some of it."""


@needs_exiv2
def test_faces_go_to_other_programs_and_back(library: Path, tmp_path: Path) -> None:
    """136 faces written by exiv2, in images of every orientation."""
    boxes = {}
    rng = np.random.default_rng(7)
    for number in range(34):
        path = library / f"{number}.jpg"
        path.write_bytes(draw(number, number % 8 + 1))
        for face in range(1, 5):
            x, y = (int(rng.integers(0, limit)) for limit in (150, 110))
            width, height = (int(side) for side in rng.integers(8, 50, 2))
            boxes[path.name, face] = (x, y, width, height)
        write_regions(path, {face: boxes[path.name, face] for face in range(1, 5)})
    assert "named faces: 136" in harvest_people(library)
    assert len(rows(tmp_path / "data")) == 136

    faces = set()
    with Dataset.open(tmp_path / "data") as dataset:
        for image in dataset.images.iterate():
            for row in dataset.faces.list_in_image(image.sha256):
                faces.add((str(image.origins[0].title), row.face.box))
    assert faces == {
        (name, show(box, orientation=int(name.partition(".")[0]) % 8 + 1))
        for (name, _), box in boxes.items()
    }

    out = tmp_path / "out"
    words = ("export", out, "--format", "xmp", "--no-split", "-d", tmp_path / "data")
    run_here("labeler.cli", *words).checked()
    for path in sorted((out / "images").glob("*.jpg")):
        sidecar = read_regions(path.with_name(f"{path.name}.xmp"))
        assert sidecar == [boxes[path.name, face] for face in range(1, 5)]
        assert path.read_bytes() == (library / path.name).read_bytes()
    words = ("folder", out, "--people", "-d", tmp_path / "again")
    run_here("harvest.cli", *words).checked()
    assert rows(tmp_path / "again") == rows(tmp_path / "data")


def show(stored: tuple[int, int, int, int], orientation: int) -> Box:
    """Return where Pillow shows a box of a stored image."""
    x, y, width, height = stored
    mask = Image.new("L", STORED_SIZE)
    mask.paste(255, (x, y, x + width, y + height))
    mask.getexif()[0x0112] = orientation
    left, top, right, bottom = ImageOps.exif_transpose(mask).getbbox()
    return Box(left, top, right - left, bottom - top)


def write_regions(path: Path, boxes: dict[int, tuple[int, ...]]) -> None:
    """Write faces of the stored image into a file, with exiv2."""
    top = "Xmp.mwg-rs.Regions"
    bag = f"{top}/mwg-rs:RegionList"
    lines = [f"set {top} XmpText type=Struct", f"set {bag} XmpText type=Bag"]
    for number, (x, y, width, height) in boxes.items():
        face = f"{bag}[{number}]/mwg-rs"
        area = f"{face}:Area/stArea"
        lines += [f"set {face}:Name Person {number}", f"set {face}:Type Face"]
        lines += [
            f"set {area}:{side} {value!r}"
            for side, value in zip(
                "xywh",
                (
                    (x + width / 2) / 200,
                    (y + height / 2) / 160,
                    width / 200,
                    height / 160,
                ),
                strict=True,
            )
        ]
    commands = path.with_suffix(".txt")
    commands.write_text("\n".join(lines))
    subprocess.run(["exiv2", "-m", commands, path], check=True)
    commands.unlink()


def read_regions(sidecar: Path) -> list[tuple[float, ...]]:
    """Return the boxes of a sidecar in pixels of the stored image, as exiv2 reads it."""
    command = ["exiv2", "-PXkt", sidecar]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    fields = dict(line for line in lines if len(line) == 2)
    faces = {}
    for number in range(1, 5):
        face = f"Xmp.mwg-rs.Regions/mwg-rs:RegionList[{number}]/mwg-rs"
        x, y, width, height = (
            float(fields[f"{face}:Area/stArea:{side}"]) for side in "xywh"
        )
        left = (x - width / 2) * 200
        top = (y - height / 2) * 160
        box = tuple(map(round, (left, top, width * 200, height * 160)))
        assert box == pytest.approx((left, top, width * 200, height * 160), abs=1e-5)
        faces[fields[f"{face}:Name"].strip()] = box
    return [faces[f"Person {number}"] for number in range(1, 5)]


def test_odd_names_go_out_and_come_back(library: Path, tmp_path: Path) -> None:
    names = {}
    for number, name in enumerate(NAMES):
        (library / f"{number}.jpg").write_bytes(draw(number, 1))
        (library / f"{number}.xmp").write_text(
            as_digikam("NAME").replace("NAME", escape_attribute(name))
        )
        names[number] = name
    printed = harvest_people(library)
    refused = [".hidden", "x" * 101, "", " ", 'the "boss"', "<b>", "A|B"]
    kept = [" ".join(name.split()) for name in NAMES if name not in refused]
    assert f"named faces: {len(kept)}, faces without a label: {len(refused)}" in printed
    first = rows(tmp_path / "data")
    assert sorted(label for _, label, _, _ in first) == sorted(kept)

    out = tmp_path / "out"
    words = ("export", out, "--format", "xmp", "--no-split", "-d", tmp_path / "data")
    run_here("labeler.cli", *words).checked()
    words = ("folder", out, "--people", "-d", tmp_path / "again")
    run_here("harvest.cli", *words).checked()
    assert rows(tmp_path / "again") == first


@pytest.mark.skipif(
    shutil.which("exiftool") is None,
    reason="exiftool: apt install libimage-exiftool-perl",
)
def test_lines_of_the_page_write_names_into_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "Pictures"
    folders = [library / "2019", library / "2020 a'b"]
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        (folder / "IMG_1.jpg").write_bytes(draw(number, 6))
        (folder / "IMG_1.jpg.xmp").write_text(as_digikam(("Ann", "Bo")[number]))
    rating = ["exiftool", "-q", "-xmp:rating=4", folders[0] / "IMG_1.jpg.xmp"]
    subprocess.run(rating, check=True)
    harvest_people(library)
    first = rows(tmp_path / "data")

    data = ("-d", tmp_path / "data")
    run_here("labeler.cli", "classes", "rename", "Ann", "Anna", *data).checked()
    out = tmp_path / "named"
    words = ("export", out, "--format", "xmp", "--no-split", *data)
    run_here("labeler.cli", *words).checked()
    (folders[1] / "IMG_1.jpg.xmp").unlink()
    page = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    exec(page.partition("```python\n")[2].partition("```")[0], {})

    shown = ["exiftool", "-s3", "-xmp:rating", folders[0] / "IMG_1.jpg.xmp"]
    assert subprocess.run(shown, capture_output=True, check=True).stdout == b"4\n"
    words = ("folder", library, "--people", "-d", tmp_path / "again")
    run_here("harvest.cli", *words).checked()
    renamed = [
        (image, label.replace("Ann", "Anna"), *box) for image, label, *box in first
    ]
    assert rows(tmp_path / "again") == renamed


def escape_attribute(text: str) -> str:
    for letter in '&<>"\n':
        text = text.replace(letter, f"&#{ord(letter)};")
    return text


@pytest.mark.skipif(WITHOUT_POSIX, reason="names are texts there")
def test_names_of_files_that_are_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / "family"
    for number, name in enumerate([b"caf\xe9.jpg", b"\xff\xfe.jpg", b"d\xefr/x.jpg"]):
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(number, 1))
        sidecar = path.with_name(f"{path.name}.xmp")
        sidecar.write_text(as_digikam("Ana"), encoding="utf-8")
    nameless = folder / os.fsdecode(b"nobody\xe9.jpg")
    nameless.write_bytes(draw(9, 1))
    nameless.with_suffix(".xmp").write_text(as_digikam(" "), encoding="utf-8")

    line = ("folder", folder, "--people", "-d", tmp_path / "dataset")
    first = run_here("harvest.cli", *line).checked()
    assert "added: 4, ignored: 4, named faces: 3, faces without a label: 1" in (
        first.stdout
    )
    assert "xe9.jpg" in first.stdout.partition("unlabelled faces")[2]
    assert [label for _, label, _, _ in rows(tmp_path / "dataset")] == ["Ana"] * 3
    # Found again, and equal.
    before = rows(tmp_path / "dataset")
    run_here("harvest.cli", *line).checked()
    assert rows(tmp_path / "dataset") == before
