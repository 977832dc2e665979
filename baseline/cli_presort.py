"""`baseline presort`: a model that helps to label."""

from __future__ import annotations

import click

from baseline.cli_options import need_torch, preset_option, settings_option
from baseline.settings import AUTO, Settings, load_preset
from gleanset.cli import Command, CommandJob, Result, job_options, key_values
from gleanset.platform import lower_priority
from gleanset.work.waiting import WAITING


@click.command(cls=Command, epilog="Example: baseline presort -d my-dataset")
@job_options(on=True)
@preset_option(
    "transfer",
    "Whose backbone, weights and size are used: transfer (as auto does), or another that learns "
    "on features.",
    auto=True,
)
@settings_option("Another value for a setting, such as backbone=resnet50.")
@click.option(
    "--follow",
    is_flag=True,
    help="Presort again and again while samples are sorted, until the input (stdin) ends.",
)
def presort(job: CommandJob, preset: str, options: tuple[str, ...], follow: bool) -> Result:
    """Propose a class for each sample without one, and say which to label next.

    Learns from what is labelled, in seconds once the features are cached. With nothing labelled
    it puts look-alikes together. Proposals are no labels: the labeler shows them, surest first or
    the most telling first, and a person decides. Label some 30, presort again, and so on.

    The labeler's window does that by itself, by --follow: what was decided is learnt within
    seconds, and new samples are taken in. While one follows, a presort by hand asks it, and another
    one waits for its end.
    """

    need_torch()
    # Nothing is to be chosen: a presort learns in its own way, on the features of transfer.
    preset = "transfer" if preset == AUTO else preset
    settings = load_preset(preset, key_values(options, "backbone=resnet50"))
    if follow:
        return _followed(job, settings)
    from baseline.presort.job import presort as run
    from baseline.presort.words import presort_words

    with job.open() as dataset:
        figures = run(dataset, settings, job.progress)
        return figures if job.as_json else presort_words(dataset, figures)


def _followed(job: CommandJob, settings: Settings) -> Result:
    """Presort until the input ends, which is listened to before anything slow is loaded."""
    from baseline.presort.ending import following
    from baseline.presort.requests import alone

    WAITING.end()  # it ends when a person ends it
    figures: Result = {}
    with (
        following() as program,
        job.open() as dataset,
        alone(dataset, job.progress, program) as may_begin,
    ):
        if may_begin:
            from baseline.presort.follow import follow

            lower_priority()
            figures = follow(dataset, settings, job.progress, program)
    return figures
