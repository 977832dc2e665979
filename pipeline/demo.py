"""`gleanset demo`: the bundled sample, from a search to a judged model and its page, offline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from baseline.extras import has_torch
from baseline.request import TrainRequest
from gleanset import Dataset
from gleanset.dataset import is_dataset
from gleanset.work.progress import Progress
from pipeline.recipe import bundled, read_recipe
from pipeline.report import write_report
from pipeline.sample_site import SampleSite
from pipeline.stages import Gathering, Stages, run_recipe
from pipeline.status import page_command
from webapp.cli import need_web


def run_demo(root: Path, progress: Progress, say: Callable[[str], None]) -> dict[str, object]:
    """Serve the sample on loopback, run its recipe on it, write the report; the result."""
    data = bundled()
    recipes = data / "recipes"
    recipe = read_recipe(recipes / "sample.toml")
    if not has_torch():
        progress.say("learning with the preset transfer: PyTorch, for networks, is not installed")
        recipe = replace(recipe, train=TrainRequest(preset="transfer"))
    with SampleSite(data / "sample") as site:
        sources = Gathering(
            recipe,
            recipes,
            progress,
            allow_private=True,
            options={"bing.endpoint": site.address},
        )
        result = run_recipe(Stages(sources), root, say)
    with Dataset.open(root) as dataset:
        report = write_report(dataset, title=sources.recipe.title)
        return {"stages": result, "report": str(report), **page_command(dataset)}


def serve_demo(root: Path, port: int, progress: Progress, show: Callable[[str], None]) -> None:
    """Serve the page of the sample on this machine until Ctrl-C, its model made where it is not
    there; `show` gets the address.
    """
    need_web()
    # These need what serving needs.
    from webapp.request import ServeRequest
    from webapp.serving import serve_page

    if not _has_model(root):
        run_demo(root, progress, progress.say)
    progress.say(f"pictures to try: {bundled() / 'sample' / 'pictures'}")
    serve_page(root, ServeRequest(port=port), show, progress)


def _has_model(root: Path) -> bool:
    if not is_dataset(root):
        return False
    with Dataset.open(root) as dataset:
        return bool(page_command(dataset))
