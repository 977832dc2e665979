"""Every export, read back by the tool it is for: `python benchmarks/export_readers.py`.

A sample dataset is made: whole pictures of six formats (some turned by EXIF, some that say where
they were taken, names with brackets, emoji and spaces), faces cut from pictures, one picture with
several, classes with odd names, licences and authors. It is exported in every format, and each
export is read by what is installed: torchvision, pandas, `datasets`, webdataset, pycocotools,
Ultralytics and FiftyOne. Compared with the catalogue are how many there are of each class and
split, every box, every licence, and the bytes of whole pictures. A tool that is not installed is
named, and so is what of it cannot run here; any difference ends with exit code 1.

Ultralytics and FiftyOne want an environment of their own: `pip install ultralytics fiftyone`.
FiftyOne's datasets live in a MongoDB, which its package fetches from the net; where there is none,
its importers read the export, and no dataset is made of it.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.metadata
import io
import json
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gleanset import Box, Dataset, Face, Origin
from gleanset.db.journal import Choice
from gleanset.images.cut import cut, encode, sample_key, with_margin
from gleanset.images.decode import decode
from gleanset.images.measure import measure, phash_and_sharpness
from gleanset.records import FaceCrop
from labeler.export.job import export
from labeler.export.options import ExportOptions, Format

SPLITS = ("train", "val", "test")
CLASSES = ("花 - 'a' #1", "owl", "the third, [b]")
LICENCES = ("CC-BY-4.0", "all rights reserved", "")
SIZE = (120, 80)
LEFT, RIGHT = Box(10, 10, 30, 30), Box(70, 20, 24, 36)
Place = tuple[str, str]
"""Split and class."""
Boxes = Counter[tuple[str, str, Box]]


def make(root: Path, number: int) -> Dataset:
    """A dataset of `number` pictures in turn whole and with faces."""
    dataset = Dataset.create(root)
    with dataset.db.write():
        splits = dict(kept for n in range(number) for kept in put(dataset, n))
    dataset.samples.set_splits({key: (key, split) for key, split in splits.items()}, "by hand")
    return dataset


def put(dataset: Dataset, number: int) -> Iterator[tuple[str, str]]:
    """Store one picture, labelled; its samples with their splits."""
    data = drawing(number)
    measured = measure(data)
    ending = measured.format.lower()
    dataset.originals(dataset.cache).put(measured.sha256, measured.format, data)
    title = f"{'🎉 [b] #%'[number % 8 :]}picture {number // 3}.{ending}"
    origin = Origin(
        "folder",
        f"/pictures/{number}/{title}",
        title=title,
        author=f"Painter {number % 4}",
        licence=LICENCES[number % 3] or None,
        page_url=f"https://example.org/{number}",
    )
    dataset.images.add(measured, origin)
    boxes = [[], [LEFT], [LEFT, RIGHT]][number % 3]
    whole = Box(0, 0, *SIZE)
    pixels = np.asarray(decode(data).pixels)
    cuts = []
    for face in boxes or [whole]:
        key = sample_key(measured.sha256, face)
        box = with_margin(face, 0.2, *SIZE) if boxes else whole
        part = cut(pixels, box)
        if boxes:
            dataset.crops(dataset.cache).put(key, "JPEG", encode(part))
        found = Face("animeface" if boxes else "whole", face, 0.9)
        cuts.append(FaceCrop(found, key, box, phash_and_sharpness(part)[0], 1.0))
    dataset.faces.record(measured.sha256, cuts[0].face.detector, "test", cuts)
    for place, one in enumerate(cuts):
        label = CLASSES[(number + place) % len(CLASSES)]
        dataset.journal.step("Label", [Choice(one.key, "label", label)])
        yield one.key, SPLITS[max(0, number % 5 - 2)]


def drawing(number: int) -> bytes:
    """A picture that no other number gives, in turn of every format, upright 120 x 80."""
    random = np.random.default_rng(number)
    small = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    picture = small.resize(SIZE, Image.Resampling.BICUBIC)
    exif = Image.Exif()
    if number % 4 == 1:
        exif.get_ifd(0x8825)[2] = (48.0, 51.0, 29.9)
    buffer = io.BytesIO()
    kind = ("JPEG", "PNG", "JPEG", "WEBP", "JPEG", "BMP", "TIFF", "JPEG", "GIF")[number % 9]
    if kind == "JPEG" and number % 2 == 0:
        exif[0x0112] = 6
        picture = picture.transpose(Image.Transpose.ROTATE_90)
    told = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}
    picture.save(buffer, kind, **told)
    return buffer.getvalue()


class Known:
    """What the catalogue has."""

    def __init__(self, dataset: Dataset) -> None:
        self.samples = {sample.key: sample for sample in dataset.samples.in_splits()}
        self.images = {}
        for sample in self.samples.values():
            image = dataset.images.get(sample.image)
            assert image is not None
            self.images[sample.image] = image
        self.counts: Counter[Place] = Counter(
            (str(s.split), str(s.label)) for s in self.samples.values()
        )
        self.boxes: Boxes = Counter()
        for sample in self.samples.values():
            faces = {
                sample_key(sample.image, f.face.box): f.face.box
                for f in dataset.faces.of(sample.image)
            }
            self.boxes[str(sample.split), str(sample.label), faces[sample.key]] += 1

    def licence(self, key: str) -> str:
        """Return the licence of a sample."""
        (origin,) = self.images[self.samples[key].image].origins
        return origin.licence or ""

    @property
    def licences(self) -> Counter[str]:
        """How many samples have which."""
        return Counter(self.licence(key) for key in self.samples)

    @property
    def picture_licences(self) -> Counter[str]:
        """How many pictures have which."""
        return Counter((image.origins[0].licence or "") for image in self.images.values())


def same(what: str, found: object, wanted: object) -> None:
    """Raises `ValueError` where they differ."""
    if found != wanted:
        raise ValueError(f"{what}: {found!r} instead of {wanted!r}")


def check_files(out: Path, known: Known) -> Counter[str]:
    """Compare what the marker says of each file with its bytes; the licences of the files.

    A picture that is said to be unchanged has the bytes that were taken in.
    """
    marker = json.loads((out / ".gleanset-export.json").read_text(encoding="utf-8"))
    unchanged = 0
    for path, about in marker["pictures"].items():
        digest = hashlib.sha256((out / path).read_bytes()).hexdigest()
        same("bytes", digest, about["sha256"])
        if about["changes"] == "none":
            unchanged += 1
            same("bytes", digest, known.samples[about["sample"]].image)
    if not unchanged:
        raise ValueError("no picture left byte for byte")
    return licences_of(out)


def licences_of(out: Path) -> Counter[str]:
    """Return what LICENSES.csv says, which is one row a file."""
    with (out / "LICENSES.csv").open(encoding="utf-8", newline="") as file:
        return Counter(row["licence"] for row in csv.DictReader(file))


def by_torchvision(out: Path, known: Known) -> str:
    """ImageFolder of each split."""
    from torchvision.datasets import ImageFolder

    found: Counter[Place] = Counter()
    for split in SPLITS:
        tree = ImageFolder(str(out / split))
        for number in range(len(tree)):
            picture, label = tree[number]
            found[split, tree.classes[label]] += 1
            assert picture.mode == "RGB"
    same("labels", found, known.counts)
    same("licences", check_files(out, known), known.licences)
    return f"{found.total()} pictures"


def by_pandas_csv(out: Path, known: Known) -> str:
    """The table of a tree."""
    import pandas as pd

    table = pd.read_csv(out / "samples.csv", keep_default_na=False)
    same("labels", Counter(zip(table["split"], table["label"], strict=True)), known.counts)
    same("licences", Counter(table["licence"]), known.licences)
    same("boxes", table_boxes(table), crop_boxes(known))
    return f"{len(table)} rows"


def by_pandas_parquet(name: str) -> Callable[[Path, Known], str]:
    """Return what reads one Parquet file."""

    def read(out: Path, known: Known) -> str:
        import pandas as pd

        table = pd.read_parquet(out / name)
        same("labels", Counter(zip(table["split"], table["class"], strict=True)), known.counts)
        same("licences", Counter(table["licence"]), known.licences)
        same("boxes", table_boxes(table), crop_boxes(known))
        for row in table.to_dict("records"):
            inside = row.get("image")
            data = inside["bytes"] if inside else (out / row["file_name"]).read_bytes()
            size = decode(data).pixels.size
            same("size", size, (row["width"], row["height"]))
            if row["changes"] == "none":
                same("bytes", hashlib.sha256(data).hexdigest(), row["image_sha256"])
        return f"{len(table)} rows"

    return read


def table_boxes(table: Any) -> Counter[tuple[str, Box]]:
    """Return the regions of the samples as a table has them."""
    columns = [table[name] for name in ("sample", "x", "y", "width", "height")]
    rows = zip(*columns, strict=True)
    return Counter((key, Box(*map(int, box))) for key, *box in rows)


def crop_boxes(known: Known) -> Counter[tuple[str, Box]]:
    """Return the same as the catalogue has them."""
    return Counter((sample.key, sample.box) for sample in known.samples.values())


def by_datasets(splits: dict[str, str]) -> Callable[[Path, Known], str]:
    """Return what reads a folder by its card; `splits` are ours by theirs, if they are split."""

    def read(out: Path, known: Known) -> str:
        import datasets

        with tempfile.TemporaryDirectory() as cache:
            found = datasets.load_dataset(str(out), cache_dir=cache)
            counts: Counter[Place] = Counter()
            licences: Counter[str] = Counter()
            for name, part in found.items():
                label = part.features["label"]
                same("feature", type(label).__name__, "ClassLabel")
                same("feature", type(part.features["image"]).__name__, "Image")
                for row in part:
                    split = splits.get(name, row["split"])
                    same("split", row["split"], split)
                    counts[split, label.int2str(row["label"])] += 1
                    licences[row["licence"]] += 1
                    same("size", row["image"].size, (row["width"], row["height"]))
            same("labels", counts, known.counts)
            same("licences", licences, known.licences)
        return f"{counts.total()} rows, splits {', '.join(found)}; ClassLabel and Image"

    return read


def by_webdataset(out: Path, known: Known) -> str:
    """Each shard."""
    import webdataset

    classes = (out / "classes.txt").read_text(encoding="utf-8").splitlines()
    counts: Counter[Place] = Counter()
    licences: Counter[str] = Counter()
    boxes: Counter[tuple[str, Box]] = Counter()
    for split in SPLITS:
        shards = webdataset.WebDataset(str(out / f"{split}-000000.tar"), shardshuffle=False)
        for picture, number, told in shards.decode("pil").to_tuple(
            "jpg;png;webp;bmp;tif", "cls", "json"
        ):
            # It leaves some formats as bytes, and turns nothing by EXIF.
            seen = decode(picture).pixels if isinstance(picture, bytes) else picture
            same("size", sorted(seen.size), sorted((told["width"], told["height"])))
            counts[split, classes[number]] += 1
            licences[told["licence"]] += 1
            boxes[told["sample"], Box(*(told[n] for n in ("x", "y", "width", "height")))] += 1
    same("labels", counts, known.counts)
    same("licences", licences, known.licences)
    same("boxes", boxes, crop_boxes(known))
    return f"{counts.total()} samples"


def by_pycocotools(out: Path, known: Known) -> str:
    """The annotations of each split, with the size of each picture as Pillow has it upright."""
    from pycocotools.coco import COCO

    boxes: Boxes = Counter()
    licences: Counter[str] = Counter()
    for split in SPLITS:
        told = COCO(str(out / "annotations" / f"{split}.json"))
        names = {one["id"]: one["name"] for one in told.dataset["licenses"]}
        for about in told.loadImgs(told.getImgIds()):
            licences[names[about["license"]] if "license" in about else ""] += 1
            size = decode((out / about["file_name"]).read_bytes()).pixels.size
            same("size", size, (about["width"], about["height"]))
            for note in told.loadAnns(told.getAnnIds(imgIds=[about["id"]])):
                (category,) = told.loadCats([note["category_id"]])
                boxes[split, category["name"], Box(*note["bbox"])] += 1
    same("boxes", boxes, known.boxes)
    same("licences", licences, known.picture_licences)
    same("licences", check_files(out, known), known.picture_licences)
    return f"{boxes.total()} boxes in {licences.total()} pictures"


def by_ultralytics_detect(out: Path, known: Known) -> str:
    """Its own YOLODataset of each split, as a training makes it."""
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    data = check_det_dataset(str(out / "data.yaml"), autodownload=False)
    boxes: Boxes = Counter()
    pictures = 0
    for split in SPLITS:
        found = YOLODataset(data[split], data=data, imgsz=64, augment=False)
        for number, about in enumerate(found.labels):
            pictures += 1
            same("size", tuple(about["shape"]), SIZE[::-1])
            image, (height, width), _ = found.load_image(number)
            same("size", (width, height), SIZE)
            assert image.ndim == 3
            for label, (x, y, w, h) in zip(about["cls"][:, 0], about["bboxes"], strict=True):
                place = ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
                box = Box(*(round(float(side)) for side in place))
                boxes[split, data["names"][int(label)], box] += 1
    same("boxes", boxes, known.boxes)
    same("licences", check_files(out, known), known.picture_licences)
    return f"{boxes.total()} boxes in {pictures} pictures"


def by_ultralytics_classify(out: Path, known: Known) -> str:
    """Its own ClassificationDataset of each split."""
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import ClassificationDataset
    from ultralytics.data.utils import check_cls_dataset

    data = check_cls_dataset(str(out))
    wanted = get_cfg(overrides={"imgsz": 64})
    found: Counter[Place] = Counter()
    for split in SPLITS:
        read = ClassificationDataset(str(data[split]), args=wanted, augment=False)
        for number, sample in enumerate(read.samples):
            assert read[number]["img"].ndim == 3
            found[split, data["names"][sample[1]]] += 1
    same("labels", found, known.counts)
    same("licences", check_files(out, known), known.licences)
    return f"{found.total()} pictures"


def by_fiftyone(kind: str) -> Callable[[Path, Known], str]:
    """Return what reads with FiftyOne: a dataset where its database runs, else its importer."""

    def read(out: Path, known: Known) -> str:
        import fiftyone as fo
        from fiftyone.core.config import FiftyOneConfigError

        try:
            fo.list_datasets()
        except FiftyOneConfigError:
            rows, how = _imported(out, kind), "by its importer: no MongoDB here"
        else:
            rows, how = _loaded(out, kind), "as a dataset"
        boxes: Boxes = Counter()
        counts: Counter[Place] = Counter()
        licences: Counter[str] = Counter()
        for split, label in rows:
            counts[split, label.label] += 1
            licences[label["licence"]] += 1
            same("licence", label["licence"], known.licence(label["sample"]))
            if kind == "Detection":
                parts = zip(label.bounding_box, SIZE * 2, strict=True)
                box = Box(*(round(part * side) for part, side in parts))
                boxes[split, label.label, box] += 1
        same("labels", counts, known.counts)
        same("licences", licences, known.licences)
        if kind == "Detection":
            same("boxes", boxes, known.boxes)
        return f"{counts.total()} labels, {how}"

    return read


def _imported(out: Path, kind: str) -> Iterator[tuple[str, Any]]:
    import fiftyone.utils.data as readers

    for split in SPLITS:
        make = getattr(readers, f"FiftyOneImage{kind}DatasetImporter")
        with make(dataset_dir=str(out / split)) as rows:
            for path, _, label in rows:
                assert Path(path).is_file()
                for one in label.detections if kind == "Detection" else [label]:
                    yield split, one


def _loaded(out: Path, kind: str) -> Iterator[tuple[str, Any]]:
    import fiftyone as fo

    for split in SPLITS:
        read = fo.Dataset.from_dir(
            str(out / split), getattr(fo.types, f"FiftyOneImage{kind}Dataset")
        )
        for sample in read:
            truth = sample.ground_truth
            for one in truth.detections if kind == "Detection" else [truth]:
                yield split, one
        read.delete()


OUR_SPLITS = {"train": "train", "validation": "val", "test": "test"}
READERS: list[tuple[str, Format, dict[str, Any], Callable[[Path, Known], str]]] = [
    ("torchvision", "imagefolder", {}, by_torchvision),
    ("pandas", "csv", {}, by_pandas_csv),
    ("pandas", "parquet", {"one_file": True}, by_pandas_parquet("dataset.parquet")),
    ("pandas", "parquet-paths", {}, by_pandas_parquet("metadata.parquet")),
    ("datasets", "huggingface", {}, by_datasets(OUR_SPLITS)),
    ("datasets", "parquet", {}, by_datasets(OUR_SPLITS)),
    ("datasets", "parquet", {"one_file": True}, by_datasets({})),
    ("datasets", "parquet-paths", {}, by_datasets({})),
    ("webdataset", "webdataset", {}, by_webdataset),
    ("pycocotools", "coco", {}, by_pycocotools),
    ("ultralytics", "yolo-detect", {}, by_ultralytics_detect),
    ("ultralytics", "yolo-detect", {"link": True}, by_ultralytics_detect),
    ("ultralytics", "yolo-classify", {}, by_ultralytics_classify),
    ("fiftyone", "fiftyone-detect", {}, by_fiftyone("Detection")),
    ("fiftyone", "fiftyone-classify", {}, by_fiftyone("Classification")),
]


def main() -> int:
    """Make, export, read, compare, print a table; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=60, help="in the sample (60)")
    number = parser.parse_args().pictures
    wrong = 0
    print("| tool | export | what it read, equal to the catalogue |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        dataset = make(Path(folder) / "sample", number)
        known = Known(dataset)
        for place, (tool, format_, more, read) in enumerate(READERS):
            name = " ".join([format_, *(f"--{key.replace('_', '-')}" for key in more)])
            out = Path(folder) / f"{place}"
            said = read_back(dataset, out, ExportOptions(format_, **more), tool, read, known)
            wrong += said.startswith("DIFFERS")
            print(f"| {tool} {version(tool)} | `{name}` | {said} |", flush=True)
        dataset.close()
    return 1 if wrong else 0


def read_back(
    dataset: Dataset,
    out: Path,
    options: ExportOptions,
    tool: str,
    read: Callable[[Path, Known], str],
    known: Known,
) -> str:
    """Export, and read it; what came of it, in words."""
    if not version(tool):
        return "not installed"
    export(dataset, out, options, workers=1)
    noise = io.StringIO()
    try:
        with redirect_stdout(noise), redirect_stderr(noise), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read(out, known)
    except Exception as error:
        return f"DIFFERS: {type(error).__name__}: {error}"


def version(tool: str) -> str:
    """Return the version that is installed; empty where there is none."""
    try:
        return importlib.metadata.version(tool)
    except importlib.metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
