"""The Python API: predictions equal the network's for every type of input."""

import doctest
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tools_for_tests import exif_orientation

import baseline
from baseline.evaluation.outputs import softmax
from baseline.train.trained_net import load_model
from gleanset.errors import InputUnusable, Unreadable

ROOT = Path(__file__).parents[3]


def test_predict_applies_calibration(run_folder: Path, pictures: list[Path]) -> None:
    model = baseline.load(run_folder)
    net, _, classes = load_model(run_folder)
    plain = np.stack(
        [np.asarray(Image.open(path).convert("RGB")) for path in pictures[:10]]
    )
    scores = net.head(net.embed(plain.transpose(0, 3, 1, 2)))
    # Temperature and offsets of the run's answers.json, for cross, disc and stripes.
    probabilities = softmax(scores / 1.5 + np.array([0.7, 0.0, -0.9]))
    for result, row in zip(
        model.predict_images(pictures[:10], top=3), probabilities, strict=True
    ):
        assert [prediction.label for prediction in result.predictions] == [
            classes[c] for c in np.argsort(-row)
        ]
        assert [
            prediction.confidence for prediction in result.predictions
        ] == pytest.approx(sorted(row)[::-1], abs=0.01)


def test_input_types_are_equivalent(run_folder: Path, pictures: list[Path]) -> None:
    model = baseline.load(run_folder)
    path = pictures[0]
    image = Image.open(path)
    forms = [
        path,
        str(path),
        path.read_bytes(),
        image,
        np.asarray(image),
        image.convert("RGBA"),
    ]
    assert len({model.predict(form)[0] for form in forms}) == 1
    assert (model.embed([path, path]).shape, model.embed([]).shape[0]) == ((2, 16), 0)


def test_transparent_and_rotated_images(
    run_folder: Path, pictures: list[Path], tmp_path: Path
) -> None:
    model = baseline.load(run_folder)
    turned = Image.open(pictures[0]).convert("L")
    turned.save(tmp_path / "turned.png", exif=exif_orientation(6))
    assert model.predict(Image.open(tmp_path / "turned.png")) == model.predict(
        tmp_path / "turned.png"
    )
    clear = Image.new("RGBA", (32, 32), (200, 10, 10, 90))
    clear.save(tmp_path / "clear.png")
    assert model.predict(clear) == model.predict(tmp_path / "clear.png")


@pytest.mark.parametrize(
    "picture",
    [b"", b"<html>", "/nowhere/x.png", np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4))],
)
def test_invalid_image_is_unreadable(run_folder: Path, picture: object) -> None:
    with pytest.raises(Unreadable):
        baseline.load(run_folder).predict(picture)  # type: ignore[arg-type]


def test_missing_model_raises_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone", tmp_path / "gone.onnx"):
        with pytest.raises(InputUnusable):
            baseline.load(path)


def test_model_is_thread_safe(run_folder: Path, pictures: list[Path]) -> None:
    model = baseline.load(run_folder)
    expected = [model.predict(path) for path in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(model.predict, pictures)) == expected


def _run_examples(page: str, replacements: dict[str, str]) -> None:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    for example, value in replacements.items():
        blocks = blocks.replace(example, value)
    result = doctest.DocTestParser().get_doctest(blocks, {}, page, None, 0)
    assert len(result.examples) >= 5
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.DocTestRunner(optionflags=flags).run(result).failed == 0


def test_examples_of_the_page_about_models_run(
    run_folder: Path, pictures: list[Path]
) -> None:
    _run_examples(
        "use.md",
        {
            "my-dataset/runs/20261120-145203-simple": str(run_folder),
            "picture.png": str(pictures[0]),
        },
    )


def test_examples_of_the_page_about_python_run(
    patterns_root: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(patterns_root, tmp_path / "patterns")
    _run_examples("python.md", {"my-dataset": str(root)})
