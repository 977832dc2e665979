"""Captions of an export that a person edited come back as tags; all others stay as they are."""

from pathlib import Path

import pytest
from labelled_images import picture, put, run_export, run_import, run_labeler
from tools_for_tests import encode

from gleanset import Box, Dataset, Origin
from gleanset.command_result import JsonDict

ODD_TEXTS = {
    "plain": (b"hana, hat, smile", ("hat", "smile")),
    "quotes": (b'hana, "red" hat, it\'s', ('"red" hat', "it's")),
    "emoji": ("hana, 😀, 花火".encode(), ("😀", "花火")),
    "crlf": (b"hana,\r\nhat,\r\nsmile\r\n", ("hat", "smile")),
    "bom": (b"\xef\xbb\xbfhana, hat", ("hat",)),
    "utf-16": ("hana, hat".encode("utf-16"), ("hat",)),
    "doubled commas": (b"hana,, hat ,,smile,", ("hat", "smile")),
    "repeated": (b"hana, hat, hat", ("hat",)),
    "blanks": (b"  hana ,   wide   hat \n", ("wide hat",)),
    "brackets": (
        b"hana, hat_(red), (smile:1.2), <lora:x>",
        ("hat_(red)", "(smile:1.2)", "<lora:x>"),
    ),
    "formula": (b"hana, =1+1, -x", ("=1+1", "-x")),
    "sentence": (
        b"hana, a girl with a hat. She smiles",
        ("a girl with a hat. She smiles",),
    ),
    "order": (b"smile, hana, hat", ("smile", "hat")),
    "only the class": (b"hana", ()),
    "another class": (b"rei, hat", ("rei", "hat")),
    "japanese": ("hana, 帽子, 笑顔".encode(), ("帽子", "笑顔")),
    "accents": ("hana, café".encode(), ("café",)),
    "percent": (b"hana, 100% {tags}", ("100% {tags}",)),
    "backslash": (rb"hana, a\b, \(x\)", ("a\\b", r"\(x\)")),
    "path": (b"hana, ../../etc", ("../../etc",)),
}
UNCHANGED = {
    "empty": b"",
    "blank": b" \n",
    "binary": b"\x00\x01\x02hana",
    "box": b"0 0.5 0.5 0.2 0.2\n",
    "same in other layout": b"hana,  blue,eyes\r\n",
}


def tags(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """Return the tags of each image by its name."""
    return {
        str(image.origins[0].title): image.origins[0].tags
        for image in dataset.images.iterate()
    }


@pytest.fixture
def captions(empty: Dataset, tmp_path: Path) -> Path:
    """An export of an image for each text, all with the tags blue and eyes."""
    for number, name in enumerate((*ODD_TEXTS, *UNCHANGED)):
        origin = Origin("folder", name, title=f"{name}.jpg", tags=("blue", "eyes"))
        put(empty, encode(picture(number)), "", origin=origin)
    run_export(empty, tmp_path / "out", format="captions", no_split=True)
    return tmp_path / "out"


def test_unedited_export_changes_nothing(empty: Dataset, captions: Path) -> None:
    before = tags(empty)
    result = run_import(empty, captions)
    assert result["edited_captions"] == result["relabelled"] == 0
    assert result["unchanged"] == len(before)
    assert tags(empty) == before


def test_edited_captions_come_back_and_can_be_undone(
    empty: Dataset, captions: Path, tmp_path: Path
) -> None:
    before = tags(empty)
    for name, (text, _) in ODD_TEXTS.items():
        (captions / "hana" / f"{name}.txt").write_bytes(text)
    for name, text in UNCHANGED.items():
        (captions / "hana" / f"{name}.txt").write_bytes(text)
    simulated = run_import(empty, captions, simulate=True)
    assert simulated["edited_captions"] == len(ODD_TEXTS)
    assert tags(empty) == before

    result = run_import(empty, captions)
    assert result["edited_captions"] == len(ODD_TEXTS)
    after = {f"{name}.jpg": wanted for name, (_, wanted) in ODD_TEXTS.items()}
    after |= {f"{name}.jpg": ("blue", "eyes") for name in UNCHANGED}
    assert tags(empty) == after
    # A second time nothing is left to do for texts whose tags are stored.
    assert run_import(empty, captions)["edited_captions"] == 0

    run_export(empty, tmp_path / "again", format="captions", no_split=True)
    text = (tmp_path / "again" / "hana" / "emoji.txt").read_text(encoding="utf-8")
    assert text == "hana, 😀, 花火\n"
    # One step stored them, which is undone exactly.
    run_labeler("undo", "-d", empty.root).checked()
    assert tags(empty) == before


def put_tagged(dataset: Dataset, *image_tags: str) -> None:
    """Add an image called a.jpg with these tags."""
    origin = Origin("folder", "a", title="a.jpg", tags=image_tags)
    put(dataset, encode(picture(0)), "", origin=origin)


def import_edited(
    dataset: Dataset, out: Path, before: str, after: str, **options: str
) -> JsonDict:
    """Export captions, edit that of a.jpg, and import the export."""
    run_export(dataset, out, format="captions", no_split=True, **options)
    file = out / "hana" / "a.txt"
    assert file.read_text(encoding="utf-8") == f"{before}\n"
    file.write_text(after, encoding="utf-8")
    return run_import(dataset, out)


@pytest.mark.parametrize(
    ("template", "caption"),
    [
        ("hanachar, photo of {class}, {tags}", "hanachar, photo of hana, [hat]"),
        # Words of the template without a comma between them and the tags.
        ("hanachar {tags}", "hanachar [hat]"),
        (
            "a girl, wearing {tags} on a white ground",
            "a girl, wearing [hat] on a white ground",
        ),
        ("{tags}. {title}, {class}", "[hat]. a.jpg, hana"),
        ("{{tags}} {tags}", "{tags} [hat]"),
        ("{tags}", "[hat]"),
    ],
)
def test_words_of_the_template_are_not_tags(
    empty: Dataset, tmp_path: Path, template: str, caption: str
) -> None:
    put_tagged(empty, "hat")
    before = caption.replace("[hat]", "hat")
    after = caption.replace("[hat]", "hat, smile")
    result = import_edited(empty, tmp_path / "out", before, after, caption=template)
    assert result["edited_captions"] == 1
    assert tags(empty) == {"a.jpg": ("hat", "smile")}


@pytest.mark.parametrize(
    ("template", "before", "after"),
    [("{tags}", "", "smile"), ("hanachar {tags}", "hanachar", "hanachar smile")],
)
def test_first_tags_come_back(
    empty: Dataset, tmp_path: Path, template: str, before: str, after: str
) -> None:
    put_tagged(empty)
    import_edited(empty, tmp_path / "out", before, after, caption=template)
    assert tags(empty) == {"a.jpg": ("smile",)}


@pytest.mark.parametrize("word", ["{class}", "hanachar"])
def test_tag_that_is_the_class_stays(empty: Dataset, tmp_path: Path, word: str) -> None:
    put_tagged(empty, "hana", "hat")
    name = word.replace("{class}", "hana")
    template = f"{word}, {{tags}}"
    out = tmp_path / "out"
    import_edited(empty, out, f"{name}, hat", f"{name}, smile", caption=template)
    assert tags(empty) == {"a.jpg": ("hana", "smile")}


def test_tag_that_the_template_has_is_not_repeated(
    empty: Dataset, tmp_path: Path
) -> None:
    put_tagged(empty, "hat", "1girl")
    text = "1girl, hat"
    result = import_edited(empty, tmp_path / "out", text, text, caption="1girl, {tags}")
    assert result["edited_captions"] == 0
    assert tags(empty) == {"a.jpg": ("hat", "1girl")}


def test_tags_that_the_caption_had_not_are_not_lost(
    empty: Dataset, tmp_path: Path
) -> None:
    put_tagged(empty, "hat")
    template = "photo of {class}"
    out = tmp_path / "out"
    result = import_edited(
        empty, out, "photo of hana", "photo of hana, smile", caption=template
    )
    assert result["edited_captions"] == 0
    assert result["disputed"] == 1
    assert "tags" in str(result["disputed_files"])
    assert tags(empty) == {"a.jpg": ("hat",)}


def test_encoding_of_edited_captions(empty: Dataset, tmp_path: Path) -> None:
    put_tagged(empty, "hat")
    out = tmp_path / "out"
    run_export(empty, out, format="captions", no_split=True)
    (out / "hana" / "a.txt").write_bytes("hana, czapka, żółw".encode("cp1250"))
    run_import(empty, out, encoding="cp1250")
    assert tags(empty) == {"a.jpg": ("czapka", "żółw")}


def make_captioned_image(folder: Path) -> Path:
    """Make an image of class hana with the tag hat; return its text file."""
    text = folder / "hana" / "a.txt"
    text.parent.mkdir(parents=True)
    text.with_suffix(".jpg").write_bytes(encode(picture(0)))
    text.write_text("hat", encoding="utf-8")
    return text


def test_older_text_of_an_image_does_not_replace_edited_tags(tmp_path: Path) -> None:
    text = make_captioned_image(tmp_path / "source")
    with Dataset.create(tmp_path / "data") as dataset:
        run_import(dataset, tmp_path / "source")
        import_edited(dataset, tmp_path / "out", "hana, hat", "hana, hat, smile")
        run_import(dataset, tmp_path / "source")
        assert tags(dataset) == {"a.jpg": ("hat", "smile")}
        text.write_text("hat, tears", encoding="utf-8")
        run_import(dataset, tmp_path / "source")
        assert tags(dataset) == {"a.jpg": ("hat", "tears")}


def test_text_like_an_edit_that_was_undone_is_read(tmp_path: Path) -> None:
    text = make_captioned_image(tmp_path / "source")
    with Dataset.create(tmp_path / "data") as dataset:
        run_import(dataset, tmp_path / "source")
        import_edited(dataset, tmp_path / "out", "hana, hat", "hana, hat, smile")
        dataset.journal.undo()
        assert tags(dataset) == {"a.jpg": ("hat",)}
        text.write_text("hat, smile", encoding="utf-8")
        run_import(dataset, tmp_path / "source")
        assert tags(dataset) == {"a.jpg": ("hat", "smile")}


def test_each_file_is_accounted_for(empty: Dataset, captions: Path) -> None:
    folder = captions / "hana"
    (folder / "plain.txt").unlink()
    (folder / "emoji.txt").write_text("", encoding="utf-8")
    (folder / "bom.txt").write_text("hana, hat", encoding="utf-8")
    for suffix in (".jpg", ".txt"):
        (folder / "crlf").with_suffix(suffix).rename(captions / f"crlf{suffix}")
    (folder / "new.jpg").write_bytes(encode(picture(99)))
    (folder / "new.txt").write_text("hana, hat", encoding="utf-8")
    before = tags(empty)
    number = len(before)

    result = run_import(empty, captions)
    assert result["edited_captions"] == result["new_files"] == result["unknown"] == 1
    assert result["unchanged"] == number - 1
    # Captions of known images; the emptied one, that of the new image, and four descriptions.
    reasons = result["ignored_reasons"]
    assert reasons["tags, read with their image"] == number - 1
    assert tags(empty) == before | {"bom.jpg": ("hat",)}


def test_captions_of_two_faces_of_an_image(empty: Dataset, tmp_path: Path) -> None:
    origin = Origin("folder", "a", title="a.jpg", tags=("hat",))
    boxes = [Box(10, 10, 30, 30), Box(70, 20, 30, 30)]
    put(empty, encode(picture(0)), "", boxes, origin=origin)
    out = tmp_path / "out"
    run_export(empty, out, format="captions", no_split=True)
    first, second = sorted((out / "hana").glob("*.txt"))
    first.write_text("hana, hat, smile", encoding="utf-8")
    assert run_import(empty, out, simulate=True)["edited_captions"] == 1

    second.write_text("hana, hat, tears", encoding="utf-8")
    result = run_import(empty, out)
    assert (result["edited_captions"], result["disputed"]) == (1, 1)
    assert second.stem in str(result["disputed_files"])
    assert tags(empty) == {"a.jpg": ("hat", "smile")}
