"""Texts and names that are not UTF-8: read as they were written, and the guess is printed."""

import io
import os
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.encodings import check_encoding, decode_names, decode_text
from harvest.archives import find_members
from harvest.folder import find_images
from harvest.importer import ImportOptions
from harvest.lists import ListOptions, read_list
from labeler.importing.reading import read_labelled
from tests.tools_for_tests import picture, run_here

LISTS = [
    ("cp1252", "Léa", "Zoë Müller"),
    ("cp1252", "été à Paris", "forêt"),
    ("cp1252", "größe", "José Núñez"),
    ("cp1250", "Škoda", "Jiří Dvořák"),
    ("cp1251", "Оля", "Иван"),
    ("cp1253", "Γάτα", "Νίκος"),
    ("koi8-r", "Оля", "Иван"),
    ("cp932", "花子", "山田"),
    ("euc_jp", "さくら", "綾波"),
    ("gb18030", "蝴蝶", "李娜"),
    ("cp949", "고양이", "김민수"),
    ("big5", "貓", "陳小明"),
]


@pytest.mark.parametrize(("encoding", "label", "author"), LISTS)
def test_list_of_another_program_is_read_and_its_guess_printed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    encoding: str,
    label: str,
    author: str,
) -> None:
    path = tmp_path / f"{encoding}-{label}.csv"
    path.write_bytes(
        f"url;label;author\nhttp://h/1.png;{label};{author}\n".encode(encoding)
    )
    columns = {"label": "label", "author": "author"}
    [candidate] = read_list(path, ListOptions(None, columns))
    assert (candidate.origin.hint, candidate.origin.author) == (label, author)
    printed = capsys.readouterr().err
    assert f"{path} is not UTF-8, read as " in printed
    assert f": {label!r}\nhint: " in printed
    assert printed.endswith("--encoding NAME\n")


def test_guess_is_printed_even_if_quiet_and_can_be_corrected(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes(
        "url,label\nftp://h/1.png,đak\nftp://h/2.png,Đorđević\n".encode("cp1250")
    )
    line = (
        "urls",
        path,
        "--column",
        "label=label",
        "-d",
        tmp_path / "d",
        "-q",
        "--simulate",
    )
    assert "read as cp1252: 'ðak'" in run_here("harvest.cli", *line).stderr
    warned = run_here("harvest.cli", *line, "--json").json["warnings"]
    assert warned == [f"{path} is not UTF-8, read as cp1252: 'ðak'"]
    assert run_here("harvest.cli", *line, "--encoding", "cp1250").stderr == ""
    run_here("harvest.cli", *line, "--encoding", "klingon").refused(
        2, "klingon", "cp1252"
    )
    run_here("harvest.cli", *line, "--encoding", "ascii").refused(
        3, "not text in ascii"
    )
    columns = {"label": "label"}
    labels = [
        c.origin.hint for c in read_list(path, ListOptions(None, columns, "cp1250"))
    ]
    assert labels == ["đak", "Đorđević"]


# The bytes of two characters in one of these are also two common characters in the others.
AMBIGUOUS = [
    ("euc_jp", "田中"),
    ("euc_jp", "美月"),
    ("euc_jp", "ねこ"),
    ("gb18030", "猫咪"),
    ("gb18030", "小明"),
    ("big5", "小貓"),
    ("cp949", "민수"),
    ("cp932", "猫耳"),
]


@pytest.mark.parametrize(("encoding", "label"), AMBIGUOUS)
def test_two_characters_are_guessed_aloud_and_read_as_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str, label: str
) -> None:
    path = tmp_path / "l.csv"
    path.write_bytes(f"url,label\nhttp://h/1.png,{label}\n".encode(encoding))
    columns = {"label": "label"}
    [guessed] = read_list(path, ListOptions(None, columns))
    printed = capsys.readouterr().err
    assert "is not UTF-8, read as " in printed
    assert (
        f": {guessed.origin.hint!r}\nhint: if that is wrong, name its encoding"
        in printed
    )
    [named] = read_list(path, ListOptions(None, columns, encoding))
    assert named.origin.hint == label

    raw = label.encode(encoding)
    name = decode_names([raw], "a.tar")[raw]
    assert "a name in a.tar is not UTF-8, read as " in capsys.readouterr().err
    assert decode_names([raw], "a.tar", encoding)[raw] == label
    # Kana, or some more names, tell the encoding.
    if label == "ねこ":
        assert (guessed.origin.hint, name) == (label, label)


@pytest.mark.parametrize("encoding", ["euc_jp", "cp932"])
def test_some_japanese_names_tell_their_encoding(encoding: str) -> None:
    names = ["田中", "美月", "綾波レイ", "猫耳", "初音ミク", "霊夢"]
    raw = [name.encode(encoding) for name in names]
    assert list(decode_names(raw, "a.tar").values()) == names


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("cp932", "ねこの写真"),
        ("cp932", "スクリーンショット 2024-01-"),
        ("gb18030", "微信图片_20240101"),
        ("cp949", "고양이"),
        ("big5", "螢幕截圖"),
        ("cp866", "Фото"),
    ],
)
def test_numbered_names_tell_their_encoding(encoding: str, name: str) -> None:
    names = [f"{name}{number:02}.jpg" for number in range(12)]
    texts = decode_names((text.encode(encoding) for text in names), "z", is_zip=True)
    assert list(texts.values()) == names


def test_text_of_two_encodings_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "l.txt"
    path.write_bytes(
        "http://h/1\tchat\nhttp://h/2\tLéa\n".encode() + b"http://h/3\tZo\xeb\n"
    )
    with pytest.raises(
        InputUnusable, match=r"line 3 of .*l\.txt is not UTF-8, but others are"
    ):
        list(read_list(path))
    # Two Chinese characters that are valid UTF-8 by chance do not make a list one of UTF-8.
    chinese = "模\n图片\n新建文件夹\n照片\n"
    assert decode_text(chinese.encode("gbk"), "l.txt", None)[0] == chinese


def test_marks_of_unicode_win_over_a_named_encoding() -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        assert decode_text("Léa".encode(encoding), "l.txt", "cp932")[0] == "Léa"
    assert decode_text("Léa".encode(), "l.txt", "cp932")[0] == "Léa"
    assert decode_text("Léa".encode("utf-16-le"), "l.txt", "utf-16-le")[0] == "Léa"
    assert decode_text("花子".encode("iso2022_jp"), "l.txt", "iso2022_jp")[0] == "花子"
    with pytest.raises(UsageError):
        check_encoding("rot13")


def make_tar(path: Path, *names: bytes) -> Path:
    with tarfile.open(
        path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1"
    ) as archive:
        for number, name in enumerate(names):
            info = tarfile.TarInfo(name.decode("latin-1"))
            info.size = len(picture(number))
            archive.addfile(info, io.BytesIO(picture(number)))
    return path


def test_tar_names_are_not_taken_for_dos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_tar(
        tmp_path / "a.tar", "Léa/a.png".encode("cp1252"), "été/b.png".encode()
    )
    members = list(find_members(path, ImportOptions(hints=True), Counter()))
    assert [member.origin.hint for member in members] == ["Léa", "été"]
    assert (
        f"a name in {path} is not UTF-8, read as cp1252: 'Léa'"
        in capsys.readouterr().err
    )
    named = list(
        find_members(path, ImportOptions(hints=True, encoding="cp1253"), Counter())
    )
    assert named[0].origin.hint == "Lιa"
    # Valid UTF-8 in a tar is UTF-8, however short.
    assert decode_names(["é/a.png".encode()], "a.tar") == {
        "é/a.png".encode(): "é/a.png"
    }
    assert capsys.readouterr().err == ""


@pytest.mark.posix("names that are not text")
def test_folder_names_in_another_encoding_are_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("花子", "初音ミク", "ソフィア")
    for number, name in enumerate(names):
        folder = tmp_path / os.fsdecode(name.encode("cp932"))
        folder.mkdir()
        (folder / "a.png").write_bytes(picture(number))
    hints = [
        image.origin.hint
        for image in find_images(tmp_path, ImportOptions(hints=True), Counter())
    ]
    assert sorted(map(str, hints)) == sorted(names)
    assert set(read_labelled(tmp_path).count_classes()) == set(names)
    assert "read as cp932: " in capsys.readouterr().err


WRITERS: dict[str, Callable[[str], str]] = {
    "labels.csv": lambda label: f"file_name;label\n0.png;{label}\n1.png;hund\n",
    "metadata.jsonl": lambda label: (
        f'{{"file_name": "0.png", "label": "{label}"}}\n{{"file_name": "1.png", "label": "hund"}}\n'
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_labels_of_a_table_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for number in range(2):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    (tmp_path / name).write_bytes(WRITERS[name]("Kätzchen").encode("cp1252"))
    assert set(read_labelled(tmp_path).count_classes()) == {"Kätzchen", "hund"}
    assert f"{tmp_path / name} is not UTF-8, read as cp1252" in capsys.readouterr().err


def test_class_names_of_yolo_are_read_and_unused_texts_are_not_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "0.png").write_bytes(picture(0))
    (tmp_path / "0.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "classes.txt").write_bytes("初音ミク\nねこ\n".encode("cp932"))
    (tmp_path / "note.txt").write_bytes("写真のメモ\n".encode("cp932"))
    assert set(read_labelled(tmp_path).count_classes()) == {"初音ミク"}
    printed = capsys.readouterr().err
    assert "classes.txt is not UTF-8, read as cp932: '初音ミク'" in printed
    assert "note.txt" not in printed


def test_credit_table_of_excel_is_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ä.png").write_bytes(picture(1))
    table = "file;author;licence\nä.png;Zoë Müller;CC-BY-4.0\n"
    (tmp_path / "in" / "sources.csv").write_bytes(table.encode("cp1252"))
    done = run_here("harvest.cli", "folder", tmp_path / "in", "-d", tmp_path / "d")
    assert (
        done.code,
        "sources.csv is not UTF-8, read as cp1252: 'ä.png'" in done.stderr,
    ) == (
        0,
        True,
    )
    with Dataset.open(tmp_path / "d") as dataset:
        [image] = dataset.images.iterate()
    assert image.origins[0].author == "Zoë Müller"
