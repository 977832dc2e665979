"""The `[web]` table: what the page shows, and which run it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from color_model import write_model
from server_helpers import Serve, solid_image
from starlette.testclient import TestClient

from gleanset import Dataset
from gleanset.errors import InputUnusable, RecipeError, UsageError
from gleanset.settings import WebSettings, read_settings
from webapp.exports import served_file

PREDICT, CLASSES, MODEL = (f"/api/v1/{name}" for name in ("predict", "classes", "model.json"))


def predict_color(client: TestClient, colour: str) -> dict[str, Any]:
    result = client.post(PREDICT, files={"files": ("a.png", solid_image(colour))}).json()
    part: dict[str, Any] = result["images"][0]["parts"][0]
    return part


def test_only_listed_classes_are_shown(serve: Serve) -> None:
    client = serve(web=WebSettings(classes=["red", "blue"]))
    assert client.get(CLASSES).json()["classes"] == ["blue", "red"]
    assert client.get(MODEL).json()["shown"] == ["blue", "red"]
    unrestricted = serve()
    for colour, answer in (("red", "red"), ("blue", "blue"), ("lime", None)):
        result, full_result = predict_color(client, colour), predict_color(unrestricted, colour)
        assert result["answer"] == answer
        # Probabilities do not change: they sum to less than 1 without the others.
        assert result["predictions"] == [
            one for one in full_result["predictions"] if one["label"] != "green"
        ]


def test_unknown_threshold(serve: Serve) -> None:
    grey = "#808078"
    sure = predict_color(serve(), grey)["predictions"][0]["confidence"]
    assert predict_color(serve(), grey)["answer"] is not None
    client = serve(web=WebSettings(unknown_below=sure + 0.01))
    assert predict_color(client, grey)["answer"] is None
    assert predict_color(client, "red")["answer"] == "red"
    assert client.get(MODEL).json()["unknown_below"] == sure + 0.01
    # The page's threshold replaces that of the run, even if it is lower.
    client = serve(web=WebSettings(unknown_below=sure - 0.01))
    assert predict_color(client, grey)["answer"] is not None


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


def test_unknown_class_is_refused(serve: Serve) -> None:
    with pytest.raises(UsageError, match="not a class of the model: 'mauve'"):
        serve(web=WebSettings(classes=["mauve", "red"]))
