"""Which pictures are copies of others, asked of the labeler's duplicate finder by its commands."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from frames_tools import HARVEST, listed, measured

LABELER = [sys.executable, "-c", "from labeler.cli import main; main()"]


def later_copies(pictures: Sequence[Path], folder: Path) -> list[bool]:
    """Which of them the labeler's duplicate finder calls copies, of one before in the list.

    They are put into a new dataset in `folder` as plain pictures, so that the finder knows of none
    that they are of one film; two files with the same bytes are copies, too.
    """
    if not pictures:
        return []
    source, dataset = folder / "pictures", folder / "dataset"
    source.mkdir(parents=True)
    for number, path in enumerate(pictures):
        shutil.copyfile(path, source / f"{number:06}{path.suffix}")
    measured([*HARVEST, "folder", source, "-d", dataset, "--json", "-q"])
    measured([*LABELER, "dedup", "--simulate", "-d", dataset, "--json", "-q"])
    said = measured([*LABELER, "groups", "-d", dataset, "-q"]).said
    told = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    image = {one["id"]: one["image"] for one in listed(dataset, "samples")}
    shows: dict[str, str] = {}
    for group in (one for one in told if "kept" in one):
        shows |= {image[other]: image[group["kept"]] for other in group["others"]}
    seen: set[str] = set()
    found = []
    for path in pictures:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        moment = shows.get(sha256, sha256)
        found.append(moment in seen)
        seen.add(moment)
    return found
