"""The labeler's window beside other programs, each showing one folder of 20,000 pictures.

    python benchmarks/labeler_peers.py "labelme {folder}" "xanylabeling --filename {folder}"

Needs Xvfb: the windows are real ones, on a virtual display of their own. Each program is started
afresh on pictures of 128 x 128: ready is the last time that the screen changed by more than a
thousand pixels. A picture of each screen is left in --shots.
"""

from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve()
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "labeler")]

from virtual_display import Display, display  # noqa: E402

PICTURES, SIDE = 20_000, 128
QUIET_SECONDS, PATIENCE = 4.0, 90.0
CHANGED = 1000


def make_pictures(folder: Path, root: Path, number: int) -> None:
    """A folder of JPEG files, and a dataset whose samples they are, each as a whole."""
    from gleanset import Box, Dataset, Face, Origin
    from gleanset.images.cut import sample_key
    from gleanset.images.staging import StageBytes
    from gleanset.records import FaceCrop

    folder.mkdir()
    dice = np.random.default_rng(1)
    with Dataset.create(root) as dataset, dataset.stage("bench") as scratch:
        keep = StageBytes(dataset.originals(scratch))
        for start in range(0, number, 500):
            rows = []
            for place in range(start, min(number, start + 500)):
                small = dice.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(small).resize((SIDE, SIDE)).save(buffer, "JPEG")
                (folder / f"{place:05}.jpg").write_bytes(buffer.getvalue())
                rows.append((place, keep(buffer.getvalue())))
            with dataset.db.write():
                for place, measure in rows:
                    box = Box(0, 0, SIDE, SIDE)
                    dataset.take_original(
                        keep.store, measure, Origin("folder", str(place), title=f"{place}.jpg")
                    )
                    key = sample_key(measure.sha256, box)
                    cut = FaceCrop(Face("whole", box, 1.0), key, box, place, 1.0)
                    dataset.faces.record(measure.sha256, "whole", "bench", [cut])


def ready(command: list[str], screen: Display, shot: Path) -> dict[str, float]:
    """Start a program; when the screen came to rest, and what the program had taken by then."""
    while np.count_nonzero(screen.pixels()) > CHANGED:
        time.sleep(0.2)  # the last program's window is still to be seen
    before, start = screen.pixels(), time.monotonic()
    last, empty, shown = start, before, False
    process = subprocess.Popen(
        command,
        env=screen.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while time.monotonic() - start < PATIENCE:
            time.sleep(0.05)
            now = screen.pixels()
            if np.count_nonzero(now != before) > CHANGED:
                last, before = time.monotonic(), now
            shown = np.count_nonzero(now != empty) > now.size // 10
            if shown and time.monotonic() - last > QUIET_SECONDS:
                break
        taken = tree_memory(process.pid)
        save(before, shot)
    finally:
        os.killpg(process.pid, 15)
        process.wait()
    return {"seconds": last - start if shown else float("nan"), "MB": taken}


def save(pixels: np.ndarray, file: Path) -> None:
    """For a look at what was shown."""
    parts = [(pixels >> shift & 255).astype(np.uint8) for shift in (16, 8, 0)]
    Image.fromarray(np.stack(parts, -1)).save(file)


@contextmanager
def manager(env: dict[str, str]) -> Iterator[None]:
    """A window manager, where there is one: some programs have odd sizes without."""
    if not shutil.which("openbox"):
        yield
        return
    process = subprocess.Popen(["openbox"], env=env, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        yield
    finally:
        process.terminate()
        process.wait()


def tree_memory(pid: int) -> float:
    """MB of a process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    rss = (
        int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    )
    return rss + sum(tree_memory(int(one)) for one in children)


def beside(peers: list[str], rounds: int, shots: Path) -> None:
    """Everyone in turn, several times."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        folder, root = scratch / "pictures", scratch / "dataset"
        make_pictures(folder, root, PICTURES)
        main = "from labeler.cli import main; main()"
        ours = [sys.executable, "-c", main, "-d", str(root)]
        commands = {"gleanset": ours} | {
            Path(shlex.split(peer)[0]).name: shlex.split(peer.format(folder=folder))
            for peer in peers
        }
        found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
        with display(scratch) as screen, manager(screen.env):
            screen.env["PYTHONPATH"] = str(HERE.parents[1])
            for _ in range(rounds + 1):  # the first warms up files and first-run settings
                for who, command in commands.items():
                    found[who].append(ready(command, screen, shots / f"{who}.png"))
        for who, runs in found.items():
            times = [run["seconds"] for run in runs[1:]]
            sys.stdout.write(
                f"| {who} | {median(times):.1f} s | best {min(times):.1f} s | "
                f"{median(run['MB'] for run in runs[1:]):.0f} MB |\n"
            )


def main() -> None:
    """Measure everyone in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peers", nargs="*", help="commands that show {folder}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shots", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    beside(given.peers, given.rounds, given.shots)


if __name__ == "__main__":
    main()
