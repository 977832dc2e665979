"""`baseline prelabel` on a dataset, and the rows it leaves for the labeler."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner
from filled import fill

from baseline.cli import commands
from baseline.prelabel.prelabeling import prelabel, summarize_prelabel
from baseline.settings import load_preset
from gleanset import Dataset
from gleanset.db.classes import Change, Changes, Placement, Placements
from gleanset.db.journal import Choice
from gleanset.db.proposals import PrelabelledSample, PrelabelSamples, Proposals
from gleanset.errors import InputUnusable, UsageError
from gleanset.terminal import WIDTH
from labeler.cli import commands as labeler
from labeler.sorting.learning import LearningResult, learn

QUICK = ["-o", "backbone=efficientnet_lite0", "-o", "weights=none", "-o", "size=32"]
SETTINGS = load_preset("transfer", dict(one.split("=") for one in QUICK[1::2]))


def test_prelabel_before_and_after_labelling(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 15, labelled=False)
        results = prelabel(dataset, SETTINGS)
        assert (results["samples"], results["labelled"]) == (45, 0)
        proposals = Proposals(dataset.db)
        first = proposals.get_latest()
        result = {proposal.sample: proposal for proposal in proposals.iterate()}
        assert set(result) == set(truth)

        labelled, rejected = sorted(truth)[:24], sorted(truth)[30]
        dataset.journal.apply("Label", [Choice(key, "label", truth[key]) for key in labelled])
        dataset.journal.apply("Reject", [Choice(rejected, "reject")])
        results = prelabel(dataset, SETTINGS)
        assert (results["samples"], results["labelled"], results["classes"]) == (44, 24, 3)
        second = proposals.get_latest()
        assert first is not None
        assert second is not None
        assert second.id > first.id
        assert second.facts["accuracy"] == results["accuracy"]
        result = {sample.sample: sample for sample in proposals.iterate()}
        pending = [sample for key, sample in result.items() if key not in labelled]
        assert all(sample.proposals for sample in pending)
        right = sum(sample.proposals[0].label == truth[sample.sample] for sample in pending)
        assert right > len(pending) / 2  # a third by chance


def test_learning_matches_prelabel(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 12, labelled=False)
        assert learn(dataset) == LearningResult(len(truth))
        prelabel(dataset, SETTINGS)
        assert learn(dataset) == LearningResult(0)
        keys = sorted(truth)
        dataset.journal.apply("Page", [Choice(key, "label", truth[key]) for key in keys[:18]])
        assert learn(dataset).changed >= len(keys) - 18
        assert learn(dataset).changed == 0
        newest = Proposals(dataset.db).get_latest()
        assert newest is not None
        assert newest.facts["known"] == sorted({truth[key] for key in keys[:18]})
        suggested = {sample.sample: sample.proposals for sample in Proposals(dataset.db).iterate()}
        prelabel(dataset, SETTINGS)
        assert {
            sample.sample: sample.proposals for sample in Proposals(dataset.db).iterate()
        } == suggested
        new = fill(dataset, 2, seed=5, labelled=False)
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
        truth = fill(dataset, 8, labelled=False)
        first = prelabel_output()
        assert first["samples"] == "24 (0 labelled, 24 pending)"
        assert first["suggestions"].startswith("none: label samples of at least two classes")
        assert "accept predictions" not in first["next"]
        keys = sorted(truth)
        dataset.journal.apply("Label", [Choice(key, "label", truth[key]) for key in keys[:18]])
        second = prelabel_output()
        assert second["samples"] == "24 (18 labelled, 6 pending)"
        assert {*second["label next"].split()} <= {key[:8] for key in keys[18:]}
        result = r"6/6 samples, about \d errors among 3 known classes"
        assert re.fullmatch(result, second["suggestions"])
        assert "are additional errors" in second["other classes"]
        assert "% (18 labelled samples)" in second["out-of-fold accuracy"]
        accept = ["accept", "predictions", "--simulate", "--json", "-d", str(root)]
        confident = json.loads(CliRunner().invoke(labeler, accept).stdout)["accepted"]
        assert second.get("confident", "0 at").startswith(f"{confident} at")
        assert ("labeler accept predictions --above 0.95 -d" in second["next"]) == (confident > 0)
        dataset.journal.apply("Label", [Choice(key, "label", truth[key]) for key in keys[18:]])
        last = prelabel_output()
        assert last["suggestions"] == "none: no pending samples"
        assert "label next" not in last
        assert "gleanset status -d" in last["next"]


@pytest.mark.parametrize("window", [True, False])
@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.usefixtures("no_display")
def test_next_command_needs_display(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: bool, trained: bool
) -> None:
    if window:
        monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 2, labelled=False)
        figures: dict[str, object] = {"samples": 6, "labelled": 0, "clusters": 1}
        if trained:
            figures |= {"classes": 3, "held_out": 0, "rejected": 0}
            figures |= {"of_no_class_at_most": None, "of_other_classes": 0}
        stack = [PrelabelledSample(key, place, (), 0, 0.1) for place, key in enumerate(truth)]
        Proposals(dataset.db).replace(stack, {})
        result = summarize_prelabel(dataset, figures)["next"]
        stacks = f"labeler gallery clusters.html --clusters {dataset.option}"
        first_command = [f"labeler {dataset.option}"] if window else [stacks]
        assert result == [*first_command, *([stacks] if window and not trained else [])]


def test_rejected_samples_bound_unknown_classes(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 8, labelled=False)
        keys = sorted(truth)
        dataset.journal.apply("Page", [Choice(key, "label", truth[key]) for key in keys[:8]])
        figures = prelabel(dataset, SETTINGS)
        result = summarize_prelabel(dataset, figures)
        # Without rejected samples nothing is known about other classes.
        assert figures["of_no_class_at_most"] is None
        assert result["suggestions"].endswith("errors among 3 known classes")
        assert "are additional errors" in result["other classes"]

        dataset.journal.apply("Reject", [Choice(key, "reject") for key in keys[8:10]])
        result = summarize_prelabel(dataset, prelabel(dataset, SETTINGS))
        bound = re.search(r"at most (\d+) errors", result["other classes"])
        expected = re.search(r"about (\d+) errors among", result["suggestions"])
        assert bound
        assert expected
        assert int(expected[1]) < int(bound[1]) <= 14

        dataset.journal.apply("Reject", [Choice(key, "reject") for key in keys[10:14]])
        result = summarize_prelabel(dataset, prelabel(dataset, SETTINGS))
        assert "3 known classes and rejected images" in result["suggestions"]


@pytest.mark.damages("its pictures are removed")
def test_unusable_input_raises_error(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        with pytest.raises(InputUnusable, match="no samples to sort"):
            prelabel(dataset, SETTINGS)
        with pytest.raises(UsageError, match="of preset transfer, not simple"):
            prelabel(dataset, load_preset("simple", {}))
        truth = fill(dataset, 2, labelled=False)
        originals = sorted((tmp_path / "images").glob("*/*.png"))
        for path in originals[:2]:
            path.write_bytes(b"broken")
        assert prelabel(dataset, SETTINGS)["unreadable"] == 2
        for path in originals:
            path.unlink()
        for path in (tmp_path / "cache" / "features").glob("*/*"):
            path.unlink()
        with pytest.raises(InputUnusable, match="all 6 images are unreadable"):
            prelabel(dataset, SETTINGS)
        assert len(list(Proposals(dataset.db).iterate())) == len(truth) - 2


def test_prelabel_samples_of_catalogue(tmp_path: Path) -> None:
    with Dataset.create(tmp_path) as dataset:
        truth = fill(dataset, 2, labelled=False)
        first, second, third, *_ = sorted(truth)
        dataset.journal.apply("Label", [Choice(first, "label", "disc"), Choice(second, "reject")])
        number = {sample.key: sample for sample in PrelabelSamples(dataset.db).iterate()}
        assert number[first].label == "disc"
        assert number[second].status == "rejected"
        rows = {row[1]: row[0] for row in dataset.db.fetch_all("SELECT id, key FROM sample")}
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
        assert (result[first].kept, result[first].group, result[third].group) == (False, "g", "g")
        prelabel(dataset, SETTINGS)
        assert first not in {sample.sample for sample in Proposals(dataset.db).iterate()}
