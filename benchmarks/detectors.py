"""`facecrop run` with lbpcascade beside the well-known OpenCV script, and two workers beside one.

    python benchmarks/detectors.py --faces DIR --cascade FILE [--count 200] [--rounds 3]

The pictures of `DIR` are fitted into 960 x 540, multiplied to `--count` different JPEG files
and stored in a dataset. Then, in turn and several rounds: the real command `facecrop run` with
two workers and with one, and the script in two processes and in one. The script decodes,
converts to grey, equalises and calls detectMultiScale (1.1, 5, 24 x 24), in processes that
are started before the clock. Two rates are given: of the detector alone (decoding and
searching; for ours also hashes and crops), and of the whole command, with
the start of Python, processes and the catalogue; and the CPU time of the whole command with
all its processes, which is steadier where others use the machine. Ours also runs as the
script does, with `equalize=yes` and windows from 24 pixels on instead of 32. Ratios are
medians of the rounds.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from gleanset import Dataset, Origin
from gleanset.images.measure import measure

Figures = tuple[tuple[float, float, float], str]
OURS = "from facecrop.cli import main; main()"
SCRIPT = """
import sys, time, glob, cv2
from multiprocessing import get_context
def load(path):
    global cascade
    cv2.setNumThreads(1)
    cascade = cv2.CascadeClassifier(path)
def find(path):
    gray = cv2.equalizeHist(cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2GRAY))
    return len(cascade.detectMultiScale(gray, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24)))
if __name__ == "__main__":
    files = sorted(glob.glob(sys.argv[2] + "/*.jpg"))
    with get_context("spawn").Pool(int(sys.argv[3]), load, sys.argv[1:2]) as pool:
        pool.map(find, files[:4])
        began = time.perf_counter()
        found = sum(pool.imap_unordered(find, files))
    print(time.perf_counter() - began, found)
"""
INNER = """
import sys, time
import facecrop.search as job
began = {}
real = job.run_batches
def timed(plan, items, workers, *rest):
    items = list(items)
    for number, batch in enumerate(real(plan, items, workers, *rest)):
        # From the first answer on: the processes have started.
        began.setdefault("at", (time.perf_counter(), sum(1 for _ in batch)))
        began["end"] = time.perf_counter()
        yield batch
    at, before = began["at"]
    print(f"DETECTOR {began['end'] - at} {len(items) - before}", file=sys.stderr)
job.run_batches = timed
"""


def make_pictures(faces: Path, folder: Path, count: int) -> None:
    """`count` different files of 960 x 540."""
    sources = [path for path in sorted(faces.glob("*.jpg")) if not path.name.startswith("neg")]
    for number in range(count):
        with Image.open(sources[number % len(sources)]) as image:
            picture = image.convert("RGB")
        picture.thumbnail((960, 540), Image.Resampling.BOX)
        canvas = Image.new("RGB", (960, 540), (200, 200, 200))
        canvas.paste(picture, ((960 - picture.width) // 2, (540 - picture.height) // 2))
        canvas.putpixel((number % 960, number // 960), (255, 0, number % 256))
        canvas.save(folder / f"{number:05}.jpg", quality=88)


def make_dataset(pictures: Path, root: Path) -> None:
    """The same files as a dataset, as harvesting leaves it."""
    with Dataset.create(root) as dataset:
        store = dataset.originals(root / "cache" / "scratch")
        for path in sorted(pictures.glob("*.jpg")):
            data = path.read_bytes()
            measured = measure(data)
            store.put(measured.sha256, "JPEG", data)
            dataset.images.add(measured, Origin("folder", path.name))


def timed(line: list[str]) -> tuple[subprocess.CompletedProcess[str], float, float]:
    """Run a command; its seconds by the clock and by the CPU, with all its processes."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(line, check=True, capture_output=True, text=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done, seconds, cpu


def ours(root: Path, cascade: Path, workers: int, *options: str) -> Figures:
    """Pictures a second: detector alone, whole command; CPU ms a picture; what was printed."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "dataset"
        shutil.copytree(root, copy)
        code = INNER + OURS
        line = [
            sys.executable,
            "-c",
            code,
            "run",
            "-d",
            str(copy),
            "--detector",
            "lbpcascade",
            "--cascade",
            str(cascade),
            "--workers",
            str(workers),
            *options,
        ]
        done, seconds, cpu = timed(line)
    inner = next(line for line in done.stderr.splitlines() if line.startswith("DETECTOR"))
    alone, number = (float(word) for word in inner.split()[1:])
    count = len(list((root / "images").rglob("*.jpg")))
    return (number / alone, count / seconds, 1000 * cpu / count), done.stdout.strip()


def script(pictures: Path, cascade: Path, processes: int, code: Path) -> Figures:
    """The same of the script."""
    line = [sys.executable, str(code), str(cascade), str(pictures), str(processes)]
    done, seconds, cpu = timed(line)
    alone, found = done.stdout.split()
    count = len(list(pictures.glob("*.jpg")))
    return (count / float(alone), count / seconds, 1000 * cpu / count), f"{found} faces"


def main() -> None:
    """Make the pictures, run everything in turn, print medians and ratios."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--faces", type=Path, required=True)
    options.add_argument("--cascade", type=Path, required=True)
    options.add_argument("--count", type=int, default=200)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    with tempfile.TemporaryDirectory() as scratch:
        pictures, root = Path(scratch) / "pictures", Path(scratch) / "dataset"
        code = Path(scratch) / "script.py"
        code.write_text(SCRIPT)
        pictures.mkdir()
        make_pictures(given.faces, pictures, given.count)
        make_dataset(pictures, root)
        equal = ("-o", "lbpcascade.equalize=yes", "-o", "lbpcascade.smallest=24")
        runs = {
            "script, 2 processes": lambda: script(pictures, given.cascade, 2, code),
            "facecrop run, 2 workers": lambda: ours(root, given.cascade, 2),
            "facecrop run, 2 workers, as the script": lambda: ours(root, given.cascade, 2, *equal),
            "script, 1 process": lambda: script(pictures, given.cascade, 1, code),
            "facecrop run, 1 worker": lambda: ours(root, given.cascade, 1),
        }
        rates: dict[str, list[tuple[float, float, float]]] = {name: [] for name in runs}
        for _ in range(given.rounds):
            for name, run in runs.items():
                figures, said = run()
                rates[name].append(figures)
                print(f"{name:40} " + " ".join(f"{n:7.1f}" for n in figures), said, flush=True)
    report(rates)


def report(rates: dict[str, list[tuple[float, float, float]]]) -> None:
    """Medians, and their ratio to the script with as many processes."""
    print("\nmedians of pictures a second (detector, command), CPU ms a picture; ratios to script")
    for name, found in rates.items():
        middle = [statistics.median(column) for column in zip(*found, strict=True)]
        peer = rates["script, 1 process" if " 1 " in name else "script, 2 processes"]
        shown = [f"{n:7.1f}" for n in middle] + [f"{n:6.2f}" for n in ratios(found, peer)]
        print(f"{name:40} " + " ".join(shown))
    gains = ratios(rates["facecrop run, 2 workers"], rates["facecrop run, 1 worker"])
    print(f"two workers to one: detector {gains[0]:.2f}, command {gains[1]:.2f}")


def ratios(
    one: list[tuple[float, float, float]], other: list[tuple[float, float, float]]
) -> list[float]:
    """Medians of the ratios of runs that took place side by side."""
    pairs = list(zip(one, other, strict=True))
    return [statistics.median(a[at] / b[at] for a, b in pairs) for at in range(3)]


if __name__ == "__main__":
    main()
