"""Whom a presort follows, until when, and how it is asked while it does.

Whoever started it holds the other end of its stdin, which the operating system closes when that
program dies, however it does. Who follows a dataset holds a lock that says so, besides that of the
stage. Who wants a presort then leaves a request in the dataset's cache, a small file that is
touched as long as somebody waits, and reads the answer. A request that nobody touches is left over
from a program that died, or came along with a copied dataset: it is removed unread.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from baseline.settings import Settings, settings_from
from gleanset import Dataset
from gleanset.errors import DatasetBusy, GleansetError, InputUnusable
from gleanset.files.atomic import write_atomic
from gleanset.work.progress import Progress
from gleanset.work.stage import hold

STAGE = "presort"
FOLLOWER = "presort-follow"
"""The lock of whoever follows a dataset."""
ASKED, ANSWERED = ".asked", ".answered"
STALE = 5.0
"""Seconds after which a request that nobody touches is nobody's."""
POLL = 0.1
STANDBY = 1.0
STANDING_BY = "another window learns on this dataset: this one goes on where it ends"
REST = 0.5
"""Seconds in which one that waits ends by itself; one that works is interrupted then."""
SOON = 0.1
"""Seconds within which the end of stdin is noticed, where SIGTERM came with it."""
GRACE = 3.0
"""Seconds after which one that computes on and on is ended all the same: nothing is lost by it."""


class FollowedProgram:
    """The program that this one ends with."""

    def __init__(self) -> None:
        self._ended = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long for its end; return whether it is gone."""
        return self._ended.wait(seconds)

    def listen(self) -> None:
        """Wait for the end of stdin, and see to it that this program ends too: a thread's work."""
        with suppress(OSError, ValueError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        self._ended.set()
        time.sleep(REST)
        signal.raise_signal(signal.SIGINT)
        time.sleep(GRACE)
        os._exit(0)


@contextmanager
def following() -> Iterator[FollowedProgram]:
    """Follow until the block ends; an interrupt by the end of the other program ends it quietly.

    SIGTERM ends it as Ctrl-C does. Used in the main thread. Where the other program has ended, so
    does this one, at the end of the block: there is nobody left to tell anything, and to put away
    what was loaded takes longer than a window waits.
    """
    program = FollowedProgram()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=program.listen, name="stdin", daemon=True).start()
    try:
        yield program
    except KeyboardInterrupt:
        if not program.wait(SOON):
            raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if program.ended:
        os._exit(0)


class PresortRequest(NamedTuple):
    """Somebody wants a presort with these settings."""

    token: str
    settings: Settings


class PresortRequests:
    """The requests and answers in one cache."""

    def __init__(self, cache: Path) -> None:
        self._cache, self._folder = cache, cache / "following"

    def waiting(self) -> Iterator[PresortRequest]:
        """Yield the requests that somebody waits for; others are removed."""
        for path in sorted(self._folder.glob(f"*{ASKED}")):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > STALE:
                    path.unlink()
                    continue
                token = path.name.removesuffix(ASKED)
                try:
                    yield PresortRequest(token, settings_from(_read(path)))
                except GleansetError as error:
                    self.refuse(token, error)

    def answer(self, token: str, figures: Mapping[str, object]) -> None:
        """Give the figures of a presort."""
        self._write(token, {"figures": figures})

    def refuse(self, token: str, error: GleansetError) -> None:
        """Say why there is none."""
        self._write(token, {"error": error.what, "mend": error.mend})

    def _write(self, token: str, answer: Mapping[str, object]) -> None:
        write_atomic(self._folder / f"{token}{ANSWERED}", json.dumps(answer).encode())
        (self._folder / f"{token}{ASKED}").unlink(missing_ok=True)

    def ask(self, settings: Settings) -> dict[str, object] | None:
        """Return the figures of a presort that the follower made; None where it has gone.

        Raises `InputUnusable` with what the follower says.
        """
        token = secrets.token_hex(8)
        asked, answered = (self._folder / f"{token}{end}" for end in (ASKED, ANSWERED))
        wanted = json.dumps(settings.to_json()).encode()
        write_atomic(asked, wanted)
        try:
            while not answered.exists():
                try:
                    os.utime(asked)
                except FileNotFoundError:
                    # Answered just now, or taken for nobody's while this computer or program slept.
                    if not answered.exists():
                        write_atomic(asked, wanted)
                if not is_followed(self._cache) and not answered.exists():
                    return None
                time.sleep(POLL)
            answer = _read(answered)
        finally:
            for path in (asked, answered):
                path.unlink(missing_ok=True)
        if "error" in answer:
            raise InputUnusable(str(answer["error"]), str(answer.get("mend", "")))
        figures: dict[str, object] = answer.get("figures", {})
        return figures


@contextmanager
def alone(dataset: Dataset, progress: Progress, program: FollowedProgram) -> Iterator[bool]:
    """Wait until nobody else follows or presorts the dataset, and keep others from it.

    Gives False where the program ended before. One refusal is not told: `is_followed` takes the
    lock for an instant to find out.
    """
    refusals = 0
    with ExitStack() as held, ExitStack() as waiting:
        while not program.ended:
            try:
                held.enter_context(hold(dataset.cache, FOLLOWER))
                held.enter_context(dataset.stage(STAGE))
                break
            except DatasetBusy:
                held.close()  # a lock is given back before it waits
            refusals += 1
            if refusals == 2:
                progress.say(STANDING_BY)
                waiting.enter_context(progress.meter("standby", unit=" presorts"))
            program.wait(STANDBY if refusals > 1 else POLL)
        waiting.close()
        yield not program.ended


def is_followed(cache: Path) -> bool:
    """Return whether somebody follows the dataset with this cache."""
    try:
        with hold(cache, FOLLOWER):
            return False
    except DatasetBusy:
        return True


def _read(path: Path) -> dict[str, Any]:
    """Return the object in a file; an empty one where there is none that can be read."""
    with suppress(ValueError):
        found = json.loads(path.read_bytes())
        if isinstance(found, dict):
            return found
    return {}
