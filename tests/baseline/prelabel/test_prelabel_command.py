"""`baseline prelabel` on a dataset: the rows it leaves, its vectors and block weights."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from drawn_dataset import fill, put_whole

from baseline.cli import commands
from baseline.features.backbone import FeaturePart
from baseline.features.texture import (
    DRAWING_WEIGHTS,
    ELONGATED_WEIGHTS,
    PHOTO_WEIGHTS,
    get_prior_weights,
    has_drawings,
)
from baseline.prelabel.prelabeling import PrelabelReport, describe_suggestions, prelabel
from baseline.settings import load_preset
from curation.similarity.vectors import EmbeddingSpace, make_sample_vector_name
from gleanset import Dataset
from gleanset.db.classes import Change, Changes, Placement, Placements
from gleanset.db.journal import Choice
from gleanset.db.proposals import (
    PrelabelledSample,
    PrelabelSamples,
    Proposal,
    Proposals,
)
from gleanset.errors import InputUnusable
from gleanset.records import Region
from gleanset.terminal import WIDTH
from gleanset.work.progress import Progress
from labeler.cli import commands as labeler
from labeler.sorting.learning import LearningResult, learn
from tools.sample.character import CAST
from tools.sample.scene import paint_scene, plan_scene

QUICK = ["-o", "backbone=efficientnet_lite0", "-o", "weights=none", "-o", "size=32"]
SETTINGS = load_preset("transfer", dict(one.split("=") for one in QUICK[1::2]))


def test_prelabel_before_and_after_labelling(dataset: Dataset) -> None:
    truth = fill(dataset, 15, ())
    results = prelabel(dataset, SETTINGS).to_json()
    assert (results["samples"], results["labelled"]) == (45, 0)
    proposals = Proposals(dataset.db)
    first = proposals.get_latest()
    result = {proposal.sample: proposal for proposal in proposals.iterate()}
    assert set(result) == set(truth)

    labelled = sorted(truth)[:24]
    rejected = sorted(truth)[30]
    dataset.journal.apply(
        "Label", [Choice(key, "label", truth[key]) for key in labelled]
    )
    dataset.journal.apply("Reject", [Choice(rejected, "reject")])
    results = prelabel(dataset, SETTINGS).to_json()
    assert (results["samples"], results["labelled"], results["classes"]) == (44, 24, 3)
    second = proposals.get_latest()
    assert second.id > first.id
    assert second.facts["accuracy"] == results["accuracy"]
    result = {sample.sample: sample for sample in proposals.iterate()}
    pending = [sample for key, sample in result.items() if key not in labelled]
    assert all(sample.proposals for sample in pending)
    right = sum(sample.proposals[0].label == truth[sample.sample] for sample in pending)
    assert right > len(pending) / 2  # a third by chance


def suggestions(dataset: Dataset) -> dict[str, tuple[Proposal, ...]]:
    return {
        sample.sample: sample.proposals for sample in Proposals(dataset.db).iterate()
    }


def test_learning_matches_prelabel(dataset: Dataset) -> None:
    truth = fill(dataset, 12, ())
    assert learn(dataset) == LearningResult(len(truth))
    prelabel(dataset, SETTINGS)
    assert learn(dataset) == LearningResult(0)
    keys = sorted(truth)
    dataset.journal.apply(
        "Page", [Choice(key, "label", truth[key]) for key in keys[:12]]
    )
    before = suggestions(dataset)
    assert learn(dataset) == LearningResult(0, has_model=True)
    suggested = suggestions(dataset)
    changed = [key for key in keys if suggested[key] != before[key]]
    assert len(changed) >= len(keys) - 12
    learn(dataset)
    assert suggestions(dataset) == suggested
    newest = Proposals(dataset.db).get_latest()
    assert newest.facts["known"] == sorted({truth[key] for key in keys[:12]})
    prelabel(dataset, SETTINGS)
    assert suggestions(dataset) == suggested
    new = fill(dataset, 2, (), seed=5)
    assert learn(dataset).without_vectors == len(new)


def test_prelabel_command_output(tmp_path: Path) -> None:
    root = tmp_path / "my faces"

    def prelabel_output() -> dict[str, str]:
        ran = CliRunner().invoke(commands, ["prelabel", *QUICK, "-d", str(root)])
        assert ran.exit_code == 0, ran.output
        result, _, commands_next = ran.stdout.partition("next:\n")
        assert max(map(len, result.splitlines())) <= WIDTH
        lines = result.replace("\n  ", " ").splitlines()
        assert shlex.quote(str(root)) in commands_next
        return dict(line.split(": ", 1) for line in lines) | {"next": commands_next}

    with Dataset.create(root) as dataset:
        truth = fill(dataset, 8, ())
        first = prelabel_output()
        assert first["samples"] == "24 (0 labelled, 24 unlabelled)"
        assert first["suggestions"].startswith(
            "none: label samples of at least two classes"
        )
        assert "accept predictions" not in first["next"]
        keys = sorted(truth)
        dataset.journal.apply(
            "Label", [Choice(key, "label", truth[key]) for key in keys[:12]]
        )
        second = prelabel_output()
        assert second["samples"] == "24 (12 labelled, 12 unlabelled)"
        assert {*second["label next"].split()} <= {key[:8] for key in keys[12:]}
        result = r"12/12 samples, about \d errors? among 3 known classes"
        assert re.fullmatch(result, second["suggestions"])
        assert "are additional errors" in second["other classes"]
        assert "% (12 labelled samples" in second["out-of-fold accuracy"]
        accept = ["accept", "predictions", "--simulate", "--json", "-d", str(root)]
        confident = json.loads(CliRunner().invoke(labeler, accept).stdout)["accepted"]
        assert second.get("confident", "0 at").startswith(f"{confident} at")
        assert ("labeler accept predictions --above 0.95 -d" in second["next"]) == (
            confident > 0
        )
        dataset.journal.apply(
            "Label", [Choice(key, "label", truth[key]) for key in keys[12:]]
        )
        last = prelabel_output()
        assert last["suggestions"] == "none: no unlabelled samples"
        assert "label next" not in last
        assert "gleanset status -d" in last["next"]


@pytest.mark.parametrize("window", [True, False])
@pytest.mark.usefixtures("no_display")
def test_next_command_needs_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: bool
) -> None:
    if window:
        monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 2, ())
        figures: dict[str, object] = {"samples": 6, "labelled": 0, "clusters": 1}
        stack = [
            PrelabelledSample(key, place, (), 0, 0.1) for place, key in enumerate(truth)
        ]
        Proposals(dataset.db).replace(stack, {})
        report = PrelabelReport(prelabel=1, facts=figures, label_next=[], seconds={})
        describe_suggestions(dataset, report)
        command = "labeler" if window else "labeler serve"
        assert report.summary()["next"] == [f"{command} {dataset.option}"]


def test_rejected_samples_bound_unknown_classes(dataset: Dataset) -> None:
    truth = fill(dataset, 8, ())
    keys = sorted(truth)
    dataset.journal.apply(
        "Page", [Choice(key, "label", truth[key]) for key in keys[:8]]
    )
    report = prelabel(dataset, SETTINGS)
    result = report.summary()
    # Without rejected samples nothing is known about other classes.
    assert report.facts["of_no_class_at_most"] is None
    assert result["suggestions"].endswith(" among 3 known classes")
    assert "are additional errors" in result["other classes"]

    dataset.journal.apply("Reject", [Choice(key, "reject") for key in keys[8:10]])
    result = prelabel(dataset, SETTINGS).summary()
    bound = re.search(r"at most (\d+) errors?", result["other classes"])
    expected = re.search(r"about (\d+) errors? among", result["suggestions"])
    assert int(expected[1]) < int(bound[1]) <= 14

    dataset.journal.apply("Reject", [Choice(key, "reject") for key in keys[10:14]])
    result = prelabel(dataset, SETTINGS).summary()
    assert "3 known classes and rejected images" in result["suggestions"]


@pytest.mark.damages("its pictures are removed")
def test_unusable_input_raises_error(dataset: Dataset) -> None:
    with pytest.raises(InputUnusable, match="no samples to sort"):
        prelabel(dataset, SETTINGS)
    truth = fill(dataset, 2, ())
    originals = sorted((dataset.root / "images").glob("*/*.png"))
    for path in originals[:2]:
        path.write_bytes(b"broken")
    assert prelabel(dataset, SETTINGS).facts["unreadable"] == 2
    for path in originals:
        path.unlink()
    for path in (dataset.root / "cache" / "features").glob("*/*"):
        path.unlink()
    with pytest.raises(InputUnusable, match="all 6 images are unreadable"):
        prelabel(dataset, SETTINGS)
    assert len(list(Proposals(dataset.db).iterate())) == len(truth) - 2


def test_prelabel_samples_of_catalogue(dataset: Dataset) -> None:
    truth = fill(dataset, 2, ())
    first, second, third, *_ = sorted(truth)
    dataset.journal.apply(
        "Label", [Choice(first, "label", "disc"), Choice(second, "reject")]
    )
    number = {sample.key: sample for sample in PrelabelSamples(dataset.db).iterate()}
    assert (number[first].label, number[second].status) == ("disc", "rejected")
    rows = {
        row[1]: row[0] for row in dataset.db.fetch_all("SELECT id, key FROM sample")
    }
    with dataset.db.transaction():
        disc = dataset.classes.get_or_create("disc")
        step = dataset.db.execute("INSERT INTO step(at, user) VALUES('', '')")
        Changes(dataset.db).apply(step, [Change("refused", rows[third], str(disc))])
        Placements(dataset.db).apply(
            step,
            [
                Placement(rows[first], False, "g", "copy"),
                Placement(rows[third], True, "g", "best"),
            ],
        )
    result = {sample.key: sample for sample in PrelabelSamples(dataset.db).iterate()}
    assert result[third].refused == {"disc"}
    assert (result[first].kept, result[first].group, result[third].group) == (
        False,
        "g",
        "g",
    )
    prelabel(dataset, SETTINGS)
    assert first not in {sample.sample for sample in Proposals(dataset.db).iterate()}


WITH_COLOURS = {
    "backbone": "efficientnet_lite0+colours",
    "weights": "none",
    "size": "32",
}
PARTS = (
    FeaturePart("network", True, (6,)),
    FeaturePart("colours", False, (4,)),
    FeaturePart("faces", False, (2,)),
)


def test_prelabel_stores_vectors(dataset: Dataset) -> None:
    fill(dataset, 10, ())
    assert EmbeddingSpace.from_dataset(dataset) is None
    first = prelabel(dataset, load_preset("transfer", WITH_COLOURS)).to_json()
    assert "these are photographs" in str(first["parts_by"])
    assert first["parts"] == {
        "efficientnet_lite0": 1.0,
        "colours": PHOTO_WEIGHTS["colours"],
    }
    space = EmbeddingSpace.from_dataset(dataset)
    names = [
        make_sample_vector_name(s.key, Region(s.box, s.angle))
        for s in dataset.samples.iter_by_key()
    ]
    vectors, is_present = space.get_vectors([*names, b"unknown" * 2])
    assert is_present.tolist() == [True] * len(names) + [False]
    assert np.allclose(np.linalg.norm(vectors[:-1], axis=1), 1, atol=1e-5)
    assert not vectors[-1].any()

    repeated = prelabel(
        dataset, load_preset("transfer", WITH_COLOURS | {"part_weights": "0.25"})
    )
    newer = EmbeddingSpace.from_dataset(dataset)
    assert newer.name != space.name
    assert [path.name for path in (dataset.root / "cache" / "likeness").iterdir()] == [
        newer.name
    ]
    assert repeated.facts["parts"] == {"efficientnet_lite0": 1.0, "colours": 0.25}


def test_drawings_and_photographs_get_own_weights(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "drawn") as dataset:
        for seed in range(4):
            picture = paint_scene(plan_scene([CAST[seed]], seed, (160, 120))).convert(
                "RGB"
            )
            put_whole(dataset, picture.crop((0, 0, 120, 110)), f"{seed}")
        samples = list(dataset.samples.iter_by_key())
        expected = get_prior_weights(PARTS, dataset, samples, Progress())
        assert expected == ((1.0, *DRAWING_WEIGHTS.values()), "these are drawings")
    with Dataset.create(tmp_path / "grainy") as dataset:
        fill(dataset, 4, ())
        samples = list(dataset.samples.iter_by_key())
        assert not has_drawings(dataset, samples, Progress())
        photographs = get_prior_weights(PARTS, dataset, samples, Progress())
        assert photographs == ((1.0, *PHOTO_WEIGHTS.values()), "these are photographs")
        two = (PARTS[0], PARTS[0]._replace(name="another"))
        assert get_prior_weights(two, dataset, [], Progress()).weights == (1.0, 1.0)


def test_elongated_drawings_get_own_weights(dataset: Dataset) -> None:
    for seed, size in enumerate([(160, 90), (80, 150), (100, 100), (160, 90)]):
        picture = paint_scene(plan_scene([CAST[seed]], seed, size))
        put_whole(dataset, picture.convert("RGB"), f"{seed}")
    samples = list(dataset.samples.iter_by_key())
    expected = get_prior_weights(PARTS, dataset, samples, Progress())
    assert expected == (
        (1.0, *ELONGATED_WEIGHTS.values()),
        "these are drawings far from square",
    )
    squares = [sample for sample in samples if sample.box.width == sample.box.height]
    expected = get_prior_weights(PARTS, dataset, squares, Progress())
    assert expected.weights == (1.0, *DRAWING_WEIGHTS.values())
