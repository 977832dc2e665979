"""Where each shell looks for completions by itself, and putting ours there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gleanset.completion.shells import MARK, script
from gleanset.errors import UsageError
from gleanset.files.atomic import write_atomic

PROGRAMS = ("gleanset", "harvest", "facecrop", "labeler", "baseline", "webapp")

LOADERS = (
    "/usr/share/bash-completion/bash_completion",
    "/usr/local/share/bash-completion/bash_completion",
    "/opt/homebrew/etc/profile.d/bash_completion.sh",
    "/etc/bash_completion",
)
"""What makes Bash look for completions of a command when it is first typed."""


@dataclass(frozen=True, slots=True)
class CompletionFile:
    """One file of completions, and what is to be in it."""

    path: Path
    text: str

    @property
    def there(self) -> bool:
        """Whether it is there as it is to be."""
        return self.path.is_file() and self.path.read_text(encoding="utf-8") == self.text

    def refuse_others(self) -> None:
        """Raise `UsageError` where another program's file has that name."""
        if self.path.exists() and not self._ours():
            raise UsageError(
                f"{self.path} is there, and not ours", "move it away, or print the completions"
            )

    def put(self) -> bool:
        """Write it where it is not there; whether anything changed."""
        if self.there:
            return False
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path, self.text.encode(), scratch=self.path.parent)
        return True

    def remove(self) -> bool:
        """Remove it where it is ours; whether it was."""
        if not (found := self.path.is_file() and self._ours()):
            return False
        self.path.unlink()
        return found

    def _ours(self) -> bool:
        return MARK in self.path.read_text(encoding="utf-8", errors="replace")[:1000]


def completion_files(shell: str) -> list[CompletionFile]:
    """Return the files that a shell finds by itself: one a program, for zsh one for all."""
    if shell == "zsh":
        return [CompletionFile(_zsh_folder() / "_gleanset", script(shell, PROGRAMS))]
    folder, ending = (_bash_folder(), "") if shell == "bash" else (_fish_folder(), ".fish")
    return [CompletionFile(folder / f"{p}{ending}", script(shell, [p])) for p in PROGRAMS]


def what_is_left(shell: str) -> Iterator[str]:
    """Yield what a person has to do once, since nobody's start-up files are written by us."""
    if shell == "bash" and not any(map(os.path.exists, LOADERS)):
        yield (
            "the package bash-completion, which loads them, was not found: install it, or put "
            "this line into ~/.bashrc"
        )
        yield 'eval "$(gleanset completion bash)"'
    if shell == "zsh" and str(_zsh_folder()) not in _zshrc().replace("~/", f"{Path.home()}/"):
        yield f"put these lines into {_zshrc_path()}, above compinit where that is there"
        yield f"fpath=({_zsh_folder()} $fpath)"
        yield "autoload -Uz compinit && compinit"


def _data() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")


def _bash_folder() -> Path:
    own = os.environ.get("BASH_COMPLETION_USER_DIR", "").partition(":")[0]
    return (Path(own) if own else _data() / "bash-completion") / "completions"


def _zsh_folder() -> Path:
    return _data() / "zsh" / "site-functions"


def _fish_folder() -> Path:
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "fish" / "completions"


def _zshrc_path() -> Path:
    return Path(os.environ.get("ZDOTDIR") or Path.home()) / ".zshrc"


def _zshrc() -> str:
    try:
        return _zshrc_path().read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
