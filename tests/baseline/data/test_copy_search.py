"""Nobody is told that a run learnt none of test where nobody looked for copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from drawn_dataset import fill
from msgspec.structs import replace as replace_settings

from baseline.data.copy_search import copy_search, is_clear, unlearnt_words
from baseline.data.samples import find_examples
from baseline.judge.reevaluate import reevaluate
from baseline.judge.run_figures import read_metrics
from baseline.judge.words import training_words
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from gleanset import Dataset
from labeler.duplicates.finder import DuplicateFinder

PRESET = load_preset("transfer", {"size": "56", "backbone": "colours", "views": "0"})
CLAIM = "none of which it learnt"


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    with Dataset.create(tmp_path / "dataset") as made:
        fill(made)
        yield made


def test_train_evaluate_and_report_say_whether_copies_were_looked_for(dataset: Dataset) -> None:
    done = train_run(dataset, PRESET)
    folder = dataset.runs_folder / str(done["run"])
    told = training_words(done, folder, dataset.root)
    assert CLAIM not in told["right"]
    assert "nobody looked for near copies" in told["right"]
    page = (folder / "report.html").read_text()
    assert "Nobody looked for near copies" in page
    assert not read_metrics(folder).clear_of_copies
    DuplicateFinder(dataset).search_labelled()
    again = train_run(dataset, PRESET)
    assert again["run"] == done["run"], "nothing is trained for that"
    assert "copies" in again
    found = reevaluate(dataset, str(done["run"]), "test").copies
    assert found == again["copies"]
    new = train_run(dataset, replace_settings(PRESET, seed=1))
    folder = dataset.runs_folder / str(new["run"])
    metrics = read_metrics(folder)
    told = training_words(new, folder, dataset.root)
    assert (CLAIM in told["right"]) == metrics.clear_of_copies == is_clear(found)


def test_each_state_has_its_words(dataset: Dataset) -> None:
    examples = find_examples(dataset)
    nobody = copy_search(dataset, examples, "test")
    assert nobody["searched"] == nobody["torn"] == 0
    every = nobody | {"searched": nobody["pictures"]}
    assert unlearnt_words(every).startswith(CLAIM)
    for found in (None, nobody, nobody | {"searched": 1}, every | {"torn": 2}):
        assert CLAIM not in unlearnt_words(found)
        assert not is_clear(found)
    assert f"in 1 of {nobody['pictures']} pictures only" in unlearnt_words(nobody | {"searched": 1})
    assert "2 of them of a scene" in unlearnt_words(every | {"torn": 2})
    one = examples.splits["test"][0]
    joined = {**examples.moments, one.key: examples.moments[examples.splits["train"][0].key]}
    assert copy_search(dataset, replace(examples, moments=joined), "test")["torn"] == 1
