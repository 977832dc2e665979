"""The report of a run: one safe page, whatever the run has or lacks."""

from __future__ import annotations

import re

import pytest
from evaluated_runs import fill, judged_run
from lxml import html

from baseline.evaluation.decision_rule import (
    DecisionRule,
    RecallThreshold,
    ThresholdEffects,
    UnknownThreshold,
    save_decision_rule,
)
from baseline.evaluation.report.page import write_report
from baseline.settings import load_preset
from baseline.train.networks import build_net, to_trained_net
from baseline.use.crops import save_crops
from gleanset import Dataset
from gleanset.db.faces import list_crop_methods
from gleanset.db.runs import LabelIssue, LabelIssues, SplitEvaluations
from gleanset.errors import InputUnusable

CLASSES = ("cat & dog", "قطة", "it's {{ 7+7 }}", "綾波レイ &amp; {% raise %}")


def page_of(dataset: Dataset, run: str) -> tuple[str, html.HtmlElement]:
    text = write_report(dataset, run).read_text("utf-8")
    return text, html.fromstring(text)


def test_a_full_report_is_one_file_that_loads_nothing(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    folder, _ = judged_run(dataset, "one", skill=0.5)
    sample = next(dataset.samples.iter_by_key())
    other = next(name for name in CLASSES if name != sample.label)
    LabelIssues(dataset.db).replace(
        [LabelIssue(sample.key, str(sample.label), other, 0.9, 0.8, "one")]
    )
    spared = RecallThreshold(CLASSES[0], 0.999, 0.9, 1, 1, 0, 0, 0.95, 2995, False, 0.5, 0.6)
    unfamiliar = UnknownThreshold(0.4, 0.05, 3, 3, 0, 0.6, 0.6, 19, False)
    chosen = ThresholdEffects((spared,), unfamiliar)
    save_decision_rule(folder, DecisionRule(1.2, 0.4, {CLASSES[0]: 0.9}, chosen))
    text, page = page_of(dataset, "one")
    sections = [section.get("id") for section in page.iter("section")]
    assert sections == [
        "figures",
        "classes",
        "mistakes",
        "calibration",
        "retrieval",
        "label-issues",
        "training",
    ]
    assert not page.xpath("//script|//link[not(@rel='icon')]|//iframe|//*[@onerror]")
    assert all(image.get("src", "").startswith("data:image/jpeg") for image in page.iter("img"))
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?https?:", text)
    message = page.text_content()
    for words in (
        *CLASSES,
        "2,995 groups of it",
        "Unknown: similarity < 0.400",
        "Test was evaluated once",
        "Fitted: temperature",
        "Per class on test",
        "mostly chance: ",
    ):
        assert words in message
    assert len(page.xpath("//section[@id='label-issues']//img")) == 1
    ids = {element.get("id") for element in page.xpath("//*[@id]")}
    assert {a.get("href")[1:] for a in page.xpath("//nav//a")} <= ids


def test_a_run_says_only_what_was_done(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    folder, _ = judged_run(dataset, "one", only=("train", "test"))
    message = page_of(dataset, "one")[1].text_content()
    assert "no val to fit a temperature on" in message
    assert "fitted on val" not in message
    assert "No search for label issues is recorded" in message
    assert "No epochs are recorded" in message
    assert "were cropped is not recorded" in message
    keys = [sample.key for sample in dataset.samples.iter_in_splits()]
    save_crops(folder, list_crop_methods(dataset.db, keys))
    SplitEvaluations(dataset.db).add("one", "test", keys[:1], "label-issues")
    message = page_of(dataset, "one")[1].text_content()
    assert f"Training images: {len(keys)} whole" in message
    assert "predictions contradict no label" in message


def test_splits_that_are_not_there(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    judged_run(dataset, "one", only=("train",))
    _, page = page_of(dataset, "one")
    assert "no validation images" in page.text_content()
    assert not page.xpath("//section[@id='classes']")


def test_what_cannot_be_read_is_told(dataset: Dataset) -> None:
    fill(dataset, CLASSES[:2])
    folder, _ = judged_run(dataset, "one")
    (folder / "metrics.json").write_text("{")
    with pytest.raises(InputUnusable, match="cannot be read"):
        write_report(dataset, "one")
    with pytest.raises(InputUnusable, match="has no metrics"):
        write_report(dataset, "none")


def test_parameters_are_counted_as_the_network_has_them(dataset: Dataset) -> None:
    settings = load_preset("simple", {"size": "32", "blocks": "4,8", "dense": "8"})
    net = build_net(settings, 3)
    assert to_trained_net(net, settings).parameters == sum(p.numel() for p in net.parameters())
