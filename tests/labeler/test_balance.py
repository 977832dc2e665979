"""Balancing the classes of train."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from labelled_images import encoded, picture, put, run_export, run_labeler

from baseline.data.samples import find_examples
from curation.split_groups import assign_split_groups
from gleanset import Box, Dataset
from gleanset.db.duplicates import SAME, Pairs, PairVerdict
from gleanset.db.samples import Balances
from gleanset.images.decode import decode
from labeler.balance import BalanceSettings, Method, apply_balance, plan_balance
from labeler.export.plan import plan_export

SIZES = {"many": 6, "few": 2}


@pytest.fixture
def split(empty: Dataset) -> Dataset:
    """Six images of one class and two of another in train, one of each in test."""
    rows = [
        (label, split) for label, size in SIZES.items() for split in ["train"] * size + ["test"]
    ]
    for number, (label, split) in enumerate(rows):
        data, box = encoded(picture(number)), Box(9, 9, 40, 40)
        put(empty, data, f"{label}{number}.jpg", [box], label=label, split=split)
    return empty


def balance_and_count(dataset: Dataset, method: Method, target: int | None = None) -> Counter[str]:
    apply_balance(dataset, plan_balance(dataset, BalanceSettings(method=method, target=target)))
    return Counter(i.path.rsplit("/", 1)[0] for i in plan_export(dataset))


def test_methods_reach_target_in_train_only(split: Dataset) -> None:
    unbalanced = {"train/many": 6, "train/few": 2, "test/many": 1, "test/few": 1}
    assert balance_and_count(split, "down") == {**unbalanced, "train/many": 2}
    assert balance_and_count(split, "copies") == {**unbalanced, "train/few": 6}
    assert balance_and_count(split, "augment", 5) == {**unbalanced, "train/few": 5}
    assert balance_and_count(split, "weights") == unbalanced
    assert balance_and_count(split, "off") == unbalanced
    assert not Balances(split.db).get_weights()


def test_training_uses_balance(split: Dataset) -> None:
    balance_and_count(split, "copies")
    examples = find_examples(split)
    assert Counter(s.label for s in examples.splits["train"]) == {"many": 6, "few": 6}
    plain = examples.fingerprint()
    balance_and_count(split, "weights")
    examples = find_examples(split)
    assert dict(zip(examples.classes, examples.weights, strict=True)) == {
        "few": 2.0,
        "many": pytest.approx(4 / 6),
    }
    assert len({plain, examples.fingerprint()}) == 2
    balance_and_count(split, "down")
    assert Counter(s.label for s in find_examples(split).splits["train"]) == {"many": 2, "few": 2}


def test_copies_are_suffixed_and_augmented(split: Dataset, tmp_path: Path) -> None:
    balance_and_count(split, "copies", 5)
    run_export(split, tmp_path / "copies")
    folder = tmp_path / "copies/train/few"
    assert len(list(folder.iterdir())) == 5
    copies = list(folder.glob("*_balancing*"))
    assert len(copies) == 3
    for path in copies:
        original = folder / f"{path.stem.split('_balancing')[0]}.jpg"
        assert path.read_bytes() == original.read_bytes()
    balance_and_count(split, "augment", 5)
    runs = []
    for name in ("augmented", "again"):
        run_export(split, tmp_path / name)
        files = sorted((tmp_path / name / "train/few").iterdir())
        runs.append([path.read_bytes() for path in files])
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 5
    assert len({decode(data).pixels.size for data in runs[0]}) == 1


def test_down_keeps_one_of_each_group_first(split: Dataset) -> None:
    keys = [s.key for s in split.samples.iter_by_key() if s.label == "many" and s.split == "train"]
    pairs = Pairs(split.db)
    first, *others = pairs.get_ids(keys[:4])
    pairs.save_verdicts([PairVerdict(*sorted((first, other)), 0.0, 1.0, SAME) for other in others])
    groups = assign_split_groups(split.db)
    balance_and_count(split, "down", 3)
    left = {
        groups[i.sample.key]
        for i in plan_export(split)
        if i.sample.label == "many" and i.sample.split == "train"
    }
    assert len(left) == 3


def test_balance_command(split: Dataset) -> None:
    words = ("balance", "--method", "weights", "--target", "10", "-d", split.root, "--json")
    simulated = run_labeler(*words, "--simulate").json
    assert simulated["fill"] == [
        f"harvest keyword few --label few --limit 8 -d {split.root}",
        f"harvest keyword many --label many --limit 4 -d {split.root}",
    ]
    assert not Balances(split.db).get_weights()
    assert run_labeler(*words).json == simulated
    assert Balances(split.db).get_weights()
