"""Conversion of a folder tree of classes into a labelled and split dataset; not a script.

`sources.json` next to the classes lists which files show the same image: they are imported as one
post, which the labeler keeps in one split.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from gleanset import Box, Dataset, Face, Origin
from gleanset.db.journal import Choice
from gleanset.images.cropping import make_sample_key
from gleanset.images.measure import measure
from gleanset.records import FaceCrop
from gleanset.settings import SplitSettings
from labeler.splits.plan import apply_split, plan_split

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


NamedImages = Iterable[tuple[str, str, str | None, bytes]]
"""Name, class, post (or None) and file content of each image."""


def parse_sets(
    parser: argparse.ArgumentParser, names: Iterable[str]
) -> dict[str, Path]:
    """Return the folders of `--set NAME=FOLDER`, by default those of `names` in `DATA`."""
    parser.add_argument("--set", action="append", default=[], metavar="NAME=FOLDER")
    pairs = (item.split("=", 1) for item in parser.parse_known_args()[0].set)
    return {name: Path(folder) for name, folder in pairs} or {
        name: DATA / name for name in names
    }


def add_whole_image(dataset: Dataset, data: bytes, origin: Origin) -> str:
    """Add an image as a sample of its own; return the sample's key."""
    measured = measure(data)
    dataset.originals(dataset.cache).put(measured.sha256, measured.format, data)
    dataset.images.add(measured, origin)
    box = Box(0, 0, measured.width, measured.height)
    key = make_sample_key(measured.sha256, box)
    crop = FaceCrop(
        Face("whole", box, 1.0), key, box, measured.phash, measured.sharpness
    )
    dataset.faces.replace(measured.sha256, "whole", "", [crop])
    return key


def open_set(root: Path, images: NamedImages) -> Dataset:
    """Open the dataset `root`; the first time, create and fill it with labelled images."""
    dataset = Dataset.create(root)
    if not dataset.images.count():
        choices = [
            Choice(
                add_whole_image(dataset, data, Origin("folder", name, post=post)),
                "label",
                label,
            )
            for name, label, post, data in images
        ]
        dataset.journal.apply("Label", choices)
    return dataset


def iter_tree(folder: Path) -> NamedImages:
    """Yield the images of a tree whose folders are the classes."""
    posts: dict[str, object] = {}
    if (listing := folder / "sources.json").is_file():
        rows = json.loads(listing.read_text())
        posts = {
            row["file"]: row.get("source_dup_group", row["source_image"])
            for row in rows
        }
    for path in sorted(folder.glob("*/*")):
        if path.suffix.lower() in SUFFIXES:
            name = path.relative_to(folder).as_posix()
            post = posts.get(name)
            post_name = None if post is None else f"post {post}"
            yield name, path.parent.name, post_name, path.read_bytes()


def split(dataset: Dataset, seed: int, ratio: str = "7:1:2") -> None:
    """Split the dataset as `labeler split` does."""
    apply_split(dataset, plan_split(dataset, SplitSettings(ratio, seed)))
