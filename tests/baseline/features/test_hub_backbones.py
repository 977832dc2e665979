"""Backbones from the Hugging Face hub, and runs on them: training, offline use, export."""

import gc
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from drawn_dataset import EIGHT_TO_ONE, fill
from embedding_models import NAME, SIDE, WIDTH, embedding_model, publish, run_onnx
from onnx import TensorProto
from PIL import Image
from publisher import Hub
from tools_for_tests import run_here

import baseline
from baseline.data.runs import METRICS, run_folder
from baseline.features.backbone import Backbone, ImageShape
from baseline.features.backbone_names import pin_names
from baseline.features.backbones import JoinedBackbone, load_backbone
from baseline.features.graph_backbones import OnnxBackbone, bilinear_weights
from baseline.prelabel.prelabeling import prelabel
from baseline.settings import load_preset
from baseline.train.train_run import train_run
from baseline.use.export.export_run import export_run
from curation.similarity.color_layout import WIDTH as COLOURS
from curation.similarity.color_layout import WIDTH as COLOURS_WIDTH
from gleanset import Dataset, installation
from gleanset.errors import InputUnusable, MissingComponent, UsageError
from gleanset.files.hub import query_hub
from gleanset.files.store import hash_file

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
TAGGER = "hub:deepghs/wd14_tagger_with_embeddings/wd"


def load_untrained(name: str) -> Backbone:
    return load_backbone(name, "none")[0]


def random_images(side: int = SIDE) -> np.ndarray:
    random = np.random.default_rng(side)
    return random.integers(0, 256, (3, 3, side, side), np.uint8) / np.float32(255)


def extract(name: str, x: np.ndarray) -> np.ndarray:
    return load_untrained(name).extractor(ImageShape(3, x.shape[2]), "fp32")(x)


def test_hub_model_normalizes_images(hub: Hub, tmp_path: Path) -> None:
    model = publish(hub, tmp_path)
    x = random_images()
    normal = (x - np.array(MEAN, np.float32)[:, None, None]) / np.array(STD)[
        :, None, None
    ]
    assert extract(NAME, x) == pytest.approx(
        run_onnx(model, normal.astype(np.float32)), abs=1e-5
    )
    assert extract(NAME, random_images(50)).shape == (3, WIDTH)
    backbone = load_untrained(NAME)
    assert isinstance(backbone, OnnxBackbone)
    # Weights of unused outputs are removed.
    assert backbone.parameters == WIDTH * 27


def test_tagger_input_is_bgr_0_to_255(hub: Hub, tmp_path: Path) -> None:
    model = embedding_model(tmp_path / "model.onnx", layout="nhwc", value=0.01)
    hub.repository = "deepghs/wd14_tagger_with_embeddings"
    hub.commit(wd_model=model.read_bytes())
    x = random_images()
    turned = np.ascontiguousarray(x.transpose(0, 2, 3, 1)[..., ::-1])
    assert extract(TAGGER, x) == pytest.approx(run_onnx(model, turned * 255), abs=1e-4)


def test_bilinear_resize_matches_pillow() -> None:
    smooth = Image.effect_noise((37, 37), 80).resize((50, 50), Image.Resampling.BICUBIC)
    for new in (16, 50, 77):
        expected = np.asarray(
            smooth.resize((new, new), Image.Resampling.BILINEAR), np.float32
        )
        weights = bilinear_weights(50, new)
        scaled = weights @ np.asarray(smooth, np.float32) @ weights.T
        assert np.abs(scaled - expected).max() <= 1.01


def test_pinned_name_and_joined_backbone(hub: Hub, tmp_path: Path) -> None:
    publish(hub, tmp_path)
    commit = next(iter(hub.commits))
    name = pin_names(f"{NAME}+colours", query_hub)
    assert name.startswith(f"{NAME}/model_feat.onnx@{commit}#sha256=")
    assert pin_names(name, query_hub) == name
    joined = load_untrained(name)
    assert isinstance(joined, JoinedBackbone)
    assert [part.name for part in joined.parts] == ["ccip", "colours"]
    assert joined.width == WIDTH + COLOURS_WIDTH


def test_unusable_onnx_files_are_rejected(hub: Hub, tmp_path: Path) -> None:
    hub.repository = "deepghs/ccip_onnx"
    model = onnx.load(embedding_model(tmp_path / "m.onnx"))
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    hub.commit(ccip_model_feat=model.SerializeToString())
    with pytest.raises(InputUnusable, match="weights are in other files"):
        load_untrained(NAME)
    hub.commit(ccip_model_feat=b"<html>not found</html>")
    with pytest.raises(InputUnusable, match="ccip cannot be a backbone"):
        load_untrained(NAME)


def test_unsupported_backbone_options_raise_error(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="cannot be fine-tuned"):
        load_preset("finetune", {"backbone": NAME})
    with pytest.raises(UsageError, match="deepghs/other is not a known repository"):
        load_preset("transfer", {"backbone": "hub:deepghs/other/model"})
    for name in (
        "ccip.onnx",
        "ccip.toml",
        "https://example.org/m.onnx#sha256=00",
        "colours+a.onnx",
    ):
        with pytest.raises(UsageError, match="an ONNX file cannot be a backbone"):
            load_preset("transfer", {"backbone": name})
    monkeypatch.setattr(installation, "find_spec", lambda name: None)
    with pytest.raises(MissingComponent) as caught:
        load_untrained(NAME)
    assert "[transfer]" in caught.value.fix


def test_unreachable_hub_gives_hint(hub: Hub) -> None:
    with pytest.raises(
        MissingComponent, match="could not be fetched from the hub"
    ) as caught:
        load_backbone("mobilenetv3_small_050", "hub")
    assert "weights=packaged" in caught.value.fix


SMALL = {"size": "24", "views": "0", "backbone": f"{NAME}+colours"}


@pytest.fixture
def root(hub: Hub, tmp_path: Path) -> Path:
    """Dataset with a `transfer` run on a hub model, which the hub no longer has."""
    root = tmp_path / "dataset"
    model = publish(hub, tmp_path, deeper=True)
    (tmp_path / "digest").write_text(hash_file(model))
    with Dataset.create(root) as dataset:
        fill(dataset, 10, EIGHT_TO_ONE)
        train_run(dataset, load_preset("transfer", SMALL, dataset.pin_of))
    hub.commits.clear()
    hub.range_headers.clear()
    return root


def find_run(root: Path) -> Path:
    return next(
        path for path in (root / "runs").iterdir() if path.name.endswith("-transfer")
    )


def list_images(root: Path) -> list[Path]:
    return sorted((root / "images").glob("*/*.png"))


def test_hub_model_run_works_offline(root: Path, hub: Hub, tmp_path: Path) -> None:
    folder = shutil.copytree(find_run(root), tmp_path / "elsewhere")
    digest = (root.parent / "digest").read_text()
    model = folder / f"embedding-{digest[:16]}.onnx"
    assert hash_file(model) == digest
    metrics: dict[str, Any] = json.loads((folder / METRICS).read_text())
    training = metrics["training"]
    assert (training["backbone"], training["weights_sha256"]) == (
        "ccip+colours",
        digest,
    )
    assert set(training["parts"]) == {"ccip", "colours"}
    assert "images are read at 24 x 24" not in (folder / "log.txt").read_text()
    head = 3 * (WIDTH + COLOURS + 1)
    assert metrics["parameters"] == WIDTH * 27 + WIDTH**2 + head
    answers = list(baseline.load(folder).predict_images(list_images(root)))
    assert len({answer.predictions[0].label for answer in answers}) == 3
    # Training again and prelabeling need no request: the dataset has the file.
    with Dataset.open(root) as dataset:
        settings = load_preset("transfer", SMALL, dataset.pin_of)
        assert train_run(dataset, settings).run == find_run(root).name
        assert not hub.range_headers
        sorted_by = prelabel(dataset, settings)
    assert sorted_by.facts["unreadable"] == 0
    assert "openrail" in run_here("baseline.cli", "backbones").stdout
    check_export(root, tmp_path)
    gc.collect()  # close the file
    model.write_bytes(b"damaged")
    with pytest.raises(InputUnusable, match="wrong SHA-256"):
        baseline.load(folder)


def check_export(root: Path, tmp_path: Path) -> None:
    """Check that an export contains the hub model."""
    out = tmp_path / "model.onnx"
    result = export_run(root, None, out, "fp32")
    assert float(str(result.farthest)) < 1e-5
    assert result.agreement == 1
    card = json.loads(out.with_name("model.onnx.json").read_text())
    assert (root.parent / "digest").read_text() in card["weights"][0]
    model = onnx.load(out)
    assert {entry.domain for entry in model.opset_import} == {""}
    assert not model.functions
    run = baseline.load(find_run(root))
    exported = baseline.load(out)
    noise = np.random.default_rng(0).integers(0, 256, (4, 24, 24, 3)).astype(np.uint8)
    for picture in [*list_images(root)[:6], *noise]:
        assert np.allclose(run.embed([picture]), exported.embed([picture]), atol=1e-4)


@pytest.mark.long
def test_int8_export_keeps_color_features(root: Path, tmp_path: Path) -> None:
    run = baseline.load(find_run(root))
    pictures = list_images(root)
    out = tmp_path / "small.onnx"
    result = export_run(root, None, out, "int8")
    assert float(str(result.accuracy)) == float(str(result.accuracy_before))
    assert float(str(result.agreement)) >= 0.95
    small = baseline.load(out)
    colours = (run.embed(pictures) - small.embed(pictures))[:, WIDTH:]
    # Only rounding of the number format: wrong colors would differ by tenths.
    assert np.abs(colours).max() < 0.02
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(out).graph.node}


@pytest.mark.long
def test_triplet_trains_on_hub_model(root: Path, hub: Hub) -> None:
    options = SMALL | {"epochs": "1", "embedding": "8"}
    with Dataset.open(root) as dataset:
        result = train_run(dataset, load_preset("triplet", options, dataset.pin_of))
        folder = run_folder(dataset, str(result.run))
    assert baseline.load(folder).embed(list_images(root)[:2]).shape == (2, 8)
