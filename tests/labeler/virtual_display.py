"""A virtual X display with its pixels, and xdotool to move its mouse."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

WIDTH = 1440
HEIGHT = 900
STEPS = 8
LATE = 30.0
"""Seconds after which a drag that has not arrived is released anyway."""


class Display(NamedTuple):
    """A display: `env` for its clients, `frame` is Xvfb's framebuffer file."""

    env: dict[str, str]
    frame: Path

    def pixels(self) -> NDArray[np.uint32]:
        """Return the screen as 0xRRGGBB, height x width, without the xwd header."""
        data = np.fromfile(self.frame, dtype=np.uint8)[-WIDTH * HEIGHT * 4 :]
        return data.view(np.uint32).reshape(HEIGHT, WIDTH) & 0xFFFFFF

    def hand(self, *words: str | int) -> None:
        """Run one xdotool command."""
        subprocess.run(["xdotool", *map(str, words)], env=self.env, check=True)

    def drag(
        self,
        start: tuple[int, int],
        end: tuple[int, int],
        *,
        arrived: Callable[[], bool] = lambda: True,
    ) -> None:
        """Drag in steps as a user does; release once it has `arrived`."""
        self.hand("mousemove", *start)
        time.sleep(0.7)  # an earlier press would be a double click
        self.hand("mousedown", 1)
        time.sleep(0.3)
        for step in range(1, STEPS + 1):
            way = [a + (b - a) * step // STEPS for a, b in zip(start, end, strict=True)]
            self.hand("mousemove", *way)
            time.sleep(0.1)
        late = time.monotonic() + LATE
        for nudge in cycle((1, 0)):
            self.hand("mousemove", end[0] + nudge, end[1] + nudge)
            time.sleep(0.4)
            if arrived() or time.monotonic() > late:
                break
        self.hand("mouseup", 1)


@contextmanager
def display(scratch: Path) -> Iterator[Display]:
    """Start Xvfb on a free number; clients have the empty home `scratch`."""
    reader, writer = os.pipe()
    # -noreset: xdotool would find no display while it resets after its last client.
    options = f"-noreset -displayfd {writer} -screen 0 {WIDTH}x{HEIGHT}x24 -fbdir"
    server = subprocess.Popen(
        ["Xvfb", *options.split(), str(scratch)],
        pass_fds=[writer],
        stderr=subprocess.DEVNULL,
    )
    os.close(writer)
    try:
        with os.fdopen(reader) as result:
            number = result.readline().strip()
        env = {
            **os.environ,
            "DISPLAY": f":{number}",
            "HOME": str(scratch),
            "XDG_CONFIG_HOME": str(scratch / "config"),
        }
        env.pop("QT_QPA_PLATFORM", None)
        yield Display(env, scratch / "Xvfb_screen0")
    finally:
        server.terminate()
        server.wait()
