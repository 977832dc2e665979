"""`gleanset demo`: the bundled sample, from a search to a judged model, without the internet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gleanset import Dataset
from gleanset.work.progress import Progress
from pipeline.gathering import Gathering
from pipeline.recipe import read_recipe
from pipeline.report import write_report
from pipeline.sample.site import SampleSite
from pipeline.shipped import bundled
from pipeline.stages import Stages, run_recipe


def run_demo(root: Path, progress: Progress, say: Callable[[str], None]) -> dict[str, object]:
    """Serve the sample on loopback, run its recipe on it, write the report; the result."""
    data = bundled()
    recipe = data / "recipes" / "sample.toml"
    with SampleSite(data / "sample") as site:
        sources = Gathering(
            read_recipe(recipe),
            recipe.parent,
            progress,
            allow_private=True,
            options={"bing.endpoint": site.address},
        )
        result = run_recipe(Stages(sources), root, say)
    with Dataset.open(root) as dataset:
        report = write_report(dataset, title=sources.recipe.title)
    return {"stages": result, "report": str(report)}
