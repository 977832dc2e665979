"""ONNX export: contents, equal predictions, precision."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from drawn_dataset import EIGHT_TO_ONE, fill
from tools_for_tests import start_cli

import baseline
from baseline.cli import commands
from baseline.data.samples import find_examples, load_arrays
from baseline.evaluation.decision_rule import (
    DecisionRule,
    compute_output_similarity,
    load_decision_rule,
    load_feature_scale,
    save_decision_rule,
)
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from baseline.train.trained_net import load_model
from baseline.train.training import network_outputs, with_distances
from baseline.use.engines import ModelFacts, NetworkOutputs, OnnxEngine, read_card
from baseline.use.export import export_run as export_module
from baseline.use.export.export_run import (
    check_agreement,
    compare,
    engines_agree,
    export_run,
)
from gleanset import Dataset
from gleanset.arrays import Pixels
from gleanset.errors import InputUnusable, UsageError
from labeler.classes import ClassEditor


def test_export_predictions_match_run(
    exported: Path, run_folder: Path, pictures: list[Path]
) -> None:
    run = baseline.load(run_folder)
    exported_model = baseline.load(exported)
    first = list(run.predict_images(pictures))
    second = list(exported_model.predict_images(pictures))
    assert [a.label for a in first] == [a.label for a in second]
    assert any(a.label is None for a in first) or all(
        a.predictions[0].confidence >= 0.6 for a in first
    )
    for a, b in zip(first, second, strict=True):
        assert [p.confidence for p in a.predictions] == pytest.approx(
            [p.confidence for p in b.predictions], abs=1e-5
        )
    assert np.allclose(
        run.embed(pictures[:3]), exported_model.embed(pictures[:3]), atol=1e-4
    )


def test_export_corrects_balancing(
    exported: Path, run_folder: Path, pictures: list[Path], tmp_path: Path
) -> None:
    plain = shutil.copytree(run_folder, tmp_path / "plain")
    save_decision_rule(plain, DecisionRule(1.5, 0.6))
    corrected, raw = (
        {
            prediction.label: prediction.confidence
            for prediction in baseline.load(path).predict(pictures[0])
        }
        for path in (exported, plain)
    )
    moved = {
        name: raw[name] * np.exp(by)
        for name, by in {"cross": 0.7, "disc": 0.0, "stripes": -0.9}.items()
    }
    total = sum(moved.values())
    assert corrected == pytest.approx(
        {name: prediction / total for name, prediction in moved.items()}, abs=1e-5
    )


def test_export_rejects_same_samples_as_run(
    exported: Path, run_folder: Path, patterns_root: Path, pictures: list[Path]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)
    odd = [*noise, *(np.full((32, 32, 3), grey, np.uint8) for grey in (0, 128, 255))]
    run = baseline.load(run_folder)
    exported_model = baseline.load(exported)
    first = list(run.predict_images([*pictures, *odd]))
    second = list(exported_model.predict_images([*pictures, *odd]))
    assert [a.label for a in first] == [a.label for a in second]
    familiar = [a.similarity or 0.0 for a in first]
    assert familiar == pytest.approx([a.similarity for a in second], abs=1e-4)
    rule = load_decision_rule(run_folder)
    scale = load_feature_scale(run_folder)
    is_unknown = np.array(familiar) < (rule.unfamiliar_below or 0)
    assert is_unknown[: len(pictures)].mean() <= 0.06
    assert is_unknown[len(pictures) :].mean() > 0.5
    assert not [
        a for a, odd_one in zip(first, is_unknown, strict=True) if odd_one and a.label
    ]
    # Evaluation computes the same similarities.
    net, settings, classes = load_model(run_folder)
    with Dataset.open(patterns_root) as dataset:
        examples = find_examples(dataset)
        arrays = load_arrays(dataset, examples, settings, "val")
    outputs = with_distances(network_outputs(net, arrays), scale)
    expected = compute_output_similarity(outputs, classes, rule)
    plain = [np.ascontiguousarray(x.transpose(1, 2, 0)) for x in arrays.x]
    if settings.channels == 1:
        plain = [np.repeat(x, 3, 2) for x in plain]
    served = [a.similarity for a in exported_model.predict_images(plain)]
    assert served == pytest.approx(expected.tolist(), abs=1e-3)


@pytest.mark.slow
def test_exports_are_equal_to_the_byte(tmp_path: Path) -> None:
    root = tmp_path / "dataset"
    with Dataset.create(root) as dataset:
        fill(dataset, 10, EIGHT_TO_ONE)
        train_run(dataset, load_preset("transfer", {"size": "32", "views": "0"}))
    first = tmp_path / "first.onnx"
    second = tmp_path / "second.onnx"
    export_run(root, None, first, "int8")
    # Another seed of hashes, by which sets are ordered.
    with start_cli(
        "baseline.cli",
        "export",
        *("--precision", "int8", second, "-d", root),
        environment={"PYTHONHASHSEED": "1"},
    ) as process:
        assert process.wait(280) == 0
    assert first.read_bytes() == second.read_bytes()


def test_export_metadata_and_card(exported: Path) -> None:
    model = onnx.load(exported)
    about = {prop.key: prop.value for prop in model.metadata_props}
    card = json.loads(about["gleanset"])
    assert (
        about["labels"].split("\n") == card["classes"] == ["cross", "disc", "stripes"]
    )
    assert card == json.loads(exported.with_name("model.onnx.json").read_text())
    assert (card["temperature"], card["unknown_below"], card["size"]) == (1.5, 0.6, 32)
    assert card["offsets"] == {"cross": 0.7, "stripes": -0.9}
    assert card["checked"]["images"] == 90
    shape = model.graph.input[0].type.tensor_type
    assert shape.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value for d in shape.shape.dim[1:]] == [32, 32, 3]
    assert shape.shape.dim[0].dim_param  # any number of pictures
    assert {entry.version for entry in model.opset_import if not entry.domain} == {18}


@pytest.mark.slow
def test_int8_export_reports_accuracy_loss(
    patterns_root: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_module, "MAX_CALIBRATION_IMAGES", 20)
    out = tmp_path / "small.onnx"
    result = export_run(patterns_root, None, out, "int8")
    assert result.precision == "int8"
    assert {"accuracy", "accuracy_before", "agreement", "farthest"} <= set(
        result.to_json()
    )
    assert 1e-6 < float(str(result.farthest)) < 0.5
    graph = onnx.load(out).graph
    rounded = {node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
    logits = {
        value for node in graph.node if node.op_type == "Gemm" for value in node.output
    }
    assert rounded
    assert logits
    assert not rounded & logits  # 256 levels would give ties


class FixedEngine:
    """Engine that returns given probabilities in turn."""

    def __init__(self, rows: object) -> None:
        self.at = 0
        self.rows = np.array(rows, np.float32)
        self.facts = ModelFacts("r", 8, ("a", "b"), DecisionRule())

    def __call__(self, pictures: Pixels) -> NetworkOutputs:
        first = self.at
        self.at = (self.at + len(pictures)) % len(self.rows)
        rows = self.rows[first : first + len(pictures)]
        return NetworkOutputs(rows, rows)


def test_deviating_export_is_refused() -> None:
    pictures = np.zeros((3, 8, 8, 3), np.uint8)
    run = FixedEngine([[0.9, 0.1], [0.2, 0.8], [0.50001, 0.49999]])
    near = FixedEngine([[0.9, 0.1], [0.2, 0.8], [0.49999, 0.50001]])
    off = FixedEngine([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    wrong = FixedEngine([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8]])
    y = np.array([0, 1, -1])
    result = compare(run, near, pictures, y)
    assert (result.agreement, result.accuracy, result.accuracy_before) == (1, 1, 1)
    check_agreement(result, "fp32")
    with pytest.raises(InputUnusable, match="nothing was written"):
        check_agreement(compare(run, off, pictures, y), "fp32")
    result = compare(run, wrong, pictures, y)
    assert result.accuracy == 0.5
    with pytest.raises(InputUnusable, match=r"66\.7%"):
        check_agreement(result, "int8")


def test_engines_agree() -> None:
    run = FixedEngine([[0.9, 0.1], [0.2, 0.8]] * 100)
    near = FixedEngine([[0.8, 0.2], [0.3, 0.7]] * 100)
    wrong = FixedEngine([[0.9, 0.1], [0.2, 0.8]] * 97 + [[0.1, 0.9]] * 6)
    pictures = np.zeros((200, 8, 8, 3), np.uint8)
    assert engines_agree(run, near, pictures)
    assert not engines_agree(run, wrong, pictures)
    assert not engines_agree(
        FixedEngine(run.rows[:20]), FixedEngine(near.rows[:20]), pictures[:20]
    )


def test_invalid_names_and_files_raise_error(
    patterns_root: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"use \.onnx"):
        export_run(patterns_root, None, tmp_path / "model.pt", "fp32")
    with pytest.raises(UsageError, match="on phones, too"):
        export_run(patterns_root, None, tmp_path / "model.tflite", "fp32")
    old = tmp_path / "old.tflite"
    old.write_bytes(b"an export of an earlier version")
    with pytest.raises(InputUnusable, match=r"name a run's folder, or an \.onnx file"):
        baseline.load(old)
    with pytest.raises(InputUnusable, match="no finished run other"):
        export_run(patterns_root, "other", tmp_path / "m.onnx", "fp32")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(InputUnusable, match="cannot be loaded"):
        baseline.load(broken)


def test_export_has_present_names_of_classes(
    patterns_root: Path, exported: Path, tmp_path: Path
) -> None:
    shutil.copytree(patterns_root, tmp_path / "dataset")
    before = OnnxEngine(exported)
    old = before.facts.classes[0]
    with Dataset.open(tmp_path / "dataset") as dataset:
        ClassEditor(dataset).rename(old, "zebra")
    out = tmp_path / "model.onnx"
    result = export_run(tmp_path / "dataset", None, out, "fp32")
    after = OnnxEngine(out)
    assert after.facts.classes == ("zebra", *before.facts.classes[1:])
    # Measured on images of all classes, as before.
    card = read_card((exported.parent / "model.onnx.json").read_bytes(), out)
    assert result.accuracy == card.checked["accuracy"]


def test_export_command_arguments(patterns_root: Path, tmp_path: Path) -> None:
    words = ["export", "a", "b", "c.onnx", "-d", str(patterns_root)]
    ran = CliRunner().invoke(commands, words)
    assert isinstance(ran.exception, UsageError)
    ran = CliRunner().invoke(
        commands, ["export", "nobody", "c.onnx", "-d", str(patterns_root)]
    )
    assert isinstance(ran.exception, InputUnusable)


def test_missing_output_of_the_card_is_refused(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    assert "membership" not in {output.name for output in model.graph.output}
    [about] = [prop for prop in model.metadata_props if prop.key == "gleanset"]
    card = json.loads(about.value)
    card["outputs"]["membership"] = "float32 N"
    about.value = json.dumps(card)
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(InputUnusable, match="does not match its card"):
        baseline.load(tmp_path / "other.onnx")


def test_foreign_onnx_model_is_refused(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(InputUnusable, match="not a model exported by Gleanset"):
        baseline.load(tmp_path / "foreign.onnx")
