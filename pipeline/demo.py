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
from gleanset.dataset import is_dataset
from gleanset.installation import bundled_data
from gleanset.work.progress import Progress
from pipeline.recipe import read_recipe
from pipeline.report import write_report
from pipeline.sample_site import SampleSite, read_listing
from pipeline.stages import RecipeSources, Stages, run_recipe
from pipeline.status import page_command
from webapp.cli import need_web


def run_demo(root: Path, progress: Progress, say: Callable[[str], None]) -> dict[str, object]:
    """Serve the sample site on loopback, run its recipe, and write the report."""
    data = bundled_data()
    recipes = data / "recipes"
    recipe = read_recipe(recipes / "sample.toml")
    if not has_torch():
        progress.say("using the preset transfer, because PyTorch is not installed")
        recipe = replace(recipe, train=TrainRequest(preset="transfer"))
    with SampleSite(data / "sample") as site:
        sources = RecipeSources(
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
    """Serve the page of the sample until Ctrl-C, after `run_demo` if necessary.

    Prints the URL with `show`.
    """
    need_web()
    # Imported after the check, because they need those packages.
    from webapp.request import ServeRequest
    from webapp.serving import serve_page

    if not (is_dataset(root) and _has_model(root)):
        run_demo(root, progress, progress.say)
    progress.say(f"images to try: {bundled_data() / 'sample' / 'pictures'}")
    serve_page(root, ServeRequest(port=port), show, progress)


def serve_sample_site(show: Callable[[str], None]) -> None:
    """Serve the sample's image searches until Ctrl-C; prints commands to try with `show`."""
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


def _has_model(root: Path) -> bool:
    with Dataset.open(root) as dataset:
        return bool(page_command(dataset))
