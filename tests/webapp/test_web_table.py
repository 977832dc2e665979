"""The `[web]` table: what the page shows of a model, which run answers, and what options change."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from model_of_colours import write_model
from starlette.testclient import TestClient
from tools_for_tests import eventually
from web_requests import Serve, picture_of

from gleanset import Dataset
from gleanset.errors import InputUnusable, RecipeError, UsageError
from gleanset.settings import WebSettings, read_settings
from webapp.served import read_served, served_place, write_served
from webapp.served_runs import NewerRuns, following, put_in_force, put_run_in_force

PREDICT, CLASSES, MODEL = (f"/api/v1/{name}" for name in ("predict", "classes", "model.json"))


def answer_to(client: TestClient, colour: str) -> dict[str, Any]:
    told = client.post(PREDICT, files={"files": ("a.png", picture_of(colour))}).json()
    part: dict[str, Any] = told["pictures"][0]["parts"][0]
    return part


def test_title_languages_and_thresholds_are_told(serve: Serve) -> None:
    web = WebSettings(title="Which colour?", languages=["ja", "en"], sure_from=0.99)
    told = serve(web=web).get(CLASSES).json()
    assert (told["title"], told["languages"], told["sure_from"]) == (
        "Which colour?",
        ["ja", "en"],
        0.99,
    )
    assert serve().get(CLASSES).json()["sure_from"] == 0.95


def test_only_the_classes_that_are_named_are_shown(serve: Serve) -> None:
    client = serve(web=WebSettings(classes=["red", "blue"]))
    assert client.get(CLASSES).json()["classes"] == ["blue", "red"]
    assert client.get(MODEL).json()["shown"] == ["blue", "red"]
    whole = serve()
    for colour, answer in (("red", "red"), ("blue", "blue"), ("lime", None)):
        told, all_told = answer_to(client, colour), answer_to(whole, colour)
        assert told["answer"] == answer
        # Probabilities stay what they are: they do not sum to 1 without the others.
        assert told["predictions"] == [
            one for one in all_told["predictions"] if one["label"] != "green"
        ]


def test_below_its_threshold_the_page_says_unknown(serve: Serve) -> None:
    grey = "#808078"
    sure = answer_to(serve(), grey)["predictions"][0]["confidence"]
    assert answer_to(serve(), grey)["answer"] is not None
    client = serve(web=WebSettings(unknown_below=sure + 0.01))
    assert answer_to(client, grey)["answer"] is None
    assert answer_to(client, "red")["answer"] == "red"
    assert client.get(MODEL).json()["unknown_below"] == sure + 0.01
    # The page's threshold takes the place of the run's, also where it is lower.
    client = serve(web=WebSettings(unknown_below=sure - 0.01))
    assert answer_to(client, grey)["answer"] is not None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("titel = 'x'", "did you mean 'title'"),
        ("languages = ['en', 'de']", "allowed: en, zh, ja"),
        ("unknown_below = 60", "web.unknown_below"),
        ("classes = 'meme'", "web.classes"),
        (f"title = '{'x' * 201}'", "web.title"),
    ],
)
def test_a_wrong_table_is_told_with_its_line(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "dataset.toml").write_text(f"[web]\n{line}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="line 2") as caught:
        read_settings(tmp_path)
    assert said in str(caught.value)


def test_the_environment_wins_over_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dataset.toml").write_text("[web]\ntitle = 'x'\n", encoding="utf-8")
    monkeypatch.setenv("GLEANSET_WEB_TITLE", "y")
    monkeypatch.setenv("GLEANSET_WEB_LANGUAGES", "ja,en")
    web = read_settings(tmp_path).web
    assert (web.title, web.languages) == ("y", ["ja", "en"])


@pytest.fixture
def runs(dataset: Dataset) -> Dataset:
    """A dataset with three finished runs of two presets, each exported."""
    for number, preset in enumerate(("finetune", "mobile", "finetune"), start=1):
        run = dataset.runs.begin(f"{number}-{preset}", "baseline", {"preset": preset, "n": number})
        dataset.runs.end(run.id, "done", {})
        write_model(dataset.root / "runs" / run.id / "served.onnx")
    return dataset


@pytest.mark.parametrize(
    ("wanted", "run"), [(None, "3-finetune"), ("mobile", "2-mobile"), ("1-finetune", "1-finetune")]
)
def test_the_table_names_a_run_or_a_preset(
    runs: Dataset, tmp_path: Path, wanted: str | None, run: str
) -> None:
    place, said = put_in_force(runs.root, None, tmp_path, wanted)
    assert read_served(place).in_force.run == run
    assert said == f"{run} is served"


def test_what_was_chosen_by_use_and_what_is_asked_for_win_over_the_table(
    runs: Dataset, tmp_path: Path
) -> None:
    put_run_in_force(runs.root, "1-finetune")
    assert "as was chosen" in put_in_force(runs.root, None, tmp_path, "mobile")[1]
    put_run_in_force(runs.root, None, "mobile")
    assert read_served(served_place(runs.root)).in_force.run == "2-mobile"
    place, _ = put_in_force(runs.root, "3-finetune", tmp_path, "mobile")
    assert read_served(place).in_force.run == "3-finetune"
    # Other servers of the dataset go on as they are.
    assert read_served(served_place(runs.root)).in_force.run == "2-mobile"
    with pytest.raises(InputUnusable, match="no finished run transfer"):
        put_run_in_force(runs.root, None, "transfer")


def test_a_retrained_run_without_a_shown_class_goes_on_with_the_others(serve: Serve) -> None:
    with pytest.raises(UsageError, match="no class of the model"):
        serve(web=WebSettings(classes=["mauve"])).get(CLASSES)
    client = serve(web=WebSettings(classes=["mauve", "red"]))
    assert json.loads(client.get(CLASSES).text)["classes"] == ["red"]


def test_a_newer_run_of_the_preset_takes_over_and_can_be_taken_back(
    runs: Dataset, tmp_path: Path
) -> None:
    place, _ = put_in_force(runs.root, None, tmp_path, "mobile")
    newer = NewerRuns(runs.root, place, "mobile")

    def trained(name: str, preset: str) -> str:
        run = runs.runs.begin(name, "baseline", {"preset": preset, "n": name})
        runs.runs.end(run.id, "done", {})
        write_model(runs.root / "runs" / name / "served.onnx")
        newer.look()
        return read_served(place).in_force.run

    assert trained("4-finetune", "finetune") == "2-mobile"
    assert trained("5-mobile", "mobile") == "5-mobile"
    write_served(place, read_served(place).taken_back())
    assert trained("6-mobile", "mobile") == "2-mobile"


def test_following_newer_runs_survives_what_a_disk_may_do(
    runs: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("webapp.served_runs.SECONDS", 0.02)
    place, _ = put_in_force(runs.root, None, tmp_path)
    folder, aside = runs.root / "runs", tmp_path / "aside"
    troubles = {
        "No such file": lambda: None,
        "Not a directory": folder.touch,
        "Too many levels": lambda: folder.symlink_to(folder),
    }
    with following(runs.root, place):
        for words, happens in troubles.items():
            folder.rename(aside)
            happens()
            assert eventually(lambda words=words: words in caplog.text)
            folder.unlink(missing_ok=True)
            aside.rename(folder)
        write_model(folder / "4-mobile" / "served.onnx")
        runs.runs.begin("4-mobile", "baseline", {"preset": "mobile", "n": 4})
        runs.runs.end("4-mobile", "done", {})
        assert eventually(lambda: read_served(place).in_force.run == "4-mobile")
