"""Presets: named training settings, each a TOML file in `presets/`, and the `-o` overrides.

A preset names every setting, so the file is the whole truth about the defaults. Each method of
training has its own table of settings, and an option that it does not know is refused.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from baseline.features.backbone_names import Ask, has_embedding, pinned_names
from gleanset.config import TomlTable, did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import load_plugin, made_by, plugin_names

Count = Annotated[int, Meta(ge=1)]
Whole = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
NotNegative = Annotated[float, Meta(ge=0, lt=1e6)]
Positive = Annotated[float, Meta(gt=0, lt=1e6)]
Precision = Literal["auto", "fp32", "bf16"]
Fit = Literal["stretch", "crop"]
"""How a picture that is no square becomes one: its proportions are given up, or what stands out."""

Views = Annotated[int, Meta(ge=0, le=64)]
AUTO_VIEWS = {500: 8, 2000: 4}
"""Augmented views that 'auto' gives each of at most so many pictures; 2 where there are more. (The
fewer, the more views tell of what differs within a class; the more, the longer each view takes.)"""
Weights = Annotated[str, Meta(pattern=r"^(auto|\d+(\.\d+)?(,\d+(\.\d+)?)*)$")]


class CommonSettings(TomlTable, frozen=True, tag_field="method", kw_only=True):
    """What every method of training is told; the comments in `presets/simple.toml` explain it.

    Runs of a time before `fit` was a setting stretched their pictures. `plugin` is the package that
    brought the preset, with its version, where that is not ours.
    """

    preset: str
    plugin: str = ""
    size: Annotated[int, Meta(ge=8, le=2048)]
    colour: Literal["grayscale", "rgb"]
    augment: Literal["none", "characters", "photos"]
    balance: Literal["none", "weights", "sampling"]
    seed: Whole
    precision: Precision
    fit: Fit = "stretch"

    @property
    def method(self) -> str:
        """Its name in `METHODS`."""
        return str(self.__struct_config__.tag)

    @property
    def uses_gradients(self) -> bool:
        """Whether what learns by these settings descends along gradients."""
        return True

    @property
    def channels(self) -> int:
        """Colour channels of a picture: 1 or 3."""
        return 1 if self.colour == "grayscale" else 3

    def to_json(self) -> dict[str, object]:
        """Return the settings as JSON values, which `parse_settings` reads back."""
        plain: dict[str, object] = msgspec.json.decode(msgspec.json.encode(self))
        return plain if self.plugin else {k: v for k, v in plain.items() if k != "plugin"}


class GradientSettings(CommonSettings, frozen=True):
    """What a method is told that learns by gradient descent."""

    optimiser: Literal["adam", "adamw", "adamax", "sgd"]
    learning_rate: Positive
    epochs: Count
    patience: Count
    dropout: Share
    weight_decay: NotNegative


class Simple(GradientSettings, frozen=True, tag="simple"):
    """A small convolutional network trained from nothing."""

    blocks: Annotated[tuple[Count, ...], Meta(min_length=1)]
    dense: Count
    batch: Annotated[int, Meta(ge=2)]


class Transfer(GradientSettings, frozen=True, tag="transfer"):
    """A head on the features of a backbone that stays as it is.

    With head 'logistic' nothing descends: `strength` is the inverse of the penalty as in
    scikit-learn's `C`, and 0 lets it be chosen; `train/methods/logistic.py` has the penalty.
    `views` are augmented ones besides the plain one; 'auto' goes by `AUTO_VIEWS`.
    `part_weights` is 'auto', or the weight of each backbone after the first: `0.5` or `0.5,1`.
    """

    backbone: str
    weights: str
    views: Views | Literal["auto"]
    head: Literal["logistic", "linear", "mlp"]
    dense: Count
    strength: NotNegative
    batch: Annotated[int, Meta(ge=2)]
    part_weights: Weights = "auto"

    @property
    def uses_gradients(self) -> bool:
        """Whether the head descends along gradients."""
        return self.head != "logistic"


class Finetune(GradientSettings, frozen=True, tag="finetune"):
    """A backbone that learns as well, after `warm_up` epochs of its head alone."""

    backbone: str
    weights: str
    warm_up: Whole
    batch: Annotated[int, Meta(ge=2)]


class Triplet(GradientSettings, frozen=True, tag="triplet"):
    """An embedding in which pictures of one class lie together.

    A batch is `classes_per_batch` x `pictures_per_class`. `learn` is what is trained: the
    projection of cached features, or the backbone as well. `part_weights` as in `Transfer`.
    """

    backbone: str
    weights: str
    views: Views
    learn: Literal["projection", "all"]
    embedding: Annotated[int, Meta(ge=2)]
    classes_per_batch: Annotated[int, Meta(ge=2)]
    pictures_per_class: Annotated[int, Meta(ge=2)]
    margin: Positive
    part_weights: Weights = "auto"


Settings = Simple | Transfer | Finetune | Triplet
METHODS: dict[str, type[Settings]] = {
    "simple": Simple,
    "transfer": Transfer,
    "finetune": Finetune,
    "triplet": Triplet,
}
_NOT_ITS_OWN = {"preset", "plugin"}
_DESCENT = {"optimiser", "learning_rate", "epochs", "patience", "dropout", "weight_decay", "batch"}
UNUSED_SETTINGS_BY_HEAD = {
    "logistic": _DESCENT | {"dense"},
    "linear": {"strength", "dense"},
    "mlp": {"strength"},
}
"""Settings of `Transfer` that have no say, by its head."""


def resolve_views(settings: Transfer | Triplet, pictures: int) -> int:
    """Return how many augmented views each of so many pictures of train is given."""
    if settings.views != "auto":
        return settings.views
    return next((views for most, views in AUTO_VIEWS.items() if pictures <= most), 2)


def preset_names() -> list[str]:
    """Return the presets that come with Gleanset, sorted."""
    folder = resources.files("baseline") / "presets"
    return sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml"))


def validate_preset_values(name: str, brought: Any) -> dict[str, Any]:
    """Return the settings of another package's preset. Raises what is wrong with them."""
    if not isinstance(brought, Mapping):
        raise TypeError("it is no mapping of settings")
    if own := _NOT_ITS_OWN & brought.keys():
        raise TypeError(f"it says {min(own)!r}, which is not for it to say")
    parse_settings({"preset": name, **brought})
    return dict(brought)


def check_preset(name: str) -> str:
    """Return the name of a preset. Raises `UsageError` where no preset has that name."""
    names = preset_names()
    if name == "auto":
        raise UsageError(
            "there is no preset 'auto' any more",
            "docs/training.md says which preset is for what; start with --preset transfer",
        )
    if name not in names and load_plugin("presets", name, validate_preset_values) is None:
        names = [*names, *plugin_names("presets", names)]
        near = did_you_mean(name, names, _NEAREST)
        raise UsageError(f"There is no preset '{name}'.{near}", _list(names))
    return name


def load_preset(name: str, overrides: Mapping[str, str], ask: Ask | None = None) -> Settings:
    """Return the settings of preset `name` with `overrides` (text, as from `-o key=value`) on top.

    `ask` says which file an embedding's name stands for, which else is left open. Raises UsageError
    for an unknown preset or key and for a value of the wrong type, and what `ask` raises.
    """
    values = _preset_values(name)
    shape = _shape_of(values)
    for key, value in overrides.items():
        _known(shape, key)
        values[key] = _from_text(shape, key, value)
    if "backbone" in values:
        values["backbone"] = pinned_names(str(values["backbone"]), ask)
    settings = parse_settings({"preset": name} | values)
    _check_used(settings, overrides)
    return settings


def _preset_values(name: str) -> dict[str, Any]:
    check_preset(name)
    if name not in preset_names():
        values = load_plugin("presets", name, validate_preset_values) or {}
        return {**values, "plugin": made_by("presets", name)}
    file = resources.files("baseline") / "presets" / f"{name}.toml"
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"The preset '{name}' cannot be read: {error}.", f"Mend {file}") from error


def parse_settings(values: Mapping[str, object]) -> Settings:
    """Check plain values (of a TOML or JSON file) and make Settings of them.

    Raises UsageError that names the first key that is unknown, missing or wrong.
    """
    shape = _shape_of(values)
    try:
        found: Settings = msgspec.convert(dict(values), shape, strict=True)
    except msgspec.ValidationError as error:
        raise _explained(shape, values, str(error)) from error
    return _joined(found)


def _shape_of(values: Mapping[str, object]) -> type[Settings]:
    method = values.get("method")
    shape = METHODS.get(method) if isinstance(method, str) else None
    if shape is None:
        raise UsageError(f"There is no method '{method}' of training.", _list(METHODS))
    return shape


def _explained(shape: type[Settings], values: Mapping[str, object], message: str) -> UsageError:
    problem, _, place = message.partition(" - at `$.")
    key = re.split(r"[`\[]", place)[0]
    if not key:
        keys = ", ".join(sorted(set(shape.__struct_fields__) - _NOT_ITS_OWN))
        return UsageError(
            f"The settings are wrong: {message}.",
            f"Those of method '{shape.__struct_config__.tag}' are all to be given: {keys}",
        )
    words = _words(get_type_hints(shape)[key])
    expected = f"Choose {' or '.join(words)}" if words else _plainly(problem)
    return UsageError(f"The setting '{key}' cannot be '{values[key]}'.", expected)


def _words(kind: Any) -> list[str]:
    parts = get_args(kind)
    words = [word for one in (kind, *parts) for word in get_args(one) if isinstance(word, str)]
    return [*words, "a whole number"] if int in parts and words else words


def _plainly(problem: str) -> str:
    """Return msgspec's verdict for somebody who does not write Python."""
    for theirs, ours in {
        "`int`": "a whole number",
        "`float`": "a number",
        "`str`": "text",
        "`array`": "whole numbers with commas between",
    }.items():
        problem = problem.replace(theirs, ours)
    return problem.partition(", got")[0].replace("`", "")


def _joined(settings: Settings) -> Settings:
    """Return the settings; raise `UsageError` where values fine alone do not go together."""
    if isinstance(settings, Simple) and settings.size < 2 ** (len(settings.blocks) + 1):
        # The last block must leave 2 x 2 values: fewer upset its norm.
        raise UsageError(
            f"Pictures of size {settings.size} are too small for {len(settings.blocks)} blocks.",
            "Take larger pictures (-o size=120) or fewer blocks (-o blocks=32,64,128)",
        )
    if (
        isinstance(settings, Finetune)
        or (isinstance(settings, Triplet) and settings.learn == "all")
    ) and has_embedding(settings.backbone):
        raise UsageError(
            "an embedding model cannot be trained further",
            "Learn on what it makes of pictures: --preset transfer, or triplet without learn=all",
        )
    return settings


def _check_used(settings: Settings, overrides: Mapping[str, str]) -> None:
    if not isinstance(settings, Transfer):
        return
    if idle := UNUSED_SETTINGS_BY_HEAD[settings.head] & set(overrides):
        heads = [head for head, unused in UNUSED_SETTINGS_BY_HEAD.items() if not idle & unused]
        raise UsageError(
            f"'{min(idle)}' has no meaning for a {settings.head} head.",
            f"Add -o head={' or -o head='.join(heads)}" if heads else "Leave some of them away",
        )


def _known(shape: type[Settings], key: str) -> None:
    keys = sorted(set(shape.__struct_fields__) - _NOT_ITS_OWN)
    if key not in keys:
        near = did_you_mean(key, keys, _NEAREST)
        raise UsageError(f"There is no setting '{key}' here.{near}", _list(keys))


_NEAREST = " Did you mean '{}'?"


def _list(names: Iterable[str]) -> str:
    return f"Choose one of: {', '.join(names)}"


def _from_text(shape: type[Settings], key: str, text: str) -> object:
    value: object = text.strip()
    if key == "blocks":
        value = [part.strip() for part in text.strip("[] ").split(",")]
    try:
        return msgspec.convert(value, get_type_hints(shape)[key], strict=False)
    except msgspec.ValidationError as error:
        problem = str(error).partition(" - at ")[0]
        raise _explained(shape, {key: text}, f"{problem} - at `$.{key}`") from error
