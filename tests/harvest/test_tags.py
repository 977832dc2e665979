"""Tags and captions in text files beside images: read, stored and exported again."""

import json
import shutil
from pathlib import Path

import pytest
from tools_for_tests import ROOT, make_archive, run_here, write_pictures

from gleanset import Dataset
from gleanset.files.tags import MAX_TAG_BYTES, parse_tags
from gleanset.tree import NOT_AN_IMAGE, SHARED_TAGS
from gleanset.tree import TAGS as TAGS_READ

TEXTS = {
    "hana/a.txt": "hana, 1girl,smile \n",
    "hana/b.caption": "A girl, on a bench.\nAt night.",
    "rei/c.txt": "0 0.5 0.5 0.25 0.25\n",
    "rei/d.txt": "1girl\n",
    "rei/notes.txt": "remember",
}
TAGS = {
    "a.png": ("hana", "1girl", "smile"),
    "b.png": ("A girl", "on a bench.", "At night."),
    "c.png": (),
    "d.png": ("1girl",),
    "d.jpg": ("1girl",),
}


@pytest.fixture
def tagged(tmp_path: Path) -> Path:
    root = tmp_path / "tagged"
    names = ["hana/a.png", "hana/b.png", "rei/c.png", "rei/d.png", "rei/d.jpg"]
    write_pictures(root, names)
    for name, text in TEXTS.items():
        (root / name).write_text(text)
    return root


def check_counts(summary: str, *, tags: int, shared: int, others: int) -> None:
    """Check the numbers of texts, of those of several images, and of other files."""
    counts = {TAGS_READ: tags, SHARED_TAGS: shared, NOT_AN_IMAGE: others}
    for reason, number in counts.items():
        assert f"{reason}: {number}" in summary


def read_dataset(folder: Path) -> dict[str, tuple[str, ...]]:
    with Dataset.open(folder) as dataset:
        origins = [image.origins[0] for image in dataset.images.iterate()]
    return {str(origin.title): origin.tags for origin in origins}


@pytest.mark.parametrize("packed", [False, True])
def test_tags_of_folders_and_archives_are_stored(
    tagged: Path, tmp_path: Path, *, packed: bool
) -> None:
    source = shutil.make_archive(str(tagged), "zip", tagged) if packed else tagged
    data = tmp_path / "data"
    ran = run_here("harvest.cli", "folder", source, "-d", data).checked()
    check_counts(ran.stdout, tags=2, shared=1, others=2)
    assert read_dataset(data) == TAGS


@pytest.mark.parametrize("packed", [False, True])
def test_texts_with_extensions_in_upper_case_are_read(
    tagged: Path, tmp_path: Path, *, packed: bool
) -> None:
    for name in TEXTS:
        path = tagged / name
        path.rename(path.with_suffix(path.suffix.upper()))
    # Where both exist, the one in lower case is that of the image.
    (tagged / "hana/a.txt").write_text("cat")
    (tagged / "rei/d.png.TXT").write_text("other")
    source = shutil.make_archive(str(tagged), "zip", tagged) if packed else tagged
    data = tmp_path / "data"
    ran = run_here("harvest.cli", "folder", source, "-d", data).checked()
    check_counts(ran.stdout, tags=2, shared=1, others=4)
    assert read_dataset(data) == TAGS | {"a.png": ("cat",)}


@pytest.mark.parametrize("packed", [False, True])
def test_excluded_texts_give_no_tags(
    tagged: Path, tmp_path: Path, *, packed: bool
) -> None:
    source = shutil.make_archive(str(tagged), "zip", tagged) if packed else tagged
    data = tmp_path / "data"
    words = ("folder", source, "--exclude", "*.txt", "-d", data)
    ran = run_here("harvest.cli", *words).checked()
    assert "excluded: 4, tags, read with their image: 1" in ran.stdout
    assert read_dataset(data) == dict.fromkeys(TAGS, ()) | {"b.png": TAGS["b.png"]}


def test_texts_of_gallery_dl_are_read(tagged: Path, tmp_path: Path) -> None:
    """Its `--write-tags` writes a.png.txt next to a.png; a text without the ending wins."""
    (tagged / "rei/c.png.txt").write_text("hat\nrain\n")
    (tagged / "hana/a.png.txt").write_text("other\n")
    data = tmp_path / "data"
    ran = run_here("harvest.cli", "folder", tagged, "-d", data).checked()
    check_counts(ran.stdout, tags=3, shared=1, others=3)
    assert read_dataset(data) == TAGS | {"c.png": ("hat", "rain")}


def test_edited_tags_are_read_by_the_next_run(tagged: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    run_here("harvest.cli", "folder", tagged, "-d", data).checked()
    (tagged / "rei/d.txt").write_text("1girl, hat")
    run_here("harvest.cli", "folder", tagged, "-d", data).checked()
    assert read_dataset(data)["d.png"] == ("1girl", "hat")


def test_imported_tags_are_exported_for_trainers(tagged: Path, tmp_path: Path) -> None:
    (tagged / "rei/c.txt").unlink()
    (tagged / "rei/d.jpg").unlink()
    data = tmp_path / "data"
    ran = run_here("labeler.cli", "import", tagged, "-d", data).checked()
    assert "tags, read with their image: 3, not an image: 1" in ran.stdout
    out = tmp_path / "out"
    options = ("--format", "captions", "--no-split", "--repeats", "10")
    run_here("labeler.cli", "export", out, *options, "-d", data).checked()
    texts = {
        path.relative_to(out).as_posix(): path.read_text()
        for path in out.glob("*/*.txt")
    }
    assert texts == {
        "10_hana/a.txt": "hana, 1girl, smile\n",
        "10_hana/b.txt": "hana, A girl, on a bench., At night.\n",
        "10_rei/c.txt": "rei\n",
        "10_rei/d.txt": "rei, 1girl\n",
    }
    ran = run_here("labeler.cli", "export", out, "--repeats", "2", "-d", data)
    assert (ran.code, "leave out --repeats" in ran.stderr) == (2, True)


def test_trigger_word_of_imported_captions_is_not_repeated(
    tagged: Path, tmp_path: Path
) -> None:
    for path in tagged.rglob("*.txt"):
        path.write_text(f"hanachar, {path.read_text(encoding='utf-8')}", "utf-8")
    data = ("-d", tmp_path / "data")
    run_here("labeler.cli", "import", tagged, *data).checked()
    words = ("--format", "captions", "--no-split", "--caption", "hanachar, {tags}")
    run_here("labeler.cli", "export", tmp_path / "out", *words, *data).checked()
    text = (tmp_path / "out/hana/a.txt").read_text(encoding="utf-8")
    assert text == "hanachar, 1girl, smile\n"


def test_lines_of_the_page_write_a_table_for_diffusers(
    tagged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tagged / "rei/c.txt").unlink()
    data = tmp_path / "data"
    run_here("labeler.cli", "import", tagged, "-d", data).checked()
    words = ("export", tmp_path / "out", "--format", "captions", "--no-split")
    run_here("labeler.cli", *words, "-d", data).checked()
    page = (ROOT / "docs/image-generators.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path / "out")
    exec(page.partition("```python\n")[2].partition("```")[0])
    lines = Path("metadata.jsonl").read_text(encoding="utf-8").splitlines()
    rows = list(map(json.loads, lines))
    assert rows[0] == {"file_name": "hana/a.png", "text": "hana, 1girl, smile"}
    assert len(rows) == 5


@pytest.mark.parametrize(
    ("data", "tags"),
    [
        (b"\xef\xbb\xbfcat, hat\r\n", ("cat", "hat")),
        ("猫, 帽子".encode("cp932"), ("猫", "帽子")),
        (b"cat, cat,, ,", ("cat",)),
        (b"Car 0.00 0 1.85 387.63 181.54 423.81 203.12", ()),
        (b"\0\1\2\3", ()),
        (b"x" * (MAX_TAG_BYTES + 1), ()),
        (b"", ()),
    ],
)
def test_texts_are_divided_into_tags(data: bytes, tags: tuple[str, ...]) -> None:
    assert parse_tags(data, "a.txt", "cp932") == tags


ROWS = """
{"file_name": "hana/a.png", "text": "a girl, smiling"}
{"file_name": "hana/b.png", "caption": "on a bench", "tags": ["1girl", "hat"]}
{"file_name": "rei/c.png", "tags": "1girl, rain, 1girl"}
{"file_name": "rei/d.png", "text": "text beside it wins"}
{"file_name": "gone.png", "text": "no file"}
{"file_name": "rei/d.jpg", "label": "a label is not a tag"}
{"file_name": ["odd"], "text": 3}
broken
"""
TAGS_OF_ROWS = {
    "a.png": ("a girl", "smiling"),
    "b.png": ("on a bench", "1girl", "hat"),
    "c.png": ("1girl", "rain"),
    "d.png": ("beside",),
    "d.jpg": ("beside",),
}


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz", "import"])
def test_captions_and_tags_of_a_table_are_stored(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "set"
    write_pictures(root, [f"{'hana' if n < 'c' else 'rei'}/{n}" for n in TAGS_OF_ROWS])
    (root / "metadata.jsonl").write_text(ROWS)
    (root / "rei/d.txt").write_text("beside")
    data = tmp_path / "data"
    if kind == "import":
        ran = run_here("labeler.cli", "import", root, "-d", data).checked()
    else:
        source = root
        if kind != "folder":
            names = sorted(path for path in root.rglob("*") if path.is_file())
            files = {str(path.relative_to(root)): path.read_bytes() for path in names}
            source = make_archive(tmp_path / f"set.{kind}", files)
        ran = run_here("harvest.cli", "folder", source, "-d", data).checked()
    assert read_dataset(data) == TAGS_OF_ROWS
    # The text rei/d.txt is that of d.png and d.jpg.
    assert f"{TAGS_READ}: 1" in ran.stdout
    assert f"{SHARED_TAGS}: 1" in ran.stdout
    for name in ("metadata.jsonl: gone.png", "metadata.jsonl: line 9 is not JSON"):
        assert name in ran.stdout


def test_edited_row_is_read_by_the_next_run(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set", ["a.png"])
    table = tmp_path / "set/metadata.jsonl"
    for text in ("one", "two"):
        table.write_text(f'{{"file_name": "./a.png", "text": "{text}"}}')
        run_here("harvest.cli", "folder", tmp_path / "set", "-d", tmp_path / "data")
    assert read_dataset(tmp_path / "data") == {"a.png": ("two",)}


def test_paths_of_a_table_may_lead_elsewhere(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set", ["a.png"])
    rows = [{"file_name": name, "text": "x"} for name in ("/etc/passwd", "../b", "a\0")]
    text = "\n".join(map(json.dumps, rows))
    (tmp_path / "set/metadata.jsonl").write_text(text)
    ran = run_here("harvest.cli", "folder", tmp_path / "set", "-d", tmp_path / "data")
    assert "1 new image" in ran.checked().stdout or "added: 1" in ran.stdout
    assert "../b" in ran.stdout
