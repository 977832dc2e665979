"""Images are cropped for prediction as they were for training."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from filled import RUN
from PIL import Image

import baseline
from baseline.cli import commands
from baseline.evaluation.decision_rule import DecisionRule
from baseline.use.crops import FILE, UNRECORDED, PartReader, make_crop_plan, save_crops
from baseline.use.engines import ModelFacts, make_card
from baseline.use.export.onnx_file import with_card
from baseline.use.model import open_engine
from facecrop.detectors import DetectorSpec
from facecrop.search import find_faces
from gleanset import Dataset
from gleanset.db.faces import CropMethod, list_crop_methods
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.settings import CropGeometry, CropSettings, Settings, write_settings
from harvest.archives import harvest_files
from harvest.importer import ImportOptions

SAMPLE = Path(__file__).parents[3] / "datasets" / "sample" / "pictures"
CROP = CropGeometry(0.5, square=True)
DETECTOR = DetectorSpec.create("animeface", threshold=0.6)
FOUND = "faces found by animeface, cropped with margin=0.5 square"
FACES = CropMethod("animeface", "threshold=0.6", str(CROP), 20)
WHOLE = CropMethod("whole", "", "", 5)
HAND = CropMethod("hand", "", "margin=0.1", 3)


def make_facts(*methods: CropMethod) -> ModelFacts:
    return ModelFacts("run", 32, ("a", "b"), DecisionRule(1.0), None, methods)


@pytest.fixture(scope="module")
def trained(patterns_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dataset with a run on square face crops, and with different current settings."""
    root = shutil.copytree(patterns_root, tmp_path_factory.mktemp("faces") / "dataset")
    write_settings(root, Settings(crop=CropSettings(detector="whole", margin=2.0)))
    save_crops(root / "runs" / RUN, [FACES])
    return root


@pytest.fixture(scope="module")
def folder(trained: Path) -> Path:
    return trained / "runs" / RUN


@pytest.fixture(scope="module")
def with_face() -> Path:
    """Return an image in which a face is detected."""
    detector = DETECTOR.build()
    return next(
        path
        for path in sorted(SAMPLE.glob("*.jpg"))
        if detector.detect(np.asarray(Image.open(path).convert("RGB")))
    )


def predict(*words: object) -> Result:
    ran = CliRunner().invoke(
        commands, ["predict", *map(str, words)], catch_exceptions=False
    )
    assert ran.exit_code == 0
    return ran


def test_crop_method_is_recorded(dataset: Dataset, with_face: Path) -> None:
    shutil.copy(with_face, (dataset.root / "some").with_suffix(".jpg"))
    harvest_files(dataset, [dataset.root / "some.jpg"], ImportOptions(workers=1))
    find_faces(dataset, DETECTOR, CROP, workers=1)
    keys = [sample.key for sample in dataset.samples.iter_by_key()]
    (method,) = list_crop_methods(dataset.db, keys)
    assert (method.detector, method.settings) == ("animeface", "threshold=0.6")
    assert CropGeometry.parse(method.cut) == CROP


def test_face_model_crops_as_in_training(
    trained: Path, folder: Path, with_face: Path
) -> None:
    ran = predict(with_face, "-d", trained, "--json")
    result = json.loads(ran.stdout)
    expected = PartReader(32, DETECTOR, CROP)(str(with_face))
    boxes = [tuple(part["box"]) for part in result["predicted"][0]["parts"]]
    assert boxes == [part.box for part in expected]
    assert f"as in training: {FOUND}" in ran.stderr
    assert result["cropping"]["because"] == "recorded"
    assert (result["cropping"]["detector"], result["cropping"]["cut"]) == (
        "animeface",
        str(CROP),
    )
    whole = predict(with_face, "--detector", "whole", "-d", trained, "--json").stdout
    result = json.loads(whole)
    assert result["predicted"][0]["parts"][0]["box"] is None
    assert result["cropping"]["because"] == "asked"
    assert result["cropping"]["detector"] == "whole"


def test_api_crops_like_command(folder: Path, with_face: Path) -> None:
    model = baseline.load(folder)
    faces = model.predict_faces(with_face)
    parts = PartReader(32, DETECTOR, CROP)(str(with_face))
    assert [answer.box for answer in faces] == [part.box for part in parts]
    result = model.predict_pixels(np.stack([part.pixels for part in parts]))
    assert [answer.predictions for answer in faces] == [
        answer.predictions for answer in result
    ]
    largest = max(
        faces, key=lambda face: face.box.width * face.box.height if face.box else 0
    )
    assert model.predict_image(Image.open(with_face)) == largest
    assert (
        model.predict_image(np.asarray(Image.open(with_face).convert("RGB"))) == largest
    )
    assert baseline.load(folder, detector="whole").predict_image(with_face).box is None
    empty = np.full((200, 200, 3), 250, np.uint8)
    with pytest.raises(Unreadable, match="no face found"):
        model.predict(empty)
    assert "faces found by animeface" in model.cropping.description


def test_export_carries_crop_method(
    folder: Path, exported: Path, with_face: Path, tmp_path: Path
) -> None:
    card = make_card(open_engine(folder).facts, "fp32")
    found = "faces found by animeface (threshold=0.6), cropped with margin=0.5 square"
    assert found in str(card.crops_note)
    out = tmp_path / "model.onnx"
    out.write_bytes(with_card(onnx.load(exported), card))
    ours, theirs = (
        baseline.load(path).predict_faces(with_face) for path in (folder, out)
    )
    assert [our.box for our in ours] == [their.box for their in theirs]
    result = json.loads(predict(with_face, "--run", out, "--json").stdout)
    assert [tuple(p["box"]) for p in result["predicted"][0]["parts"]] == [
        face.box for face in ours
    ]


def test_run_without_crop_method_uses_whole_images(
    trained: Path, folder: Path, with_face: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "old")
    (tmp_path / "old" / FILE).unlink()
    ran = predict(with_face, "--run", tmp_path / "old", "--json")
    assert UNRECORDED in ran.stderr
    result = json.loads(ran.stdout)
    assert result["predicted"][0]["parts"][0]["box"] is None
    assert result["cropping"]["because"] == "not recorded"
    assert baseline.load(tmp_path / "old").cropping.description == UNRECORDED
    words = ("--detector", "animeface", "--run", tmp_path / "old", "--json")
    assert json.loads(predict(with_face, *words).stdout)["predicted"][0]["parts"][0][
        "box"
    ]
    (tmp_path / "old" / FILE).write_text("{")
    with pytest.raises(InputUnusable, match=r"crops\.json cannot be read"):
        baseline.load(tmp_path / "old")


def test_mixed_crops_follow_majority() -> None:
    mostly_faces = make_crop_plan(make_facts(FACES, WHOLE, HAND), None)
    assert mostly_faces.reader.detector == DetectorSpec.create(
        "animeface", threshold="0.6"
    )
    assert (mostly_faces.reader.cutting, mostly_faces.reader.or_whole) == (CROP, True)
    for words in (
        "or the whole image without a face",
        "5 whole images",
        "3 boxes drawn by hand",
    ):
        assert words in mostly_faces.description
    blank = Image.new("RGB", (64, 48), "white")
    assert [part.box for part in mostly_faces.reader.parts(blank)] == [None]
    only_faces = make_crop_plan(make_facts(FACES, WHOLE), None, "animeface")
    assert not only_faces.reader.or_whole
    many = CropMethod("whole", "", "", 50)
    mostly_whole = make_crop_plan(make_facts(many, FACES), None)
    assert mostly_whole.reader.detector is None
    assert "20 faces found by animeface" in mostly_whole.description


def test_whole_image_is_squared_as_in_training() -> None:
    squared = CropMethod("whole", "", "margin=0 square pad", 9)
    read = make_crop_plan(make_facts(squared), None).reader
    wide = Image.new("RGB", (96, 32), "black")
    wide.paste("white", (36, 4, 60, 28))
    assert read.parts(wide)[0].pixels.mean() == pytest.approx(255 / 16, rel=0.1)
    stretched = make_crop_plan(make_facts(WHOLE), None).reader.parts(wide)[0].pixels
    assert stretched.mean() == pytest.approx(3 * 255 / 16, rel=0.1)
    description = make_crop_plan(make_facts(WHOLE), None).description
    assert description == "crop as in training: whole images"


def test_hand_drawn_boxes_need_detector(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 boxes drawn by hand"):
        make_crop_plan(make_facts(HAND), None)
    plan = make_crop_plan(make_facts(HAND), None, "animeface")
    assert plan.reader.detector == DetectorSpec.create("animeface")
    assert plan.reader.cutting.margin == 0.1
    assert make_crop_plan(make_facts(HAND), None, "whole").reader.detector is None


def test_other_detector_keeps_crop_geometry(shared_data: Path) -> None:
    cascade = shared_data / "lbpcascade_animeface.xml"
    with_file = f"lbpcascade:cascade={cascade}"
    other = make_crop_plan(make_facts(FACES), None, with_file)
    assert (other.reader.detector.name, other.reader.cutting) == ("lbpcascade", CROP)
    foreign = CropMethod(
        "lbpcascade", "cascade=0123456789ab neighbors=3", "margin=0.8", 9
    )
    with pytest.raises(UsageError, match="SHA-256 0123456789ab"):
        make_crop_plan(make_facts(foreign), None)
    plan = make_crop_plan(make_facts(foreign), None, with_file)
    assert "neighbors=3" in plan.settings
    assert (
        "trained on 9 faces found by lbpcascade (cascade=0123456789ab"
        in plan.description
    )
    with pytest.raises(UsageError, match="detector removed: ensemble"):
        make_crop_plan(
            make_facts(CropMethod("ensemble", "threshold=0.5", str(CROP), 9)), None
        )
    with_threshold = make_crop_plan(make_facts(FACES), None, "animeface:threshold=0.9")
    assert with_threshold.settings == "threshold=0.9"
