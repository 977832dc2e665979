"""Reported images are published only with `--with-reports`."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from color_model import write_model
from report_rows import store_report
from server_helpers import Serve, solid_image
from tools_for_tests import run_here

from baseline.evaluation.metrics import (
    RunMetrics,
    compute_classification_metrics,
    write_metrics,
)
from baseline.evaluation.report.page import write_report as write_run_report
from gleanset import Box, Dataset, Origin
from gleanset.db.faces import Tracks
from gleanset.db.journal import Choice
from gleanset.db.reports import Reports
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.errors import InputUnusable
from gleanset.files.store import hash_bytes
from gleanset.images.decode import decode
from gleanset.records import FaceTrack
from gleanset.settings import WebSettings
from labeler.export.job import export, simulate_export
from labeler.export.options import ExportOptions
from labeler.export.plan import FROM_REPORTS
from pipeline.episodes.timeline import write_timelines
from pipeline.report.page import write_report
from tools.npm_parts import are_current
from webapp.report_decisions import accept_reports

SENT = solid_image("green", (96, 72))
SENT_KEY = hash_bytes(SENT)


@pytest.fixture
def mixed_dataset(two_class_dataset: Dataset) -> Dataset:
    """Return a dataset with two own images and a reported one of better quality."""
    dataset = two_class_dataset
    for box, name in ((Box(0, 0, 96, 72), "green"), (Box(4, 4, 30, 30), "red")):
        store_report(dataset, SENT, box, name)
        accept_reports(dataset, {next(Reports(dataset.db).iterate()).id: name})
    samples = {sample.key: sample for sample in dataset.samples.iterate()}
    splits = {
        key: (SENT_KEY, "test")
        if sample.image == SENT_KEY
        else (sample.split_group, sample.split)
        for key, sample in samples.items()
    }
    dataset.samples.set_splits(splits)
    return dataset


def files_containing(folder: Path, data: bytes) -> list[str]:
    """Return the files that contain these bytes or their hash."""
    needles = (data, hash_bytes(data).encode())
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [
        path.name
        for path in files
        if any(part in path.read_bytes() for part in needles)
    ]


@pytest.mark.parametrize("form", ["imagefolder", "coco", "webdataset"])
def test_export_excludes_reports(
    mixed_dataset: Dataset, tmp_path: Path, form: str
) -> None:
    counts = export(
        mixed_dataset, tmp_path / "out", ExportOptions(format=form), workers=1
    )
    # Both reported faces are in one image.
    assert (counts.exported, counts.left_out) == (
        2,
        {FROM_REPORTS: 1 if form == "coco" else 2},
    )
    assert files_containing(tmp_path / "out", SENT) == []
    options = ExportOptions(format=form, with_reports=True)
    assert export(mixed_dataset, tmp_path / "all", options, workers=1).exported == 4
    assert files_containing(tmp_path / "all", SENT)
    planned = simulate_export(mixed_dataset, ExportOptions(format=form))
    assert len(planned.paths) == 2


def test_export_without_splits_or_own_images(
    mixed_dataset: Dataset, tmp_path: Path
) -> None:
    options = ExportOptions(no_split=True)
    assert export(mixed_dataset, tmp_path / "out", options, workers=1).exported == 2
    own = [
        sample for sample in mixed_dataset.samples.iterate() if sample.image != SENT_KEY
    ]
    mixed_dataset.journal.apply("Reject", [Choice(one.key, "reject") for one in own])
    for form in ("imagefolder", "webdataset", "coco"):
        with pytest.raises(InputUnusable) as refused:
            export(
                mixed_dataset, tmp_path / form, ExportOptions(format=form), workers=1
            )
        assert "--with-reports" in refused.value.fix


def test_dataset_report_excludes_reports(
    mixed_dataset: Dataset, tmp_path: Path
) -> None:
    report = write_report(mixed_dataset, tmp_path / "report.html").read_text(
        encoding="utf-8"
    )
    assert len({*re.findall(r'src="(data:image/[^"]+)"', report)}) == 2
    assert "not shown" in report


def test_page_excludes_reports(serve: Serve, mixed_dataset: Dataset) -> None:
    client = serve(web=WebSettings(faces=True))
    result = client.get("/api/v1/portraits").json()
    assert sorted(result["faces"]) == ["blue", "red"]
    example = base64.b64decode(result["example"].partition(",")[2])
    answer = client.post("/api/v1/predict", files={"files": example})
    assert answer.json()["images"][0]["parts"][0]["answer"] == "blue"
    assert SENT_KEY not in client.get("/api/v1/card").text


def colors_in(page: str) -> set[str]:
    """Return the strongest channels of the images in a page, by name."""
    images = re.findall(r"data:image/\w+;base64,([A-Za-z0-9+/=]+)", page)
    decoded = [decode(base64.b64decode(image)).pixels for image in images]
    means = [np.asarray(pixels).mean(axis=(0, 1)) for pixels in decoded]
    return {("red", "green", "blue")[int(mean.argmax())] for mean in means}


def test_run_report_excludes_reports(mixed_dataset: Dataset) -> None:
    run = mixed_dataset.runs.start(
        "20261120-101500-simple", "baseline", {"preset": "simple"}
    )
    samples = [
        sample for sample in mixed_dataset.samples.iterate() if sample.split == "test"
    ]
    assert {sample.image == SENT_KEY for sample in samples} == {True, False}
    doubt = "red", 0.9, 0.8, run.id
    issues = [LabelIssue(sample.key, sample.label or "", *doubt) for sample in samples]
    LabelIssues(mixed_dataset.db).replace(issues)
    classes = ["blue", "green", "red", "none of these"]
    y = np.array([classes.index(str(sample.label)) for sample in samples])
    logits = np.tile(np.eye(4, dtype=np.float32)[3], (len(y), 1))
    keys = [sample.key for sample in samples]
    figures = compute_classification_metrics(logits, y, keys, classes)
    folder = mixed_dataset.runs_folder / run.id
    folder.mkdir(parents=True)
    write_metrics(folder, RunMetrics(classes, {}, {}, test=figures))
    page = write_run_report(mixed_dataset, run.id).read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 2, "as a mistake, and as a label issue"
    assert colors_in(page) == {"blue"}


def test_timeline_excludes_reports(mixed_dataset: Dataset, tmp_path: Path) -> None:
    for sample in list(mixed_dataset.samples.iterate()):
        frame = Origin("video", sample.key, video="f" * 64, time=1.0, scene="s")
        frames = 5 if sample.image == SENT_KEY else 9
        track = FaceTrack(f"t-{sample.key[:8]}", 1.0, 2.0, frames, ())
        with mixed_dataset.db.transaction():
            Tracks(mixed_dataset.db).add(track, frame, sample.key)
    assert write_timelines(mixed_dataset, tmp_path, subtitles=False).people == 3
    page = (tmp_path / "timeline.html").read_text(encoding="utf-8")
    assert colors_in(page) == {"red", "blue"}


@pytest.mark.skipif(
    not are_current(), reason="needs the page's parts: tools/npm_parts.py"
)
def test_static_export_excludes_reports(mixed_dataset: Dataset, tmp_path: Path) -> None:
    with (mixed_dataset.root / "dataset.toml").open("a", encoding="utf-8") as file:
        file.write("\n[web]\nfaces = true\n")
    model = write_model(tmp_path / "colours.onnx")
    run_here(
        "webapp.cli", "export", tmp_path / "page", model, "-d", mixed_dataset.root
    ).checked()
    portraits = (tmp_path / "page" / "api" / "v1" / "portraits").read_text(
        encoding="utf-8"
    )
    assert sorted(json.loads(portraits)["faces"]) == ["blue", "red"]
    assert colors_in(json.loads(portraits)["example"]) == {"blue"}
    assert colors_in(portraits) == {"red", "blue"}
    assert files_containing(tmp_path / "page", SENT) == []


def test_reported_image_with_another_origin_is_exported(
    mixed_dataset: Dataset, tmp_path: Path
) -> None:
    own = Origin("folder", "/pictures/own.png", title="own.png")
    mixed_dataset.images.add_origin(SENT_KEY, own)
    assert (
        export(mixed_dataset, tmp_path / "out", ExportOptions(), workers=1).exported
        == 4
    )
