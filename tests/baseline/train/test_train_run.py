"""Training runs on a dataset: files, catalogue row, interruption, commands."""

import dataclasses
import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import drawn_dataset
import msgspec
import numpy as np
import pytest
from drawn_dataset import CLASSES, EIGHT_TO_ONE
from msgspec.structs import replace
from PIL import Image
from tools_for_tests import Ran, eventually, python, run_here

from baseline.data.runs import METRICS, TRAINING_KIND, find_finished_run, run_folder
from baseline.data.samples import find_examples, load_arrays
from baseline.evaluation.decision_rule import RuleRequest, load_decision_rule
from baseline.evaluation.evaluate import reevaluate_run
from baseline.evaluation.metrics import (
    EpochReport,
    RunMetrics,
    compute_classification_metrics,
    read_metrics,
    write_metrics,
)
from baseline.evaluation.report.page import write_report
from baseline.evaluation.summary import TrainedRun
from baseline.settings import Settings, load_preset
from baseline.train import loop
from baseline.train.train_run import train_run
from baseline.train.training import RunLogger
from gleanset import Box, Dataset, Face, installation
from gleanset.errors import InputUnusable, MissingComponent, UsageError
from gleanset.images.cropping import make_sample_key
from gleanset.records import SPLITS, FaceCrop, Run
from gleanset.terminal import format_result
from gleanset.work.progress import NO_PROGRESS
from pipeline.status import suggest_page_command

FILES = {
    "weights.safetensors",
    "settings.json",
    METRICS,
    "trained_on.json",
    "answers.json",
    "crops.json",
    "feature_scale.json",
    "outputs.npz",
    "log.txt",
    "report.html",
}
QUICK_OPTIONS = {"size": "32", "blocks": "8,16", "dense": "16", "epochs": "2"}
QUICK_OPTIONS |= {"learning_rate": "0.01"}
QUICK = load_preset("simple", QUICK_OPTIONS)


def fill(dataset: Dataset, classes: int = 2, seed: int = 0) -> None:
    """Add ten images per class, split 8:1:1, in singleton groups."""
    drawn_dataset.fill(dataset, 10, EIGHT_TO_ONE, seed=seed, classes=classes)


@pytest.fixture
def small(dataset: Dataset) -> Dataset:
    fill(dataset)
    return dataset


def metrics(dataset: Dataset, run: object) -> dict[str, Any]:
    return json.loads((run_folder(dataset, str(run)) / METRICS).read_text())


def without_timings(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics without measured times."""
    clocks = ("seconds", "images_per_second")
    epochs = [
        {k: v for k, v in e.items() if k not in clocks} for e in metrics["epochs"]
    ]
    training = {k: v for k, v in metrics["training"].items() if k not in clocks}
    plain = {k: v for k, v in metrics.items() if k not in clocks}
    return plain | {"epochs": epochs, "training": training}


def runs(dataset: Dataset) -> list[Run]:
    return [run for run in dataset.runs.iterate() if run.room == TRAINING_KIND]


def files(dataset: Dataset) -> dict[str, set[str]]:
    return {
        folder.name: {path.name for path in folder.iterdir()}
        for folder in (dataset.root / "runs").iterdir()
    }


def test_run_leaves_files_and_row(small: Dataset) -> None:
    settings = replace(QUICK, epochs=10)
    result = train_run(small, settings)
    (run,) = runs(small)
    assert (run.id, run.status) == (result.run, "done")
    assert result.report == str(run_folder(small, run.id) / "report.html")
    fields = {"run": run.id, **run.result, "report": result.report}
    assert fields == json.loads(json.dumps(result.to_json()))
    assert run.settings == {
        **settings.to_json(),
        "data": find_examples(small).fingerprint(),
    }
    assert files(small) == {run.id: FILES}
    assert list((small.cache / "scratch").iterdir()) == []

    output = metrics(small, run.id)
    assert output["classes"] == sorted(CLASSES[:2])
    assert output["settings"] == settings.to_json()
    assert [output["data"][split] for split in ("train", "val", "test")] == [16, 2, 2]
    numbers = [epoch["epoch"] for epoch in output["epochs"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert 1 <= output["best_epoch"] <= len(numbers)
    assert output["test"]["count"] == 2
    test = result.test
    assert test["accuracy"] == output["test"]["accuracy"] == 1.0
    run_metrics = read_metrics(run_folder(small, run.id))
    on_train = run_metrics.train.accuracy
    assert run_metrics.gap == {
        split: on_train - run_metrics.splits[split].accuracy
        for split in ("val", "test")
    }
    assert result.calibration == run_metrics.calibration.describe()
    assert "2 images of val, 2 groups" in str(result.calibration)

    evaluation = reevaluate_run(small, None, "test", RuleRequest({}), NO_PROGRESS)
    assert (evaluation.run, evaluation.figures) == (run.id, run_metrics.test)
    assert evaluation.earlier == (0, 0, ()), "the run's own evaluation does not count"


def train_twice(
    tmp_path: Path, settings: Settings
) -> list[tuple[dict[str, Any], bytes]]:
    """Return metrics and weights of the same training in two equal datasets."""
    result = []
    for name in ("one", "two"):
        with Dataset.create(tmp_path / name) as dataset:
            fill(dataset)
            run = train_run(dataset, settings).run
            weights = (run_folder(dataset, run) / "weights.safetensors").read_bytes()
            result.append((without_timings(metrics(dataset, run)), weights))
    return result


BACKBONE = {"size": "32", "backbone": "test_efficientnet", "weights": "none"}
TRANSFER = load_preset("transfer", BACKBONE | {"strength": "1", "views": "1"})


@pytest.mark.parametrize(
    "settings", [QUICK, TRANSFER], ids=lambda settings: settings.preset
)
def test_metrics_are_reproducible(tmp_path: Path, settings: Settings) -> None:
    first, second = train_twice(tmp_path, settings)
    assert first == second


def test_finished_run_is_reused_until_input_changes(small: Dataset) -> None:
    first = train_run(small, QUICK)
    assert (train_run(small, QUICK), len(runs(small))) == (first, 1)
    changed = train_run(small, replace(QUICK, epochs=1))
    assert changed.run != first.run
    fill(small, seed=1)
    splits = find_examples(small).splits
    assert [len(splits[split]) for split in SPLITS] == [16, 2, 2]
    extended = train_run(small, replace(QUICK, epochs=1))
    assert extended.run != changed.run


def test_finished_run_without_report_gets_one(small: Dataset) -> None:
    """As after a kill between the end of the training and its report."""
    first = train_run(small, QUICK)
    folder = run_folder(small, str(first.run))
    (folder / "report.html").unlink()
    (folder / "checkpoint").mkdir()
    assert (train_run(small, QUICK), files(small)) == (first, {folder.name: FILES})


def test_fingerprint_changes_with_crop(small: Dataset) -> None:
    # Cropping again changes the pixels, not the keys and labels.
    before = find_examples(small).fingerprint()
    image = next(small.images.iterate())
    box = Box(0, 0, image.width, image.height)
    cut = FaceCrop(
        Face("whole", box, 1.0),
        make_sample_key(image.sha256, box),
        Box(4, 4, 20, 20),
        0,
        0.0,
    )
    small.faces.replace(image.sha256, "whole", "margin=other", [cut])
    assert find_examples(small).fingerprint() != before


class Killed(BaseException):
    """Ends a training without any clean-up in the catalogue, as SIGKILL does."""


def check_resumed(
    dataset: Dataset, stopped: Run, settings: Settings, undisturbed_root: Path
) -> list[str]:
    """Resume a stopped run, compare it with an undisturbed one, and return the messages."""
    lines: list[str] = []
    result = train_run(dataset, settings, say=lines.append)
    (run,) = runs(dataset)
    assert (run.id, run.status, result.run) == (stopped.id, "done", stopped.id)
    assert files(dataset) == {run.id: FILES}
    with Dataset.create(undisturbed_root) as other:
        fill(other)
        undisturbed = metrics(other, train_run(other, settings).run)
    assert without_timings(metrics(dataset, run.id)) == without_timings(undisturbed)
    return lines


@pytest.mark.parametrize(
    ("error", "status"), [(KeyboardInterrupt, "interrupted"), (Killed, "running")]
)
def test_interrupted_run_resumes(
    small: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[BaseException],
    status: str,
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_SAVES", 0)
    settings = replace(QUICK, epochs=4, patience=4)

    def stop_in_epoch_3(logger: RunLogger, report: EpochReport) -> None:
        if report.epoch == 3:
            raise error

    with monkeypatch.context() as patch:
        patch.setattr(RunLogger, "on_epoch_end", stop_in_epoch_3)
        with pytest.raises(error):
            train_run(small, settings)
    (stopped,) = runs(small)
    assert stopped.status == status
    with pytest.raises(InputUnusable, match="no finished run"):
        reevaluate_run(small, None, "test", RuleRequest({}), NO_PROGRESS)
    assert "resumed after epoch 2" in check_resumed(
        small, stopped, settings, tmp_path / "other"
    )


def stop_process_after_3_epochs(
    root: Path, options: list[str], number: signal.Signals
) -> None:
    """Run the command in a process that pauses after each line of its log, and stop it."""
    code = (
        "import time; from baseline.train.training import RunLogger as L; write = L.write;"
        "L.write = lambda *line: (write(*line), time.sleep(0.1));"
        "from gleanset.start import baseline; baseline()"
    )

    def count_epochs() -> int:
        return sum(
            len(re.findall("epoch .*/", p.read_text()))
            for p in root.glob("runs/*/log.txt")
        )

    finished = count_epochs()
    with python(code, "train", "-q", "-d", root, *options) as process:
        assert eventually(
            lambda: count_epochs() >= finished + 3 or process.poll() is not None, 250
        )
        assert process.poll() is None, "it ended before it could be stopped"
        process.send_signal(number)
        process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.long
def test_killed_and_interrupted_process_resumes(small: Dataset, tmp_path: Path) -> None:
    options = {"size": "32", "blocks": "8,16", "dense": "16", "batch": "8"}
    options |= {"epochs": "14", "patience": "14"}
    words = [
        word for key, value in options.items() for word in ("-o", f"{key}={value}")
    ]
    for number, status in ((signal.SIGKILL, "running"), (signal.SIGINT, "interrupted")):
        stop_process_after_3_epochs(small.root, words, number)
        (stopped,) = runs(small)
        assert stopped.status == status
    check_resumed(small, stopped, load_preset("simple", options), tmp_path / "other")


def test_failed_training_leaves_failed_run(dataset: Dataset) -> None:
    fill(dataset, classes=1)
    with pytest.raises(InputUnusable, match="at least 2 classes"):
        train_run(dataset, QUICK)
    [failed] = runs(dataset)
    assert (failed.status, "error" in failed.result) == ("failed", True)
    assert files(dataset) == {failed.id: {"log.txt"}}
    assert (
        "at least 2 classes" in (run_folder(dataset, failed.id) / "log.txt").read_text()
    )


@pytest.mark.damages("a picture is removed")
def test_missing_images_are_left_out_and_counted(small: Dataset) -> None:
    missing = next(s for s in small.samples.iter_by_key() if s.split == "train")
    small.image_path(missing.image, "PNG").unlink()
    result = train_run(small, replace(QUICK, epochs=1))
    assert (result.unreadable, result.data) == (1, {"train": 15, "val": 2, "test": 2})
    assert metrics(small, result.run)["data"]["train"] == 15


def test_all_images_missing_gives_hint(small: Dataset) -> None:
    shutil.rmtree(small.root / "images")
    with pytest.raises(InputUnusable, match="are unreadable") as error:
        train_run(small, QUICK)
    assert "images folder" in error.value.fix


def test_train_command_and_exit_codes(dataset: Dataset) -> None:
    def ran(*words: str) -> Ran:
        return run_here(
            "baseline.cli", *words, "-d", str(dataset.root), cwd=dataset.root
        )

    ran("train").refused(3, "gleanset status")
    ran("train", "-o", "epoch=3").refused(2, "'epochs'")
    assert ran("train", "-o", "epochs").code == 2
    assert (ran("train", "--preset", "simpel").code, ran("evaluate").code) == (2, 3)
    assert runs(dataset) == []

    fill(dataset)
    options = [
        word for pair in QUICK_OPTIONS.items() for word in ("-o", "=".join(pair))
    ]
    done = ran("train", "--json", *options).checked()
    preset, steers, val, test = done.stderr.splitlines()
    assert preset.startswith(
        "preset: simple; with few images a class, --preset transfer"
    )
    assert steers.startswith("val has 2 images, too few for early stopping")
    assert val.startswith("val has only 2 groups")
    assert test.startswith("test has only 2 groups")
    trained = done.json
    assert 0 <= trained["test"]["accuracy"] <= 1
    assert Path(trained["report"]).name == "report.html"
    assert Path(trained["report"]).is_file()

    # Text output: accuracy, interval, next command.
    repeated = ran("train", *options).checked()
    assert "already trained" in repeated.stderr
    out = repeated.stdout
    root = str(dataset.root)
    assert not [
        line for line in out.splitlines() if len(line) > 80 and root not in line
    ]
    accuracy = f"{trained['test']['accuracy']:.1%}"
    line = rf"test accuracy: {accuracy} \(\d/2\), 95% CI [\d.]+-[\d.]+%, 2 gr"
    assert re.match(line, " ".join(out.split()))
    assert "not searched for near-duplicates" in " ".join(out.split())
    assert f"baseline predict IMAGE -d {dataset.root}" in out
    assert trained["report"] in out

    evaluated = ran("evaluate", "--json").json
    assert evaluated["run"] == trained["run"]
    assert evaluated["test"]["accuracy"] == trained["test"]["accuracy"]
    assert ran("evaluate", "no-such-run").code == 3


def test_summary_of_run_without_test(tmp_path: Path) -> None:
    matrix = np.array([[5, 3, 0], [1, 6, 0], [0, 2, 2]])
    names = ["a class of very many words, as they come from folders", "cat", "dog"]
    y, predicted = (
        np.repeat(axis, matrix.ravel()) for axis in np.indices((3, 3)).reshape(2, 9)
    )
    logits = np.eye(3, dtype=np.float32)[predicted]
    figures = compute_classification_metrics(
        logits, y, [str(n) for n in range(19)], names
    )
    val = dataclasses.replace(figures, groups=12)
    write_metrics(tmp_path, RunMetrics(names, {}, {}, val=val))
    done = TrainedRun(
        run="r",
        classes=3,
        data={"train": 100},
        val={"count": 19},
        test=None,
        copies=None,
        metrics=read_metrics(tmp_path).val,
        option="-d 'my pets'",
        commands=["labeler split --ratio 8:1:1 -d 'my pets'"],
    )
    words = done.summary()
    assert words["most confused"] == f"{names[0]} as cat (3/8); dog as cat (2/4)"
    accuracy = "68.4% (13/19), 95% CI 0.0-100.0%, 12 groups; used to tune the model"
    assert words["val accuracy"].startswith(accuracy)
    assert words["next"][0] == "labeler split --ratio 8:1:1 -d 'my pets'"
    assert all(len(line) <= 80 for line in format_result(words))
    # Without the run's folder the catalogue's metrics are shown.
    of_catalogue = msgspec.structs.replace(done, val=None, metrics=None).summary()
    assert "no images in test or val" in of_catalogue["accuracy"]


def test_stored_crop_is_preferred_over_original(small: Dataset) -> None:
    examples = find_examples(small)
    sample = examples.splits["val"][0]
    before = load_arrays(small, examples, QUICK, "val")
    assert before.keys == tuple(s.key for s in examples.splits["val"])
    with Image.open(small.image_path(sample.image, "PNG")) as original:
        assert np.array_equal(before.x[0, 0], np.asarray(original.convert("L")))
    path = small.crop_path(sample.key)
    path.parent.mkdir(parents=True)
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(path)
    assert not load_arrays(small, examples, QUICK, "val").x[0].any()
    path.write_bytes(b"damaged")
    after = load_arrays(small, examples, QUICK, "val")
    assert np.array_equal(after.x, before.x)


@pytest.mark.parametrize("gone", [None, "weights.safetensors", "settings.json"])
def test_deleted_run_is_trained_again(small: Dataset, gone: str | None) -> None:
    first = train_run(small, QUICK).run
    folder = run_folder(small, first)
    if gone is None:
        shutil.rmtree(folder)
    else:
        (folder / gone).unlink()
    with pytest.raises(
        InputUnusable, match=f"the files of run {first} were deleted"
    ) as refusal:
        find_finished_run(small, None)
    assert (
        f"train again: baseline train --preset simple -d {small.root}"
        in refusal.value.fix
    )
    assert suggest_page_command(small) == "", "no command that needs a model is advised"
    lines: list[str] = []
    again = train_run(small, QUICK, say=lines.append).run
    assert f"the files of run {first} were deleted: training again" in lines
    assert again != first
    assert find_finished_run(small, None) == (again, run_folder(small, again))
    assert (run_folder(small, again) / "weights.safetensors").is_file()
    with pytest.raises(InputUnusable, match=f"the files of run {first} were deleted"):
        find_finished_run(small, first)


def test_renamed_class_is_evaluated_and_predicted(small: Dataset) -> None:
    run = train_run(small, QUICK).run
    before = reevaluate_run(small, run, "test", RuleRequest({}), NO_PROGRESS).figures
    old = find_examples(small).classes[0]
    run_here(
        "labeler.cli", "classes", "rename", old, "kitty", "-d", small.root
    ).checked()
    request = RuleRequest({"kitty": 0.5})
    again = reevaluate_run(small, run, "test", request, NO_PROGRESS)
    assert again.figures.confusion == before.confusion
    assert again.figures.classes[0].name == "kitty"
    assert [one.name for one in again.effects.protected] == ["kitty"]
    # What is stored keeps the names that the model has.
    folder = run_folder(small, run)
    assert read_metrics(folder).classes[0] == old
    assert set(load_decision_rule(folder).thresholds) == {old}
    report = write_report(small, run).read_text(encoding="utf-8")
    assert ("kitty" in report, f">{old}<" in report) == (True, False)
    own = run_here("pipeline.cli", "report", "-d", small.root).checked()
    page = (small.root / "report.html").read_text(encoding="utf-8")
    assert ("kitty" in page, f">{old}<" in page) == (True, False), own.stdout
    image = next(path for path in (small.root / "images").glob("*/*") if path.is_file())
    ran = run_here(
        "baseline.cli", "predict", image, "--json", "-d", small.root
    ).checked()
    assert '"kitty"' in ran.stdout
    assert f'"{old}"' not in ran.stdout


def test_tensorboard_events_are_written(small: Dataset) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    lines: list[str] = []
    settings = load_preset("simple", QUICK_OPTIONS | {"tensorboard": "true"})
    run = train_run(small, settings, say=lines.append).run
    folder = run_folder(small, run) / "tensorboard"
    assert f"TensorBoard: tensorboard --logdir {folder}" in lines
    events = EventAccumulator(str(folder)).Reload()
    epochs = metrics(small, run)["epochs"]
    losses = [(event.step, event.value) for event in events.Scalars("loss/train")]
    assert losses == [(e["epoch"], pytest.approx(e["train_loss"])) for e in epochs]
    assert {"accuracy/train", "accuracy/val", "loss/val"} <= set(
        events.Tags()["scalars"]
    )


def test_tensorboard_needs_epochs_and_its_package(
    small: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="preset transfer has no epochs to log"):
        load_preset("transfer", {"tensorboard": "true"})
    settings = load_preset("simple", QUICK_OPTIONS | {"tensorboard": "true"})
    assert "tensorboard" not in QUICK.to_json()
    plain = installation.find_spec
    missing = lambda name: None if name == "tensorboard" else plain(name)  # noqa: E731
    monkeypatch.setattr(installation, "find_spec", missing)
    with pytest.raises(MissingComponent, match="not installed: tensorboard") as refusal:
        train_run(small, settings)
    assert "[tensorboard]" in refusal.value.fix
