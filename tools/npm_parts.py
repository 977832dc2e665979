"""Download the page's npm packages, pinned by `package-lock.json`.

    python tools/npm_parts.py

npm checks the hashes of the lock file. Only the files that the page loads are copied to
`page/vendor/`, with a gzipped copy. Imports nothing of Gleanset, because it runs before the
installation: at set-up and when the wheel is built.
"""

import gzip
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

FOLDER = Path(__file__).parents[1] / "webapp"
VENDOR = FOLDER / "page" / "vendor"
LOCK = "package-lock.json"
PARTS = (
    "onnxruntime-web/dist/ort.wasm.min.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.mjs",
    "onnxruntime-web/dist/ort-wasm-simd-threaded.wasm",
)
MISSING = 6


def are_current() -> bool:
    """Return whether the packages of the lock file are installed."""
    # The lock file is copied last: see `fetch_parts`.
    lock = VENDOR / LOCK
    return lock.is_file() and lock.read_bytes() == (FOLDER / LOCK).read_bytes()


def fetch_parts() -> bool:
    """Download the packages; return False if npm is missing.

    Raises `CalledProcessError` or `OSError`.
    """
    npm = shutil.which("npm")
    if npm is None:
        return False
    with TemporaryDirectory(prefix="gleanset-npm-") as folder:
        for name in ("package.json", LOCK):
            shutil.copy(FOLDER / name, folder)
        line = [
            npm,
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]
        subprocess.run(line, cwd=folder, check=True)  # noqa: S603 - the npm of this machine
        shutil.rmtree(VENDOR, ignore_errors=True)
        for part in PARTS:
            target = VENDOR / part.replace("/dist/", "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(folder, "node_modules", part), target)
            with gzip.GzipFile(f"{target}.gz", "wb", 9, mtime=0) as file:
                file.write(target.read_bytes())

    # Last, so that an interrupted run is repeated.
    shutil.copy(FOLDER / LOCK, VENDOR / LOCK)
    return True


def main() -> int:
    """Download missing packages; return the exit code."""
    if are_current():
        return 0
    try:
        if fetch_parts():
            return 0
        reason = "npm is not installed"
    except (OSError, subprocess.CalledProcessError) as error:
        reason = str(error)

    sys.stderr.write(
        f"{reason}: the page cannot run the model in the browser, only on the server\n"
        "hint: install npm, then run: python tools/npm_parts.py\n"
    )
    return MISSING


if __name__ == "__main__":
    sys.exit(main())
