"""The `baseline` command: training and judging a model."""

from __future__ import annotations

from typing import NoReturn

import click

from baseline.cli_compare import compare, report
from baseline.cli_evaluate import doubts, evaluate
from baseline.cli_export import export
from baseline.cli_gallery import gallery
from baseline.cli_learning import augment, sweep
from baseline.cli_options import need_torch, preset_option
from baseline.cli_predict import predict
from baseline.cli_presort import presort
from baseline.settings import load_preset
from gleanset.cli import Job, Result, group, job_options, key_values
from gleanset.cli import main as run_main

commands = group("baseline", "Train a baseline model on a dataset and judge it.")
commands.add_command(export)
commands.add_command(gallery)
commands.add_command(predict)
commands.add_command(presort)
commands.add_command(evaluate)
commands.add_command(compare)
commands.add_command(report)
commands.add_command(doubts)
commands.add_command(augment)
commands.add_command(sweep)


@commands.command(epilog="Example: baseline train --preset simple -o epochs=10 -d my-dataset")
@job_options()
@preset_option("simple", "How to train.")
@click.option(
    "-o",
    "--option",
    "options",
    multiple=True,
    metavar="KEY=VALUE",
    help="Another value for a setting of the preset, such as epochs=10.",
)
@click.option("--again", is_flag=True, help="Train although these figures are known already.")
def train(job: Job, preset: str, options: tuple[str, ...], again: bool) -> Result:
    """Train on train, watch val, and judge once on test.

    A run that was stopped goes on where it was last saved.
    """
    need_torch()
    settings = load_preset(preset, key_values(options, "epochs=10"))
    from baseline.train_run import train_run

    with job.open() as dataset:
        return train_run(dataset, settings, again=again, progress=job.progress, say=job.say)


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
