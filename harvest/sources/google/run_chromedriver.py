"""Supervisor of chromedriver: ends it, its browser and its files with the parent process.

Started by path: `python -I run_chromedriver.py FOLDER DRIVER ARGS`. Its standard input is a pipe
held by the parent. When the parent ends (even by kill -9) the pipe closes; then, or on SIGTERM, or
when the driver ends, all processes of the browser are killed and FOLDER is removed. POSIX only.
Imports nothing of ours, to start quickly.
"""

import ctypes
import os
import shutil
import signal
import sys
import threading
import time
from contextlib import suppress

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_REAP_TIMEOUT_SECONDS = 3.0


def main(folder: str, driver: str, *arguments: str) -> int:
    """Run the driver to its end; return its exit code."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    _adopt_orphans()
    try:
        # In its own process group, which the browser shares. Its number is that of the driver.
        group = os.posix_spawn(
            driver, [driver, *arguments], os.environ, setpgroup=0, setsigmask=[]
        )
        signal.signal(signal.SIGTERM, lambda *_: _kill(group))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        threading.Thread(target=_wait_for_parent, args=(group,), daemon=True).start()
        _, status = os.waitpid(group, 0)
        _kill(group)
        _reap()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    # Negative if a signal ended the driver.
    return abs(os.waitstatus_to_exitcode(status))


def _adopt_orphans() -> None:
    """Become the parent of orphans of the browser, so that they can be reaped (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_parent(group: int) -> None:
    # The parent writes nothing: an empty read says that its end of the pipe is closed.
    while os.read(0, 1024):
        pass
    _kill(group)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _reap() -> None:
    """Wait for killed processes, but not for a daemon that the browser may have started."""
    until = time.monotonic() + _REAP_TIMEOUT_SECONDS
    with suppress(ChildProcessError):
        while time.monotonic() < until:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
