"""The `baseline` command: training, judging and using a model."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from baseline.cli_judge import compare, doubts, evaluate
from baseline.cli_use import export, gallery, predict
from baseline.extras import need_transfer
from baseline.request import PresortCommandRequest, SweepRequest, TrainRequest
from baseline.settings import load_preset
from gleanset.cli import CommandJob, Result, gone_option, group, job_options
from gleanset.cli import main as run_main
from gleanset.errors import InputUnusable
from gleanset.files.hub import on_hub
from gleanset.request import options_of

commands = group("baseline", "Train a baseline model on a dataset and judge it.")
for _command in (export, gallery, predict, evaluate, compare, doubts):
    commands.add_command(_command)


@commands.command(epilog="Example: baseline train --preset simple -o epochs=10 -d my-dataset")
@job_options(simulate=True, on=True)
@options_of(TrainRequest)
def train(job: CommandJob, request: TrainRequest) -> Result:
    """Train on train, watch val, and judge once on test.

    A run that was stopped goes on where it was last saved.

    With --folds it is measured how good a training like this is, on every picture of train and
    val, and no network is kept; without it one is trained.
    """
    if request.folds is not None:
        return _cross_validate(job, request, request.folds)
    request.check()
    if job.simulate:
        return {"settings": load_preset(request.preset, request.texts()).to_json()}
    need_transfer()
    from baseline.data.runs import ROOM, run_folder
    from baseline.judge.report.page import REPORT
    from baseline.judge.words import training_words
    from baseline.train.train_run import train_preset

    with job.open() as dataset:
        before = dataset.runs.newest(ROOM)
        done = train_preset(
            dataset, request.preset, request.texts(), progress=job.progress, say=job.say
        )
        folder = run_folder(dataset, str(done["run"]))
        if before is not None and _loses_unknown(run_folder(dataset, before.id), folder):
            job.say(
                f"{before.id} could answer unknown; this run names a class for every picture "
                "until a threshold is chosen for it: baseline evaluate --unknown-rate 5%"
            )
        report = folder.absolute() / REPORT
    done |= {"report": str(report)} if report.is_file() else {}
    return done if job.as_json else training_words(done, folder, job.root)


def _loses_unknown(before: Path, now: Path) -> bool:
    """Return whether pictures of no class were told by a run, and are not by the next one."""
    from baseline.judge.answers import DecisionRule, load_decision_rule

    was, has = DecisionRule(), load_decision_rule(now)
    with suppress(InputUnusable):  # what cannot be read any more answered nothing of late
        was = load_decision_rule(before)
    return was.says_unknown and not has.says_unknown


def _cross_validate(job: CommandJob, request: TrainRequest, folds: int) -> Result:
    request.check()
    need_transfer()
    from baseline.train.fold_run import plan_folds, run_cross_validation

    with job.open() as dataset:
        settings = load_preset(request.preset, request.texts(), dataset.pin_of)
        if job.simulate:
            return plan_folds(dataset, settings, folds)
        done = run_cross_validation(dataset, settings, folds, progress=job.progress, say=job.say)
        return done.to_json() if job.as_json else done.words()


@commands.command(epilog="Example: baseline backbones --json")
@job_options(dataset=False)
def backbones(job: CommandJob) -> Result:
    """Name backbones that come along, and models on a hub that fit: docs/training.md."""
    names = on_hub("baseline.features")["names"]
    return {"backbones": [f"{name}: {what}" for name, what in names.items()]}


@commands.command(epilog="Example: baseline sweep -o dropout=0.2,0.5 -o optimiser=adam,adamax")
@job_options(simulate=True)
@options_of(SweepRequest)
def sweep(job: CommandJob, request: SweepRequest) -> Result:
    """Try combinations of settings, judged on val, and name the best command.

    Test is never looked at. A sweep that is stopped goes on where it was.
    """
    from baseline.train.sweep import cells_of, read_grid

    cells = cells_of(request.preset, read_grid(request.options))
    if job.simulate:
        return {"trainings": len(cells), "cells": [_setting_words(cell) for cell in cells]}
    need_transfer()
    from baseline.train.sweep import sweep as carry_out

    with job.open() as dataset:
        done = carry_out(dataset, request.preset, cells, progress=job.progress, say=job.say)
    return done if job.as_json else _sweep_words(done)


def _setting_words(options: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items())


def _sweep_words(done: dict[str, Any]) -> Result:
    lines = [
        f"{_setting_words(cell['options'])}: "
        + (
            cell["failed"]
            or f"{cell['accuracy']:.3f}, log loss {cell['log_loss']:.3f}, {cell['seconds']:.0f} s"
        )
        for cell in done["cells"]
    ]
    level = f"{done['level_with_best']} others may be as good: what they are behind can be luck"
    if done["interval"]:
        low, high = done["interval"]
        moments = done["moments"]
        level += f" (95 % interval of the best, of {moments} moments: {low:.3f} to {high:.3f})"
    words = {"accuracy on val": lines, "level": level}
    return {**words, "plot": done["plot"], "next": done["command"]}


@commands.command(epilog="Example: baseline presort -d my-dataset")
@job_options(on=True)
@gone_option(
    "--follow",
    what="the labeler's window learns by itself while you sort",
    hint="open it: labeler",
)
@options_of(PresortCommandRequest)
def presort(job: CommandJob, request: PresortCommandRequest) -> Result:
    """Propose a class for each sample without one, and say which to label next.

    Learns from what is labelled, in seconds once the features are cached, on those of the preset
    transfer.
    With nothing labelled it puts look-alikes together. Proposals are no labels: the labeler shows
    them, surest first or the most telling first, and a person decides. Label some 30, presort
    again, and so on.

    The labeler's window runs it for new samples, and learns from labels by itself.
    """
    need_transfer()
    options = {key: str(value) for key, value in request.options.items()}
    load_preset("transfer", options)
    from baseline.presort.presorter import presort as run
    from baseline.presort.words import presort_words

    with job.open() as dataset:
        figures = run(dataset, load_preset("transfer", options, dataset.pin_of), job.progress)
        return figures if job.as_json else presort_words(dataset, figures)


def main() -> NoReturn:
    """The console script."""
    run_main(commands)
