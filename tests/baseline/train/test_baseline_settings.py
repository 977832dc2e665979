"""Settings and presets, and the examples of `docs/training.md`."""

import json
import re
import shutil
from pathlib import Path

import pytest
from tools_for_tests import ROOT

from baseline import settings
from baseline.settings import (
    METHODS,
    Finetune,
    Simple,
    Transfer,
    Triplet,
    choose_views,
    load_preset,
    parse_settings,
    preset_names,
)
from gleanset.errors import UsageError


def test_shipped_presets() -> None:
    kinds = {"simple": Simple, "transfer": Transfer, "triplet": Triplet}
    kinds |= {"finetune": Finetune, "mobile": Finetune}
    assert kinds.keys() <= set(preset_names())
    assert all(isinstance(load_preset(name, {}), kind) for name, kind in kinds.items())
    transfer = load_preset("transfer", {})
    assert transfer.weights == "packaged"
    assert transfer.backbone.startswith("efficientnet_lite0")


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("epochs", "5", 5),
        ("blocks", "8, 16", (8, 16)),
        ("learning_rate", "1", 1.0),
        ("augment", "none", "none"),
    ],
)
def test_override_is_parsed(key: str, text: str, value: object) -> None:
    result = getattr(load_preset("simple", {key: text}), key)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("epochs", "many", "an integer"),
        ("epochs", "0", "an integer >= 1"),
        ("dropout", "1", "a number < 1"),
        ("learning_rate", "nan", "a number > 0"),
        ("optimiser", "lion", "adam or adamw or adamax or sgd"),
        ("blocks", "32,x", "an integer"),
    ],
)
def test_invalid_value_names_key_and_type(key: str, text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_preset("simple", {key: text})
    assert f"'{key}'" in caught.value.what
    assert expected in caught.value.fix


def test_unknown_key_suggests_alternatives() -> None:
    with pytest.raises(UsageError) as caught:
        load_preset("simple", {"epoch": "5"})
    assert "Did you mean 'epochs'?" in caught.value.what
    assert "learning_rate" in caught.value.fix
    with pytest.raises(UsageError):
        load_preset("simple", {"preset": "other"})


def test_unknown_preset_suggests_alternative() -> None:
    with pytest.raises(UsageError, match="Did you mean 'simple'") as caught:
        load_preset("simpel", {})
    assert "simple" in caught.value.fix


def test_settings_json_round_trip() -> None:
    settings = load_preset("simple", {"blocks": "4,8", "learning_rate": "0.02"})
    assert parse_settings(json.loads(json.dumps(settings.to_json()))) == settings


def test_missing_setting_raises_error() -> None:
    values = load_preset("simple", {}).to_json()
    del values["epochs"]
    with pytest.raises(UsageError, match="missing required field `epochs`"):
        parse_settings(values)
    with pytest.raises(UsageError, match="training method: 'magic'"):
        parse_settings({"method": "magic"})


@pytest.mark.parametrize(
    ("preset", "key"),
    [("transfer", "batch"), ("transfer", "head"), ("finetune", "blocks")],
)
def test_setting_of_another_method_raises_error(preset: str, key: str) -> None:
    with pytest.raises(UsageError, match=f"unknown setting: '{key}'"):
        load_preset(preset, {key: "3"})


def test_settings_that_a_method_does_not_have_raise_an_error() -> None:
    # A preset of a plugin must not seem to have an effect that it has not.
    transfer = load_preset("transfer", {})
    for unknown, words in (
        ({"head": "mlp"}, "head"),
        ({"balance": "sampling"}, "'balance'"),
    ):
        with pytest.raises(UsageError, match=words):
            parse_settings(transfer.to_json() | unknown)


def test_small_datasets_get_more_views() -> None:
    auto = load_preset("transfer", {})
    assert [choose_views(auto, n) for n in (10, 500, 501, 2000, 2001, 10**6)] == [
        8,
        8,
        4,
        4,
        2,
        2,
    ]
    explicit = load_preset("transfer", {"views": "3"})
    assert choose_views(explicit, 10) == choose_views(explicit, 10**6) == 3
    for wrong in ("many", "65", "-1"):
        with pytest.raises(UsageError, match="setting 'views'") as refused:
            load_preset("transfer", {"views": wrong})
        assert refused.value.fix == "use auto or an integer"


def test_too_many_blocks_for_size_raises_error() -> None:
    assert load_preset("simple", {"size": "16"}).size == 16
    with pytest.raises(UsageError, match="too small for 4 blocks"):
        load_preset("simple", {"size": "16", "blocks": "4,4,4,4"})


PAGE = (ROOT / "docs" / "training.md").read_text("utf-8")
EXAMPLE = re.search(r"```toml (\S+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the package's presets by a writable copy."""
    copied = shutil.copytree(ROOT / "baseline" / "presets", tmp_path / "presets")
    monkeypatch.setattr(settings.resources, "files", lambda package: tmp_path)
    return copied


def test_preset_example_of_docs_works(presets: Path) -> None:
    file, text = EXAMPLE.groups()
    (presets / Path(file).name).write_text(text)
    assert "quick" in preset_names()
    assert load_preset("quick", {"epochs": "2"}).preset == "quick"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("batch = 64", "", "missing required field `batch`"),
        ("batch = 64", "batsh = 64", "unknown field `batsh`"),
        ('method = "simple"', 'method = "simpel"', "training method: 'simpel'"),
        ("size = 48", "size = ", "cannot read preset 'quick'"),
        ("size = 48", "size = 'big'", "setting 'size': 'big'"),
    ],
)
def test_invalid_preset_file_raises_error(
    presets: Path, before: str, after: str, message: str
) -> None:
    assert before in EXAMPLE[2]
    (presets / "quick.toml").write_text(EXAMPLE[2].replace(before, after))
    with pytest.raises(UsageError, match=message):
        load_preset("quick", {})


@pytest.mark.parametrize("method", METHODS)
def test_docs_contain_settings_of_every_method(method: str) -> None:
    file = ROOT / "baseline" / "presets" / f"{method}.toml"
    assert f"```toml\n{file.read_text(encoding='utf-8')}```" in PAGE


def test_docs_name_existing_files() -> None:
    for name in re.findall(r"`(baseline/[\w./]+)`", PAGE):
        assert (ROOT / name).exists(), name
