"""`baseline train`, and what to train with: `baseline sweep` and `baseline augment`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from baseline.cli_options import need_torch, preset_option, settings_option
from baseline.settings import AUTO, load_preset
from gleanset.cli import Command, CommandJob, Result, job_options, key_values
from gleanset.errors import InputUnusable, UsageError


@click.command(
    cls=Command, epilog="Example: baseline train --preset simple -o epochs=10 -d my-dataset"
)
@job_options(simulate=True, on=True)
@preset_option(
    "simple", "How to train: {presets}; or auto, which finds out within train.", auto=True
)
@settings_option("Another value for a setting of the preset, such as epochs=10.")
@click.option("--again", is_flag=True, help="Train although these figures are known already.")
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    metavar="K",
    help="Cross-validate: train K times on train and val but for a K-th part, and judge each on "
    "that part. Measures and keeps labels in doubt; test is not looked at.",
)
def train(
    job: CommandJob, preset: str, options: tuple[str, ...], again: bool, folds: int | None
) -> Result:
    """Train on train, watch val, and judge once on test.

    With --preset auto several presets are tried first on folds of train, and the best of them is
    taken; what it will cost is told before. A run that was stopped goes on where it was last saved.

    With --folds it is measured how good a training like this is, on every picture of train and
    val, and no network is kept; without it one is trained.
    """
    given = key_values(options, "epochs=10")
    if folds is not None:
        return _cross_validate(job, preset, given, folds, again)
    settings = None if preset == AUTO else load_preset(preset, given)
    if not job.simulate or settings is None:
        need_torch()
    if job.simulate:
        return {"settings": settings.to_json()} if settings else _plan(job, given)
    from baseline.data.runs import ROOM, run_folder
    from baseline.judge.report.page import REPORT
    from baseline.judge.words import training_words
    from baseline.train.train_run import train_preset

    with job.open() as dataset:
        before = dataset.runs.newest(ROOM)
        done = train_preset(dataset, preset, given, again=again, progress=job.progress, say=job.say)
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


def _cross_validate(
    job: CommandJob, preset: str, given: dict[str, str], folds: int, again: bool
) -> Result:
    if preset == AUTO:
        raise UsageError(
            "--preset auto chooses by folds itself, and its choice cannot be judged by the same",
            "see what it takes: baseline train --preset auto --simulate; then name that preset",
        )
    settings = load_preset(preset, given)
    need_torch()
    from baseline.train.fold_run import cross_validate, plan_folds

    with job.open() as dataset:
        if job.simulate:
            return plan_folds(dataset, settings, folds)
        found = cross_validate(
            dataset, settings, folds, again=again, progress=job.progress, say=job.say
        )
        return found.to_json() if job.as_json else found.words()


def _plan(job: CommandJob, given: dict[str, str]) -> Result:
    """Return what `auto` would try, and about how long that takes."""
    from baseline.train.auto_choice import plan_choice
    from baseline.train.fold_trials import FoldTrials

    with job.open() as dataset:
        plan = plan_choice(FoldTrials.of(dataset, dataset.cache), given)
    tried = {one.preset: round(one.seconds, 1) for one in plan.tried}
    return {"plan": plan.words(), "folds": plan.folds, "seconds": tried if plan.folds else {}}


@click.command(
    cls=Command, epilog="Example: baseline sweep -o dropout=0.2,0.5 -o optimiser=adam,adamax"
)
@job_options(simulate=True)
@preset_option("simple", "How to train: {presets}.")
@settings_option(
    "Values to try for a setting; those with commas, such as blocks, parted by ';'. "
    "Without several values a small grid of the preset's own.",
    metavar="KEY=VALUE,…",
)
def sweep(job: CommandJob, preset: str, options: tuple[str, ...]) -> Result:
    """Try combinations of settings, judged on val, and name the best command.

    Test is never looked at. A sweep that is stopped goes on where it was.
    """
    from baseline.train.sweep import cells_of, read_grid

    cells = cells_of(preset, read_grid(options))
    if job.simulate:
        return {"trainings": len(cells), "cells": [_words(cell) for cell in cells]}
    need_torch()
    from baseline.train.sweep import sweep as carry_out

    with job.open() as dataset:
        found = carry_out(dataset, preset, cells, progress=job.progress, say=job.say)
    return found if job.as_json else _table(found)


def _words(options: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in options.items())


def _table(found: dict[str, Any]) -> Result:
    lines = [
        f"{_words(cell['options'])}: "
        + (
            cell["failed"]
            or f"{cell['accuracy']:.3f}, log loss {cell['log_loss']:.3f}, {cell['seconds']:.0f} s"
        )
        for cell in found["cells"]
    ]
    level = f"{found['level_with_best']} others may be as good: what they are behind can be luck"
    if found["interval"]:
        low, high = found["interval"]
        level += (
            f" (95 % interval of the best, of {found['moments']} moments: {low:.3f} to {high:.3f})"
        )
    return {
        "accuracy on val": lines,
        "level": level,
        "plot": found["plot"],
        "next": found["command"],
    }


@click.command(
    cls=Command, epilog="Example: baseline augment --sheet augmented.png --preset transfer"
)
@job_options()
@preset_option("simple", "Whose changes to show: {presets}.")
@settings_option("Another value for a setting, such as augment=photos.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="The picture to write, such as sheet.png.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 60),
    default=8,
    show_default=True,
    help="How many samples to show.",
)
def augment(
    job: CommandJob, preset: str, options: tuple[str, ...], sheet: Path, count: int
) -> Result:
    """Show what training does to pictures: originals on the left, changed copies on the right."""

    need_torch()
    settings = load_preset(preset, key_values(options, "augment=photos"))
    from baseline.data.augment_sheet import write_sheet

    with job.open(rehearse=True) as dataset:
        shown = write_sheet(dataset, settings, sheet, count)
    return {"samples": shown, "augment": settings.augment, "sheet": str(sheet.absolute())}
