"""`gleanset list`, and the order of paged queries."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tools_for_tests import picture, run_here, write_pictures

from baseline.evaluation.decision_rule import DecisionRule, save_decision_rule
from baseline.evaluation.metrics import RunMetrics, write_metrics
from baseline.evaluation.outputs import Outputs, save_outputs
from gleanset import Box, Dataset, Face, Origin, Rejection
from gleanset.db.classes import Change, Changes
from gleanset.db.journal import Choice
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.db.sorting import SampleTiles
from gleanset.errors import UsageError
from gleanset.images.cropping import make_sample_key
from gleanset.records import FaceCrop, Landmark, Measured
from pipeline.listing import list_records

NAMES = ("alpha", "beta", "gamma")


def sha(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def sample_key(name: str, left: int = 10) -> str:
    return make_sample_key(sha(name), Box(left, 20, 30, 40))


def add_image(dataset: Dataset, number: int, name: str) -> None:
    measured = Measured(
        sha(name), "JPEG", 1000 + number, 640 + number, 480, 1, 1, 2**63 + number, 5.5
    )
    origin = Origin(
        "bing",
        f"id-{name}",
        f"http://x/{name}.jpg",
        "http://x/",
        query=name,
        hint=name,
        author="someone",
        licence="CC BY 2.0",
        title=name,
        tags=("one", "two"),
        rating="s",
        ai=bool(number % 2),
    )
    dataset.images.add(measured, origin)


def add_frame(dataset: Dataset) -> None:
    """Add another origin of the image `alpha`: a frame of a video."""
    frame: dict[str, Any] = {
        "video": sha("video"),
        "time": 12.5,
        "frame": 300,
        "scene": 4,
    }
    origin = Origin(
        "video", "v@12.5", path="/videos/e1.mkv", post="7", hint="alpha", **frame
    )
    with dataset.db.transaction():
        dataset.images.add_origin(sha("alpha"), origin)


def add_faces(dataset: Dataset, name: str) -> None:
    cuts = []
    for left in (10, 100):
        box = Box(left, 20, 30, 40)
        marks = (Landmark("nose", 12.5, 30.0),)
        evidence = {"hair": [231, 149, 173], "left_eye": [20, 25, 41]}
        face = Face("animeface", box, 0.5 + left / 1000, marks, evidence)
        cuts.append(
            FaceCrop(
                face,
                make_sample_key(sha(name), box),
                Box(left - 5, 15, 40, 50),
                7,
                3.25,
            )
        )
    dataset.faces.replace(sha(name), "animeface", "test", cuts)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """Yield a dataset with records of most kinds; tests must not change it."""
    with Dataset.create(tmp_path_factory.mktemp("filled") / "dataset") as dataset:
        for number, name in enumerate(NAMES):
            add_image(dataset, number, name)
            add_faces(dataset, name)
        add_frame(dataset)
        dataset.journal.apply("Label", [Choice(sample_key("alpha"), "label", "hana")])
        step = dataset.journal.apply("Reject", [Choice(sample_key("beta"), "reject")])
        [beta] = SampleTiles(dataset.db).get_ids([sample_key("beta")]).values()
        Changes(dataset.db).apply(step, [Change("mark", beta, "other")])
        splits = {"alpha": ("group-1", "test"), "beta": ("group-2", "val")}
        dataset.samples.set_splits({sample_key(n): s for n, s in splits.items()})
        for what in "ab":
            dataset.rejections.add(Rejection("urls", what, "HTTP 404", "gone"))
        run = dataset.runs.start("run-1", "baseline", {"epochs": 3})
        dataset.runs.finish(run.id, "done", {"test": {"accuracy": 0.75}})
        yield dataset


def lines(dataset: Dataset, kind: str, *conditions: str) -> list[dict[str, Any]]:
    """Return the printed records."""
    return [
        json.loads(json.dumps(line)) for line in list_records(dataset, kind, conditions)
    ]


def test_images_are_listed_with_origins(filled: Dataset) -> None:
    image = next(
        line for line in lines(filled, "images") if line["sha256"] == sha("alpha")
    )
    assert (image["format"], image["bytes"], image["width"]) == ("JPEG", 1000, 640)
    assert image["phash"] == "8000000000000000"
    search, frame = image["origins"]
    expected = {"source": "bing", "source_id": "id-alpha", "tags": ["one", "two"]}
    assert search.items() >= expected.items()
    assert (search["video"], search["ai"]) == (None, False)
    assert (frame["source"], frame["url"], frame["tags"]) == ("video", None, [])
    assert (frame["video"], frame["time"], frame["scene"]) == (sha("video"), 12.5, 4)


def test_samples_are_listed_with_label_and_origin(filled: Dataset) -> None:
    result = {line["id"]: line for line in lines(filled, "samples")}
    assert len(result) == 6
    expected = {
        "image": sha("alpha"),
        "box": [5, 15, 40, 50],
        "detector": "animeface",
        "score": 0.51,
        "phash": "0000000000000007",
        "status": "labelled",
        "label": "hana",
        "hint": "alpha",
        "split": "test",
        "split_group": "group-1",
        "size": 40,
        "path": "/videos/e1.mkv",
        "kept": True,
        "flags": [],
    }
    assert result[sample_key("alpha")].items() >= expected.items()
    beta = result[sample_key("beta")]
    assert (
        beta.items()
        >= {"status": "rejected", "mark": "unlisted person", "split": None}.items()
    )
    assert result[sample_key("gamma")]["status"] == "queue"


@pytest.mark.parametrize(
    ("kind", "conditions", "expected"),
    [
        ("samples", ["label = hana"], 1),
        ("samples", ["label=nobody"], 0),
        ("samples", ["label=null"], 5),
        ("samples", ["status=queue", "hint=beta"], 1),
        ("samples", ["status=queue", "status=rejected"], 0),
        ("images", ["width=640"], 1),
        ("images", ["origins.source=video"], 1),
        ("images", ["origins.time=null"], 3),
        ("images", ["origins.tags=two"], 3),
        ("images", ["origins.ai=true"], 1),
        ("faces", [f"image={sha('gamma')}"], 2),
        ("decisions", ["value=hana"], 1),
        ("rejections", ["reason=HTTP 404"], 2),
        ("runs", ["result.test.accuracy=0.75"], 1),
        ("runs", ["settings.epochs=3"], 1),
    ],
)
def test_conditions_select_rows(
    filled: Dataset, kind: str, conditions: list[str], expected: int
) -> None:
    assert len(lines(filled, kind, *conditions)) == expected


@pytest.mark.parametrize(
    ("kind", "condition", "fix"),
    [
        ("samples", "", "FIELD=VALUE"),
        ("samples", "la bel=hana", "FIELD=VALUE"),
        ("samples", "lable=hana", "did you mean label"),
        ("samples", "key=x", "use one of: id"),
        ("images", "source=bing", "origins.source"),
        (
            "samples",
            "score>=0.6",
            "gleanset list samples | jq -c 'select(.FIELD >= 0.8)'",
        ),
        ("faces", "label=hana", "use one of"),
    ],
)
def test_invalid_condition_raises_error(
    filled: Dataset, kind: str, condition: str, fix: str
) -> None:
    with pytest.raises(UsageError) as error:
        lines(filled, kind, condition)
    assert fix in str(error.value)
    assert error.value.exit_code == 2


def test_label_issues_list_files_and_are_fixed_by_command(tmp_path: Path) -> None:
    write_pictures(
        tmp_path / "sorted", ("hana/0.jpg", "rei/1.jpg", "hana/2.jpg", "rei/3.jpg")
    )
    root = tmp_path / "dataset"
    assert run_here("labeler.cli", "import", tmp_path / "sorted", "-d", root).code == 0
    with Dataset.open(root) as dataset:
        keys = {str(s["original_path"]): s["id"] for s in lines(dataset, "samples")}
        wrong, other = keys["hana/0.jpg"], keys["rei/1.jpg"]
        LabelIssues(dataset.db).replace(
            [LabelIssue(wrong, "hana", "rei", 0.9, 0.8, "run-1")]
        )
        run = dataset.runs.start("run-1", "baseline", {})
        folder = dataset.runs_folder / "run-1"
        folder.mkdir(parents=True)
        scores = np.array([[-2, 2], [3, -3]], np.float32)
        membership = np.array([0.95, 0.96])
        answers = Outputs(
            scores, np.array([0, 1]), (wrong, other), membership=membership
        )
        save_outputs(folder, {"test": answers})
        save_decision_rule(folder, DecisionRule(unfamiliar_below=0.5))
        write_metrics(folder, RunMetrics(["hana", "rei"], {}, {}))
        dataset.runs.finish(run.id, "done", {})
        files = {
            key: {
                "path": line["path"],
                "file": str(dataset.image_path(line["image"], "JPEG")),
            }
            for line in lines(dataset, "samples")
            for key in (line["id"],)
        }
        assert files[wrong]["path"] == str(tmp_path / "sorted" / "hana" / "0.jpg")
        assert Path(files[wrong]["file"]).read_bytes() == picture(0)
        [issue] = lines(dataset, "label-issues")
        assert issue == {
            "sample": wrong,
            "label": "hana",
            "suggested": "rei",
            "confidence": 0.9,
            "margin": 0.8,
            "confident": True,
            "run": "run-1",
            **files[wrong],
        }
        first, second = lines(dataset, "confusion")
        assert (first["sample"], first["label"], first["predicted"]) == (
            other,
            "rei",
            "hana",
        )
        assert (second["sample"], second["split"]) == (wrong, "test")
        # As users get them: probabilities of 0.997 and 0.982, times the membership.
        assert first["confidence"] == pytest.approx(0.9976 * 0.96, abs=1e-3)
        assert second["confidence"] == pytest.approx(0.9820 * 0.95, abs=1e-3)
        assert {key: second[key] for key in files[wrong]} == files[wrong]
        both = sorted((wrong, other))
        with dataset.db.transaction():
            dataset.db.execute(
                "UPDATE sample SET duplicate_set='g' WHERE key IN (?, ?)", both
            )
        [alike] = lines(dataset, "groups")
        assert alike["samples"] == both
        assert alike["paths"] == [files[key]["path"] for key in both]
        assert alike["files"] == [files[key]["file"] for key in both]
    assert (
        run_here("labeler.cli", "label", "rei", issue["sample"], "-d", root).code == 0
    )
    with Dataset.open(root) as dataset:
        assert lines(dataset, "label-issues") == []
        assert [line["sample"] for line in lines(dataset, "confusion")] == [other]
        # Users get "unknown" for it.
        unknown = replace(answers, membership=np.array([0.95, 0.4]))
        save_outputs(folder, {"test": unknown})
        assert lines(dataset, "confusion") == []
