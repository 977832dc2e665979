"""Settings and presets; what `docs/training.md` says of a new preset is so."""

from __future__ import annotations

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
    load_preset,
    parse_settings,
    preset_names,
    resolve_views,
)
from baseline.train.methods.registry import load_method
from gleanset.errors import UsageError


def simple(**overrides: str) -> Simple:
    result = load_preset("simple", overrides)
    assert isinstance(result, Simple)
    return result


def test_the_presets_are_as_promised() -> None:
    kinds = {"simple": Simple, "transfer": Transfer, "triplet": Triplet}
    kinds |= {"finetune": Finetune, "mobile": Finetune}
    assert kinds.keys() <= set(preset_names())
    assert all(isinstance(load_preset(name, {}), kind) for name, kind in kinds.items())
    transfer = load_preset("transfer", {})
    assert isinstance(transfer, Transfer)
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
def test_override(key: str, text: str, value: object) -> None:
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
def test_wrong_value_names_key_and_expectation(key: str, text: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_preset("simple", {key: text})
    assert f"'{key}'" in caught.value.what
    assert expected in caught.value.fix


def test_unknown_key_suggests_and_lists() -> None:
    with pytest.raises(UsageError) as caught:
        load_preset("simple", {"epoch": "5"})
    assert "Did you mean 'epochs'?" in caught.value.what
    assert "learning_rate" in caught.value.fix
    with pytest.raises(UsageError):
        load_preset("simple", {"preset": "other"})


def test_unknown_preset() -> None:
    with pytest.raises(UsageError, match="Did you mean 'simple'") as caught:
        load_preset("simpel", {})
    assert "simple" in caught.value.fix


def test_settings_survive_json() -> None:
    settings = load_preset("simple", {"blocks": "4,8", "learning_rate": "0.02"})
    assert parse_settings(json.loads(json.dumps(settings.to_json()))) == settings


def test_missing_setting_is_named() -> None:
    values = load_preset("simple", {}).to_json()
    del values["epochs"]
    with pytest.raises(UsageError, match="missing required field `epochs`"):
        parse_settings(values)
    with pytest.raises(UsageError, match="training method: 'magic'"):
        parse_settings({"method": "magic"})


def test_an_option_that_would_change_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="'batch' has no effect with a logistic head"):
        load_preset("transfer", {"batch": "5"})
    with pytest.raises(UsageError, match="'dense' has no effect with a linear head"):
        load_preset("transfer", {"head": "linear", "dense": "5"})
    with pytest.raises(UsageError, match="'strength' has no effect with a mlp head"):
        load_preset("transfer", {"head": "mlp", "strength": "1"})
    assert load_preset("transfer", {"head": "mlp", "dense": "5", "batch": "8"})
    with pytest.raises(UsageError, match="unknown setting: 'blocks'"):
        load_preset("finetune", {"blocks": "3"})


def test_fewer_pictures_are_given_more_views() -> None:
    auto = load_preset("transfer", {})
    assert isinstance(auto, Transfer)
    assert [resolve_views(auto, n) for n in (10, 500, 501, 2000, 2001, 10**6)] == [8, 8, 4, 4, 2, 2]
    given = load_preset("transfer", {"views": "3"})
    assert isinstance(given, Transfer)
    assert resolve_views(given, 10) == resolve_views(given, 10**6) == 3
    for wrong in ("many", "65", "-1"):
        with pytest.raises(UsageError, match="setting 'views'") as refused:
            load_preset("transfer", {"views": wrong})
        assert refused.value.fix == "choose auto or an integer"


def test_more_blocks_than_the_picture_has_room_for() -> None:
    assert load_preset("simple", {"size": "16"}).size == 16
    with pytest.raises(UsageError, match="too small for 4 blocks"):
        load_preset("simple", {"size": "16", "blocks": "4,4,4,4"})


PAGE = (ROOT / "docs" / "training.md").read_text("utf-8")
EXAMPLE = re.search(r"```toml (\S+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of presets that may be written to, in place of the package's."""
    copied = shutil.copytree(ROOT / "baseline" / "presets", tmp_path / "presets")
    monkeypatch.setattr(settings.resources, "files", lambda package: tmp_path)
    return copied


def test_the_example_of_the_page_is_a_preset_as_soon_as_its_file_is_there(presets: Path) -> None:
    assert EXAMPLE is not None
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
def test_a_preset_that_is_not_whole_is_refused_by_name(
    presets: Path, before: str, after: str, message: str
) -> None:
    assert EXAMPLE is not None
    assert before in EXAMPLE[2]
    (presets / "quick.toml").write_text(EXAMPLE[2].replace(before, after))
    with pytest.raises(UsageError, match=message):
        load_preset("quick", {})


@pytest.mark.parametrize("method", METHODS)
def test_the_page_has_the_settings_of_every_method(method: str) -> None:
    file = ROOT / "baseline" / "presets" / f"{method}.toml"
    assert f"```toml\n{file.read_text(encoding='utf-8')}```" in PAGE


def test_every_method_has_its_module() -> None:
    assert [load_method(name).__name__ for name in METHODS] == [f"fit_{name}" for name in METHODS]


def test_the_page_names_only_what_is_there() -> None:
    for name in re.findall(r"`(baseline/[\w./]+)`", PAGE):
        assert (ROOT / name).exists(), name
