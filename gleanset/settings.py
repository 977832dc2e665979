"""What a person decides about a dataset: `dataset.toml`, then user settings, environment, flags."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_origin, get_type_hints

import msgspec
import platformdirs
import tomli_w

from gleanset.config import Param, TomlTable, drop_gone, read_toml
from gleanset.errors import RecipeError
from gleanset.files.atomic import write_atomic
from gleanset.files.hub import HubFile, HubPin, ask_hub

FILE = "dataset.toml"
USER_FILE = "settings.toml"


class CropSettings(TomlTable, frozen=True):
    """How faces are found and cut.

    `detector` "auto" is who has searched the pictures so far, else the best. `margin` is relative
    to the face box. `square` cuts, `pad` at the borders of a picture instead of clamping, `level`
    tilted faces, and leave out faces under `min_size` pixels.
    """

    detector: str = "auto"
    threshold: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    margin: Annotated[float, msgspec.Meta(ge=0, le=3)] = 0.3
    square: bool = False
    pad: bool = False
    level: bool = False
    min_size: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 0


class SplitSettings(TomlTable, frozen=True):
    """How samples are split: train:val:test and the seed.

    `counts` of each class take the place of `ratio`, such as "100:20:20" or "rest:20:20", and
    `folds` that of both; `fold` is then test. `hold_out` ("source=pixiv", "video=episode-06.mkv")
    is all of test.
    """

    ratio: Annotated[str, Param("train:val:test. Default: dataset.toml, else 8:1:1.")] = "8:1:1"
    seed: Annotated[int, Param("Default: dataset.toml, else 0.")] = 0
    counts: Annotated[
        str | None,
        Param(
            "Of each class so many in train, val and test, such as 100:20:20; what is more has no "
            "split. rest:20:20 leaves nothing out.",
            metavar="N:N:N",
        ),
    ] = None
    folds: Annotated[int, Param("K folds of equal size, to cross-validate.", metavar="K")] = 0
    fold: Annotated[
        int, Param("The fold that is test now, from 1 on; the next one is val.", metavar="N")
    ] = 1
    hold_out: Annotated[
        tuple[str, ...],
        Param(
            "source=pixiv or video=episode-06.mkv: test is all of that and nothing else.",
            metavar="KIND=NAME",
        ),
    ] = ()


class NetSettings(TomlTable, frozen=True):
    """How the net is used: who to write to about our requests, and how hard to work.

    `threads` is how many requests are under way at a time, of them `per_host` on one host, whose
    starts are `delay` seconds apart. `seconds` is what one download may take, redirects and retries
    included.
    """

    contact: str | None = None
    threads: Annotated[int, msgspec.Meta(ge=1, le=256)] = 16
    per_host: Annotated[int, msgspec.Meta(ge=1, le=64)] = 6
    delay: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0.0
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 60.0


Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
PageLanguage = Literal["en", "zh", "ja"]
LONGEST_LINE = 200
Line = Annotated[str, msgspec.Meta(max_length=LONGEST_LINE)]
Paragraph = Annotated[str, msgspec.Meta(max_length=2000)]


class WebSettings(TomlTable, frozen=True):
    """What the page of `webapp serve` shows.

    Its `title`, and the `languages` it offers (all where none are named; a visitor who wants none
    of them gets the first). `run` is which run answers: its id, or a preset of which it is the
    newest; the newest of all where nothing is said. Only `classes` are shown, all where none are
    named. Below the probability `unknown_below` the answer is "unknown", whatever the run itself
    would say; of a whole folder, pictures are ticked from `sure_from` on. With `faces` the first
    screen shows a face of each class and a picture to try. `contact` is how to reach who runs the
    page, `description` what the model is for; title too, they are the dataset's where none is said.
    """

    title: Line | None = None
    languages: list[PageLanguage] = msgspec.field(default_factory=list)
    run: str | None = None
    classes: list[str] = msgspec.field(default_factory=list)
    unknown_below: Probability | None = None
    sure_from: Probability = 0.95
    faces: bool = False
    contact: Line | None = None
    description: Paragraph | None = None


HERE = "here"
CLUSTER = re.compile(r"ray://([^\s/:@]+:\d{1,5})")
Place = Annotated[str, msgspec.Meta(pattern=rf"^{HERE}$|^ray://[^:]+:[0-9]+$")]


class WorkSettings(TomlTable, frozen=True):
    """Where heavy work runs: `here`, or on the nodes of a Ray cluster, "ray://HOST:PORT"."""

    on: Place = HERE


class StoreSettings(TomlTable, frozen=True):
    """Folders of the dataset's files, relative to the dataset: on another disk, say."""

    images: str = "images"
    crops: str = "crops"
    exports: str = "exports"
    runs: str = "runs"

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not (place := getattr(self, name)) or "://" in place:
                raise ValueError(f"{name} is not a folder: {place!r} (docs/dataset.md#store)")


class PluginUse(TomlTable, frozen=True):
    """What of another package had a part in the dataset: its kind and name, and who brought it."""

    kind: str
    name: str
    made_by: str


class Settings(TomlTable, frozen=True):
    """All of `dataset.toml`. `keys` are the labeler's: class name to key.

    Its `name`, a `description` in a sentence or two and how to reach whoever made it (`contact`)
    stand in cards and reports; the page of `webapp serve` takes name and contact where `[web]` has
    none. `hub` has what names on a hub stood for when they were first used here, `plugin` the
    sources of other packages that were asked.
    """

    GONE: ClassVar[tuple[str, ...]] = ("target", "split.most")

    name: str | None = None
    description: Paragraph | None = None
    contact: Line | None = None
    keys: dict[str, str] = msgspec.field(default_factory=dict)
    hub: dict[str, HubPin] = msgspec.field(default_factory=dict)
    plugin: list[PluginUse] = msgspec.field(default_factory=list)
    crop: CropSettings = CropSettings()
    split: SplitSettings = SplitSettings()
    net: NetSettings = NetSettings()
    work: WorkSettings = WorkSettings()
    store: StoreSettings = StoreSettings()
    web: WebSettings = WebSettings()

    @property
    def page(self) -> WebSettings:
        """What the page shows: `[web]`, with what is said of the dataset where that is silent."""
        own = {"title": (self.name or "")[:LONGEST_LINE] or None, "contact": self.contact}
        own["description"] = self.description
        silent = {name: text for name, text in own.items() if not getattr(self.web, name)}
        return msgspec.structs.replace(self.web, **silent)

    def pin_of(self, file: HubFile) -> HubPin:
        """Return what a name on a hub stands for: as kept here, else, and with a revision, now."""
        return (None if file.revision else self.hub.get(file.key)) or ask_hub(file)


def write_settings(root: Path, settings: Settings) -> None:
    """Write `dataset.toml`, with only what differs from the defaults."""
    plain = _changed(msgspec.to_builtins(settings), msgspec.to_builtins(Settings()))
    text = "# What you decide about this dataset. Keys and defaults: docs/dataset.md\n"
    write_atomic(root / FILE, (text + tomli_w.dumps(plain)).encode())


def add_web(root: Path, web: WebSettings) -> bool:
    """Write `[web]` into `dataset.toml`; False where it has another one, which stays."""
    own, text = read_toml(root / FILE, Settings), (root / FILE).read_text(encoding="utf-8-sig")
    if own.web == web or "web" in tomllib.loads(text):
        return own.web == web
    append_tables(
        root, {"web": _changed(msgspec.to_builtins(web), msgspec.to_builtins(WebSettings()))}
    )
    return True


def append_tables(root: Path, tables: dict[str, Any]) -> None:
    """Write tables below what stands in `dataset.toml`, which is left as it is."""
    text = f"{(root / FILE).read_text(encoding='utf-8-sig').rstrip()}\n\n{tomli_w.dumps(tables)}"
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{root / FILE}: {error}", "write its tables out") from error
    write_atomic(root / FILE, text.encode())


def read_settings(root: Path | None) -> Settings:
    """`dataset.toml`, if there is a dataset, over it the user's own settings, then the environment.

    The environment is `GLEANSET_<TABLE>_<KEY>`, such as `GLEANSET_CROP_MARGIN=0.4`; a list is
    written with commas (`GLEANSET_SPLIT_HOLD_OUT=source=pixiv,source=bing`).
    """
    own = Settings() if root is None else read_toml(root / FILE, Settings)
    merged = msgspec.to_builtins(own)
    user = Path(platformdirs.user_config_dir("gleanset")) / USER_FILE
    if _is_there(user):
        read_toml(user, Settings)
        # What stands in the file wins, also where it is the default.
        own_file = tomllib.loads(user.read_text(encoding="utf-8-sig"))
        drop_gone(own_file, Settings)
        _merge(merged, own_file)
    _merge(merged, _from_environment())
    try:
        return msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        name = f"GLEANSET_{place.rstrip('`').partition('[')[0].replace('.', '_').upper()}"
        raise RecipeError(
            f"the environment variable {name} has a wrong value: {problem}", "unset or fix it"
        ) from error


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # in a home that is not ours, as under `sudo -u`
        return False


def _from_environment() -> dict[str, Any]:
    settings: dict[str, Any] = {}
    hints = get_type_hints(Settings).items()
    tables = {k: v for k, v in hints if isinstance(v, type) and issubclass(v, TomlTable)}
    for table, shape in tables.items():
        for field in msgspec.structs.fields(shape):
            name = f"GLEANSET_{table}_{field.name}".upper()
            if value := os.environ.get(name):
                is_list = get_origin(get_type_hints(shape)[field.name]) in (list, tuple)
                items = [item.strip() for item in value.split(",") if item.strip()]
                settings.setdefault(table, {})[field.name] = items if is_list else value
    return settings


def _merge(base: dict[str, Any], over: dict[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _changed(values: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(defaults.get(key), dict):
            value = _changed(value, defaults[key])
            if not value:
                continue
        if value != defaults.get(key):
            changed[key] = value
    return changed
