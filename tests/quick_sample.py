"""The bundled sample, with a recipe whose training takes less time."""

import tomllib
from pathlib import Path

import tomli_w
from tools_for_tests import ROOT

DATA = ROOT / "datasets"


def write_quick_sample(
    folder: Path, images: int | None = None, frames: int | None = None
) -> Path:
    """Return a folder of bundled data: the sample, and its recipe with one augmented view.

    The recipe takes at most so many `images` of each search and `frames` of the episode.
    """
    recipe = tomllib.loads((DATA / "recipes" / "sample.toml").read_text("utf-8"))
    recipe["train"]["options"] = {"views": 1}
    for part, limit in ((recipe["keyword"][0], images), (recipe["frames"][0], frames)):
        if limit is not None:
            part["limit"] = limit

    data = folder / "datasets"
    (data / "recipes").mkdir(parents=True)
    (data / "recipes" / "sample.toml").write_text(tomli_w.dumps(recipe), "utf-8")
    (data / "sample").symlink_to(DATA / "sample")
    return data
