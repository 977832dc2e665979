"""Metadata that img2dataset writes for each image, in a KEY.json next to KEY.jpg.

In its output formats `webdataset` and `files`: https://github.com/rom1504/img2dataset.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from gleanset.credit import Credit, clean_credit_text, clean_page_url
from gleanset.records import Origin

SUFFIX = ".json"
MAX_METADATA_BYTES = 1_000_000
_SHARD = re.compile(r"\d+\.tar")


class ImageMetadata(NamedTuple):
    """URL, caption and credit of an image."""

    url: str
    caption: str | None
    credit: Credit

    def complete(self, origin: Origin) -> Origin:
        """Return the origin of the image file with URL and caption added."""
        return replace(origin, url=self.url, title=self.caption or origin.title)


def parse_metadata(data: bytes) -> ImageMetadata | None:
    """Return the metadata of an image; None for other files."""
    try:
        row = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not {"url", "key", "status"} <= row.keys():
        return None
    texts = {name.lower(): text for name, text in row.items() if isinstance(text, str)}
    if (url := clean_page_url(texts.get("url"))) is None:
        return None
    licence = clean_credit_text(texts.get("licence") or texts.get("license"))
    credit = Credit(
        clean_credit_text(texts.get("author")), licence, clean_page_url(texts.get("page_url"))
    )
    return ImageMetadata(url, clean_credit_text(texts.get("caption")), credit)


def read_metadata(image: Path) -> ImageMetadata | None:
    """Return the metadata next to an image file, if any."""
    path = image.with_suffix(SUFFIX)
    try:
        is_small = path.stat().st_size <= MAX_METADATA_BYTES
        return parse_metadata(path.read_bytes()) if is_small else None
    except OSError:
        return None


def find_shards(folder: Path) -> list[Path]:
    """Return the WebDataset shards that img2dataset wrote into a folder."""
    tars = (path for path in sorted(folder.glob("*.tar")) if _SHARD.fullmatch(path.name))
    return [path for path in tars if path.with_name(f"{path.stem}_stats.json").is_file()]
