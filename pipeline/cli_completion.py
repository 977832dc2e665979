"""`gleanset completion`: what TAB offers, for every program."""

from __future__ import annotations

import click

from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


@click.command(cls=Command, epilog="Example: gleanset completion bash --install")
@job_options(dataset=False)
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--install", is_flag=True, help="Write it where the shell finds it by itself.")
@click.option("--uninstall", is_flag=True, help="Remove what --install wrote.")
def completion(job: CommandJob, shell: str, install: bool, uninstall: bool) -> Result | None:
    """Print what makes a shell complete all programs; or install it.

    TAB then completes commands, options, files, and the names of classes, runs, snapshots,
    sources, detectors, presets and recipes. The dataset is the one that --dataset before it names,
    or that would be taken without. To try it in this shell alone: eval "$(gleanset completion
    bash)", in fish: gleanset completion fish | source. Files such as ~/.bashrc are never written.
    """
    from gleanset.completion.shells import script
    from pipeline.completion_files import PROGRAMS, completion_files, what_is_left

    if install and uninstall:
        raise UsageError("--install and --uninstall undo each other", "give one of them")
    if not (install or uninstall):
        if job.as_json:
            return {"shell": shell, "script": script(shell, PROGRAMS)}
        job.show(script(shell, PROGRAMS))
        return None
    files = completion_files(shell)
    if uninstall:
        return {"removed": [str(file.path) for file in files if file.remove()]}
    for file in files:
        file.refuse_others()
    written = [str(file.path) for file in files if file.put()]
    result: Result = {"written": written, "there_before": len(files) - len(written)}
    if left := list(what_is_left(shell)):
        result["left_to_you"] = left
    return result | {"then": "open a new shell"}
