"""Settings of a dataset: `dataset.toml`, and the user's settings."""

import os
import re
import shlex
import tomllib
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import msgspec
import platformdirs
import tomli_w

from gleanset.config import Param, TomlTable, read_toml
from gleanset.errors import RecipeError
from gleanset.files.atomic import write_atomic
from gleanset.files.hub import HubFile, HubPin, query_hub

SETTINGS_FILE = "dataset.toml"
USER_FILE = "settings.toml"
_COMMENT = re.compile(r"""= *(?:"(?:[^"\\]|\\.)*"|'[^']*') *(#.*)""")
"""The comment behind a text of one line."""
_HEADING = "# Settings of this dataset. Keys and defaults: docs/dataset.md\n"
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class CropGeometry(TomlTable, frozen=True):
    """Cropping of faces.

    `margin` is the padding relative to the face box. `square` crops squares, `pad` pads at image
    borders instead of clamping, `level` rotates tilted faces upright, and faces under `min_size`
    pixels are left out.
    """

    margin: Annotated[float, msgspec.Meta(ge=0, le=3)] = 0.3
    square: bool = False
    pad: bool = False
    level: bool = False
    min_size: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0

    def __str__(self) -> str:
        """Return the canonical spelling; when it changes, faces are cropped again."""
        words = [word for word in ("square", "pad", "level") if getattr(self, word)]
        size = [f"min_size={self.min_size}"] if self.min_size else []
        return " ".join([f"margin={self.margin:g}", *words, *size])

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the settings from their canonical spelling, `margin=0.3 square min_size=40`."""
        values = {}
        for word in text.split():
            name, _, value = word.partition("=")
            values[name] = value

        return cls(
            margin=float(values["margin"]),
            square="square" in values,
            pad="pad" in values,
            level="level" in values,
            min_size=int(values.get("min_size", 0)),
        )


class CropSettings(CropGeometry, frozen=True):
    """Face detection and cropping.

    `detector` "auto" is the dataset's detector so far, else the default.
    """

    detector: str = "auto"
    threshold: Probability | None = None


class SplitSettings(TomlTable, frozen=True):
    """Split of the samples: ratio of train, val and test, and the random seed.

    `hold_out` ("source=pixiv", "video=episode-06.mkv") makes exactly that test. With
    `test_per_class` test has this number of images of each class instead of a share.
    """

    ratio: Annotated[
        str, Param("Ratio of train:val:test. Default: dataset.toml, else 8:1:1.")
    ] = "8:1:1"
    seed: Annotated[int, Param("Random seed. Default: dataset.toml, else 0.")] = 0
    hold_out: Annotated[
        tuple[str, ...],
        Param(
            "Use exactly this as test: source=pixiv or video=episode-06.mkv.",
            metavar="KIND=NAME",
        ),
    ] = ()
    test_per_class: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        Param(
            "Test images of each class; --ratio divides the others between train and val.",
            metavar="N",
        ),
    ] = None

    def describe(self) -> str:
        """Return the settings on one line, for people."""
        words = [f"ratio={self.ratio}", f"seed={self.seed}"]
        words += [shlex.quote(f"hold-out={name}") for name in self.hold_out]
        if self.test_per_class:
            words.append(f"test-per-class={self.test_per_class}")
        return " ".join(words)


class NetSettings(TomlTable, frozen=True):
    """Network access: a contact address for site operators, and limits.

    `threads` is the maximum number of concurrent requests, `per_host` the maximum for a host, and
    `delay` the minimum time in seconds between requests to a host. `seconds` is the timeout of a
    download with its redirects and retries.
    """

    contact: str | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    per_host: Annotated[int, msgspec.Meta(ge=1, le=64)] = 6
    delay: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0


PageLanguage = Literal["en", "zh", "ja"]
MAX_LINE_CHARACTERS = 200
Line = Annotated[str, msgspec.Meta(max_length=MAX_LINE_CHARACTERS)]
Paragraph = Annotated[str, msgspec.Meta(max_length=2000)]


class WebSettings(TomlTable, frozen=True):
    """The page of `webapp serve`.

    `languages` defaults to all; the first is the fallback. `run` is the id of a run, or a preset,
    which stands for its latest run; the default is the latest run of all. `classes` limits the
    classes that are shown. Below the probability `unknown_below` the prediction is "unknown". In
    "Check a folder", images with at least the confidence `sure_from` are selected. With `faces` the
    first screen shows a face of each class and an example. `contact` reaches the administrator;
    `description` and `contact` default to those of the dataset, `title` to a name other than the
    folder's.
    """

    title: Line | None = None
    languages: list[PageLanguage] = []
    run: str | None = None
    classes: list[str] = []
    unknown_below: Probability | None = None
    sure_from: Probability = 0.95
    faces: bool = False
    contact: Line | None = None
    description: Paragraph | None = None


class PluginUse(TomlTable, frozen=True):
    """A plugin that was used for the dataset: its kind, name and package."""

    kind: str
    name: str
    made_by: str


class Settings(TomlTable, frozen=True):
    """All settings in `dataset.toml`.

    `keys` maps class names to keys of the labeler. `name`, `description` and `contact` appear in
    cards, reports and on the page, unless `[web]` has its own. `title`, `author` and `citation` (a
    text, or an entry of BibTeX) say in exports how to cite the dataset. `hub` pins hub models to
    the revision of their first use; `plugin` lists the plugins that were used.
    """

    name: str | None = None
    title: Line | None = None
    author: Line | None = None
    citation: Paragraph | None = None
    description: Paragraph | None = None
    contact: Line | None = None
    keys: dict[str, str] = {}
    hub: dict[str, HubPin] = {}
    plugin: list[PluginUse] = []
    crop: CropSettings = CropSettings()
    split: SplitSettings = SplitSettings()
    net: NetSettings = NetSettings()
    web: WebSettings = WebSettings()

    def pin_of(self, file: HubFile) -> HubPin:
        """Return the pinned revision of a hub file, or ask the hub for it."""
        pin = None if file.revision else self.hub.get(file.key)
        return pin or query_hub(file)


def write_settings(root: Path, settings: Settings) -> None:
    """Write `dataset.toml`, without the settings that were left at their defaults."""
    _write_text(root, _HEADING + tomli_w.dumps(msgspec.to_builtins(settings)))


def restore_settings_file(root: Path) -> None:
    """Write `dataset.toml` if it is missing or empty."""
    if not _read_text(root).strip():
        write_settings(root, Settings())


def add_web(root: Path, web: WebSettings) -> bool:
    """Add `[web]` to `dataset.toml`; False if it has a different one, which is kept."""
    if read_own_settings(root).web == web:
        return True
    if "web" in tomllib.loads(_read_text(root)):
        return False
    append_tables(root, {"web": msgspec.to_builtins(web)})
    return True


def append_tables(root: Path, tables: dict[str, Any]) -> None:
    """Append tables to `dataset.toml` without changing the rest of the file."""
    _write_text(root, f"{_read_text(root).rstrip()}\n\n{tomli_w.dumps(tables)}")


def set_texts(root: Path, table: str, texts: Mapping[str, str | None]) -> None:
    """Set or remove (None) texts in a table of `dataset.toml`, "" for those above all tables.

    All other lines stay, and comments.
    """
    new_lines = {
        key: tomli_w.dumps({key: text})
        for key, text in texts.items()
        if text is not None
    }
    lines = []
    end = 0  # where new texts are inserted: after the last key of the table; 0 without a table
    is_inside = not table
    statement = ""
    for line in StringIO(_read_text(root).rstrip() + "\n"):
        statement += line
        try:
            values = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue  # a value of several lines

        if statement.lstrip().startswith("["):
            is_inside = values == {table: {}}
        elif is_inside and values.keys() & texts.keys():
            comment = _COMMENT.search(statement)
            statement = new_lines.pop(next(iter(values)), "")
            # The comment of a text that is removed gets a line of its own.
            if comment:
                statement = f"{statement.rstrip()}  {comment[1]}\n".lstrip()
        lines.append(statement)
        # Above all tables, the heading of the file counts as a key: texts come after it.
        if is_inside and (values or statement == _HEADING):
            end = len(lines)
        statement = ""

    if new_lines and table and not end:
        lines.append(f"\n[{table}]\n")
        end = len(lines)
    lines[end:end] = new_lines.values()
    _write_text(root, "".join(lines))


def _write_text(root: Path, text: str) -> None:
    path = root / SETTINGS_FILE
    # A table that was written inline, such as `web = {…}`, cannot be added to.
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(
            f"{path}: {error}",
            "write its tables out",
        ) from error
    write_atomic(path, text.lstrip().encode())


def _read_text(root: Path) -> str:
    """Return the text of `dataset.toml`, which may have been deleted."""
    path = root / SETTINGS_FILE
    # utf-8-sig: editors on Windows write a byte order mark.
    return path.read_text(encoding="utf-8-sig") if path.exists() else ""


def read_own_settings(root: Path) -> Settings:
    """Read `dataset.toml`; the defaults if it was deleted."""
    path = root / SETTINGS_FILE
    return read_toml(path, Settings) if path.exists() else Settings()


def read_settings(root: Path | None) -> Settings:
    """Read `dataset.toml`, overridden by the user's settings."""
    own = read_own_settings(root) if root else Settings()
    user = Path(platformdirs.user_config_dir("gleanset")) / USER_FILE
    # Unlike `Path.is_file`, this is False in the home of another user, as under `sudo -u`.
    if not os.path.isfile(user):  # noqa: PTH113
        return own

    read_toml(user, Settings)  # raises errors that name the key and the line
    # A value in the file wins, even if it is the default.
    values = tomllib.loads(user.read_text(encoding="utf-8-sig"))
    merged = msgspec.to_builtins(own)
    for key, value in values.items():
        is_table = isinstance(value, dict)
        merged[key] = {**merged.get(key, {}), **value} if is_table else value
    return msgspec.convert(merged, Settings)


def list_settings_warnings(root: Path) -> list[str]:
    """Return a warning if `dataset.toml` is lost."""
    if _read_text(root).strip():
        return []
    problem = "is empty" if (root / SETTINGS_FILE).exists() else "is missing"
    command = f"gleanset init -d {shlex.quote(str(root))}"
    return [
        f"{SETTINGS_FILE} {problem}: default settings are used; for a new file: {command}"
    ]
