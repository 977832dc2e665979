"""The report is one safe, self-contained page for any dataset."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from catalogue_rows import store
from lxml import html
from PIL import Image
from tools_for_tests import encode

from baseline.evaluation.metrics import (
    EpochReport,
    RunMetrics,
    compute_classification_metrics,
    write_metrics,
)
from gleanset import Dataset
from gleanset.db.classes import Placement, Placements
from gleanset.db.journal import Choice
from gleanset.db.runs import SplitEvaluations
from gleanset.errors import InputUnusable
from gleanset.images.measure import measure
from gleanset.records import Box, Face, Interval, Origin, Rejection
from gleanset.settings import SplitSettings
from labeler.splits.plan import apply_split, plan_split
from pipeline.report.page import write_report

SCRIPT = "<script>alert(1)</script>"
NASTY = '"><img src="http://evil.example/x.png" onerror=alert(1)>'
CLASSES = ["猫 & 犬", "قطة", "it's {{ 7+7 }}", "owl"]
SECTIONS = ["test", "classes", "sources", "rejections", "training"]


def image_bytes(seed: int, side: int = 160) -> bytes:
    """Return a PNG that is unlike that of any other seed."""
    tiles = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return encode(
        Image.fromarray(tiles).resize((side, side), Image.Resampling.BICUBIC), "PNG"
    )


def add(dataset: Dataset, data: bytes, origin: Origin) -> str:
    """Add an image with one face and return the face's sample key."""
    face = Face("animeface", Box(20, 20, 100, 100), 0.9)
    return store(dataset, data, origin, face, settings="threshold=0.5 margin=0.3")


def fill(
    dataset: Dataset, classes: list[str], per_class: int = 10
) -> list[tuple[str, str]]:
    """Add labelled and split faces of every class; return their (key, class)."""
    samples = []
    for number, name in enumerate(classes):
        for index in range(per_class):
            key = f"{number}-{index}"
            origin = Origin(
                "bing",
                key,
                url=f"https://pics.example/{key}.png",
                query=name,
                hint=name,
            )
            samples.append(
                (add(dataset, image_bytes(number * 1000 + index), origin), name)
            )
    dataset.journal.apply(
        "Label", [Choice(key, "label", name) for key, name in samples]
    )
    apply_split(dataset, plan_split(dataset, SplitSettings("8:1:1")))
    return samples


def finish(dataset: Dataset, name: str = "run-1", **data: int) -> None:
    """Record a finished run with one error on the test split."""
    test = [s for s in dataset.samples.iter_by_key() if s.split == "test"]
    y = np.array([CLASSES.index(str(sample.label)) for sample in test])
    predicted = np.where(np.arange(len(y)) < 1, (y + 1) % len(CLASSES), y)
    logits = np.log(np.where(np.eye(len(CLASSES))[predicted] > 0, 0.88, 0.04))
    figures = compute_classification_metrics(logits, y, [s.key for s in test], CLASSES)
    sizes = {
        split: number for (split,), number in dataset.samples.count_by("split").items()
    }
    metrics = RunMetrics(
        CLASSES,
        {"preset": "simple", "epochs": 7},
        sizes | data | {"splits": dataset.samples.hash_splits()},
        epochs=[EpochReport(number, *[1 / number] * 4) for number in range(1, 8)],
        best_epoch=6,
        test=replace(
            figures, groups=len(y), intervals={"accuracy": Interval(0.3, 0.95)}
        ),
    )
    (dataset.runs_folder / name).mkdir(parents=True)
    write_metrics(dataset.runs_folder / name, metrics)
    dataset.runs.start(name, "baseline", {"name": name})
    dataset.runs.finish(name, "done", {})


def report(
    dataset: Dataset, title: str = "Title", run_id: str | None = None
) -> html.HtmlElement:
    target = dataset.root / "reports" / "report.html"
    assert write_report(dataset, target, title=title, run_id=run_id) == target
    assert [path.name for path in target.parent.iterdir()] == ["report.html"]
    page = html.document_fromstring(target.read_bytes().decode("utf-8"))
    check_page(page)
    return page


def check_page(page: html.HtmlElement) -> None:
    """Check what every report guarantees."""
    assert (page.xpath("//section/@id"), len(page.xpath("//h1"))) == (SECTIONS, 1)
    assert not page.xpath("//script | //iframe | //object | //@onerror | //@onload")
    assert all(link[0] == "#" or link == "data:," for link in page.xpath("//@href"))
    assert all(
        src.startswith("data:image/jpeg;base64,") for src in page.xpath("//@src")
    )
    assert not re.search(r"url\(|@import", page.xpath("string(//style)"))
    assert all("url(" not in style for style in page.xpath("//@style"))
    assert not page.xpath(
        "//img[not(@alt)] | //table[not(caption)] | //section[not(h2)]"
    )
    assert not page.xpath("//svg[not(title)] | //th[not(@scope)]")
    anchors = set(page.xpath("//@id"))
    assert {link[1:] for link in page.xpath("//a/@href")} <= anchors


def section_text(page: html.HtmlElement, section: str) -> str:
    (result,) = page.xpath(f"//section[@id='{section}']")
    return " ".join(" ".join(result.itertext()).split())


@pytest.fixture(scope="module")
def trained_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset with a run; tests copy it."""
    root = tmp_path_factory.mktemp("made") / "dataset"
    with Dataset.create(root) as dataset:
        fill(dataset, CLASSES)
        finish(dataset)
    return root


@pytest.fixture
def trained(trained_root: Path, tmp_path: Path) -> Iterator[Dataset]:
    shutil.copytree(trained_root, tmp_path / "trained")
    with Dataset.open(tmp_path / "trained") as dataset:
        yield dataset


def test_complete_report(trained: Dataset) -> None:
    page = report(trained, "Pets")
    lead = page.xpath("string(//p[@class='lead'])")
    assert lead.startswith(
        "40 labelled faces of 4 classes in 40 images from 1 source. A model"
    )
    assert "is right on 75\u00a0% of 4 test images (95% CI 30.0-95.0%)" in lead
    assert "No unlabelled samples" in section_text(page, "classes")
    assert "32 4 4 40" in section_text(page, "classes")
    assert "best epoch 6" in section_text(page, "training")
    assert "changed" not in section_text(page, "training")
    assert len(page.xpath("//table[@class='matrix']/tbody/tr")) == 4
    assert "confidence 88 %" in section_text(page, "test")
    assert "4 classes have fewer than 20 training images" in section_text(
        page, "classes"
    )
    assert "1 error" in section_text(page, "test")


def test_unreadable_images_have_placeholder(trained: Dataset) -> None:
    for path in (trained.root / "images").rglob("*.png"):
        path.write_bytes(b"no image")
    page = report(trained)
    assert not page.xpath("//img")
    assert len(page.xpath("//section[@id='classes']//span[@class='none']")) == 8 * len(
        CLASSES
    )


def test_external_text_is_escaped(dataset: Dataset) -> None:
    origin = Origin(
        SCRIPT, "1", page_url=f"http://a.example/{NASTY}", query=NASTY, hint=SCRIPT
    )
    add(dataset, image_bytes(1), origin)
    add(
        dataset,
        image_bytes(1),
        Origin("bing", "2", url=NASTY, query=f"{NASTY};rm -rf /", hint="x"),
    )
    dataset.rejections.add(Rejection(f"stage{SCRIPT}", NASTY, NASTY, SCRIPT))
    page = report(dataset, title=SCRIPT)
    assert (page.xpath("string(//h1)"), page.xpath("string(//title)")) == (
        SCRIPT,
        SCRIPT,
    )
    assert SCRIPT in section_text(page, "sources")
    assert "onerror" in section_text(page, "rejections")


def test_empty_dataset(dataset: Dataset) -> None:
    page = report(dataset)
    assert "The dataset is empty" in page.xpath("string(//p[@class='lead'])")
    assert "No images yet" in section_text(page, "rejections")
    assert "Nothing is labelled yet" in section_text(page, "classes")
    assert "No training yet" in section_text(page, "training")


def test_disputed_images_are_counted(dataset: Dataset) -> None:
    for place, hint in (("a", "owl"), ("b", "cat")):
        add(
            dataset,
            image_bytes(1),
            Origin(
                "bing",
                place,
                url=f"https://x.example/{place}.png",
                query=hint,
                hint=hint,
            ),
        )
    add(dataset, image_bytes(3), Origin("bing", "e", query="owl", hint="owl"))
    assert "disputed weak label 1" in section_text(report(dataset), "classes")


def test_similar_images_form_a_group_in_one_split(dataset: Dataset) -> None:
    keys = [
        add(
            dataset,
            image_bytes(1, side),
            Origin("bing", str(side), query="owl", hint="owl"),
        )
        for side in (150, 160, 170)
    ]
    keys.append(
        add(dataset, image_bytes(2), Origin("bing", "2", query="owl", hint="owl"))
    )
    dataset.journal.apply("Label", [Choice(key, "label", "owl") for key in keys])
    apply_split(dataset, plan_split(dataset, SplitSettings("8:1:1")))
    page = report(dataset)
    text = section_text(page, "classes")
    assert "4 samples form 2 groups" in text
    assert "each group is in a single split" in text


def test_unused_images_are_counted_by_stage(dataset: Dataset) -> None:
    samples = fill(dataset, ["owl", "cat"])
    for number in range(3):
        add(
            dataset,
            image_bytes(900 + number),
            Origin("folder", f"e{number}", path=f"/p/{number}.png"),
        )
        (sha256,) = (
            i.sha256
            for i in dataset.images.iterate()
            if i.origins[0].key == f"e{number}"
        )
        dataset.faces.replace(
            sha256, "animeface", "threshold=0.5", [], cut="margin=0.3"
        )
    small = Face("animeface", Box(1, 1, 9, 9), 0.9)
    cut = "margin=0.3 min_size=20"
    dataset.faces.replace(
        sha256, "animeface", "threshold=0.5", [], cut=cut, small=[small]
    )
    measured = measure(image_bytes(950))
    dataset.originals(dataset.cache).put(
        measured.sha256, measured.format, image_bytes(950)
    )
    dataset.images.add(measured, Origin("folder", "new", path="/p/new.png"))
    dataset.journal.apply("Reject", [Choice(samples[0][0], "reject")])
    with dataset.db.transaction():
        row = dataset.db.fetch_int(
            "SELECT id FROM sample WHERE key=?", (samples[1][0],)
        )
        Placements(dataset.db).apply(
            1, [Placement(row, False, "g", f"a copy of {samples[2][0]}")]
        )
        dataset.db.execute("UPDATE sample SET split=NULL WHERE key=?", (samples[3][0],))
    page = report(dataset)
    rows = {
        row.xpath("string(th/bdi)"): row.xpath("string(td[1])")
        for row in page.xpath("//section[@id='rejections']//tbody/tr")
    }
    assert rows == {
        "no face found": "2",
        "face too small": "1",
        "duplicate": "1",
        "rejected": "1",
        "no part in the split": "1",
    }
    tiles = " ".join(page.xpath("string(//ul[@class='tiles'])").split())
    images = dataset.images.count()
    in_use = sum(
        s.kept and s.status == "labelled" for s in dataset.samples.iter_by_key()
    )
    assert f"{images} images {in_use} faces all decided, 2 left out" in tiles
    dataset.rejections.add(Rejection("harvest-folder", "a.jpg", "truncated", ""))
    dataset.rejections.add(Rejection("harvest-frames", "a.mp4", "damaged video", ""))
    page = report(dataset)
    tiles = " ".join(page.xpath("string(//ul[@class='tiles'])").split())
    assert f"{images} images 1 other unusable {in_use} faces" in tiles
    (shown, labelled) = (
        sum(
            int(text)
            for text in page.xpath(f"//section[@id='sources']//tbody/tr/td[{n}]/text()")
        )
        for n in (3, 4)
    )
    assert shown == labelled == in_use, "without duplicates"
    message = section_text(page, "rejections")
    assert "1 image has not been searched for faces yet" in message
    assert "could be used" not in message


def test_changed_labels_are_reported_for_run(trained: Dataset) -> None:
    finish(trained, "run-2", train=50, val=9)
    assert "changed" not in section_text(report(trained, run_id="run-2"), "test")
    sample = next(trained.samples.iter_in_splits())
    trained.journal.apply("Label", [Choice(sample.key, "label", "other")])
    assert "Labels or splits have changed" in section_text(
        report(trained, run_id="run-2"), "test"
    )


def test_number_of_test_evaluations(trained: Dataset) -> None:
    assert "once" not in section_text(report(trained), "test")
    evaluations = SplitEvaluations(trained.db)
    evaluations.add("run-1", "test", ["a"], "train")
    assert "and evaluated once" in section_text(report(trained), "test")
    evaluations.add("run-2", "test", ["a"], "train")
    assert "evaluated 2 times by 2 runs" in section_text(report(trained), "test")


@pytest.mark.damages("one group is in two splits")
def test_group_across_splits_is_reported(dataset: Dataset) -> None:
    keys = [
        add(
            dataset,
            image_bytes(1, side),
            Origin("bing", str(side), query="owl", hint="owl"),
        )
        for side in (150, 170)
    ]
    dataset.journal.apply("Label", [Choice(key, "label", "owl") for key in keys])
    dataset.samples.set_splits({keys[0]: ("m", "train"), keys[1]: ("m", "test")})
    page = report(dataset)
    assert "1 group is in more than one split" in section_text(page, "classes")
    assert "each group is in a single split" not in section_text(page, "classes")


def test_unreadable_run_raises_error(trained: Dataset) -> None:
    (trained.root / "runs" / "broken").mkdir()
    (trained.root / "runs" / "broken" / "metrics.json").write_text("{")
    for name in ("nowhere", "../run-1", "broken"):
        with pytest.raises(InputUnusable):
            write_report(trained, trained.root / "r.html", title="T", run_id=name)
        assert not (trained.root / "r.html").exists()


def test_report_is_deterministic(trained: Dataset) -> None:
    paths = [write_report(trained, trained.root / f"{n}.html", title="T") for n in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
