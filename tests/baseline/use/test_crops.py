"""Pictures are cut for a model as those were that it learnt from, and that is told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from PIL import Image

import baseline
from baseline.cli import commands
from baseline.data.runs import run_folder
from baseline.judge.answers import DecisionRule
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from baseline.use.crops import FILE, UNKNOWN, CropRequest, crop_plan_for, load_crops
from baseline.use.engines.base import ModelFacts
from baseline.use.export.export_run import export_run
from baseline.use.picture_parts import ReadParts
from facecrop.detectors import DetectorSpec
from facecrop.search import find_faces
from gleanset import Dataset
from gleanset.db.faces import CropMethod
from gleanset.db.journal import Choice
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.images.cut import CutSettings
from gleanset.settings import CropSettings, Settings
from harvest.folder import PictureOptions, harvest_folders

SAMPLE = Path(__file__).parents[3] / "datasets" / "sample" / "pictures"
CUT = CutSettings(0.5, square=True)
FOUND = "faces found by animeface (threshold=0.6), cut with margin=0.5 square"
FACES = CropMethod("animeface", "threshold=0.6", str(CUT), 20)
WHOLE = CropMethod("whole", "", "", 5)
HAND = CropMethod("hand", "", "margin=0.1", 3)


def facts(*methods: CropMethod) -> ModelFacts:
    return ModelFacts("run", 32, ("a", "b"), DecisionRule(1.0), None, methods)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of faces cut square with much room, with a run; its settings have changed since."""
    root = tmp_path_factory.mktemp("faces") / "dataset"
    some = root.parent / "some"
    some.mkdir()
    for path in sorted(SAMPLE.glob("*.jpg"))[:12]:
        shutil.copy(path, some)
    with Dataset.create(root, Settings(crop=CropSettings(detector="whole", margin=2.0))) as dataset:
        harvest_folders(dataset, [some], PictureOptions(workers=1))
        find_faces(dataset, DetectorSpec.of("animeface", threshold=0.6), CUT, workers=1)
        keys = [sample.key for sample in dataset.samples.by_key()]
        dataset.journal.step(
            "Label", [Choice(k, "label", c) for k, c in zip(keys, cycle("ab"), strict=False)]
        )
        splits = {key: (key, "val" if n % 5 == 4 else "train") for n, key in enumerate(keys)}
        dataset.samples.set_splits(splits, "by hand")
        quick = {"size": "32", "blocks": "8,16", "dense": "16", "epochs": "1"}
        train_run(dataset, load_preset("simple", quick))
    return root


@pytest.fixture
def folder(trained: Path) -> Iterator[Path]:
    """The folder of its run."""
    with Dataset.open(trained) as dataset:
        run = dataset.runs.newest("baseline")
        assert run is not None
        yield run_folder(dataset, run.id)


@pytest.fixture
def with_face(trained: Path) -> Path:
    """A picture in which a face was found."""
    with Dataset.open(trained) as dataset:
        sample = next(dataset.samples.in_splits())
        return dataset.image_path(sample.image, "JPEG")


def predict(*words: object) -> Result:
    ran = CliRunner().invoke(commands, ["predict", *map(str, words)], catch_exceptions=False)
    assert ran.exit_code == 0
    return ran


def test_a_run_records_how_its_pictures_were_cut(folder: Path) -> None:
    (method,) = load_crops(folder) or ()
    assert (method.detector, method.settings) == ("animeface", "threshold=0.6")
    assert CutSettings.parse(method.cut) == CUT
    assert method.samples == len(json.loads((folder / "trained_on.json").read_text()))


def test_a_face_model_finds_faces_without_being_told_and_says_so(
    trained: Path, folder: Path, with_face: Path
) -> None:
    ran = predict(with_face, "-d", trained, "--json")
    told = json.loads(ran.stdout)
    expected = ReadParts(32, DetectorSpec.of("animeface", threshold=0.6), CUT)(str(with_face))
    assert [tuple(part["box"]) for part in told["predicted"][0]["parts"]] == [
        part.box for part in expected
    ]
    assert f"as in training: {FOUND}" in ran.stderr
    assert told["cropping"]["because"] == "recorded"
    assert (told["cropping"]["detector"], told["cropping"]["cut"]) == ("animeface", str(CUT))
    whole = json.loads(predict(with_face, "--detector", "whole", "-d", trained, "--json").stdout)
    assert whole["predicted"][0]["parts"][0]["box"] is None
    assert (whole["cropping"]["because"], whole["cropping"]["detector"]) == ("asked", "whole")


def test_the_api_cuts_as_the_command_does(folder: Path, with_face: Path) -> None:
    model = baseline.load(folder)
    faces = model.faces(with_face)
    parts = ReadParts(32, DetectorSpec.of("animeface", threshold=0.6), CUT)(str(with_face))
    assert [answer.box for answer in faces] == [part.box for part in parts]
    told = model.answers_to(np.stack([part.pixels for part in parts]))
    assert [answer.predictions for answer in faces] == [answer.predictions for answer in told]
    largest = max(faces, key=lambda one: one.box.width * one.box.height if one.box else 0)
    assert model.answer(Image.open(with_face)) == largest
    assert model.answer(np.asarray(Image.open(with_face).convert("RGB"))) == largest
    assert baseline.load(folder, faces=False).answer(with_face).box is None
    empty = np.full((200, 200, 3), 250, np.uint8)
    with pytest.raises(Unreadable, match="no face found"):
        model.predict(empty)
    assert "faces found by animeface" in model.cropping.words


def test_an_exported_file_carries_how_pictures_are_cut(
    trained: Path, folder: Path, with_face: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model.onnx"
    export_run(trained, None, out, "fp32")
    card = json.loads(next(p.value for p in onnx.load(out).metadata_props if p.key == "gleanset"))
    assert card["crops"][0]["detector"] == "animeface"
    assert FOUND in card["pictures"]
    assert card == json.loads((tmp_path / "model.onnx.json").read_text())
    ours, theirs = baseline.load(folder).faces(with_face), baseline.load(out).faces(with_face)
    assert [one.box for one in ours] == [one.box for one in theirs]
    told = json.loads(predict(with_face, "--run", out, "--json").stdout)
    assert [tuple(p["box"]) for p in told["predicted"][0]["parts"]] == [one.box for one in ours]


def test_a_model_of_before_judges_whole_pictures_and_says_that_it_does_not_know(
    trained: Path, folder: Path, with_face: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "old")
    (tmp_path / "old" / FILE).unlink()
    ran = predict(with_face, "--run", tmp_path / "old", "--json")
    assert UNKNOWN in ran.stderr
    told = json.loads(ran.stdout)
    assert told["predicted"][0]["parts"][0]["box"] is None
    assert told["cropping"]["because"] == "not recorded"
    assert baseline.load(tmp_path / "old").cropping.words == UNKNOWN
    asked = json.loads(
        predict(with_face, "--detector", "animeface", "--run", tmp_path / "old", "--json").stdout
    )
    assert asked["predicted"][0]["parts"][0]["box"] is not None
    (tmp_path / "old" / FILE).write_text("{")
    with pytest.raises(InputUnusable, match=r"crops\.json cannot be read"):
        baseline.load(tmp_path / "old")


def test_what_was_mixed_is_cut_as_most_of_it_and_told() -> None:
    mostly_faces = crop_plan_for(facts(FACES, WHOLE, HAND), None)
    assert mostly_faces.read.detector == DetectorSpec.of("animeface", threshold="0.6")
    assert (mostly_faces.read.cutting, mostly_faces.read.or_whole) == (CUT, True)
    for words in ("or whole where none is found", "5 whole pictures", "3 boxes given by hand"):
        assert words in mostly_faces.words
    blank = Image.new("RGB", (64, 48), "white")
    assert [part.box for part in mostly_faces.read.parts(blank)] == [None]
    only_faces = crop_plan_for(facts(FACES, WHOLE), None, CropRequest(faces=True))
    assert not only_faces.read.or_whole
    many = CropMethod("whole", "", "", 50)
    mostly_whole = crop_plan_for(facts(many, FACES), None)
    assert mostly_whole.read.detector is None
    assert "20 faces found by animeface" in mostly_whole.words


def test_a_whole_picture_is_made_square_as_in_training() -> None:
    squared = CropMethod("whole", "", "margin=0 square pad", 9)
    read = crop_plan_for(facts(squared), None).read
    wide = Image.new("RGB", (96, 32), "black")
    wide.paste("white", (36, 4, 60, 28))
    assert read.parts(wide)[0].pixels.mean() == pytest.approx(255 / 16, rel=0.1)
    stretched = crop_plan_for(facts(WHOLE), None).read.parts(wide)[0].pixels
    assert stretched.mean() == pytest.approx(3 * 255 / 16, rel=0.1)
    assert crop_plan_for(facts(WHOLE), None).words == "pictures are cut as in training: whole"


def test_boxes_by_hand_alone_are_found_by_no_detector(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 boxes given by hand"):
        crop_plan_for(facts(HAND), None)
    asked = crop_plan_for(facts(HAND), None, CropRequest(faces=True))
    assert (asked.read.detector, asked.read.cutting.margin) == (DetectorSpec.of("animeface"), 0.1)
    assert crop_plan_for(facts(HAND), None, CropRequest(faces=False)).read.detector is None


def test_another_detector_keeps_the_cut_and_a_file_that_is_not_here_is_asked_for(
    shared_data: Path,
) -> None:
    cascade = shared_data / "lbpcascade_animeface.xml"
    with_file = CropRequest(detector=f"lbpcascade:cascade={cascade}")
    other = crop_plan_for(facts(FACES), None, with_file)
    assert other.read.detector is not None
    assert (other.read.detector.name, other.read.cutting) == ("lbpcascade", CUT)
    foreign = CropMethod("lbpcascade", "cascade=0123456789ab neighbors=3", "margin=0.8", 9)
    with pytest.raises(UsageError, match="its SHA-256 begins with 0123456789ab"):
        crop_plan_for(facts(foreign), None)
    named = crop_plan_for(
        facts(foreign), None, CropRequest(detector=f"lbpcascade:cascade={cascade}")
    )
    assert "neighbors=3" in named.settings
    assert "it learnt from 9 faces found by lbpcascade (cascade=0123456789ab" in named.words
    set_so = CropRequest(detector="animeface:threshold=0.9")
    assert crop_plan_for(facts(FACES), None, set_so).settings == "threshold=0.9"
