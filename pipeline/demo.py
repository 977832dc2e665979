"""`gleanset demo`: the bundled sample, from a search to an evaluated model, offline."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from msgspec.structs import replace

from baseline.extras import has_torch
from baseline.request import TrainRequest
from gleanset import Dataset
from gleanset.installation import bundled_data
from gleanset.work.progress import Progress
from pipeline.recipe import read_recipe
from pipeline.report import write_report
from pipeline.sample_site import SampleSite, read_listing
from pipeline.stages import Stages, run_recipe
from pipeline.status import page_command


def run_demo(root: Path, progress: Progress, say: Callable[[str], None]) -> dict[str, object]:
    """Serve the sample site on loopback, run its recipe, and write the report."""
    data = bundled_data()
    recipes = data / "recipes"
    recipe = read_recipe(recipes / "sample.toml")
    if not has_torch():
        progress.say("using the preset transfer, because PyTorch is not installed")
        recipe = replace(recipe, train=TrainRequest(preset="transfer"))
    with SampleSite(data / "sample") as site:
        options = {"bing.endpoint": site.address}
        stages = Stages(recipe, recipes, progress, allow_private=True, options=options)
        result = run_recipe(stages, root, say)
    with Dataset.open(root) as dataset:
        report = write_report(dataset, title=recipe.title)
        return {"stages": result, "report": str(report), **page_command(dataset)}


def serve_sample_site(show: Callable[[str], None]) -> None:
    """Serve the sample's image searches until Ctrl-C; print commands to try with `show`."""
    data = bundled_data() / "sample"
    with SampleSite(data) as site:
        show(f"sample site: {site.address} (Ctrl-C ends it)")
        show(f"keywords: {', '.join(sorted(read_listing(data)))}")
        show("try, in another terminal:")
        for command in search_commands(site.address):
            show(f"  {command}")
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


def search_commands(address: str) -> list[str]:
    """Return a command for each search of the sample site; Flickr takes any API key."""
    return [
        f"{keys}harvest keyword hana --source {source} --limit 20 --allow-private "
        f"-o {source}.endpoint={address} -d try"
        for source, keys in (("bing", ""), ("flickr", "FLICKR_API_KEY=x FLICKR_API_SECRET=x "))
    ]
