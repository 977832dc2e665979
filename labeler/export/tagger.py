"""Tags of exported images by a tagger on a hub, for captions (`labeler export --tagger`).

Supported are the WD taggers of SmilingWolf and networks of the same form: an ONNX file that takes
square BGR images (1 x S x S x 3, 0 to 255) on white and returns a probability for each row of the
`selected_tags.csv` next to it.
"""

import csv
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gleanset import Dataset
from gleanset.errors import UsageError
from gleanset.files.fetch import PublishedFile, fetch_file
from gleanset.files.hub import HubFile, read_hub_text
from gleanset.files.store import hash_bytes
from gleanset.images.decode import decode
from gleanset.work.onnx_session import open_onnx_session
from gleanset.work.progress import Progress
from labeler.export.item import ExportItem

TABLE = "selected_tags.csv"
GENERAL_CATEGORY = "0"
"""Category of tags that describe an image; others are characters and ratings."""
MIN_PROBABILITY = 0.35
"""The threshold that the authors of the WD taggers recommend."""
_FIX = "use a WD tagger, such as hub:SmilingWolf/wd-vit-tagger-v3/model.onnx"


class Tagger:
    """A network, and the names of the tags that it predicts."""

    def __init__(self, name: str, model: bytes, table: str):
        """Load the network. Raises `UsageError` for one of another form."""
        rows = list(csv.DictReader(table.splitlines()))
        if not rows or not {"name", "category"} <= set(rows[0]):
            raise UsageError(f"{name} has no tags in its {TABLE}", _FIX)
        self._names = np.array([row["name"].replace("_", " ") for row in rows])
        self._is_general = np.array(
            [row["category"] == GENERAL_CATEGORY for row in rows]
        )
        try:
            self._session = open_onnx_session(model, threads=0)
        except ValueError as error:
            raise UsageError(f"{name} is not an ONNX model: {error}", _FIX) from error

        self._input = self._session.get_inputs()[0]
        output = self._session.get_outputs()[0]
        shapes = (self._input.shape, output.shape)
        if not _is_tagger(*shapes, len(rows)):
            raise UsageError(f"{name} is not a tagger: its shapes are {shapes}", _FIX)

    def tag(self, image: Image.Image) -> list[str]:
        """Return the tags of an RGB image, the most probable first."""
        side = self._input.shape[1]
        square = ImageOps.pad(
            image,
            (side, side),
            Image.Resampling.BICUBIC,
            color="white",
        )
        # 1 x S x S x 3; the last axis is reversed, from RGB to BGR.
        pixels = np.asarray(square, np.float32)[None, :, :, ::-1]
        (probabilities,) = self._session.run(None, {self._input.name: pixels})
        # Tags of characters and ratings are left out.
        general = np.where(self._is_general, probabilities[0], 0)
        order = np.argsort(-general, kind="stable")
        count = int((general >= MIN_PROBABILITY).sum())
        return [str(name) for name in self._names[order[:count]]]


def _is_tagger(
    input_shape: Sequence[object], output_shape: Sequence[object], tag_count: int
) -> bool:
    """Return whether a network takes 1 x S x S x 3 and returns a number for each tag."""
    if len(input_shape) != 4 or len(output_shape) != 2:
        return False
    _, height, width, channels = input_shape
    is_square = isinstance(height, int) and height == width
    return is_square and channels == 3 and output_shape[1] == tag_count


def add_tags(
    dataset: Dataset,
    folder: Path,
    items: Sequence[ExportItem],
    name: str,
    progress: Progress,
) -> list[ExportItem]:
    """Return the items with the tags of their files below `folder`.

    The cache has a line for each image that was tagged, so a repeated export tags only new images.
    Raises `UsageError`, `MissingComponent`, `InputUnusable`.
    """
    file = HubFile.parse(name)
    pin = dataset.pin_of(file)
    pinned = file._replace(revision=pin.commit)
    model = fetch_file(PublishedFile(str(pinned), pin.sha256)).read_bytes()
    table = read_hub_text(pinned._replace(path=str(Path(file.path).with_name(TABLE))))
    tagger = Tagger(name, model, table)

    cache = dataset.cache / "tags" / f"{hash_bytes(model + table.encode())[:16]}.jsonl"
    known_tags = _read_cache(cache)
    cache.parent.mkdir(parents=True, exist_ok=True)
    tagged = []
    with cache.open("a", encoding="utf-8") as log:
        for item in progress.over(items, "tags", total=len(items)):
            data = (folder / item.path).read_bytes()
            key = hash_bytes(data)
            if key not in known_tags:
                known_tags[key] = tagger.tag(decode(data).pixels.convert("RGB"))
                # The newline comes first, because a killed export may have left half a line.
                log.write(f"\n{json.dumps([key, known_tags[key]])}")
                log.flush()
            tagged.append(item._replace(tags=tuple(known_tags[key])))

    return tagged


def _read_cache(file: Path) -> dict[str, list[str]]:
    """Return the tags of images by hash; a line that was cut off is skipped."""
    tags: dict[str, list[str]] = {}
    if file.exists():
        for line in file.read_text("utf-8").splitlines():
            with suppress(ValueError):
                key, tags[key] = json.loads(line)
    return tags
