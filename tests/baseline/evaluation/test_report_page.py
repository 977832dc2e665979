"""The report page of a run."""

import math
import re
from dataclasses import replace

import pytest
from evaluated_runs import fill, make_evaluated_run
from lxml import html

from baseline.evaluation.decision_rule import (
    DecisionRule,
    RecallThreshold,
    ThresholdEffects,
    save_decision_rule,
)
from baseline.evaluation.metrics import EpochReport, read_metrics, write_metrics
from baseline.evaluation.report.page import write_report
from baseline.evaluation.unknown_rule import UnknownThreshold
from baseline.use.crops import save_crops
from gleanset import Dataset
from gleanset.db.faces import list_crop_methods
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.errors import InputUnusable

CLASSES = ("cat & dog", "قطة", "it's {{ 7+7 }}", "綾波レイ &amp; {% raise %}")


def write_and_parse_report(dataset: Dataset, run: str) -> tuple[str, html.HtmlElement]:
    text = write_report(dataset, run).read_text("utf-8")
    return text, html.fromstring(text)


def test_report_is_self_contained(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    folder, _ = make_evaluated_run(dataset, "one", skill=0.5)
    sample = next(dataset.samples.iter_by_key())
    other = next(name for name in CLASSES if name != sample.label)
    LabelIssues(dataset.db).replace(
        [LabelIssue(sample.key, str(sample.label), other, 0.9, 0.8, "one")]
    )
    recall = RecallThreshold(
        CLASSES[0], 0.999, 0.9, 1, 1, 0, 0, 0.95, 2995, False, 0.5, 0.6
    )
    unknown = UnknownThreshold(0.4, 0.05, 3, 3, 0, 0.6, 19, False)
    thresholds = ThresholdEffects((recall,), unknown)
    save_decision_rule(folder, DecisionRule(1.2, 0.4, {CLASSES[0]: 0.9}, thresholds))
    text, page = write_and_parse_report(dataset, "one")
    sections = [section.get("id") for section in page.iter("section")]
    assert sections == [
        "figures",
        "classes",
        "mistakes",
        "calibration",
        "label-issues",
        "training",
    ]
    assert not page.xpath("//script|//link[not(@rel='icon')]|//iframe|//*[@onerror]")
    assert all(
        image.get("src", "").startswith("data:image/jpeg") for image in page.iter("img")
    )
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?https?:", text)
    content = page.text_content()
    for words in (
        *CLASSES,
        "2,995 groups of it",
        "Unknown: similarity < 0.400",
        "Test was evaluated once",
        "Fitted: temperature",
    ):
        assert words in content
    assert len(page.xpath("//section[@id='label-issues']//img")) == 1
    ids = {element.get("id") for element in page.xpath("//*[@id]")}
    assert {a.get("href")[1:] for a in page.xpath("//nav//a")} <= ids


def test_report_of_minimal_run(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    folder, _ = make_evaluated_run(dataset, "one", only=("train", "test"))
    content = write_and_parse_report(dataset, "one")[1].text_content()
    assert "no val to fit a temperature on" in content
    assert "fitted on val" not in content
    assert "No label issue found by this run waits for review" in content
    assert "No epochs are recorded" in content
    assert "were cropped is not recorded" in content
    keys = [sample.key for sample in dataset.samples.iter_in_splits()]
    save_crops(folder, list_crop_methods(dataset.db, keys))
    content = write_and_parse_report(dataset, "one")[1].text_content()
    assert f"Training images: {len(keys)} whole" in content


def test_report_has_charts_by_epoch(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    folder, _ = make_evaluated_run(dataset, "one")
    epochs = [
        EpochReport(1, 2.0, 0.25, 3.0, 0.5),
        EpochReport(2, 1.0, 0.75, math.nan, None),
    ]
    write_metrics(folder, replace(read_metrics(folder), epochs=epochs, best_epoch=1))
    loss, accuracy = write_and_parse_report(dataset, "one")[1].xpath(
        "//*[@class='chart']"
    )
    for chart, title in (
        (loss, "Loss: lower is better"),
        (accuracy, "Accuracy: higher is better"),
    ):
        assert chart.findtext("title") == title
        assert {"train", "validation", "epoch", "1", "2"} <= set(
            chart.xpath("text/text()")
        )
        assert chart.xpath("line[@class='best']/title/text()") == [
            "weights kept from epoch 1"
        ]
        train, val = (
            [
                tuple(map(float, point.split(",")))
                for point in line.get("points").split()
            ]
            for line in chart.xpath("polyline")
        )
        # Values that are missing or NaN are left out.
        assert (len(train), len(val)) == (
            2,
            1,
        )
        assert train[0][0] == val[0][0] < train[1][0]
    heights = [
        float(line.get("points").split()[0].split(",")[1])
        for line in loss.iter("polyline")
    ]
    assert heights[0] > heights[1]  # a loss of 2 is below one of 3


def test_report_without_val_and_test(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    make_evaluated_run(dataset, "one", only=("train",))
    _, page = write_and_parse_report(dataset, "one")
    assert "no validation images" in page.text_content()
    assert not page.xpath("//section[@id='classes']")


def test_unreadable_metrics_raise_error(dataset: Dataset) -> None:
    fill(dataset, CLASSES[:2])
    folder, _ = make_evaluated_run(dataset, "one")
    (folder / "metrics.json").write_text("{")
    with pytest.raises(InputUnusable, match="cannot be read"):
        write_report(dataset, "one")
    with pytest.raises(InputUnusable, match="has no metrics"):
        write_report(dataset, "none")


def test_report_names_untested_classes(dataset: Dataset) -> None:
    fill(dataset, CLASSES)
    folder, _ = make_evaluated_run(dataset, "one", skill=9.0)
    metrics = read_metrics(folder)
    assert metrics.test is not None
    first, *others = metrics.test.answer_metrics.classes
    scores = (first, *(replace(score, support=0) for score in others))
    answers = replace(metrics.test.answer_metrics, classes=scores)
    test = replace(metrics.test, classes=scores, answers=answers, groups=1)
    write_metrics(folder, replace(metrics, test=test))
    content = " ".join(write_and_parse_report(dataset, "one")[1].text_content().split())
    assert "(4/4), images of 1 of 4 classes, 95% CI" in content
    assert (
        "; too few images to say how accurate the model is; majority-class" in content
    )
    assert "images of 1 of 4 classes, weighted equally" in content
    assert (
        f"nothing was measured of {', '.join(score.name for score in others)}."
        in content
    )
    assert "all classes" not in content
