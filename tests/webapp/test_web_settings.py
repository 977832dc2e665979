"""The `[web]` table: what the page shows, and which run it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from color_model import write_model
from server_helpers import make_facts, solid_image

from gleanset import Dataset
from gleanset.errors import InputUnusable, RecipeError, UsageError
from gleanset.settings import WebSettings, read_settings
from webapp.computations import Upload
from webapp.exports import served_file
from webapp.loaded_model import load_model
from webapp.recognizer import predict_values
from webapp.settings import ServeSettings


def predict_color(settings: ServeSettings, web: WebSettings, colour: str) -> dict[str, Any]:
    """Return what a server with such a page answers for an image of one color."""
    loaded = load_model(msgspec.structs.replace(settings, web=web))
    upload = Upload("a.png", solid_image(colour))
    [response] = predict_values(loaded, [[upload]], settings.limits)
    part: dict[str, Any] = response["images"][0]["parts"][0]
    return part


def test_only_listed_classes_are_shown(settings: ServeSettings) -> None:
    web = WebSettings(classes=["red", "blue"])
    facts = make_facts(msgspec.structs.replace(settings, web=web))
    assert tuple(facts.page["classes"]) == tuple(facts.device["shown"]) == ("blue", "red")
    for colour, answer in (("red", "red"), ("blue", "blue"), ("lime", None)):
        result = predict_color(settings, web, colour)
        full_result = predict_color(settings, WebSettings(), colour)
        assert result["answer"] == answer
        # Probabilities do not change: they sum to less than 1 without the others.
        assert result["predictions"] == [
            one for one in full_result["predictions"] if one["label"] != "green"
        ]


def test_unknown_threshold(settings: ServeSettings) -> None:
    grey = "#808078"
    unrestricted = predict_color(settings, WebSettings(), grey)
    assert unrestricted["answer"] is not None
    sure = unrestricted["predictions"][0]["confidence"]
    web = WebSettings(unknown_below=sure + 0.01)
    assert predict_color(settings, web, grey)["answer"] is None
    assert predict_color(settings, web, "red")["answer"] == "red"
    facts = make_facts(msgspec.structs.replace(settings, web=web))
    assert facts.device["unknown_below"] == sure + 0.01
    # The page's threshold replaces that of the run, even if it is lower.
    web = WebSettings(unknown_below=sure - 0.01)
    assert predict_color(settings, web, grey)["answer"] is not None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("titel = 'x'", "did you mean 'title'"),
        ("languages = ['en', 'de']", "allowed: en, zh, ja"),
        ("unknown_below = 60", "web.unknown_below"),
        ("classes = 'meme'", "web.classes"),
        (f"title = '{'x' * 201}'", "web.title"),
    ],
)
def test_invalid_table_raises_error(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "dataset.toml").write_text(f"[web]\n{line}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="line 2") as caught:
        read_settings(tmp_path)
    assert message in str(caught.value)


@pytest.fixture
def runs(dataset: Dataset) -> Dataset:
    """Return a dataset with three exported runs of two presets."""
    for number, preset in enumerate(("finetune", "mobile", "finetune"), start=1):
        run = dataset.runs.start(f"{number}-{preset}", "baseline", {"preset": preset, "n": number})
        dataset.runs.finish(run.id, "done", {})
        write_model(dataset.root / "runs" / run.id / "served.onnx")
    return dataset


@pytest.mark.parametrize(
    ("setting", "run"), [(None, "3-finetune"), ("mobile", "2-mobile"), ("1-finetune", "1-finetune")]
)
def test_table_chooses_run_or_preset(runs: Dataset, setting: str | None, run: str) -> None:
    assert served_file(runs.root, None, setting).parent.name == run


def test_argument_overrides_table(runs: Dataset) -> None:
    assert served_file(runs.root, "3-finetune", "mobile").parent.name == "3-finetune"
    with pytest.raises(InputUnusable, match="no finished run transfer"):
        served_file(runs.root, None, "transfer")


def test_unknown_class_is_refused(settings: ServeSettings) -> None:
    with pytest.raises(UsageError, match="not a class of the model: 'mauve'"):
        predict_color(settings, WebSettings(classes=["mauve", "red"]), "red")
