"""How an export is read: some lines of Python for its card, run in the folder of the export."""

from __future__ import annotations

from labeler.export.facts import CardFacts
from labeler.export.rows import SPLITS
from labeler.export.shards import ONE

_DATASETS = (
    "import os\n\nfrom datasets import load_dataset\n\n"
    '{0} = load_dataset(os.path.abspath("."))["{1}"]'
)
_FIFTYONE = 'import fiftyone as fo\n\n{0} = fo.Dataset.from_dir("{0}", fo.types.{1})'
_LINES = {
    "imagefolder": 'from torchvision.datasets import ImageFolder\n\n{0} = ImageFolder("{0}")',
    "csv": 'import pandas\n\nrows = pandas.read_csv("samples.csv")\n'
    '{0} = rows[rows["split"] == "{0}"]',
    "yolo-classify": 'from ultralytics import YOLO\n\nYOLO("yolo11n-cls.pt").train(data=".")',
    "huggingface": _DATASETS,
    "parquet-paths": 'import pandas\n\nrows = pandas.read_parquet("metadata.parquet")\n'
    '{0} = rows[rows["split"] == "{0}"]',
    "parquet": _DATASETS,
    "webdataset": "from glob import glob\n\nimport webdataset\n\n"
    'shards = sorted(glob("{0}-*.tar"))\n'
    '{0} = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")',
    "coco": "from pycocotools.coco import COCO\n\n"
    '{0} = COCO("annotations/{0}.json")  # its file_name: from this folder on',
    "yolo-detect": 'from ultralytics import YOLO\n\nYOLO("yolo11n.pt").train(data="data.yaml")',
    "fiftyone-classify": _FIFTYONE.replace("{1}", "FiftyOneImageClassificationDataset"),
    "fiftyone-detect": _FIFTYONE.replace("{1}", "FiftyOneImageDetectionDataset"),
}
_ONE_FILE = (
    f'import pandas\n\nrows = pandas.read_parquet("{ONE}.parquet")\n'
    '{0} = rows[rows["split"] == "{0}"]'
)
_TABLES = {
    "csv": "`samples.csv`",
    "huggingface": "`metadata.parquet` in each split",
    "parquet-paths": "`metadata.parquet`",
    "parquet": "the tables",
    "webdataset": "the JSON of each sample",
    "coco": "`images` of `annotations/*.json`",
    "fiftyone-classify": "the attributes in `labels.json`",
    "fiftyone-detect": "the attributes in `labels.json`",
}


def read_back(facts: CardFacts) -> str:
    """Return the section of a card: the lines, and where each picture came from, in Markdown."""
    options = facts.options
    split = next((split for split in SPLITS if facts.splits[split]), SPLITS[0])
    code = _ONE_FILE if options.one_file else _LINES[options.format]
    lines = code.format(split, "validation" if split == "val" else split)
    table = f" and {there}" if (there := _TABLES.get(options.format)) else ""
    return (
        f"In this folder:\n\n```python\n{lines}\n```\n\n"
        f"`original_path` in `LICENSES.csv`{table} is the path that a picture's file came with, "
        "below the folder or inside the archive that was imported."
    )
