"""The `baseline` command: training and judging a model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, NoReturn

import click
from tqdm import tqdm

from gleanset.cli import Job, Result, group, job_options
from gleanset.cli import main as run_main
from gleanset.errors import MissingComponent, UsageError

if TYPE_CHECKING:
    from baseline.training import EpochReport

commands = group("baseline", "Train a baseline model on a dataset and judge it.")


@commands.command(epilog="Example: baseline train --preset simple -o epochs=10 -d my-dataset")
@job_options()
@click.option("--preset", default="simple", show_default=True, help="How to train.")
@click.option("-o", "--option", "options", multiple=True, metavar="KEY=VALUE",
              help="Another value for a setting of the preset, such as epochs=10.")  # fmt: skip
@click.option("--again", is_flag=True, help="Train although these figures are known already.")
def train(job: Job, preset: str, options: tuple[str, ...], again: bool) -> Result:
    """Train on train, watch val, and judge once on test.

    A run that is stopped begins anew the next time: epochs are not kept.
    """
    need_torch()
    from baseline.presets import load_preset
    from baseline.session import train_run

    settings = load_preset(preset, parse_options(options))
    with job.open() as dataset:
        bar = tqdm(total=settings.epochs, desc="train", unit=" epochs", leave=False,
                   disable=True if job.progress.quiet else None)  # fmt: skip

        def show(epoch: EpochReport) -> None:
            bar.set_postfix_str(epoch_line(epoch))
            bar.update()

        with bar:
            return train_run(dataset, settings, again=again, on_epoch=show, progress=job.progress)


def epoch_line(epoch: EpochReport) -> str:
    """An epoch in a few words."""
    val = "" if epoch.val_accuracy is None else f", val {epoch.val_accuracy:.3f}"
    return (
        f"loss {epoch.train_loss:.3f}, train {epoch.train_accuracy:.3f}{val}, "
        f"{epoch.images_per_second:.0f} images/s"
    )


@commands.command(epilog="Example: baseline evaluate --split test -d my-dataset --json")
@job_options()
@click.argument("run", required=False)
@click.option("--split", type=click.Choice(["train", "val", "test"]), default="test",
              show_default=True, help="The samples to judge it on.")  # fmt: skip
def evaluate(job: Job, run: str | None, split: str) -> Result:
    """Judge a run (the newest by default) on the samples as they are now."""
    need_torch()
    from baseline.session import evaluate_run

    with job.open() as dataset:
        run_id, found = evaluate_run(dataset, run, split, job.progress)
        return {"run": run_id, split: found.to_json()} if job.as_json else _table(run_id, found)


def _table(run_id: str, found: object) -> Result:
    from baseline.evaluation import Evaluation

    assert isinstance(found, Evaluation)
    return {
        "run": run_id, "count": found.count, "accuracy": found.accuracy,
        "log_loss": found.log_loss, "macro_f1": found.macro_f1,
        "classes": {
            c.name: f"precision {c.precision:.3f}, recall {c.recall:.3f}, F1 {c.f1:.3f}, "
                    f"{c.support} pictures"
            for c in found.classes
        },
    }  # fmt: skip


def parse_options(options: tuple[str, ...]) -> dict[str, str]:
    """`epochs=10` as {'epochs': '10'}. Raises `UsageError`."""
    found: dict[str, str] = {}
    for text in options:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"-o {text}: not KEY=VALUE", "write for instance epochs=10")
        found[key.strip()] = value.strip()
    return found


def need_torch() -> None:
    """Raises `MissingComponent` with the mend where the extra is not installed."""
    missing = [name for name in ("torch", "safetensors") if find_spec(name) is None]
    if missing:
        raise MissingComponent(
            f"training needs {' and '.join(missing)}, which is not installed",
            "pip install 'gleanset[train]'",
        )


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
