"""The built-in formats: class folders, captions, tables, and whole images with boxes."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from string import Formatter

from gleanset.command_result import JsonDict
from gleanset.errors import UsageError
from gleanset.files.parquet import BATCH_ROWS, import_pyarrow, open_parquet_writer
from gleanset.files.shards import (
    EMBEDDED_IMAGE,
    Put,
    describe_columns,
    open_parquet,
    open_tar,
)
from gleanset.files.tags import split_tags
from gleanset.records import Rectangle
from labeler.export.formats.base import ExportFormat
from labeler.export.item import ExportItem, find_original_path
from labeler.export.rows import (
    PATH_COLUMN,
    items_by_split,
    make_table_row,
    number_classes,
    sample_facts,
    sample_row,
    write_rows,
    write_text,
)

TEMPLATE = "{class}, {tags}"
FIELDS = ("class", "tags", "title", "author", "split")


def check_template(text: str) -> str:
    """Return a caption template. Raises `UsageError` if it is not valid."""
    try:
        list(Formatter().parse(text))
    except ValueError as error:
        raise UsageError(
            f"the caption {text!r} cannot be read: {error}",
            _FIX,
        ) from error

    # With their format, such as `:>8`, which no field has.
    fields = re.findall(r"\{([^{}]*)", text.replace("{{", ""))
    if unknown := {*fields}.difference(FIELDS):
        raise UsageError(
            f"a caption has no field {{{min(unknown)}}}: {text!r}",
            _FIX,
        )
    if "\n" in text:
        raise UsageError(f"a caption has only one line: {text!r}", _FIX)
    return text


_FIX = f"for example: 'portrait of {TEMPLATE}'; fields: {', '.join(FIELDS)}"


def format_caption(item: ExportItem, template: str, mark: str = "") -> str:
    """Return the caption of an image with its tags between marks; leave out unknown fields."""
    tags = dict.fromkeys(tag for origin in item.image.origins for tag in origin.tags)
    # The class and the trigger word of a caption that was imported again are not repeated.
    words = (item.label, *split_tags(template))
    tag_text = ", ".join(tag for tag in tags if tag not in words)
    values = {
        "class": item.label,
        "tags": f"{mark}{tag_text}{mark}",
        "title": item.origin.title or "",
        "author": item.origin.author or "",
        "split": item.sample.split or "",
    }
    caption = ""
    for text, name, _, _ in Formatter().parse(template):
        value = values.get(str(name), "")
        # Leave out an empty field with the comma before it; commas within values stay.
        if name and not value:
            text = text.rstrip().removesuffix(",")
        caption += text + value
    return " ".join(caption.split()).strip(" ,")


def write_captions(
    folder: Path, items: Sequence[ExportItem], template: str = TEMPLATE
) -> None:
    """Write a text file next to each image."""
    for item in items:
        write_text(
            (folder / item.path).with_suffix(".txt"),
            f"{format_caption(item, template)}\n",
        )


METADATA = "metadata.parquet"
"""The metadata file of the ImageFolder of `datasets`."""
_READING = (
    "import os\n\nfrom datasets import load_dataset\n\n"
    '{0} = load_dataset(os.path.abspath("."))["{1}"]'
)


def write_split_tables(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write a `metadata.parquet` for each split, with paths relative to the split."""
    numbers = number_classes(items)

    def row(item: ExportItem) -> JsonDict:
        return make_table_row(sample_facts(item, numbers))

    # All rows have the columns and types of the first.
    columns, schema = describe_columns(
        PATH_COLUMN,
        row(items[0]),
        list(numbers),
    )
    for split, members in items_by_split(items):
        with open_parquet_writer(folder / split / METADATA, columns, schema) as write:
            for first in range(0, len(members), BATCH_ROWS):
                batch = members[first : first + BATCH_ROWS]
                write(
                    [
                        {"file_name": item.path.removeprefix(f"{split}/")} | row(item)
                        for item in batch
                    ]
                )


@contextmanager
def open_labelled_parquet(
    path: Path, classes: Sequence[str], example: Mapping[str, object]
) -> Iterator[Put]:
    """Open a Parquet file for rows with image bytes, in the schema of `datasets`.

    The facts of each record have the columns of `example`, and `sha256`, known once it is written.
    """
    columns, schema = describe_columns(
        EMBEDDED_IMAGE,
        make_table_row(example, "sha256"),
        classes,
    )
    with open_parquet(path, columns, schema) as put:
        yield lambda record: put(record._replace(facts=make_table_row(record.facts)))


def write_csv(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write `samples.csv` with a row for each image."""
    rows = [
        {
            "path": item.path,
            "split": item.sample.split,
            **sample_row(item),
        }
        for item in items
    ]
    write_rows(folder / "samples.csv", list(rows[0]), rows)


def write_coco(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write `annotations/<split>.json` with boxes in pixels of the upright images."""
    # Ids of COCO begin at 1.
    class_ids = number_classes(items, first=1)
    licences = sorted({item.origin.licence for item in items if item.origin.licence})
    licence_ids = {name: index for index, name in enumerate(licences, start=1)}

    (folder / "annotations").mkdir()
    for split, members in items_by_split(items):
        # Several samples share the file of their image.
        file_items = {item.path: item for item in members}
        image_ids = {path: id_ for id_, path in enumerate(sorted(file_items), start=1)}

        dataset = {
            "licenses": _coco_names(licence_ids),
            "images": [
                _coco_image(id_, file_items[path], licence_ids)
                for path, id_ in image_ids.items()
            ],
            "annotations": [
                {
                    "id": id_,
                    "image_id": image_ids[item.path],
                    "category_id": class_ids[item.label],
                    "bbox": list(item.face),
                    "area": item.face.width * item.face.height,
                    "iscrowd": 0,
                    "sample": item.sample.key,
                }
                for id_, item in enumerate(members, start=1)
            ],
            "categories": _coco_names(class_ids),
        }
        write_text(
            folder / "annotations" / f"{split}.json",
            json.dumps(dataset, ensure_ascii=False),
        )


def _coco_names(ids: Mapping[str, int]) -> list[JsonDict]:
    return [{"id": id_, "name": name} for name, id_ in ids.items()]


def _coco_image(id_: int, item: ExportItem, licence_ids: Mapping[str, int]) -> JsonDict:
    """Return the row of an image; fields that COCO does not define come last."""
    origin = item.origin
    row: JsonDict = {
        "id": id_,
        "file_name": item.path,
        "width": item.image.width,
        "height": item.image.height,
    }
    if origin.licence:
        row["license"] = licence_ids[origin.licence]
    return row | {
        "author": origin.author or "",
        "page": origin.page_url or origin.url or "",
        "title": origin.title or "",
        "original_path": find_original_path(item.image.origins),
        "changes": item.changes,
    }


TRAINS_ON = ("train", "val")
CACHES = r"(labels/)?(train|val|test)\.cache"
"""Cache files that Ultralytics writes next to labels."""


_YOLO_LINE = "{} {:.8f} {:.8f} {:.8f} {:.8f}\n"


def write_yolo(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write `labels/<split>/name.txt` for `images/<split>/name.*`, and `data.yaml`.

    A line has the class number, and the center, width and height of the box as fractions of the
    image.
    """
    # Every `labeler` command imports this module, and few write YAML.
    import yaml

    class_ids = number_classes(items)
    folders = {}
    for split, members in items_by_split(items):
        folders[split] = f"images/{split}"
        (folder / "labels" / split).mkdir(parents=True)
        # Members are sorted by path, so those of one image are adjacent.
        for path, boxes in groupby(members, key=lambda item: item.path):
            lines = [
                _YOLO_LINE.format(class_ids[item.label], *_box_fractions(item))
                for item in boxes
            ]
            stem = path.removeprefix("images/").rpartition(".")[0]
            write_text(
                folder / "labels" / f"{stem}.txt",
                "".join(lines),
            )

    write_text(
        folder / "data.yaml",
        yaml.safe_dump(
            {**folders, "names": {number: name for name, number in class_ids.items()}},
            allow_unicode=True,
            sort_keys=False,
            width=math.inf,
        ),
    )


def _box_fractions(item: ExportItem) -> Rectangle:
    """Return center x, center y, width and height of a face as fractions of its image."""
    box = item.face
    image = item.image
    return (
        (box.x + box.width / 2) / image.width,
        (box.y + box.height / 2) / image.height,
        box.width / image.width,
        box.height / image.height,
    )


def write_xmp(folder: Path, items: Sequence[ExportItem]) -> None:
    """Write `name.jpg.xmp` with its named faces next to each image; whole images have none."""
    from gleanset.images.xmp import format_sidecar  # loads Pillow

    for path, group in groupby(items, key=lambda item: item.path):
        faces = []
        for item in group:
            if item.sample.detector != "whole":
                faces.append((item.label, _box_fractions(item)))
        image = item.image
        text = format_sidecar(
            faces,
            size=(image.width, image.height),
            orientation=image.orientation if item.needs_exif_rotation else 1,
        )
        write_text(folder / f"{path}.xmp", text)


def add_empty_classes(folder: Path, items: Sequence[ExportItem]) -> None:
    """Create all class folders in each split, because Ultralytics numbers classes by folders."""
    paths = [item.path.split("/") for item in items]
    for split in {path[0] for path in paths}:
        for name in {path[1] for path in paths}:
            (folder / split / name).mkdir(exist_ok=True)


FORMATS = {
    "imagefolder": ExportFormat(
        layout="class folders",
        about="train|val|test/<class>/*",
        reading='from torchvision.datasets import ImageFolder\n\n{0} = ImageFolder("{2}")',
        split_optional=True,
    ),
    "csv": ExportFormat(
        layout="class folders",
        about="the same with a table",
        # Otherwise pandas reads a class NA as missing, and 001 as 1.
        reading="import pandas\n\n"
        'rows = pandas.read_csv("samples.csv", dtype=str, keep_default_na=False)\n'
        '{0} = rows[rows["split"] == "{0}"]',
        write=write_csv,
        split_optional=True,
    ),
    "captions": ExportFormat(
        layout="class folders",
        about="the same with a caption next to each image",
        reading="from pathlib import Path\n\n"
        '{0} = [(file, file.read_text().strip()) for file in Path("{2}").rglob("*.txt")]',
        write=write_captions,
        has_unique_stems=True,
        split_optional=True,
    ),
    "clips": ExportFormat(
        layout="clips",
        about="a video of each labelled track with a caption",
        reading="from pathlib import Path\n\n"
        '{0} = [(file, file.with_suffix(".txt").read_text().strip())\n'
        '       for file in Path("{2}").rglob("*.mp4")]',
        write=write_captions,
        has_unique_stems=True,
        split_optional=True,
    ),
    "huggingface": ExportFormat(
        layout="class folders",
        about="a folder for load_dataset",
        reading=_READING,
        write=write_split_tables,
        data_files="{0}/**",
        check=import_pyarrow,
    ),
    "parquet": ExportFormat(
        layout="shards",
        about="shards for load_dataset",
        reading=_READING,
        open_shard=open_labelled_parquet,
        ending=".parquet",
        data_files="{0}-*.parquet",
    ),
    "webdataset": ExportFormat(
        layout="shards",
        about="shards in tar",
        reading="from glob import glob\n\nimport webdataset\n\n"
        'shards = sorted(glob("{0}-*.tar"))\n'
        '{0} = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")',
        # A tar needs neither the classes nor an example row, of which Parquet makes a schema.
        open_shard=lambda path, *_: open_tar(path),
        ending=".tar",
        data_files="{0}-*.tar",
    ),
    "coco": ExportFormat(
        layout="whole",
        about="whole images with boxes",
        reading="from pycocotools.coco import COCO\n\n"
        '{0} = COCO("annotations/{0}.json")  # its file_name: from this folder on',
        write=write_coco,
    ),
    "yolo-detect": ExportFormat(
        layout="whole",
        about="the same for Ultralytics",
        reading='from ultralytics import YOLO\n\nYOLO("yolo11n.pt").train(data="data.yaml")',
        write=write_yolo,
        required_splits=TRAINS_ON,
        reader_file_pattern=CACHES,
        has_unique_stems=True,
    ),
    "xmp": ExportFormat(
        layout="whole",
        about="whole images with named faces in sidecars, for digiKam and others",
        reading='from pathlib import Path\n\n{0} = sorted(Path("images/{2}").glob("*.xmp"))',
        write=write_xmp,
        split_optional=True,
        needs_all_faces=False,
    ),
    "yolo-classify": ExportFormat(
        layout="class folders",
        about="class folders for Ultralytics",
        reading='from ultralytics import YOLO\n\nYOLO("yolo11n-cls.pt").train(data=".")',
        write=add_empty_classes,
        required_splits=TRAINS_ON,
        reader_file_pattern=CACHES,
    ),
}
"""The built-in formats by name, in the order of the help."""
