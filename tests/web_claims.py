"""Reports of wrong answers as a server stores them: images as files, claims in their table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from curation.web_reports import open_report_store
from gleanset import Box, Dataset
from gleanset.db.reports import Claim, Reports
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


def add_reports(root: Path, told: Sequence[WebReport], first: int = 0) -> None:
    """Store reports as the server does, each about its own image."""
    with Dataset.open(root) as dataset, dataset.stage("reports-in") as scratch:
        store = open_report_store(dataset.root, scratch)
        for number, one in enumerate(told, first):
            shot = one.picture if one.picture is not None else number
            scene = plan_scene([CAST[shot % len(CAST)]], 500 + shot, SIZE)
            pixels = np.asarray(paint_scene(scene)).copy()
            pixels[:1, :3] = (shot % 256, shot // 256, 7)  # no two images are the same
            buffer = io.BytesIO()
            Image.fromarray(pixels).save(buffer, "PNG")
            picture = StageBytes(store)(buffer.getvalue())
            box = Box(*face_box(scene.figures[0]))
            answer = (one.answer, one.confidence)
            claim = Claim(picture.sha256, "PNG", box, one.claimed, "a-run", *answer, one.note)
            with dataset.db.transaction():
                store.publish(picture.sha256, "PNG", picture.bytes)
                Reports(dataset.db).add(claim)
