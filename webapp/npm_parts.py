"""Fetches the parts of the page that are not ours, by npm, as `package-lock.json` pins them.

    python webapp/npm_parts.py

npm compares what it fetches with the hashes of the lock file. Only what the page asks for is copied
to `page/vendor/`, with a smaller copy (gzip) beside it. Knows nothing of the rest of Gleanset, so
that it runs before that is installed: at set-up and when the wheel is built.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
VENDOR = HERE / "page" / "vendor"
LOCK = "package-lock.json"
PARTS = (
    "onnxruntime-web/dist/ort.wasm.min.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
)
MISSING = 6


def are_current() -> bool:
    """Return whether the parts of the lock file are there."""
    copied = VENDOR / LOCK
    return copied.is_file() and copied.read_bytes() == (HERE / LOCK).read_bytes()


def fetch_parts() -> bool:
    """Fetch the parts; False where npm is missing. Raises what npm and the disk raise."""
    npm = shutil.which("npm")
    if npm is None:
        return False
    with TemporaryDirectory(prefix="gleanset-npm-") as folder:
        for name in ("package.json", LOCK):
            shutil.copy(HERE / name, folder)
        line = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        subprocess.run(line, cwd=folder, check=True)  # noqa: S603 - the npm of this machine
        shutil.rmtree(VENDOR, ignore_errors=True)
        for part in PARTS:
            _copy(Path(folder, "node_modules", part), VENDOR / part.replace("/dist/", "/"))
    # Last, so that what was stopped is fetched again.
    shutil.copy(HERE / LOCK, VENDOR / LOCK)
    return True


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    with gzip.GzipFile(f"{target}.gz", "wb", 9, mtime=0) as packed:
        packed.write(source.read_bytes())


def main() -> int:
    """Fetch what is not there; the exit code."""
    if are_current():
        return 0
    try:
        if fetch_parts():
            return 0
        why = "npm is not installed"
    except (OSError, subprocess.CalledProcessError) as error:
        why = str(error)
    sys.stderr.write(
        f"{why}: the page finds no faces and knows nobody on the device, the server does\n"
        "  -> install npm, then: python webapp/npm_parts.py\n"
    )
    return MISSING


if __name__ == "__main__":
    sys.exit(main())
