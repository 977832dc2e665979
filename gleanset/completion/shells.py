"""The shells that may ask: what each sends and wants to hear, and the script that makes it ask.

click knows what could stand at the cursor; its own scripts put values on the line as they are,
where a name with a space or `$(…)` would be words or a command. Ours are told names as data and
write them quoted.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import ClassVar

from click.shell_completion import CompletionItem, ShellComplete, add_completion_class

from gleanset.completion.words import TypedWord, replacement, typed_words

Items = list[CompletionItem[str]]

MARK = "# Made by: gleanset completion"
"""How a line of every script begins: what has none is not ours."""

_PATHS = ("file", "dir")


class _Shell(ShellComplete):
    """One that sends the words up to the cursor, the program first, and wants a line for each."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words behind the program, and the one under the cursor."""
        *before, last = self.words()
        return [word.value for word in before], last.value

    def words(self) -> list[TypedWord]:
        """Return the words behind the program as they were typed."""
        words = os.environ.get("GLEANSET_WORDS", "").split("\n")
        return [typed_words(word)[-1] for word in words[1:]] or [TypedWord("", "")]

    def get_completions(self, args: list[str], incomplete: str) -> Items:
        """Return what could stand there; of `--option=val` with what stands before."""
        name, equals, _ = incomplete.partition("=")
        joined = f"{name}=" if equals and name.startswith("--") else ""
        found: Items = super().get_completions(args, incomplete)
        return [
            item
            if item.type in _PATHS
            else CompletionItem(f"{joined}{item.value}", item.type, item.help)
            for item in found
        ]

    def source(self) -> str:
        """Return the script of this one program."""
        return script(self.name, [self.prog_name])


class Bash(_Shell):
    """Inserts what it is told as it is, so it is told it quoted."""

    name: ClassVar[str] = "bash"

    def words(self) -> list[TypedWord]:
        """Return the words of the line; what stands before the program, such as a variable, not."""
        words = typed_words(os.environ.get("GLEANSET_LINE", ""))
        names = [PurePath(word.value).name for word in words[:-1]]
        start = names.index(self.prog_name) + 1 if self.prog_name in names else 1
        return words[start:] or [TypedWord("", "")]

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return a kind, and what takes the place of the word under the cursor."""
        if item.type in _PATHS:
            return f"{item.type} "
        breaks = os.environ.get("GLEANSET_BREAKS", "")
        return f"= {replacement(self.words()[-1], item.value, breaks)}"


class Zsh(_Shell):
    """Quotes what it inserts; with a tab and what it means behind it."""

    name: ClassVar[str] = "zsh"

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return a kind, the value, and what it means."""
        if item.type in _PATHS:
            return f"{item.type} "
        return f"= {item.value}\t{_one_line(item.help)}"


class Fish(Zsh):
    """As zsh; the words before the cursor come as they are meant."""

    name: ClassVar[str] = "fish"

    def words(self) -> list[TypedWord]:
        """Return the words behind the program, and the one under the cursor as it was typed."""
        words = os.environ.get("GLEANSET_WORDS", "").split("\n")[1:]
        current = typed_words(os.environ.get("GLEANSET_WORD", ""))[-1]
        return [*(TypedWord(word, word) for word in words), current]


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def register() -> None:
    """Let click ask these instead of its own."""
    for shell in (Bash, Zsh, Fish):
        add_completion_class(shell)


def script(shell: str, programs: Sequence[str]) -> str:
    """Return what makes a shell ask these programs."""
    mark = f"{MARK} {shell}"
    if shell == "zsh":
        names = " ".join(programs)
        return "\n".join([f"#compdef {names}", mark, "", _ZSH.replace("PROGRAMS", names)])
    template = _BASH if shell == "bash" else _FISH
    parts = (
        template.replace("PROGRAM", program).replace("VARIABLE", f"_{program.upper()}_COMPLETE")
        for program in programs
    )
    return "\n".join([mark, "", *parts])


_BASH = """\
_gleanset_complete_PROGRAM() {
    local word
    COMPREPLY=()
    while IFS= read -r word; do
        case $word in
            "= "*) COMPREPLY+=("${word:2}") ;;
            "file ") compopt -o default ;;
            "dir ") compopt -o dirnames ;;
        esac
    done < <(VARIABLE=bash_complete GLEANSET_LINE="${COMP_LINE:0:COMP_POINT}" \\
        GLEANSET_BREAKS="$COMP_WORDBREAKS" "$1" 2>/dev/null)
}
complete -o nosort -F _gleanset_complete_PROGRAM PROGRAM
"""

_ZSH = """\
_gleanset_programs() {
    local program=${${(Q)words[1]}:t} line value
    local -a values shown
    local -i files=0 dirs=0
    while IFS= read -r line; do
        case $line in
            ("= "*)
                value=${${line#= }%%$'\\t'*}
                values+=("$value")
                line=${line#*$'\\t'}
                shown+=("$value${line:+  -- $line}")
                ;;
            ("file ") files=1 ;;
            ("dir ") dirs=1 ;;
        esac
    done < <(env "_${${(U)program}//-/_}_COMPLETE=zsh_complete" \\
        "GLEANSET_WORDS=${(pj:\\n:)words[1,CURRENT-1]}"$'\\n'"$IPREFIX$QIPREFIX$PREFIX" \\
        "${(Q)words[1]}" 2>/dev/null)
    (( $#values )) && compadd -l -V gleanset -d shown -a values
    (( files )) && _files
    (( dirs )) && _files -/
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _gleanset_programs "$@"
else
    compdef _gleanset_programs PROGRAMS
fi
"""

_FISH = """\
function __gleanset_complete_PROGRAM
    set -l words (commandline -opc)
    set -l current (commandline -ct | string collect)
    for line in (env VARIABLE=fish_complete GLEANSET_WORD="$current" \\
            GLEANSET_WORDS=(string join \\n -- $words | string collect) $words[1] 2>/dev/null)
        switch $line
            case '= *'
                string sub -s 3 -- $line
            case 'file *'
                __fish_complete_path "$current"
            case 'dir *'
                __fish_complete_directories "$current"
        end
    end
end
complete -c PROGRAM -f -k -a '(__gleanset_complete_PROGRAM)'
"""
