"""A training run over a real dataset: its files, its row, and what happens when it is killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import drawn_dataset
import numpy as np
import pytest
from drawn_dataset import EIGHT_TO_ONE
from drawn_patterns import CLASSES
from msgspec.structs import replace
from PIL import Image
from tools_for_tests import Ran, python_path, run_here

from baseline.data.runs import METRICS, TRAINING_KIND, run_folder
from baseline.data.samples import find_examples, load_arrays
from baseline.evaluation.evaluate import reevaluate_run
from baseline.evaluation.run_metrics import read_metrics
from baseline.evaluation.summary import summarize_training
from baseline.settings import Settings, load_preset
from baseline.train.train_run import train_run
from gleanset import Box, Dataset, Face
from gleanset.errors import InputUnusable
from gleanset.images.cropping import make_sample_key
from gleanset.records import FaceCrop, Run
from gleanset.terminal import format_result

ROOT = Path(__file__).parents[3]
FILES = {
    "weights.safetensors",
    "settings.json",
    METRICS,
    "trained_on.json",
    "answers.json",
    "crops.json",
    "feature_scale.json",
    "outputs.npz",
    "events",
    "log.txt",
    "report.html",
}
QUICK_OPTIONS = {
    "size": "32",
    "blocks": "8,16",
    "dense": "16",
    "epochs": "2",
    "learning_rate": "0.01",
}
QUICK = load_preset("simple", QUICK_OPTIONS)


def fill(dataset: Dataset, classes: int = 2, seed: int = 0) -> None:
    """Ten drawn pictures of each class, split 8:1:1, each a group of its own."""
    drawn_dataset.fill(dataset, 10, EIGHT_TO_ONE, seed=seed, classes=classes)


@pytest.fixture
def small(dataset: Dataset) -> Dataset:
    fill(dataset)
    return dataset


def metrics(dataset: Dataset, run: object) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((run_folder(dataset, str(run)) / METRICS).read_text())
    return result


def timeless(found: dict[str, Any]) -> dict[str, Any]:
    """Metrics without what a clock measured."""
    clocks = ("seconds", "images_per_second", "data_wait")
    epochs = [{k: v for k, v in e.items() if k not in clocks} for e in found["epochs"]]
    training = {k: v for k, v in found["training"].items() if k not in clocks}
    plain = {k: v for k, v in found.items() if k not in clocks}
    return plain | {"epochs": epochs, "training": training}


def runs(dataset: Dataset) -> list[Run]:
    return [run for run in dataset.runs.iterate() if run.room == TRAINING_KIND]


def files(dataset: Dataset) -> dict[str, set[str]]:
    return {
        folder.name: {path.name for path in folder.iterdir()}
        for folder in (dataset.root / "runs").iterdir()
    }


def test_a_run_leaves_weights_metrics_and_a_row(small: Dataset) -> None:
    settings = replace(QUICK, epochs=10)
    result = train_run(small, settings)
    (run,) = runs(small)
    assert (run.id, run.status) == (result["run"], "done")
    assert {"run": run.id, **run.result} == json.loads(json.dumps(result))
    assert run.settings == {
        **settings.to_json(),
        "data": find_examples(small).fingerprint(),
    }
    assert files(small) == {run.id: FILES}
    assert list((small.cache / "scratch").iterdir()) == []

    output = metrics(small, run.id)
    assert output["classes"] == sorted(CLASSES[:2])
    assert output["settings"] == settings.to_json()
    assert {k: output["data"][k] for k in ("train", "val", "test")} == {
        "train": 16,
        "val": 2,
        "test": 2,
    }
    numbers = [epoch["epoch"] for epoch in output["epochs"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert 1 <= output["best_epoch"] <= len(numbers)
    assert output["test"]["count"] == 2
    test = result["test"]
    assert isinstance(test, dict)
    assert test["accuracy"] == output["test"]["accuracy"] == 1.0
    kept = read_metrics(run_folder(small, run.id))
    assert kept.calibration is not None
    assert result["calibration"] == kept.calibration.describe()
    assert "2 images of val, 2 groups" in str(result["calibration"])

    judged = reevaluate_run(small, None, "test")
    assert (judged.run, judged.figures) == (run.id, kept.test)
    assert judged.earlier is not None
    assert (judged.earlier.times, judged.earlier.runs) == (0, ())  # its own look does not count


def trained_twice(tmp_path: Path, settings: Settings) -> list[tuple[dict[str, Any], bytes]]:
    """Figures and weights of the same training on the same pictures in two datasets."""
    result = []
    for name in ("one", "two"):
        with Dataset.create(tmp_path / name) as dataset:
            fill(dataset)
            run = str(train_run(dataset, settings)["run"])
            weights = (run_folder(dataset, run) / "weights.safetensors").read_bytes()
            result.append((timeless(metrics(dataset, run)), weights))
    return result


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(tmp_path: Path) -> None:
    one, two = trained_twice(tmp_path, QUICK)
    assert one == two
    with Dataset.open(tmp_path / "one") as dataset:
        other = metrics(dataset, train_run(dataset, replace(QUICK, seed=1))["run"])
    assert timeless(other)["epochs"] != one[0]["epochs"]


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("transfer", {"views": "1", "strength": "1"}),
        pytest.param("finetune", {"epochs": "2", "warm_up": "1"}, marks=pytest.mark.long),
        pytest.param(
            "triplet", {"epochs": "3", "views": "1", "embedding": "8"}, marks=pytest.mark.long
        ),
    ],
)
def test_other_methods_give_the_same_figures_twice(
    tmp_path: Path, preset: str, options: dict[str, str]
) -> None:
    tiny = {"size": "32", "backbone": "test_efficientnet", "weights": "none"}
    one, two = trained_twice(tmp_path, load_preset(preset, tiny | options))
    assert one == two


def test_a_finished_run_is_given_back_until_data_or_settings_change(small: Dataset) -> None:
    first = train_run(small, QUICK)
    assert train_run(small, QUICK) == first
    assert len(runs(small)) == 1
    changed = train_run(small, replace(QUICK, epochs=1))
    assert changed["run"] != first["run"]
    fill(small, seed=1)
    assert find_examples(small).counts() == {"train": 16, "val": 2, "test": 2}
    more = train_run(small, replace(QUICK, epochs=1))
    assert more["run"] != changed["run"]


def test_another_margin_is_other_data(small: Dataset) -> None:
    """The samples keep their keys and labels when they are cut anew, but not their pixels."""
    before = find_examples(small).fingerprint()
    image = next(small.images.iterate())
    box = Box(0, 0, image.width, image.height)
    cut = FaceCrop(
        Face("whole", box, 1.0), make_sample_key(image.sha256, box), Box(4, 4, 20, 20), 0, 0.0
    )
    small.faces.replace(image.sha256, "whole", "margin=other", [cut])
    assert find_examples(small).fingerprint() != before


def train_in_a_process(root: Path, options: dict[str, object]) -> subprocess.Popen[bytes]:
    """The command in a process of its own, that waits at each line of its log to be looked at."""
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    code = (
        "import time, torch; from baseline.train.callbacks import RunLogger as L; write = L.write;"
        "L.write = lambda *line: (write(*line), time.sleep(0.1)); torch.set_num_threads(1);"
        "from baseline.cli import main; main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", "-d", str(root), *words],
        env=os.environ | {"PYTHONPATH": python_path()},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def epochs_logged(root: Path) -> int:
    """The last epoch that the logs of runs tell of."""
    logs = "".join(log.read_text() for log in root.glob("runs/*/log.txt"))
    return max(map(int, re.findall(r"epoch (\d+)/", logs)), default=0)


def wait_for_epoch(process: subprocess.Popen[bytes], root: Path, number: int) -> None:
    """Until the log of the run tells of the end of an epoch."""
    until = time.monotonic() + 250
    while epochs_logged(root) < number:
        assert process.poll() is None, "it ended before it could be stopped"
        assert time.monotonic() < until, "it never came to that epoch"
        time.sleep(0.005)


LONG = dict[str, object](size=32, blocks="8,16", dense=16, epochs=14, patience=14, batch=8)
STATUS = {signal.SIGKILL: "running", signal.SIGINT: "interrupted"}


def stopped_in_a_process(dataset: Dataset, how: signal.Signals) -> Run:
    """The run, after its process was stopped some epochs further on."""
    process = train_in_a_process(dataset.root, LONG)
    try:
        wait_for_epoch(process, dataset.root, epochs_logged(dataset.root) + 3)
        process.send_signal(how)
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    (run,) = runs(dataset)
    with pytest.raises(InputUnusable, match="no finished run"):
        reevaluate_run(dataset, None, "test")
    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "ways",
    [
        pytest.param((signal.SIGKILL,), id="killed"),
        pytest.param((signal.SIGKILL, signal.SIGINT), id="both", marks=pytest.mark.long),
    ],
)
def test_a_stopped_run_is_taken_up_under_its_own_name(
    small: Dataset, tmp_path: Path, ways: tuple[signal.Signals, ...]
) -> None:
    for how in ways:
        stopped = stopped_in_a_process(small, how)
        assert stopped.status == STATUS[how]

    settings = load_preset("simple", {key: str(value) for key, value in LONG.items()})
    result = train_run(small, settings)
    (run,) = runs(small)
    assert (run.id, run.status) == (stopped.id, "done")
    assert result["run"] == stopped.id
    assert files(small) == {run.id: FILES}
    with Dataset.create(tmp_path / "calm") as calm:
        fill(calm)
        undisturbed = metrics(calm, train_run(calm, settings)["run"])
    assert timeless(metrics(small, run.id)) == timeless(undisturbed)


def test_what_cannot_be_trained_on_is_told_and_leaves_no_finished_run(dataset: Dataset) -> None:
    fill(dataset, classes=1)
    with pytest.raises(InputUnusable, match="at least 2 classes"):
        train_run(dataset, QUICK)
    [failed] = runs(dataset)
    assert (failed.status, "error" in failed.result) == ("failed", True)
    assert files(dataset) == {failed.id: {"log.txt"}}
    assert "at least 2 classes" in (run_folder(dataset, failed.id) / "log.txt").read_text()


@pytest.mark.damages("a picture is removed")
def test_pictures_that_are_lost_are_left_out_and_counted(small: Dataset) -> None:
    lost = next(s for s in small.samples.iter_by_key() if s.split == "train")
    small.image_path(lost.image, "PNG").unlink()
    result = train_run(small, replace(QUICK, epochs=1))
    assert result["unreadable"] == 1
    assert result["data"] == {"train": 15, "val": 2, "test": 2}
    assert metrics(small, result["run"])["data"]["train"] == 15


def test_all_pictures_lost_is_an_error_with_its_mend(small: Dataset) -> None:
    shutil.rmtree(small.root / "images")
    with pytest.raises(InputUnusable, match="are unreadable") as error:
        train_run(small, QUICK)
    assert "images folder" in error.value.fix


def test_the_commands_and_their_exit_codes(dataset: Dataset) -> None:
    def ran(*words: str) -> Ran:
        return run_here("baseline.cli", *words, "-d", str(dataset.root), cwd=dataset.root)

    empty = ran("train")
    assert empty.code == 3
    assert "gleanset status" in empty.stderr
    wrong = ran("train", "-o", "epoch=3")
    assert wrong.code == 2
    assert "'epochs'" in wrong.stderr
    assert ran("train", "-o", "epochs").code == 2
    assert ran("train", "--preset", "simpel").code == 2
    assert ran("evaluate").code == 3
    assert runs(dataset) == []

    fill(dataset)
    options = [word for pair in QUICK_OPTIONS.items() for word in ("-o", "=".join(pair))]
    done = ran("train", "--json", *options)
    assert done.code == 0
    steers, val, test = done.stderr.splitlines()
    assert steers.startswith("val has 2 images, too few for early stopping")
    assert val.startswith("val has only 2 groups")
    assert test.startswith("test has only 2 groups")
    trained = done.json
    assert 0 <= trained["test"]["accuracy"] <= 1
    assert Path(trained["report"]).name == "report.html"
    assert Path(trained["report"]).is_file()

    # The same for a person: how good it is, within which bounds, and what can be done with it.
    shown = ran("train", *options)
    assert shown.code == 0
    assert "already trained" in shown.stderr
    out, here = shown.stdout, str(dataset.root)
    assert not [line for line in out.splitlines() if len(line) > 80 and here not in line]
    line = (
        rf"test accuracy: {trained['test']['accuracy']:.1%} \(\d/2\), 95% CI [\d.]+-[\d.]+%, 2 gr"
    )
    assert re.match(line, " ".join(out.split()))
    assert "not searched for near-duplicates" in " ".join(out.split())
    assert f"baseline predict IMAGE -d {dataset.root}" in out
    assert trained["report"] in out

    judged = ran("evaluate", "--json").json
    assert judged["run"] == trained["run"]
    assert judged["test"]["accuracy"] == trained["test"]["accuracy"]
    assert ran("evaluate", "no-such-run").code == 3


def test_what_is_confused_most_is_told_and_what_a_run_without_test_lacks(tmp_path: Path) -> None:
    matrix = [[5, 3, 0], [1, 6, 0], [0, 2, 2]]
    names = ("a class of very many words, as they come from folders", "cat", "dog")
    classes = [
        {"name": name, "precision": 0, "recall": 0, "f1": 0, "support": sum(row)}
        for name, row in zip(names, matrix, strict=True)
    ]
    share = {"count": 19, "accuracy": 13 / 19, "log_loss": 1.0, "macro_f1": 0.5}
    share |= {"commonest_class": 8 / 19}
    figures = {**share, "classes": classes, "confusion": matrix, "mistakes": [], "groups": 12}
    result = {"classes": list(names), "settings": {}, "data": {}, "val": figures}
    (tmp_path / METRICS).write_text(json.dumps(result))
    done = {
        "run": "r",
        "classes": 3,
        "data": {"train": 100, "val": 19, "test": 0},
        "val": share | {"lower_bound": 0.4, "upper_bound": 0.9},
        "test": None,
    }
    words = summarize_training(done, tmp_path, Path("my pets"))
    assert words["most confused"] == f"{names[0]} as cat (3/8); dog as cat (2/4)"
    assert words["val accuracy"].startswith("68.4% (13/19), 12 groups; used to tune the model")
    assert words["next"][0] == "labeler split --ratio 8:1:1 -d 'my pets'"
    assert all(len(line) <= 80 for line in format_result(words))
    # The figures of a run whose folder is gone are those of the catalogue.
    alone = summarize_training(done | {"val": None}, tmp_path / "gone", Path("pets"))
    assert "no images in test or val" in alone["accuracy"]


def test_a_crop_is_read_when_there_is_one_and_else_cut_from_the_original(small: Dataset) -> None:
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
