"""The calls by which docs/export.md and docs/dataset.md say that tools read our files."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from tools_for_tests import ROOT, encode, run_here

from gleanset import Dataset
from labeler.export.formats import FORMATS

sys.path.insert(0, str(ROOT / "tests" / "labeler"))

from labelled_images import export_once, picture, put

NAMES = ("001", "NA", "None", "True", "null")
"""Names that readers take for numbers, missing values or truth values."""

EACH = 2
PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `([\w-]+)`[^|]*\|(.*)$", PAGE.replace("\\|", "/"), re.MULTILINE)
CALLS = [
    (form, call)
    for form, cells in ROWS
    if form in FORMATS
    for call in re.findall(r"`(\w+(?:\.\w+)+\(.*?\))`", cells)
]
# Keras reads no others (`image_dataset_from_directory`), and says nothing of those it leaves out.
KERAS_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    """Images in WebP of classes with these names."""
    with Dataset.create(tmp_path_factory.mktemp("names") / "dataset") as made:
        seed = 0
        for split in ("train", "val", "test"):
            for name in NAMES * EACH:
                put(made, encode(picture(seed), "WEBP"), "", label=name, split=split)
                seed += 1
        yield made


@pytest.fixture(scope="module")
def exported(
    dataset: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    return export_once(dataset, tmp_path_factory.mktemp("exported"))


def read_labels(library: str, read: Any, out: Path) -> Counter[str]:
    """Return the classes of train, as each library has them."""
    if library == "torchvision":
        return Counter(read.classes[number] for _, number in read.samples)
    if library == "pandas":
        rows = read[read["split"] == "train"] if "split" in read else read
        return Counter(rows["class" if "class" in rows else "label"])
    if library == "datasets":
        return Counter(row["class"] for row in read["train"])
    if library == "webdataset":
        names = (out / "classes.txt").read_text(encoding="utf-8").splitlines()
        return Counter(names[int(row["cls"])] for row in read)
    names = {row["id"]: row["name"] for row in read.dataset["categories"]}
    return Counter(names[row["category_id"]] for row in read.dataset["annotations"])


# Readers do not close their files.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize(("form", "call"), CALLS, ids=lambda text: text[:60])
def test_documented_call_reads_every_class(
    exported: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    form: str,
    call: str,
) -> None:
    library = call.partition(".")[0]
    pytest.importorskip(library)
    if library == "datasets":
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    out = exported(form)
    module = call.partition("(")[0].rpartition(".")[0]
    import_module(module)
    read = eval(call.replace("OUT", out.as_posix()), {library: import_module(library)})
    assert read_labels(library, read, out) == dict.fromkeys(NAMES, EACH)


def test_every_installed_reader_is_named() -> None:
    libraries = {call.partition(".")[0] for _, call in CALLS}
    assert libraries >= {"torchvision", "keras", "pandas", "datasets", "webdataset"}
    assert "pycocotools" in libraries


@pytest.mark.parametrize(
    ("options", "is_read"), [((), False), (("--file", "png"), True)]
)
def test_keras_needs_the_option_that_the_page_names(
    dataset: Dataset, tmp_path: Path, options: tuple[str, ...], is_read: bool
) -> None:
    out = tmp_path / "out"
    run_here("labeler.cli", "export", out, *options, "-d", dataset.root).checked()
    suffixes = {path.suffix for path in (out / "train").rglob("*") if path.is_file()}
    assert (suffixes <= KERAS_SUFFIXES) == is_read
    [sentence] = re.findall(r"\*\*Keras\*\*[^.]*\.", PAGE)
    assert "`--file png`" in sentence
    # Folders are classes in this order, from which Keras and torchvision number them.
    assert sorted(path.name for path in (out / "train").iterdir()) == sorted(NAMES)


def test_list_is_read_by_pandas_as_the_page_says(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pandas = pytest.importorskip("pandas")
    page = (ROOT / "docs" / "dataset.md").read_text(encoding="utf-8")
    [call] = re.findall(r"`(pandas\.read_json\(.*?\))`", page.replace("\n", " "))
    printed = run_here("pipeline.cli", "list", "samples", "-d", dataset.root).checked()
    monkeypatch.chdir(tmp_path)
    Path("FILE.jsonl").write_text(printed.stdout, encoding="utf-8")
    read = eval(call, {"pandas": pandas})
    assert Counter(read["label"]) == dict.fromkeys(NAMES, 3 * EACH)
    assert set(read["id"]) == {s.key for s in dataset.samples.iter_by_key()}
