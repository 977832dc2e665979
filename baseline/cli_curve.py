"""`baseline curve`: how accuracy grows with the number of pictures."""

from __future__ import annotations

import click

from baseline.cli_options import need_torch
from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.completion import runs_here
from gleanset.html.words import count, duration, percent


@click.command(cls=Command, epilog="Example: baseline curve --repeats 3 -d my-dataset")
@job_options(simulate=True)
@click.argument("run", required=False, shell_complete=runs_here)
@click.option(
    "--repeats",
    type=click.IntRange(1, 20),
    default=2,
    show_default=True,
    help="How often the folds are dealt: more are surer, and take longer.",
)
def curve(job: CommandJob, run: str | None, repeats: int) -> Result:
    """Measure what more pictures would bring, with the settings of a run (default: the newest).

    Learns from parts of train and judges on the rest of it; test is not looked at. Drawn out to
    twice and four times as many pictures, with 95 % intervals. The curve becomes part of the
    run's report. Stopped, it goes on where it was.
    """
    need_torch()
    from baseline.data.runs import finished_run
    from baseline.judge.report.page import write_report
    from baseline.train.auto_candidates import seconds_of
    from baseline.train.curve_files import save_curve
    from baseline.train.fold_trials import FoldTrials
    from baseline.train.learning_curve import curve_trainings, measure_curve
    from baseline.train.storage import load_model

    with job.open() as dataset:
        name, folder = finished_run(dataset, run)
        settings = load_model(folder)[1]
        trials = FoldTrials.of(dataset, dataset.cache)
        missing = len(trials.missing(curve_trainings(trials, settings, repeats)))
        seconds = seconds_of(settings, len(trials.labelled), missing)
        plan = f"{count(missing, 'training')} on parts of train, about {duration(seconds)}"
        if job.simulate:
            return {"run": name, "plan": plan, "trainings": missing, "seconds": seconds}
        job.say(f"learning curve of {name}: {plan}")
        with dataset.stage("baseline"):
            found = measure_curve(trials, settings, repeats, job.progress)
            picture = save_curve(folder, found)
            report = write_report(dataset, name)
    told: Result = {"run": name, "told": found.words, "plot": str(picture.absolute())}
    if job.as_json:
        return told | {"curve": found.to_json(), "report": str(report)}
    told["pictures a class"] = [
        f"{point.pictures:.3g}{f' ({point.times:g} times)' if point.times else ''}: "
        f"{point.accuracy:.3f} ({point.interval.low:.3f} to {point.interval.high:.3f})"
        for point in (*found.points, *found.expected)
    ]
    told["classes"] = [
        f"{one.name}: recall {percent(one.recall)} of {count(one.pictures, 'picture')}, "
        f"{100 * one.gain:+.0f} points by the second half of them"
        f"{', beyond luck' if one.clear else ''}"
        for one in found.classes
    ]
    return told | {"report": str(report)}
