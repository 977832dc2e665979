from __future__ import annotations

import json

import pytest

from baseline.presets import Settings, load_preset, preset_names, settings_from
from gleanset.errors import UsageError


def test_simple_is_as_promised() -> None:
    simple = load_preset("simple", {})
    assert "simple" in preset_names()
    assert (simple.preset, simple.size, simple.colour) == ("simple", 120, "grayscale")
    assert (simple.blocks, simple.dense, simple.batch) == ((32, 64, 128), 128, 64)
    assert (simple.epochs, simple.patience, simple.seed) == (30, 6, 0)
    assert simple.channels == 1


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("epochs", "5", 5),
        ("blocks", "8, 16", (8, 16)),
        ("blocks", "[8,16]", (8, 16)),
        ("learning_rate", "1", 1.0),
        ("weight_decay", "0", 0.0),
        ("augment", "off", False),
        ("class_weights", "True", True),
        ("colour", "rgb", "rgb"),
        ("precision", "fp32", "fp32"),
    ],
)
def test_override(key: str, text: str, value: object) -> None:
    found = getattr(load_preset("simple", {key: text}), key)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("epochs", "many", "whole number of 1 or more"),
        ("epochs", "0", "whole number of 1 or more"),
        ("epochs", "2.5", "whole number"),
        ("batch", "1", "whole number of 2 or more"),
        ("dropout", "1", "0 to below 1"),
        ("learning_rate", "nan", "above 0"),
        ("weight_decay", "-1", "0 or more"),
        ("augment", "maybe", "true or false"),
        ("optimiser", "adamax", "adam or adamw or sgd"),
        ("blocks", "32,x", "separated by commas"),
        ("blocks", "", "separated by commas"),
        ("size", "120.0", "whole number"),
    ],
)
def test_wrong_value_names_key_and_expectation(key: str, text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_preset("simple", {key: text})
    assert f"'{key}'" in caught.value.what
    assert expected in caught.value.mend


def test_unknown_key_suggests_and_lists() -> None:
    with pytest.raises(UsageError) as caught:
        load_preset("simple", {"epoch": "5"})
    assert "Did you mean 'epochs'?" in caught.value.what
    assert "learning_rate" in caught.value.mend
    with pytest.raises(UsageError):
        load_preset("simple", {"preset": "other"})


def test_unknown_preset() -> None:
    with pytest.raises(UsageError, match="Did you mean 'simple'") as caught:
        load_preset("simpel", {})
    assert "simple" in caught.value.mend


def test_settings_survive_json() -> None:
    settings = load_preset("simple", {"blocks": "4,8", "learning_rate": "0.02"})
    assert settings_from(json.loads(json.dumps(settings.to_json()))) == settings


def test_missing_setting_is_named() -> None:
    values = load_preset("simple", {}).to_json()
    del values["epochs"]
    with pytest.raises(UsageError, match="'epochs' is missing"):
        settings_from(values)
    assert isinstance(load_preset("simple", {}), Settings)


def test_more_blocks_than_the_picture_has_room_for() -> None:
    assert load_preset("simple", {"size": "16"}).size == 16
    with pytest.raises(UsageError, match="too small for 4 blocks"):
        load_preset("simple", {"size": "16", "blocks": "4,4,4,4"})
