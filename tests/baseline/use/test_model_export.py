"""Exported files: everything inside, the same answers, and nothing kept that answers otherwise."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

import baseline
from baseline.cli import commands
from baseline.data.pixels import Pixels
from baseline.data.samples import find_examples, load_arrays
from baseline.evaluation.decision_rule import (
    DecisionRule,
    compute_output_similarity,
    load_decision_rule,
    load_feature_scale,
    save_decision_rule,
)
from baseline.train.methods.training_data import network_outputs, with_distances
from baseline.train.trained_net import load_model
from baseline.use.engines.base import ModelFacts, NetworkOutputs
from baseline.use.export.export_run import (
    check_agreement,
    compare,
    engines_agree,
    export_run,
    is_faster,
)
from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError


def test_the_file_answers_as_the_run(
    exported: Path, run_folder: Path, pictures: list[Path]
) -> None:
    one, other = baseline.load(run_folder), baseline.load(exported)
    first, second = list(one.predict_images(pictures)), list(other.predict_images(pictures))
    assert [a.label for a in first] == [a.label for a in second]
    assert any(a.label is None for a in first) or all(
        a.predictions[0].confidence >= 0.6 for a in first
    )
    for a, b in zip(first, second, strict=True):
        assert [p.confidence for p in a.predictions] == pytest.approx(
            [p.confidence for p in b.predictions], abs=1e-5
        )
    assert np.allclose(one.embed(pictures[:3]), other.embed(pictures[:3]), atol=1e-4)


def test_what_balancing_did_is_taken_back_inside_the_model(
    exported: Path, run_folder: Path, pictures: list[Path], tmp_path: Path
) -> None:
    plain = shutil.copytree(run_folder, tmp_path / "plain")
    save_decision_rule(plain, DecisionRule(1.5, 0.6))
    given, raw = (
        {one.label: one.confidence for one in baseline.load(path).predict(pictures[0])}
        for path in (exported, plain)
    )
    moved = {
        name: raw[name] * np.exp(by)
        for name, by in {"cross": 0.7, "disc": 0.0, "stripes": -0.9}.items()
    }
    total = sum(moved.values())
    assert given == pytest.approx({name: one / total for name, one in moved.items()}, abs=1e-5)


def test_the_unfamiliar_are_unknown_to_the_file_as_to_the_run(
    exported: Path, run_folder: Path, patterns_root: Path, pictures: list[Path]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)
    odd = [*noise, *(np.full((32, 32, 3), grey, np.uint8) for grey in (0, 128, 255))]
    one, other = baseline.load(run_folder), baseline.load(exported)
    first, second = (
        list(one.predict_images([*pictures, *odd])),
        list(other.predict_images([*pictures, *odd])),
    )
    assert [a.label for a in first] == [a.label for a in second]
    familiar = [a.similarity or 0.0 for a in first]
    assert familiar == pytest.approx([a.similarity for a in second], abs=1e-4)
    rule, scale = load_decision_rule(run_folder), load_feature_scale(run_folder)
    strange = np.array(familiar) < (rule.unfamiliar_below or 0)
    assert strange[: len(pictures)].mean() <= 0.06
    assert strange[len(pictures) :].mean() > 0.5
    assert not [a for a, odd_one in zip(first, strange, strict=True) if odd_one and a.label]
    # The run judges by the same figure: scores and embeddings, or probabilities and embeddings.
    net, settings, classes = load_model(run_folder)
    with Dataset.open(patterns_root) as dataset:
        examples = find_examples(dataset)
        arrays = load_arrays(dataset, examples, settings, "val")
    outputs = with_distances(network_outputs(net, arrays), scale)
    judged = compute_output_similarity(outputs, classes, rule, gallery=False)
    assert judged is not None
    plain = [np.ascontiguousarray(x.transpose(1, 2, 0)) for x in arrays.x]
    if settings.channels == 1:
        plain = [np.repeat(x, 3, 2) for x in plain]
    served = [a.similarity for a in other.predict_images(plain)]
    assert served == pytest.approx(judged.tolist(), abs=1e-3)


def test_labels_and_thresholds_are_inside_and_beside(exported: Path) -> None:
    model = onnx.load(exported)
    about = {prop.key: prop.value for prop in model.metadata_props}
    card = json.loads(about["gleanset"])
    assert about["labels"].split("\n") == card["classes"] == ["cross", "disc", "stripes"]
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
@pytest.mark.parametrize("precision", [pytest.param("fp16", marks=pytest.mark.long), "int8"])
def test_smaller_models_say_what_they_cost(
    precision: str, patterns_root: Path, exported: Path, tmp_path: Path
) -> None:
    out = tmp_path / "small.onnx"
    result = export_run(patterns_root, None, out, precision)
    assert result["precision"] == precision
    assert {"accuracy", "accuracy_before", "agreement", "farthest"} <= set(result)
    assert 1e-6 < float(str(result["farthest"])) < 0.5
    graph = onnx.load(out).graph
    types = {one.data_type for one in graph.initializer}
    if precision == "int8":
        rounded = {node.input[0] for node in graph.node if node.op_type == "QuantizeLinear"}
        logits = {value for node in graph.node if node.op_type == "Gemm" for value in node.output}
        assert rounded
        assert logits
        assert not rounded & logits  # in 256 steps they would tie
    else:
        assert onnx.TensorProto.FLOAT16 in types


class Fixed:
    """An engine that gives each picture in turn the probabilities it was told."""

    def __init__(self, rows: object, seconds: float = 0.0) -> None:
        self.at = 0
        self.rows, self.seconds = np.array(rows, np.float32), seconds
        self.facts = ModelFacts("r", 8, ("a", "b"), DecisionRule())

    def __call__(self, pictures: Pixels) -> NetworkOutputs:
        time.sleep(self.seconds)
        first, self.at = self.at, (self.at + len(pictures)) % len(self.rows)
        rows = self.rows[first : first + len(pictures)]
        return NetworkOutputs(rows, rows)


def test_other_answers_are_refused() -> None:
    pictures = np.zeros((3, 8, 8, 3), np.uint8)
    run = Fixed([[0.9, 0.1], [0.2, 0.8], [0.50001, 0.49999]])
    near = Fixed([[0.9, 0.1], [0.2, 0.8], [0.49999, 0.50001]])
    off = Fixed([[0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    wrong = Fixed([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8]])
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


def test_alike_are_answers_that_are_the_same_of_many_pictures() -> None:
    run = Fixed([[0.9, 0.1], [0.2, 0.8]] * 100)
    near = Fixed([[0.8, 0.2], [0.3, 0.7]] * 100)
    wrong = Fixed([[0.9, 0.1], [0.2, 0.8]] * 97 + [[0.1, 0.9]] * 6)
    pictures = np.zeros((200, 8, 8, 3), np.uint8)
    assert engines_agree(run, near, pictures)
    assert not engines_agree(run, wrong, pictures)
    assert not engines_agree(Fixed(run.rows[:20]), Fixed(near.rows[:20]), pictures[:20])


def test_quicker_is_what_takes_clearly_less_time() -> None:
    slow, quick = Fixed([[0.9, 0.1]], seconds=0.02), Fixed([[0.9, 0.1]])
    picture = np.zeros((1, 8, 8, 3), np.uint8)
    assert is_faster(quick, slow, picture)
    assert not is_faster(slow, quick, picture)


def test_odd_names_and_files_are_said(patterns_root: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"use \.onnx or"):
        export_run(patterns_root, None, tmp_path / "model.pt", "fp32")
    with pytest.raises(InputUnusable, match="no finished run other"):
        export_run(patterns_root, "other", tmp_path / "m.onnx", "fp32")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(InputUnusable, match="cannot be loaded"):
        baseline.load(broken)


def test_the_command_takes_a_run_and_a_name(patterns_root: Path, tmp_path: Path) -> None:
    words = ["export", "a", "b", "c.onnx", "-d", str(patterns_root)]
    ran = CliRunner().invoke(commands, words)
    assert isinstance(ran.exception, UsageError)
    ran = CliRunner().invoke(commands, ["export", "nobody", "c.onnx", "-d", str(patterns_root)])
    assert isinstance(ran.exception, InputUnusable)


def test_a_model_of_others_is_refused(exported: Path, tmp_path: Path) -> None:
    model = onnx.load(exported)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(InputUnusable, match="not a model exported by Gleanset"):
        baseline.load(tmp_path / "foreign.onnx")
