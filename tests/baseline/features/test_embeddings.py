"""ONNX files as backbones: read as their publisher means them, refused where they cannot serve."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from embedding_models import SIDE, WIDTH, computed, embedding_model
from onnx import TensorProto, helper
from PIL import Image
from publisher import Publisher, serving

from baseline import extras
from baseline.features import onnx_graph as graphs
from baseline.features import onnx_spec as spec
from baseline.features.backbone import Backbone, PictureShape
from baseline.features.backbone_names import pinned_names
from baseline.features.backbones import SideBySide, load_backbone
from baseline.features.onnx_backbone import OnnxBackbone, bilinear_weights
from baseline.settings import load_preset
from curation.likeness.colour_layout import WIDTH as COLOURS_WIDTH
from gleanset.errors import GleansetError, InputUnusable, MissingComponent, UsageError
from gleanset.files.store import sha256_of_file


def backbone_of(name: object) -> Backbone:
    settings = load_preset("transfer", {"backbone": str(name)})
    return load_backbone(settings.backbone, "none")[0]  # type: ignore[union-attr]


def graph_of(name: object) -> graphs.EmbeddingGraph:
    backbone = backbone_of(name)
    assert isinstance(backbone, OnnxBackbone)
    return backbone.graph


def pictures(side: int = SIDE) -> np.ndarray:
    random = np.random.default_rng(side)
    return random.integers(0, 256, (3, 3, side, side), np.uint8) / np.float32(255)


def seen(name: object, x: np.ndarray) -> np.ndarray:
    found: np.ndarray = backbone_of(name).extractor(PictureShape(3, x.shape[2]), "fp32")(x)
    return found


MEAN, STD = (0.48, 0.45, 0.41), (0.27, 0.26, 0.28)
CLIP = "\n".join(f"{key} = {list(value)}" for key, value in (("mean", MEAN), ("std", STD)))


def test_pictures_come_as_the_publisher_normalises_them(tmp_path: Path) -> None:
    model = embedding_model(tmp_path / "clip.onnx")
    x = pictures()
    plain = seen(model, x)
    assert plain == pytest.approx(computed(model, x), abs=1e-5)
    (tmp_path / "clip.toml").write_text(CLIP)
    normal = (x - np.array(MEAN, np.float32)[:, None, None]) / np.array(STD)[:, None, None]
    normal = normal.astype(np.float32)
    wanted = computed(model, normal)
    assert np.abs(wanted - plain).max() > 0.1
    for name in (model, tmp_path / "clip.toml"):
        assert seen(name, x) == pytest.approx(wanted, abs=1e-5)


def test_taggers_take_blue_first_and_whole_numbers(tmp_path: Path) -> None:
    model = embedding_model(tmp_path / "tagger.onnx", layout="nhwc", value=0.01)
    x = pictures()
    turned = np.ascontiguousarray(x.transpose(0, 2, 3, 1)[..., ::-1])
    (tmp_path / "wd.toml").write_text('model = "tagger.onnx"\nrange = 255\ncolours = "bgr"\n')
    found = graph_of(tmp_path / "wd.toml")
    assert (found.layout, found.side, found.width) == ("nhwc", (SIDE, SIDE), WIDTH)
    assert "BGR in 0..255" in found.words
    assert seen(tmp_path / "wd.toml", x) == pytest.approx(computed(model, turned * 255), abs=1e-4)


@pytest.mark.parametrize(
    ("kind", "number"), [(TensorProto.FLOAT16, np.float16), (TensorProto.UINT8, np.uint8)]
)
def test_other_numbers_are_taken(kind: int, number: type, tmp_path: Path) -> None:
    model = embedding_model(tmp_path / "m.onnx", kind=kind, value=0.02)
    x = pictures()
    given = x * 255 if number is np.uint8 else x
    wanted = computed(model, given.round(4).astype(number))
    assert seen(model, x) == pytest.approx(wanted, abs=1e-2 * float(np.abs(wanted).max()))


def test_a_value_inside_is_found_by_its_name_and_that_of_its_node(tmp_path: Path) -> None:
    model = embedding_model(tmp_path / "m.onnx")
    x = pictures()
    for inside in ("pooled", "pool", "features"):
        assert seen(f"{model}#output={inside}", x) == pytest.approx(seen(model, x), abs=1e-6)
    assert seen(f"{model}#output=tags", x) == pytest.approx(computed(model, x, "tags"), abs=1e-5)
    # What only the left-out outputs need is not carried along.
    assert graph_of(f"{model}#output=features").numbers == WIDTH * 27
    with pytest.raises(InputUnusable, match="nothing in it is called 'poled'"):
        backbone_of(f"{model}#output=poled")
    with pytest.raises(InputUnusable, match=r"'maps' is N x 12 x 7 x 7"):
        backbone_of(f"{model}#output=maps")


def test_pictures_of_another_size_are_scaled_as_pillow_does(tmp_path: Path) -> None:
    smooth = Image.effect_noise((37, 37), 80).resize((50, 50), Image.Resampling.BICUBIC)
    for new in (16, 50, 77):
        wanted = np.asarray(smooth.resize((new, new), Image.Resampling.BILINEAR), np.float32)
        weights = bilinear_weights(50, new)
        found = weights @ np.asarray(smooth, np.float32) @ weights.T
        assert np.abs(found - wanted).max() <= 1.01
    model = embedding_model(tmp_path / "m.onnx")
    assert seen(model, pictures(50)).shape == (3, WIDTH)
    free = embedding_model(tmp_path / "free.onnx", side=None)
    assert graph_of(free).side is None
    assert seen(free, pictures(50)) == pytest.approx(computed(free, pictures(50)), abs=1e-5)
    with pytest.raises(InputUnusable, match="takes 16 x 16"):
        backbone_of(f"{model}#size=20")


def test_what_lies_beside_the_file_is_read(tmp_path: Path) -> None:
    model = embedding_model(tmp_path / "model.onnx", side=None)
    cfg = {"mean": MEAN, "std": STD, "input_size": [3, 24, 24]}
    (tmp_path / "config.json").write_text(json.dumps({"pretrained_cfg": cfg}))
    found = graph_of(model)
    assert (found.side, found.spec.details.mean) == ((24, 24), MEAN)
    assert "less 0.48/0.45/0.41 by 0.27/0.26/0.28 (config.json)" in found.words
    steps = [
        {"type": "resize", "size": 40},
        {"type": "center_crop", "size": [32, 32]},
        {"type": "maybe_to_tensor"},
        {"type": "normalize", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]},
    ]
    (tmp_path / "preprocess.json").write_text(json.dumps({"test": steps}))
    found = graph_of(model)
    assert (found.side, found.spec.source) == ((32, 32), "preprocess.json")
    (tmp_path / "model.toml").write_text("size = 20\n")
    assert graph_of(model).side == (20, 20)
    (tmp_path / "model.toml").unlink()
    (tmp_path / "preprocess.json").write_text('{"test": [{"type": "normalize", "mean": 1}]}')
    with pytest.raises(InputUnusable, match=r"does not say how model\.onnx takes pictures"):
        backbone_of(model)


def test_timms_config_is_not_believed_of_another_layout(tmp_path: Path) -> None:
    model = embedding_model(tmp_path / "model.onnx", layout="nhwc")
    (tmp_path / "config.json").write_text(json.dumps({"mean": MEAN, "std": STD}))
    with pytest.raises(InputUnusable, match="may not hold for this file"):
        backbone_of(model)
    (tmp_path / "model.toml").write_text('range = 255\ncolours = "bgr"\n')
    assert graph_of(model).layout == "nhwc"


def test_one_name_says_it_all_and_stands_beside_others(tmp_path: Path) -> None:
    folder = tmp_path / "c++ & #1 100%"
    folder.mkdir()
    model = embedding_model(folder / "m.onnx")
    (folder / "ours.toml").write_text(f'model = "m.onnx"\noutput = "tags"\n{CLIP}')
    with pytest.raises(UsageError):
        pinned_names(f"{model}+colours")
    written = str(folder).replace("%", "%25").replace("+", "%2B").replace("#", "%23")
    name = pinned_names(f"{written}/ours.toml+colours")
    assert pinned_names(name) == name
    assert name.count("+") == 1
    assert f"sha256={sha256_of_file(model)}" in name
    both = backbone_of(name)
    assert isinstance(both, SideBySide)
    assert [part.name for part in both.parts] == ["ours", "colours"]
    assert both.width == 4 + COLOURS_WIDTH
    # The name holds what the description said: it may go.
    (folder / "ours.toml").unlink()
    assert backbone_of(name).width == both.width
    model.write_bytes(model.read_bytes() + b"\0")
    with pytest.raises(InputUnusable, match="is another file than the one meant"):
        backbone_of(name)


def test_a_file_is_fetched_once_and_only_by_its_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    model = embedding_model(tmp_path / "model_feat.onnx")
    digest, publisher = sha256_of_file(model), Publisher()
    publisher.data, address = model.read_bytes(), publisher.url("model_feat.onnx")
    described = tmp_path / "ccip.toml"
    described.write_text(f'model = "{address}"\nsha256 = "{digest}"\n{CLIP}')
    with serving(publisher, monkeypatch):
        assert graph_of(f"{address}#sha256={digest}").spec.name == "model_feat"
        publisher.data = b"something else"
        assert graph_of(described).spec.details.mean == MEAN  # of the cache: nobody is asked again
        with pytest.raises(MissingComponent, match="is not the file it should be"):
            backbone_of(f"{address}#sha256={'0' * 64}")
        publisher.status = 404
        with pytest.raises(MissingComponent, match="404") as caught:
            backbone_of(f"{publisher.url('gone.onnx')}#sha256={digest}")
    assert "-o backbone=FILE.onnx" in caught.value.mend
    for wrong in (address, f"{address}#sha256=12"):
        with pytest.raises(UsageError, match="SHA-256"):
            backbone_of(wrong)


def company(path: Path) -> Path:
    """A network that subtracts what the pictures of a batch have in common."""
    extra = [
        helper.make_node("ReduceMean", ["features"], ["common"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["features", "common"], ["odd"]),
    ]
    return embedding_model(path, extra=extra)


def elsewhere(path: Path) -> Path:
    """A network whose weights lie in another file, that names one outside its folder."""
    model = onnx.load(embedding_model(path))
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    path.write_bytes(model.SerializeToString())
    return path


def several(path: Path) -> Path:
    model = onnx.load(embedding_model(path))
    model.graph.input.append(helper.make_tensor_value_info("words", TensorProto.FLOAT, [1, 7]))
    onnx.save(model, path)
    return path


def strange(path: Path) -> Path:
    node = helper.make_node("Steal", ["features"], ["stolen"], domain="org.stranger")
    return embedding_model(path, extra=[node])


def no_model(path: Path) -> Path:
    path.write_bytes(b"<html>not found</html>")
    return path


def words_only(path: Path) -> Path:
    model = onnx.load(embedding_model(path))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("picture", 1, ["n", 7]))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("make", "rest", "why"),
    [
        (no_model, "", "it is no ONNX file"),
        (several, "", "it has 2 inputs: picture, words"),
        (words_only, "", "is any x 7, and no batch of pictures"),
        (elsewhere, "", "numbers lie in other files"),
        (strange, "", "operators of org.stranger"),
        (company, "#output=odd", "depends on the others beside it"),
        (functools.partial(embedding_model, value=float("inf")), "", "values that are no numbers"),
        (functools.partial(embedding_model, batch=1), "", ""),
    ],
)
def test_files_that_cannot_serve_say_why(
    make: functools.partial[Path], rest: str, why: str, tmp_path: Path
) -> None:
    path = make(tmp_path / "m.onnx")
    if not why:  # a file for one picture at a time serves all the same where its graph does
        assert backbone_of(path).width == WIDTH
        return
    with pytest.raises(InputUnusable, match=why):
        backbone_of(f"{path}{rest}")


def test_what_cannot_be_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = embedding_model(tmp_path / "m.onnx")
    with pytest.raises(UsageError, match="cannot learn"):
        load_preset("finetune", {"backbone": f"{model}"})
    with pytest.raises(UsageError, match="cannot learn"):
        load_preset("triplet", {"backbone": f"colours+{model}", "learn": "all"})
    for name, why in ((tmp_path / "x.onnx", "cannot read"), (tmp_path / "x.toml", "no file")):
        with pytest.raises(UsageError, match=why):
            load_preset("transfer", {"backbone": str(name)})
    for rest, why in (("size=3", "size"), ("colors=bgr", "colors"), ("std=0,1,1", "std")):
        with pytest.raises(UsageError, match=why):
            load_preset("transfer", {"backbone": f"{model}#{rest}"})
    (tmp_path / "m.toml").write_text("sise = 7\n")
    with pytest.raises(GleansetError, match="sise"):
        load_preset("transfer", {"backbone": f"{model}"})
    (tmp_path / "m.toml").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(spec, "MOST_BYTES", 100)
        with pytest.raises(UsageError, match="no file of at most"):
            load_preset("transfer", {"backbone": f"{model}"})
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(MissingComponent) as caught:
        backbone_of(model)
    assert "gleanset[transfer]" in caught.value.mend
