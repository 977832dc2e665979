"""Galleries: adding and removing classes by files, and their export."""

import json
import shutil
from pathlib import Path

import pytest
from drawn_dataset import fill

import baseline
from baseline.data.runs import WEIGHTS
from baseline.settings import load_preset
from baseline.train import trained_net
from baseline.train.train_run import train_run
from baseline.use.crops import PartReader
from baseline.use.export import export_run as export_module
from baseline.use.export.export_run import export_run
from baseline.use.gallery_files import (
    CHANGES_FILE,
    GALLERY_FOLDER,
    add_files,
    count_images,
    remove_class,
)
from baseline.use.model import open_engine
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.errors import DatasetBusy, InputUnusable, UsageError
from gleanset.work.progress import NO_PROGRESS
from gleanset.work.stage import stage
from labeler.classes import ClassEditor

OPTIONS = {
    "backbone": "efficientnet_lite0",
    "weights": "none",
    "size": "32",
    "embedding": "16",
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset with a triplet run on discs and stripes, without crosses."""
    root = tmp_path_factory.mktemp("gallery")
    with Dataset.create(root) as dataset:
        truth = fill(dataset, 14, ("train",) * 12 + ("val",) * 2)
        crosses = [key for key, label in truth.items() if label == "cross"]
        dataset.journal.apply("Away", [Choice(key, "reject") for key in crosses])
        train_run(
            dataset, load_preset("triplet", OPTIONS | {"epochs": "1", "views": "0"})
        )
        dataset.journal.undo()
    return root


def triplet_run(root: Path) -> Path:
    [folder] = (root / "runs").iterdir()
    return folder


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "set"))


def cross_files(root: Path) -> list[str]:
    with Dataset.open(root) as dataset:
        return [
            str(dataset.image_path(s.image, "PNG"))
            for s in dataset.samples.iter_by_key()
            if s.label == "cross"
        ]


def test_prediction_names_nearest_gallery_image(root: Path) -> None:
    model = baseline.load(triplet_run(root))
    with Dataset.open(root) as dataset:
        sample = next(
            s
            for s in dataset.samples.iter_by_key()
            if (s.label, s.split) == ("disc", "train")
        )
        answer = model.predict_image(dataset.image_path(sample.image, "PNG"))
    assert answer.nearest[0].sample == sample.key
    assert answer.nearest[0].similarity == pytest.approx(1, abs=1e-5)
    assert answer.nearest[0].label == answer.predictions[0].label == "disc"
    similarities = [neighbour.similarity for neighbour in answer.nearest]
    assert similarities == sorted(similarities, reverse=True)


@pytest.mark.slow
def test_add_and_remove_files(root: Path, tmp_path: Path) -> None:
    folder = triplet_run(root)
    files = cross_files(root)
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    results = add_files(
        folder, "cross", [*files[:8], str(bad)], PartReader(32), NO_PROGRESS
    )
    assert (results.added, results.known, results.rejected) == (8, 8, 1)
    assert count_images(folder) == {"disc": 12, "stripes": 12, "cross": 8}
    (weights,) = folder.glob("weights*")
    assert weights.name != WEIGHTS
    model = baseline.load(folder)
    answer = model.predict_image(files[0])
    assert answer.predictions[0].label == "cross"
    stored = folder / "gallery" / f"{answer.nearest[0].sample}.png"
    assert stored.read_bytes() == Path(files[0]).read_bytes()
    again = add_files(folder, "cross", files[:8], PartReader(32), NO_PROGRESS)
    assert (again.added, again.known, again.duplicate) == (0, 8, 8)
    assert "added: 0, duplicate: 8, images in class: 8" in again.lines()[-1]

    assert remove_class(folder, "cross").images == 8
    assert "cross" not in baseline.load(folder).classes
    stored_files = [str(path) for path in (folder / "gallery").glob("*.png")]
    assert (
        add_files(folder, "cross", stored_files, PartReader(32), NO_PROGRESS).known == 8
    )
    assert baseline.load(folder).predict_image(files[0]).nearest == answer.nearest
    result = [
        json.loads(line)
        for line in (folder / "gallery" / CHANGES_FILE).read_text().splitlines()
    ]
    assert [change["action"] for change in result] == ["add", "add", "remove", "add"]


def test_class_is_known_by_its_name_in_the_dataset(root: Path) -> None:
    with Dataset.open(root) as dataset:
        editor = ClassEditor(dataset)
        editor.rename("disc", "circle")
        editor.add_alias("round", "circle")
    folder = triplet_run(root)
    files = cross_files(root)

    for name, known in (("round", 13), ("circle", 14)):
        path = files.pop()
        result = add_files(folder, name, [path], PartReader(32), NO_PROGRESS)
        assert (result.label, result.known) == ("circle", known)
    assert count_images(folder) == {"circle": 14, "stripes": 12}

    # A new class has the name that its alias means.
    with Dataset.open(root) as dataset:
        ClassEditor(dataset).add_alias("plus", "cross")
    result = add_files(folder, "plus", files[:3], PartReader(32), NO_PROGRESS)
    assert result.label == "cross"
    assert baseline.load(folder).classes == ("disc", "stripes", "cross")
    removal = remove_class(folder, "round")
    assert (removal.removed, removal.images) == ("circle", 14)
    assert count_images(folder) == {"stripes": 12, "cross": 3}


def test_counts_include_repeated_and_left_out_files(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trained_net, "MAX_GALLERY_IMAGES", 4)
    folder = triplet_run(root)
    files = cross_files(root)
    copy = Path(shutil.copy(files[0], tmp_path / "copy.png"))
    first = [*files[:3], str(copy), files[1]]
    result = add_files(folder, "cross", first, PartReader(32), NO_PROGRESS)
    assert (result.added, result.duplicate, result.left_out) == (3, 2, 0)

    # Of the third and five new ones, the class keeps four.
    more = add_files(folder, "cross", files[2:8], PartReader(32), NO_PROGRESS)
    assert (more.known, more.duplicate) == (4, 1)
    assert more.added + more.left_out == 5
    assert more.left_out > 0
    counts = f"added: {more.added}, duplicate: 1, left out: {more.left_out}"
    assert f"{counts}, images in class: 4" in more.lines()[-1]
    log = (folder / "gallery" / CHANGES_FILE).read_text().splitlines()
    assert [len(json.loads(line)["images"]) for line in log] == [3, 6]


def test_concurrent_change_is_refused(root: Path) -> None:
    folder = triplet_run(root)
    with stage(folder / "cache", GALLERY_FOLDER):
        with pytest.raises(DatasetBusy):
            add_files(folder, "cross", cross_files(root), PartReader(32), NO_PROGRESS)
        with pytest.raises(DatasetBusy):
            remove_class(folder, "disc")
    assert count_images(folder) == {"disc": 12, "stripes": 12}


def test_invalid_addition_changes_nothing(
    root: Path, run_folder: Path, tmp_path: Path
) -> None:
    folder = triplet_run(root)
    with pytest.raises(InputUnusable, match="file is gone"):
        add_files(
            folder, "cross", [str(tmp_path / "gone.png")], PartReader(32), NO_PROGRESS
        )
    assert count_images(folder) == {"disc": 12, "stripes": 12}
    with pytest.raises(UsageError, match="cannot remove 'disc'"):
        remove_class(folder, "disc")  # two classes must remain
    with pytest.raises(UsageError, match="missing class name"):
        add_files(folder, " ", cross_files(root), PartReader(32), NO_PROGRESS)
    with pytest.raises(UsageError, match="has no gallery"):
        add_files(
            Path(shutil.copytree(run_folder, tmp_path / "simple")),
            "x",
            [],
            PartReader(32),
            NO_PROGRESS,
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("added", "precision"),
    [pytest.param("cross", "int8", marks=pytest.mark.long), ("of files", "fp32")],
)
def test_auto_precision_needs_images_of_every_class(
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    added: str,
    precision: str,
) -> None:
    # Relax the other conditions of int8.
    monkeypatch.setattr(export_module, "MIN_COMPARED_IMAGES", 1)
    monkeypatch.setattr(export_module, "MIN_AGREEING_SHARE", 0)
    monkeypatch.setitem(export_module.MIN_AGREEMENT, "int8", 0)
    add_files(triplet_run(root), added, cross_files(root), PartReader(32), NO_PROGRESS)
    assert export_run(root, None, tmp_path / "m.onnx", "auto").precision == precision


def test_export_contains_gallery(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "triplet.onnx"
    result = export_run(root, None, out, "fp32")
    assert float(str(result.farthest)) < 1e-4
    files = cross_files(root)
    first = open_engine(triplet_run(root))
    second = open_engine(out)
    assert second.facts == first.facts._replace(rule=second.facts.rule)
    assert second.facts.rule.unfamiliar_below == first.facts.rule.unfamiliar_below
    assert second.facts.gallery is not None
    run = baseline.load(triplet_run(root))
    exported = baseline.load(out)
    for a, b in zip(
        run.predict_images(files), exported.predict_images(files), strict=True
    ):
        assert [k.sample for k in a.nearest] == [k.sample for k in b.nearest]
        assert a.nearest[0].similarity == pytest.approx(
            b.nearest[0].similarity, abs=1e-4
        )
