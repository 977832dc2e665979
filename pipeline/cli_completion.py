"""`gleanset completion`: what TAB offers, for every program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from gleanset.cli import Command, CommandJob, Result, job_options
from gleanset.errors import UsageError
from gleanset.files.atomic import write_atomic

SHELLS = ("bash", "zsh", "fish")
PROGRAMS = ("gleanset", "harvest", "facecrop", "labeler", "baseline", "webapp")
LOADERS = (
    "/usr/share/bash-completion/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/opt/homebrew/etc/profile.d/bash_completion.sh",
    "/etc/bash_completion",
)
"""What makes Bash look for completions of a command when it is first typed."""


@click.command(cls=Command, epilog="Example: gleanset completion bash --install")
@job_options(dataset=False)
@click.argument("shell", type=click.Choice(SHELLS))
@click.option("--install", is_flag=True, help="Write it where the shell finds it by itself.")
def completion(job: CommandJob, shell: str, install: bool) -> Result | None:
    """Print what makes a shell complete all programs; or install it.

    TAB then completes commands, options, files, and the names of classes, runs, snapshots,
    sources, detectors, presets and recipes. The dataset is the one that --dataset before it names,
    or that would be taken without. To try it in this shell alone: eval "$(gleanset completion
    bash)", in fish: gleanset completion fish | source. Files such as ~/.bashrc are never written.
    """
    if not install:
        script = "\n".join(_script(shell, program) for program in PROGRAMS)
        if job.as_json:
            return {"shell": shell, "script": script}
        job.show(script)
        return None
    files = {_file(shell, program): _script(shell, program) for program in PROGRAMS}
    for path in files:
        if path.exists() and "_COMPLETE" not in path.read_text(encoding="utf-8", errors="replace"):
            raise UsageError(
                f"{path} is there, and not ours", "move it away, or print the completions"
            )
    for path, script in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, script.encode(), scratch=path.parent)
    result: Result = {"written": list(map(str, files))}
    if left := list(_left_to_do(shell)):
        result["left_to_you"] = left
    return result | {"then": "open a new shell"}


def _script(shell: str, program: str) -> str:
    """Return click's own script."""
    kind = get_completion_class(shell)
    assert kind is not None
    return kind(click.Command(program), {}, program, f"_{program.upper()}_COMPLETE").source()


def _file(shell: str, program: str) -> Path:
    """Return where a shell looks for the completions of a program by itself."""
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    if shell == "bash":
        own = os.environ.get("BASH_COMPLETION_USER_DIR", "").partition(":")[0]
        return (Path(own) if own else data / "bash-completion") / "completions" / program
    if shell == "zsh":
        return data / "zsh" / "site-functions" / f"_{program}"
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "fish" / "completions" / f"{program}.fish"


def _left_to_do(shell: str) -> Iterator[str]:
    """Yield what a person has to do once, since nobody's start-up files are written by us."""
    if shell == "bash" and not any(map(os.path.exists, LOADERS)):
        yield (
            "the package bash-completion, which loads them, was not found: install it, or put "
            "this line into ~/.bashrc"
        )
        yield 'eval "$(gleanset completion bash)"'
    folder = _file("zsh", "gleanset").parent
    if shell == "zsh" and str(folder) not in _zshrc().replace("~/", f"{Path.home()}/"):
        yield "put these lines into ~/.zshrc, above compinit where that is there"
        yield f"fpath=({folder} $fpath)"
        yield "autoload -Uz compinit && compinit"


def _zshrc() -> str:
    try:
        path = Path(os.environ.get("ZDOTDIR") or Path.home()) / ".zshrc"
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
