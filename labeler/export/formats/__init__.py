"""The formats of exports: each is a file here, its import and two lines below."""

from __future__ import annotations

from typing import Literal

from labeler.export.formats.base import ExportFormat
from labeler.export.formats.captions import CAPTIONS, CAPTIONS_WHOLE
from labeler.export.formats.class_folders import CSV, IMAGEFOLDER
from labeler.export.formats.coco import COCO
from labeler.export.formats.huggingface import HUGGINGFACE, PARQUET
from labeler.export.formats.ultralytics import YOLO_CLASSIFY, YOLO_DETECT
from labeler.export.formats.webdataset import WEBDATASET

Format = Literal[
    "imagefolder",
    "csv",
    "captions",
    "captions-whole",
    "huggingface",
    "parquet",
    "webdataset",
    "coco",
    "yolo-detect",
    "yolo-classify",
]

FORMS: dict[Format, ExportFormat] = {
    "imagefolder": IMAGEFOLDER,
    "csv": CSV,
    "captions": CAPTIONS,
    "captions-whole": CAPTIONS_WHOLE,
    "huggingface": HUGGINGFACE,
    "parquet": PARQUET,
    "webdataset": WEBDATASET,
    "coco": COCO,
    "yolo-detect": YOLO_DETECT,
    "yolo-classify": YOLO_CLASSIFY,
}
