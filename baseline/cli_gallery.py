"""`baseline gallery`: the pictures that a triplet run knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from baseline.cli_options import announced_crop_plan, crop_options, crop_request
from gleanset.cli import CommandGroup, Job, Result, job_options


@click.group(
    cls=CommandGroup, epilog="Example: baseline gallery add --class mei new/*.png -d my-dataset"
)
def gallery() -> None:
    """See and change the known pictures of a triplet run: a new class needs no training."""


def _folder(job: Job, run: str | None) -> Path:
    from baseline.cli_options import need_torch
    from baseline.runs import find_run_folder

    need_torch()
    return find_run_folder(job.root, run)


@gallery.command("list", epilog="Example: baseline gallery list -d my-dataset")
@job_options()
@click.option("--run", help="The run: its id or its folder. Default: the newest.")
def list_classes(job: Job, run: str | None) -> Result:
    """Tell how many pictures of each class a run knows."""
    folder = _folder(job, run)
    from baseline.gallery import listed

    return {"run": folder.resolve().name, "classes": listed(folder)}


@gallery.command(epilog="Example: baseline gallery add --class mei new/*.png -d my-dataset")
@job_options()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--class", "name", required=True, help="The class they are of, known or new.")
@click.option("--run", help="The run: its id or its folder. Default: the newest.")
@crop_options
def add(job: Job, paths: tuple[str, ...], name: str, run: str | None, **crop: Any) -> Result:
    """Make pictures known to a run: files, folders, or patterns such as 'new/*.jpg'.

    They are cut as those were that the run learnt from, or as --faces and --whole say. Nothing is
    trained. The files are kept in the run's folder, and gallery/changes.jsonl there tells of every
    change.
    """
    request = crop_request(**crop)
    folder = _folder(job, run)
    from baseline.engines.torch_engine import TorchEngine
    from baseline.gallery import add_files
    from baseline.picture_parts import files_of

    cropping = announced_crop_plan(job, TorchEngine.of(folder).facts, folder, request)
    found = add_files(folder, name, files_of(paths), cropping.read, job.progress)
    return {**found, "cropping": cropping.to_json()} if job.as_json else found


@gallery.command(epilog="Example: baseline gallery remove --class mei -d my-dataset")
@job_options()
@click.option("--class", "name", required=True, help="The class to forget.")
@click.option("--run", help="The run: its id or its folder. Default: the newest.")
def remove(job: Job, name: str, run: str | None) -> Result:
    """Forget a class of a run. Its pictures stay: adding them again brings it back."""
    folder = _folder(job, run)
    from baseline.gallery import remove_class

    return remove_class(folder, name)
