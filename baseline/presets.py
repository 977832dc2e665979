"""Presets: named training settings, each a TOML file in `presets/`, and the `-o` overrides.

A preset names every setting, so the file is the whole truth about the defaults. An
override is text (`-o epochs=5`); what type it must have is read from `Settings`.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from typing import Any, Literal, get_args, get_type_hints

from gleanset.errors import UsageError

Colour = Literal["grayscale", "rgb"]
Optimiser = Literal["adam", "adamw", "sgd"]
Precision = Literal["auto", "fp32", "bf16"]


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a training run depends on besides the pictures. See `presets/simple.toml`."""

    preset: str
    size: int
    colour: Colour
    blocks: tuple[int, ...]
    dense: int
    dropout: float
    weight_decay: float
    optimiser: Optimiser
    learning_rate: float
    batch: int
    epochs: int
    patience: int
    seed: int
    augment: bool
    class_weights: bool
    precision: Precision = "auto"

    @property
    def channels(self) -> int:
        """Colour channels of a picture: 1 or 3."""
        return 1 if self.colour == "grayscale" else 3

    def to_json(self) -> dict[str, object]:
        """The settings as JSON values, which `settings_from` reads back."""
        return asdict(self) | {"blocks": list(self.blocks)}


def preset_names() -> list[str]:
    """The presets that come with Gleanset, sorted."""
    folder = resources.files("baseline") / "presets"
    return sorted(p.name[:-5] for p in folder.iterdir() if p.name.endswith(".toml"))


def load_preset(name: str, overrides: Mapping[str, str]) -> Settings:
    """The settings of preset `name` with `overrides` (text, as from `-o key=value`) on top.

    Raises UsageError for an unknown preset or key and for a value of the wrong type.
    """
    names = preset_names()
    if name not in names:
        raise UsageError(f"There is no preset '{name}'.{_meant(name, names)}", _list(names))
    text = (resources.files("baseline") / "presets" / f"{name}.toml").read_text("utf-8")
    values: dict[str, object] = tomllib.loads(text)
    for key, value in overrides.items():
        _known(key)
        values[key] = _from_text(key, value)
    return settings_from({"preset": name} | values)


def settings_from(values: Mapping[str, object]) -> Settings:
    """Check plain values (of a TOML or JSON file) and make Settings of them.

    Raises UsageError that names the first key that is unknown, missing or wrong.
    """
    for key in values:
        if key != "preset":
            _known(key)
    missing = [f.name for f in fields(Settings) if f.name not in {*values, "precision"}]
    if missing:
        raise UsageError(f"The setting '{missing[0]}' is missing.", "Take a packaged preset.")
    checked: dict[str, Any] = {key: _checked(key, value) for key, value in values.items()}
    return _joined(Settings(**checked))


def _joined(settings: Settings) -> Settings:
    """The settings, where the last block still leaves 2 x 2 values: fewer upset its norm."""
    if settings.size < 2 ** (len(settings.blocks) + 1):
        raise UsageError(
            f"Pictures of size {settings.size} are too small for {len(settings.blocks)} blocks.",
            "Take larger pictures (-o size=120) or fewer blocks (-o blocks=32,64,128)",
        )
    return settings


_TYPES = get_type_hints(Settings)
_KEYS = sorted(set(_TYPES) - {"preset"})
_SWITCH = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "0"), False
)
_AT_LEAST = {"size": 8, "blocks": 1, "dense": 1, "batch": 2, "epochs": 1, "patience": 1, "seed": 0}


def _known(key: str) -> None:
    if key not in _KEYS:
        raise UsageError(f"There is no setting '{key}'.{_meant(key, _KEYS)}", _list(_KEYS))


def _meant(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean '{close[0]}'?" if close else ""


def _list(names: Iterable[str]) -> str:
    return f"Choose one of: {', '.join(names)}"


def _from_text(key: str, text: str) -> object:
    """The value that `text` stands for; raises UsageError where it stands for none."""
    kind = _TYPES[key]
    readers: dict[object, Callable[[str], object]] = {
        int: int,
        float: float,
        bool: lambda t: _SWITCH[t.lower()],
        tuple[int, ...]: lambda t: tuple(int(part) for part in t.strip("[] ").split(",")),
    }
    try:
        return readers.get(kind, str)(text.strip())
    except (ValueError, KeyError):
        raise _wrong(key, text) from None


def _checked(key: str, value: object) -> object:
    """`value` in the type of the setting `key`; raises UsageError where it does not fit."""
    kind = _TYPES[key]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, list):
        value = tuple(value)
    if not _fits(key, value):
        raise _wrong(key, value)
    return value


def _fits(key: str, value: object) -> bool:
    kind = _TYPES[key]
    if kind in (bool, str):
        return isinstance(value, kind)
    if kind is int:
        return type(value) is int and value >= _AT_LEAST[key]
    if kind is float:
        return isinstance(value, float) and _in_range(key, value)
    if kind == tuple[int, ...]:
        return (
            isinstance(value, tuple)
            and bool(value)
            and all(type(v) is int and v >= _AT_LEAST[key] for v in value)
        )
    return value in get_args(kind)


def _in_range(key: str, value: float) -> bool:
    if key == "dropout":
        return 0 <= value < 1
    if key == "learning_rate":
        return 0 < value < math.inf
    return 0 <= value < math.inf


def _wrong(key: str, value: object) -> UsageError:
    return UsageError(
        f"The setting '{key}' cannot be '{value}'.",
        f"Expected {_expected(key)}, for example -o {key}={_EXAMPLES[key]}",
    )


_EXAMPLES = {
    "preset": "simple",
    "size": "120",
    "colour": "rgb",
    "blocks": "32,64,128",
    "dense": "128",
    "dropout": "0.3",
    "weight_decay": "0.0001",
    "optimiser": "adam",
    "learning_rate": "0.001",
    "batch": "64",
    "epochs": "30",
    "patience": "6",
    "seed": "0",
    "augment": "true",
    "class_weights": "false",
    "precision": "fp32",
}


def _expected(key: str) -> str:
    kind = _TYPES[key]
    if kind is int:
        return f"a whole number of {_AT_LEAST[key]} or more"
    if kind is float:
        return {
            "dropout": "a number from 0 to below 1",
            "learning_rate": "a number above 0",
        }.get(key, "a number of 0 or more")
    if kind is bool:
        return "true or false"
    if kind == tuple[int, ...]:
        return "whole numbers of 1 or more, separated by commas"
    return " or ".join(get_args(kind)) or "a name"
