"""Splits of accepted reports, and what `gleanset status` suggests next."""

import shlex

import pytest
from catalogue_rows import store
from PIL import Image
from report_rows import store_report
from tools_for_tests import encode, picture, pixels, run_here

from baseline.data.runs import SETTINGS, WEIGHTS
from baseline.data.samples import find_examples
from baseline.evaluation.metrics import RunMetrics, write_metrics
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from gleanset import Box, Dataset, Origin
from gleanset.db.journal import Choice
from gleanset.db.reports import Reports
from gleanset.images.decode import decode
from gleanset.records import Sample
from gleanset.settings import SplitSettings
from labeler.duplicates.finder import DuplicateFinder
from labeler.splits.plan import apply_split, plan_split
from pipeline.status import gather_status, next_step
from webapp.report_decisions import accept_reports

NAMES = ("cat", "owl")


@pytest.fixture
def dataset(dataset: Dataset) -> Dataset:
    """Label eight images of each of two classes and split them."""
    keys = [
        store(dataset, picture(seed, kind="PNG"), Origin("folder", f"{seed}.png"))
        for seed in range(16)
    ]
    choices = [Choice(key, "label", NAMES[place % 2]) for place, key in enumerate(keys)]
    dataset.journal.apply("Label", choices)
    apply_split(dataset, plan_split(dataset, dataset.settings.split))
    return dataset


def accept_report(
    dataset: Dataset, picture: Image.Image, name: str, *, unseen: bool = False
) -> Sample:
    """Send a report of a whole image and accept it; return its sample."""
    sha256 = store_report(
        dataset, encode(picture, "PNG"), Box(0, 0, *picture.size), name
    )
    accept_reports(
        dataset, {next(Reports(dataset.db).iterate()).id: None}, unseen=unseen
    )
    return next(
        sample for sample in dataset.samples.iterate() if sample.image == sha256
    )


@pytest.mark.parametrize(("unseen", "split"), [(False, "test"), (True, None)])
def test_copy_of_test_image_stays_out_of_train(
    dataset: Dataset, unseen: bool, split: str | None
) -> None:
    test_sample = next(s for s in dataset.samples.iterate() if s.split == "test")
    copy = decode(
        dataset.image_path(test_sample.image, "PNG").read_bytes()
    ).pixels.resize((96, 72))
    sample = accept_report(dataset, copy, str(test_sample.label), unseen=unseen)
    assert (sample.split, sample.split_group) == (split, test_sample.split_group)
    (other_name,) = {*NAMES} - {test_sample.label}
    disputed = accept_report(dataset, copy.resize((80, 60)), other_name, unseen=unseen)
    assert disputed.split is None, "labelled otherwise: left to `labeler split`"
    other = accept_report(dataset, pixels(900), "cat", unseen=unseen)
    assert (other.split, other.split_group) == ("train", other.key)
    assert gather_status(dataset).to_json()["waiting_for_split"] == 1


def test_new_class_waits_for_split(dataset: Dataset) -> None:
    assert accept_report(dataset, pixels(900), "newcomer").split is None
    assert gather_status(dataset).to_json()["waiting_for_split"] == 1
    for command in ("labeler dedup -d ", "labeler split -d "):
        line = next_step(dataset)
        assert line.startswith(command)
        run_here("labeler.cli", *shlex.split(line)[1:]).checked()
    assert "waiting_for_split" not in gather_status(dataset).to_json()


def test_report_waits_for_split_with_held_out_source(dataset: Dataset) -> None:
    splits = {s.key: (s.split_group, s.split) for s in dataset.samples.iter_in_splits()}
    settings = SplitSettings(hold_out=("source=pixiv",))
    dataset.samples.set_splits(splits, settings)
    assert accept_report(dataset, pixels(900), "cat").split is None
    assert gather_status(dataset).to_json()["waiting_for_split"] == 1


def record_training(dataset: Dataset, name: str) -> None:
    """Record a finished run on the current splits, as a training does."""
    settings = load_preset("simple", {})
    facts = settings.to_json() | {"data": find_examples(dataset).fingerprint()}
    run = dataset.runs.start(name, "baseline", facts)
    folder = dataset.runs_folder / run.id
    folder.mkdir(parents=True)
    for file in (SETTINGS, WEIGHTS):
        (folder / file).touch()
    data = {"splits": dataset.samples.hash_splits()}
    write_metrics(folder, RunMetrics([*NAMES], {}, data))
    dataset.runs.finish(run.id, "done", {"classes": len(NAMES), "data": {"train": 8}})
    with dataset.db.transaction():  # reports are accepted in a later second
        dataset.db.execute(
            "UPDATE run SET started='2020-01-01T00:00:00Z' WHERE id=?", (run.id,)
        )


def test_accepted_report_suggests_training_once(dataset: Dataset) -> None:
    record_training(dataset, "20260101-120000-simple")
    accept_report(dataset, pixels(900), "cat")
    DuplicateFinder(dataset).search()
    assert next_step(dataset).startswith("baseline train --preset simple ")
    record_training(dataset, "20260102-120000-simple")
    assert gather_status(dataset).to_json()["reports"]["accepted_since_training"] == 1
    assert next_step(dataset).startswith("webapp serve "), (
        "it would be trained on the same data"
    )
    accept_report(dataset, pixels(902), "newcomer")
    DuplicateFinder(dataset).search()
    message: list[str] = []
    train_run(dataset, load_preset("simple", {}), say=message.append)
    assert message[0].startswith("not used: 1 labelled sample without a split")
    assert message[1].startswith("already trained")
    assert next_step(dataset).startswith("labeler split ")
