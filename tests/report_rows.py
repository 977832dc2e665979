"""Reports of wrong answers as a server stores them: images as files, claims in their table."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from tools_for_tests import encode

from gleanset import Box, Dataset
from gleanset.db.reports import WRONG_ANSWER, Claim, Reports
from gleanset.images.staging import StageBytes
from tools.sample.character import CAST
from tools.sample.scene import face_box, paint_scene, plan_scene

SIZE = (240, 180)


class WebReport(NamedTuple):
    """A user's report about a drawn face; `picture` numbers the image."""

    claimed: str
    note: str = ""
    answer: str | None = "rei"
    confidence: float | None = 0.84
    picture: int | None = None
    kind: str = WRONG_ANSWER


@cache
def draw_face(number: int) -> tuple[bytes, Box]:
    """Draw an image of one face; return its PNG and the face's box."""
    scene = plan_scene([CAST[number % len(CAST)]], 500 + number, SIZE)
    pixels = np.asarray(paint_scene(scene)).copy()
    pixels[:1, :3] = (number % 256, number // 256, 7)  # no two images are the same
    return encode(Image.fromarray(pixels), "PNG"), Box(*face_box(scene.figures[0]))


def store_report(
    dataset: Dataset, data: bytes, box: Box, claimed: str, **fields: Any
) -> str:
    """Store a report about an image as the server does; return the image's hash."""
    with dataset.stage("reports-in"):
        store = dataset.report_images()
        image = StageBytes(store)(data)
        with dataset.db.transaction():
            store.publish(image.sha256, image.format, image.bytes)
            claim = Claim(
                sha256=image.sha256,
                format=image.format,
                box=box,
                claimed=claimed,
                run="a-run",
                **fields,
            )
            Reports(dataset.db).add(claim)
    return image.sha256


def add_reports(root: Path, reports: Sequence[WebReport], first: int = 0) -> None:
    """Store reports, each about its own image."""
    with Dataset.open(root) as dataset:
        for number, report in enumerate(reports, first):
            fields = report._asdict()
            picture = fields.pop("picture")
            data, box = draw_face(number if picture is None else picture)
            store_report(dataset, data, box, **fields)
