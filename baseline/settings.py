"""Training settings: presets (TOML files in `presets/`) and `-o` overrides.

A preset has a value for every setting. Each training method has its own table of settings.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from itertools import chain
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta

from baseline.features.backbone_names import Ask, has_embedding, pin_names
from gleanset.config import TomlTable, did_you_mean
from gleanset.errors import UsageError
from gleanset.plugins import get_plugin_package, list_plugin_names, load_plugin

Count = Annotated[int, Meta(ge=1)]
WholeNumber = Annotated[int, Meta(ge=0)]
Share = Annotated[float, Meta(ge=0, lt=1)]
NotNegative = Annotated[float, Meta(ge=0, lt=1e6)]
Positive = Annotated[float, Meta(gt=0, lt=1e6)]
Precision = Literal["auto", "fp32", "bf16"]
Fit = Literal["stretch", "crop"]
"""How an image becomes a square: stretched, or cropped."""

Views = Annotated[int, Meta(ge=0, le=64)]
AUTO_VIEWS = {500: 8, 2000: 4}
"""Augmented views for 'auto' by the largest number of training images, ascending; beyond, 2. (Small
sets gain more from views, large ones take longer.)"""
Weights = Annotated[str, Meta(pattern=r"^(auto|\d+(\.\d+)?(,\d+(\.\d+)?)*)$")]


class CommonSettings(
    TomlTable, frozen=True, tag_field="method", kw_only=True, omit_defaults=True
):
    """Settings of all training methods; `presets/simple.toml` explains them.

    `plugin` is the package of the preset with its version, empty for ours.
    """

    preset: str
    plugin: str = ""
    size: Annotated[int, Meta(ge=8, le=2048)]
    colour: Literal["grayscale", "rgb"]
    augment: Literal["none", "characters", "photos"]
    balance: Literal["none", "weights"]
    seed: WholeNumber
    precision: Precision
    fit: Fit
    tensorboard: bool = False

    @property
    def method(self) -> str:
        """The name in `METHODS`."""
        return str(self.__struct_config__.tag)

    @property
    def channels(self) -> int:
        """Color channels of an image: 1 or 3."""
        return 1 if self.colour == "grayscale" else 3

    @property
    def mirroring(self) -> str:
        """Whether training mirrors images, and how to turn it off."""
        # Methods on features need augmented views for it.
        if self.augment == "none" or getattr(self, "views", None) == 0:
            return "off: no augmentation"
        return "half of the training images are mirrored; -o augment=none turns augmentation off"

    def to_json(self) -> dict[str, object]:
        """Return the settings as JSON values for `parse_settings`."""
        return dict(msgspec.json.decode(msgspec.json.encode(self)))


class GradientSettings(CommonSettings, frozen=True):
    """Settings of gradient descent."""

    optimiser: Literal["adam", "adamw", "adamax", "sgd"]
    learning_rate: Positive
    epochs: Count
    patience: Count
    dropout: Share
    weight_decay: NotNegative


class Simple(GradientSettings, frozen=True, tag="simple"):
    """A small convolutional network trained from scratch."""

    blocks: Annotated[tuple[Count, ...], Meta(min_length=1)]
    dense: Count
    batch: Annotated[int, Meta(ge=2)]


class Transfer(CommonSettings, frozen=True, tag="transfer"):
    """A logistic regression on the features of a frozen backbone.

    `strength` is the inverse regularization, scikit-learn's `C`; 0 chooses it
    (`train/methods/logistic.py`). `views` are augmented views in addition to the plain one.
    `part_weights` is 'auto', or the weight of each backbone after the first: `0.5` or `0.5,1`.
    """

    backbone: str
    weights: str
    views: Views | Literal["auto"]
    strength: NotNegative
    part_weights: Weights


class Finetune(GradientSettings, frozen=True, tag="finetune"):
    """A backbone trained with its head, after `warm_up` epochs of the head alone."""

    backbone: str
    weights: str
    warm_up: WholeNumber
    batch: Annotated[int, Meta(ge=2)]


class Triplet(GradientSettings, frozen=True, tag="triplet"):
    """A projection of cached features to an embedding, trained by triplet loss.

    A batch is `classes_per_batch` x `images_per_class`. `part_weights` is as in `Transfer`.
    """

    backbone: str
    weights: str
    views: Views
    embedding: Annotated[int, Meta(ge=2)]
    classes_per_batch: Annotated[int, Meta(ge=2)]
    images_per_class: Annotated[int, Meta(ge=2)]
    margin: Positive
    part_weights: Weights


Settings = Simple | Transfer | Finetune | Triplet
METHODS: dict[str, type[Settings]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(Settings)
}
_NOT_SETTABLE = {"preset", "plugin"}


def choose_views(settings: Transfer | Triplet, images: int) -> int:
    """Return the number of augmented views for this number of training images."""
    if settings.views != "auto":
        return settings.views
    for max_images, views in AUTO_VIEWS.items():
        if images <= max_images:
            return views
    # More images than any of `AUTO_VIEWS`: the fewest views, to save time.
    return 2


def preset_names() -> list[str]:
    """Return the names of our presets, sorted."""
    names = [file.name for file in (resources.files("baseline") / "presets").iterdir()]
    return sorted(
        name.removesuffix(".toml") for name in names if name.endswith(".toml")
    )


def validate_preset_values(name: str, values: Any) -> dict[str, Any]:
    """Check the settings of a plugin's preset. Raises `TypeError`, `UsageError`."""
    if not isinstance(values, Mapping):
        raise TypeError("not a mapping of settings")
    if reserved_names := _NOT_SETTABLE & values.keys():
        raise TypeError(f"reserved setting: {min(reserved_names)!r}")
    parse_settings({"preset": name, **values})
    return dict(values)


def check_preset(name: str) -> str:
    """Check the name of a preset and return it. Raises `UsageError`."""
    names = preset_names()
    if name in names:
        return name
    if load_plugin("presets", name, validate_preset_values) is not None:
        return name

    names += list_plugin_names("presets", names)
    suggestion = did_you_mean(name, names, _SUGGESTION)
    raise UsageError(
        f"unknown preset: '{name}'{suggestion}",
        _choices(names),
    )


def load_preset(
    name: str, overrides: Mapping[str, str], ask: Ask | None = None
) -> Settings:
    """Load a preset with `overrides` as text, such as {'epochs': '10'}.

    `ask` resolves the name of an embedding model to a file. Raises UsageError for an unknown
    preset or key or a wrong value, and what `ask` raises.
    """
    values = _preset_values(name)
    kind = _settings_class(values)
    keys = _list_settable_keys(kind)
    for key, value in overrides.items():
        if key not in keys:
            suggestion = did_you_mean(key, keys, _SUGGESTION)
            raise UsageError(
                f"unknown setting: '{key}'{suggestion}",
                _choices(keys),
            )
        values[key] = _parse_value(kind, key, value)

    if "backbone" in values:
        values["backbone"] = pin_names(str(values["backbone"]), ask)
    return parse_settings({"preset": name} | values)


def _preset_values(name: str) -> dict[str, Any]:
    check_preset(name)
    if name not in preset_names():
        values = load_plugin("presets", name, validate_preset_values) or {}
        return {**values, "plugin": get_plugin_package("presets", name)}

    file = resources.files("baseline") / "presets" / f"{name}.toml"
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"cannot read preset '{name}': {error}", f"correct {file}"
        ) from error


def parse_settings(values: Mapping[str, object]) -> Settings:
    """Convert plain values (of a TOML or JSON file) to Settings.

    Raises UsageError for the first key that is unknown, missing or wrong.
    """
    kind = _settings_class(values)
    try:
        settings: Settings = msgspec.convert(
            dict(values),
            kind,
            strict=True,
        )
    except msgspec.ValidationError as error:
        raise _validation_error(kind, values, str(error)) from error
    _check_combination(settings)
    return settings


def _settings_class(values: Mapping[str, object]) -> type[Settings]:
    method = values.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise UsageError(
            f"unknown training method: '{method}'",
            _choices(METHODS),
        )
    return METHODS[method]


def _validation_error(
    kind: type[Settings], values: Mapping[str, object], message: str
) -> UsageError:
    # msgspec has the key only in its message: "Expected `int` - at `$.blocks[0]`".
    problem, _, path = message.partition(" - at `$.")
    key = re.split(r"[`\[]", path)[0]
    # Only a missing key has no path.
    if not key:
        keys = ", ".join(_list_settable_keys(kind))
        return UsageError(
            f"invalid settings: {message}",
            f"method '{kind.__struct_config__.tag}' needs all of: {keys}",
        )

    choices = _list_choices(get_type_hints(kind)[key])
    fix = f"use {' or '.join(choices)}" if choices else _plain_message(problem)
    return UsageError(
        f"invalid value of setting '{key}': '{values[key]}'",
        fix,
    )


def _list_choices(kind: Any) -> list[str]:
    """Return the words that a setting may be; empty if it is not one of some words."""
    # `Literal["a", "b"]`, or a union of one and other types: words are arguments of either.
    arguments = get_args(kind)
    values = chain.from_iterable(map(get_args, (kind, *arguments)))
    choices = [value for value in values if isinstance(value, str)]
    if choices and int in arguments:
        choices.append("an integer")
    return choices


_WORDS_OF_TYPES = {
    "`int`": "an integer",
    "`float`": "a number",
    "`str`": "text",
    "`array`": "integers separated by commas",
}


def _plain_message(problem: str) -> str:
    """Return msgspec's message in words for people who do not write Python."""
    for type_name, words in _WORDS_OF_TYPES.items():
        problem = problem.replace(type_name, words)
    return problem.partition(", got")[0].replace("`", "").replace("Expected", "use")


def _check_combination(settings: Settings) -> None:
    if isinstance(settings, Simple):
        blocks = len(settings.blocks)
        # Each block halves the image; the last must leave 2 x 2 values for its batch norm.
        if settings.size < 2 ** (blocks + 1):
            raise UsageError(
                f"images of size {settings.size} are too small for {blocks} blocks",
                "use larger images (-o size=120) or fewer blocks (-o blocks=32,64,128)",
            )
    if settings.tensorboard and isinstance(settings, Transfer):
        raise UsageError(
            f"preset {settings.preset} has no epochs to log for TensorBoard",
            "leave out tensorboard; presets with epochs: simple, finetune, mobile, triplet",
        )
    if isinstance(settings, Finetune) and has_embedding(settings.backbone):
        raise UsageError(
            "an embedding model cannot be fine-tuned",
            "train on its features: --preset transfer or triplet",
        )


def _list_settable_keys(kind: type[Settings]) -> list[str]:
    return sorted(set(kind.__struct_fields__) - _NOT_SETTABLE)


_SUGGESTION = ". Did you mean '{}'?"


def _choices(names: Iterable[str]) -> str:
    return f"use one of: {', '.join(names)}"


def _parse_value(kind: type[Settings], key: str, text: str) -> object:
    value: object = text.strip()
    # The only setting that is a list.
    if key == "blocks":
        value = [number.strip() for number in text.strip("[] ").split(",")]

    # Without strictness, texts are converted to numbers.
    try:
        return msgspec.convert(
            value,
            get_type_hints(kind)[key],
            strict=False,
        )
    except msgspec.ValidationError as error:
        problem = str(error).partition(" - at ")[0]
        raise _validation_error(
            kind, {key: text}, f"{problem} - at `$.{key}`"
        ) from error
