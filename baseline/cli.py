"""The `baseline` command: training, judging and using a model."""

from __future__ import annotations

from typing import NoReturn

from baseline.cli_compare import compare
from baseline.cli_curve import curve
from baseline.cli_evaluate import doubts, evaluate
from baseline.cli_presort import presort
from baseline.cli_train import augment, sweep, train
from baseline.cli_use import export, gallery, predict
from gleanset.cli import group
from gleanset.cli import main as run_main

commands = group("baseline", "Train a baseline model on a dataset and judge it.")
commands.add_command(export)
commands.add_command(gallery)
commands.add_command(predict)
commands.add_command(presort)
commands.add_command(evaluate)
commands.add_command(compare)
commands.add_command(doubts)
commands.add_command(curve)
commands.add_command(augment)
commands.add_command(sweep)
commands.add_command(train)


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
