"""The model card: classes, evaluation, and sources of the training images."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from catalogue_rows import add_sample, sha
from color_model import CLASSES, write_model
from server_helpers import Serve, solid_image
from tools_for_tests import run_here

from baseline.evaluation.decision_rule import (
    DecisionRule,
    ThresholdEffects,
    save_decision_rule,
)
from baseline.evaluation.metrics import (
    AnswerMetrics,
    ClassScore,
    RunMetrics,
    SplitMetrics,
    read_metrics,
    write_metrics,
)
from baseline.evaluation.unknown_rule import UnknownThreshold
from gleanset import Dataset, Origin
from gleanset.db.maintenance import Maintenance
from gleanset.records import Interval
from gleanset.settings import WebSettings
from webapp.loaded_model import load_model, make_device_facts
from webapp.model_card import model_card
from webapp.settings import ServeSettings

ORIGINS = (
    (Origin("flickr", "1", licence="CC BY 4.0"), Origin("bing", "1")),
    (Origin("flickr", "2", licence="CC BY 4.0"),),
    (Origin("flickr", "3", licence="CC0 1.0", ai=True),),
    (Origin("bing", "4"),),
)


def split_metrics(support: tuple[int, int, int], groups: int) -> SplitMetrics:
    """Return metrics of one split, rounder than any that are computed."""
    classes = tuple(map(ClassScore, CLASSES, [0.9] * 3, [0.8] * 3, [0.85] * 3, support))
    confusion = np.diag([round(0.8125 * images) for images in support]).tolist()
    intervals = {"accuracy": Interval(0.61, 0.93)}
    return SplitMetrics(
        sum(support),
        0.8125,
        0.5,
        0.8,
        classes,
        confusion,
        (),
        groups=groups,
        intervals=intervals,
    )


@pytest.fixture
def run(dataset: Dataset) -> Path:
    """Return the folder of a finished run."""
    keys = [
        add_sample(dataset, number, *origins) for number, origins in enumerate(ORIGINS)
    ]
    begun = dataset.runs.start(
        "20261120-101500-simple", "baseline", {"preset": "simple"}
    )
    dataset.runs.finish(begun.id, "done", {})
    with dataset.db.transaction():
        dataset.db.execute("UPDATE run SET ended='2026-11-20T10:20:00Z'")
    folder = dataset.root / "runs" / begun.id
    write_model(folder / "served.onnx")
    splits = {
        "train": split_metrics((20, 30, 40), 60),
        "test": split_metrics((5, 5, 6), 12),
    }
    write_metrics(folder, RunMetrics([*CLASSES], {"preset": "simple"}, {}, **splits))
    (folder / "trained_on.json").write_text(json.dumps(keys))
    return folder


def get_card(
    settings: ServeSettings, run: Path | None = None, **changes: object
) -> dict[str, Any]:
    """Return the card of a run, or of an exported file, as a server sends it."""
    model = {} if run is None else {"model": str(run / "served.onnx")}
    changed = msgspec.structs.replace(settings, **model, **changes)
    card = model_card(load_model(changed), None, changed)
    return msgspec.json.decode(msgspec.json.encode(card))


def test_renamed_class_has_its_current_name(
    settings: ServeSettings, run: Path, dataset: Dataset, serve: Serve
) -> None:
    for words in (("add", "red"), ("rename", "red", "Scarlet")):
        run_here("labeler.cli", "classes", *words, "-d", dataset.root).checked()
    served = msgspec.structs.replace(settings, model=str(run / "served.onnx"))
    loaded = load_model(served)
    names = ["blue", "green", "Scarlet"]
    assert list(make_device_facts(loaded)["classes"]) == names
    assert [fact["name"] for fact in get_card(settings, run)["classes"]] == names
    card = get_card(settings, run)
    assert [row["name"] for row in card["measured"]["classes"]] == names
    assert card["classes"][2]["train"] == 40
    client = serve(model=served.model)
    sent = {"files": ("red.png", solid_image("red"), "image/png")}
    [image] = client.post("/api/v1/predict", files=sent).json()["images"]
    assert image["parts"][0]["answer"] == "Scarlet"
    # [web] may still have the former name.
    web = WebSettings(classes=("red", "blue"))
    shown = load_model(msgspec.structs.replace(served, web=web))
    assert shown.visible_classes == ("blue", "Scarlet")
    # Processes that start later have the same names.
    run_here("labeler.cli", "undo", "-d", dataset.root).checked()
    assert load_model(served).predictor.classes[2] == "red"
    kept = msgspec.structs.replace(served, names=loaded.names)
    assert load_model(kept).predictor.classes[2] == "Scarlet"


def test_card_shows_recorded_metrics(settings: ServeSettings, run: Path) -> None:
    result = get_card(settings, run)
    assert result["classes"][0] == {"name": "blue", "train": 20, "val": None, "test": 5}
    measured = result["measured"]
    assert {
        name: measured[name] for name in ("split", "images", "groups", "small_sample")
    } == {
        "split": "test",
        "images": 16,
        "groups": 12,
        "small_sample": True,
    }
    assert (measured["accuracy"], measured["interval"]) == (0.8125, [0.61, 0.93])
    assert measured["classes"][2] == {
        "name": "red",
        "precision": 0.9,
        "recall": 0.8,
        "images": 6,
    }
    assert result["date"] == "2026-11-20"


def test_unknown_prediction_counts_as_wrong(settings: ServeSettings, run: Path) -> None:
    test = split_metrics((5, 5, 6), 12)
    # Without the rule for unknown, each of the 16 images would be right.
    answers = AnswerMetrics(
        15,
        1,
        test.classes,
        Interval(0.7, 0.99),
        test.confusion,
        (),
        unsure=3,
        unsure_right=2,
    )
    test = replace(test, accuracy=1.0, intervals={}, answers=answers)
    write_metrics(run, replace(read_metrics(run), test=test))
    measured = get_card(settings, run)["measured"]
    names = ("accuracy", "unknown", "accuracy_before_unknown", "interval")
    assert [measured[name] for name in names] == [15 / 16, 1 / 16, 1.0, [0.7, 0.99]]
    assert (measured["unsure"], measured["unsure_right"]) == (3, 2)


def test_card_shows_cost_of_unknown_threshold(
    settings: ServeSettings, run: Path
) -> None:
    result = get_card(settings, run)
    assert (result["has_unknown_rule"], result["unknown_rule"]) == (False, None)
    write_model(run / "served.onnx", unfamiliar_below=0.6)
    split_metrics = UnknownThreshold(0.6, 0.1, 40, 30, 3, 0.09, 9, True, 5, 8, 7)
    chosen = ThresholdEffects(unfamiliar=split_metrics)
    save_decision_rule(run, DecisionRule(unfamiliar_below=0.6, effects=chosen))
    result = get_card(settings, run)
    assert result["has_unknown_rule"]
    names = ("on_average", "count", "groups", "rejected", "rejected_unknown")
    assert [result["unknown_rule"][name] for name in names] == [0.09, 40, 30, 8, 7]
    assert result["unknown_rule"]["by_class"] == []


def test_card_counts_sources_and_licences(settings: ServeSettings, run: Path) -> None:
    assert get_card(settings, run)["learnt_from"] == {
        "images": 4,
        "sources": {"flickr": 3, "bing": 2},
        "licences": {"CC BY 4.0": 2, "CC0 1.0": 1},
        "unlicensed": 1,
        "made_by_model": 1,
        "gone": 0,
    }


def test_card_counts_removed_images(
    serve: Serve, run: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(model=str(run / "served.onnx"))
    assert client.get("/api/v1/card").json()["learnt_from"]["gone"] == 0
    Maintenance(dataset.db).forget(sha(3), "asked to")
    # Counting takes long in a large catalogue, so a card is cached for a minute.
    assert client.get("/api/v1/card").json()["learnt_from"]["gone"] == 0
    monkeypatch.setattr("webapp.service.MAX_AGE_SECONDS", 0.0)
    result = client.get("/api/v1/card").json()["learnt_from"]
    assert (result["gone"], result["images"], result["unlicensed"]) == (1, 3, 0)


def test_card_of_exported_file(settings: ServeSettings) -> None:
    result = get_card(settings, dataset=None, web=WebSettings(contact="me@example.org"))
    assert result["classes"][0] == {
        "name": "blue",
        "train": None,
        "val": None,
        "test": None,
    }
    assert result["measured"] is result["learnt_from"] is result["date"] is None
    assert (result["takes_requests"], result["contact"]) == (False, "me@example.org")


def test_val_without_test_and_class_without_images(
    settings: ServeSettings, run: Path
) -> None:
    val = split_metrics((0, 5, 6), 11)
    write_metrics(run, replace(read_metrics(run), val=val, test=None))
    measured = get_card(settings, run)["measured"]
    assert measured["split"] == "val"
    blue = {"name": "blue", "precision": None, "recall": None, "images": 0}
    assert measured["classes"][0] == blue
    assert measured["untested"] == ["blue"]
