"""TOML files such as `dataset.toml`: errors name key, line and a hint."""

from pathlib import Path
from typing import Literal

import msgspec
import pytest

from gleanset import Dataset
from gleanset.config import TomlTable, read_toml
from gleanset.errors import GleansetError, InputUnusable, RecipeError
from gleanset.settings import (
    CropSettings,
    Settings,
    read_settings,
    set_texts,
    write_settings,
)


class Part(TomlTable, frozen=True):
    """A table in an array of tables."""

    name: str
    limit: int = 1


class Outer(TomlTable, frozen=True):
    """A TOML file."""

    title: str = ""
    parts: tuple[Part, ...] = ()
    named: dict[str, Part] = msgspec.field(default_factory=dict)
    inner: Part | None = None
    crop: CropSettings = CropSettings()


def read_error(tmp_path: Path, text: str, shape: type = Outer) -> GleansetError:
    path = tmp_path / "file.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        read_toml(path, shape)
    assert str(path) in caught.value.what
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "key", "suggestion"),
    [
        ("titel = 'x'", 1, "titel", "title"),
        ("title = 'x'\n\n[crop]\n# why\nmargn = 0.3", 5, "margn", "margin"),
        ("[inner]\nname = 'a'\nlimt = 3", 3, "limt", "limit"),
        (
            "[[parts]]\nname = 'a'\n\n[[parts]]\nname = 'b'\nlimmit = 3",
            6,
            "limmit",
            "limit",
        ),
        ("[named.x]\nname = 'a'\nlmit = 2", 3, "lmit", "limit"),
        ("title = 'x'\ncrop.detectr = 'x'", 2, "detectr", "detector"),
        ("crop = { margn = 0.3 }", 1, "margn", "margin"),
        ("[corp]\nmargin = 1", 1, "corp", "crop"),
    ],
)
def test_unknown_key_error_has_line_and_suggestion(
    tmp_path: Path, text: str, line: int, key: str, suggestion: str
) -> None:
    error = read_error(tmp_path, text)
    assert f"line {line}: unknown key {key!r}" in error.what
    assert f"did you mean {suggestion!r}?" in error.fix
    assert suggestion in error.fix.partition("known keys:")[2]


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("title = 3", 1, "title"),
        ("\n[crop]\nmargin = 'wide'", 3, "crop.margin"),
        ("[crop]\ndetector = 'x'\nmargin = 9.5", 3, "crop.margin"),
        ("[[parts]]\nname = 'a'\n[[parts]]\nname = 'b'\nlimit = '3'", 5, "parts.limit"),
        ("parts = 3", 1, "parts"),
        ("[inner]\nlimit = 3", 1, "inner"),
        ("[named.'x y']\nname = 'n'\nlimit = 'many'", 3, "named.x y.limit"),
        ("[crop]\nthreshold = true", 2, "crop.threshold"),
    ],
)
def test_invalid_value_error_has_line(
    tmp_path: Path, text: str, line: int, key: str
) -> None:
    assert f"line {line}: {key}: " in read_error(tmp_path, text).what


def test_all_errors_are_reported_by_line(tmp_path: Path) -> None:
    text = (
        "titel = 'x'\n[crop]\nmargin = 9\n"
        "[[parts]]\nname = 'a'\nlimt = 2\n[[parts]]\nlimit = 'b'\n"
    )
    error = read_error(tmp_path, text)
    assert error.what.splitlines()[0].endswith("has 5 mistakes:")
    lines = [line.partition(":")[0].strip() for line in error.what.splitlines()[1:]]
    assert lines == [f"line {number}" for number in (1, 3, 6, 7, 8)]
    hint = "did you mean 'limit'?"
    missing = "'name' is missing"
    for message in ("'titel'", "crop.margin", hint, missing, "got str"):
        assert message in error.what


def test_invalid_choice_error_suggests_allowed_values(tmp_path: Path) -> None:
    class OptionTable(TomlTable, frozen=True):
        colour: Literal["grayscale", "rgb"] = "rgb"
        stages: list[Literal["faces", "dedup"]] = msgspec.field(default_factory=list)

    error = read_error(tmp_path, "colour = 'grayscal'", OptionTable)
    assert error.fix == "did you mean 'grayscale'? allowed: grayscale, rgb"
    error = read_error(tmp_path, "stages = ['faces', 'dedupe']", OptionTable)
    assert error.fix == "did you mean 'dedup'? allowed: faces, dedup"


def test_invalid_toml_error_has_line(tmp_path: Path) -> None:
    assert "line 2" in read_error(tmp_path, "title = 'x'\nlimit = = 1\n").what


@pytest.mark.parametrize("data", [None, b"\xff\xfe\0", "folder"])
def test_unreadable_file_raises_error(tmp_path: Path, data: bytes | str | None) -> None:
    path = tmp_path / "file.toml"
    if data == "folder":
        path.mkdir()
    elif isinstance(data, bytes):
        path.write_bytes(data)
    with pytest.raises(InputUnusable, match=r"file\.toml"):
        read_toml(path, Outer)


def test_new_dataset_writes_changed_settings_only(tmp_path: Path) -> None:
    Dataset.create(
        tmp_path, Settings(name="Faces", crop=CropSettings(margin=0.5))
    ).close()
    text = (tmp_path / "dataset.toml").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines == ['name = "Faces"', "[crop]", "margin = 0.5"]
    with Dataset.create(tmp_path, Settings(name="Other")) as reopened:
        assert reopened.settings.name == "Faces"


def test_settings_round_trip(tmp_path: Path) -> None:
    written = Settings(
        name="ü", keys={"hana": "h", "it's": "i"}, crop=CropSettings(threshold=0.5)
    )
    write_settings(tmp_path, written)
    assert read_settings(tmp_path) == written


LINES = '''
# Mine: not for others.
title = "Owls of [one] wood"  # the "long" name

description = """
author = 'x'  # not a comment
[crop]
"""
# Ask first.
contact = 'me'

# Wide: they have ears.
[crop]
margin = 0.5  # tried
[keys]
# As in the game.
owl = "o"  # eyes
"it's" = "i"

[[plugin]]
kind = "source"
name = "owls"
made_by = "x"
'''


def test_text_is_set_without_changing_other_lines(tmp_path: Path) -> None:
    file = tmp_path / "dataset.toml"
    file.write_text(LINES, encoding="utf-8-sig")
    before = read_settings(tmp_path)
    texts = {"title": "Owls\n2", "contact": None, "name": "Owls #1", "author": "A"}
    set_texts(tmp_path, "", texts)
    set_texts(tmp_path, "keys", {"owl": "w", "it's": None, "#2": "2"})

    replaced = msgspec.structs.replace
    assert read_settings(tmp_path) == replaced(
        before, **texts, keys={"owl": "w", "#2": "2"}
    )
    assert file.read_text() == LINES.lstrip().replace(
        '"Owls of [one] wood"', '"Owls\\n2"'
    ).replace("contact = 'me'\n", 'name = "Owls #1"\nauthor = "A"\n').replace(
        'owl = "o"', 'owl = "w"'
    ).replace('"it\'s" = "i"\n', '"#2" = "2"\n')

    set_texts(tmp_path, "", {"description": None, "title": ""})
    assert read_settings(tmp_path).description is None


@pytest.mark.parametrize("text", ["", "# Mine", "[crop]\nmargin = 0.5", None])
def test_text_is_set_in_a_file_without_texts(tmp_path: Path, text: str | None) -> None:
    if text is None:
        write_settings(tmp_path, Settings())
        text = (tmp_path / "dataset.toml").read_text().rstrip()
    else:
        (tmp_path / "dataset.toml").write_text(text)
    before = read_settings(tmp_path)
    set_texts(tmp_path, "", {"name": "Owls"})
    set_texts(tmp_path, "keys", {"owl": "o"})
    replaced = msgspec.structs.replace
    assert read_settings(tmp_path) == replaced(before, name="Owls", keys={"owl": "o"})
    assert text in (tmp_path / "dataset.toml").read_text()


@pytest.mark.parametrize("text", ["keys = {owl = 'o'}", "keys.owl = 'o'"])
def test_inline_table_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataset.toml").write_text(text)
    with pytest.raises(RecipeError, match="write its tables out"):
        set_texts(tmp_path, "keys", {"owl": "w"})
    assert (tmp_path / "dataset.toml").read_text() == text


def test_settings_of_earlier_versions_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "dataset.toml"
    file.write_text("[split]\nratio = '6:2:2'\nmost = ['bing=10']\n")
    with pytest.raises(RecipeError, match="line 3: unknown key 'most'"):
        read_settings(tmp_path)
    file.write_text("[store]\nimages = '/mnt/images'\n")
    with pytest.raises(RecipeError, match="line 1: unknown key 'store'"):
        read_settings(tmp_path)
    file.write_text("[split]\nratio = '6:2:2'\n")
    user_file(monkeypatch, tmp_path, "[split]\nfolds = 4\n")
    with pytest.raises(RecipeError, match="line 2: unknown key 'folds'"):
        read_settings(tmp_path)


def user_file(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder))
    (folder / "gleanset").mkdir()
    (folder / "gleanset" / "settings.toml").write_text(text)


def test_settings_of_user_override_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dataset.toml").write_text(
        "[crop]\nmargin = 0.1\ndetector = 'a'\n[net]\nthreads = 1\nper_host = 2\n"
    )
    user_file(monkeypatch, tmp_path, "[crop]\nmargin = 0.2\n[net]\nthreads = 3\n")
    result = read_settings(tmp_path)
    assert (result.crop.margin, result.crop.detector) == (0.2, "a")
    assert (result.net.threads, result.net.per_host) == (3, 2)
