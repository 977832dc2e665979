"""Tools for the tests of several packages: drawn images, commands in processes of their own."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
# The shell without a window takes half the time of the whole browser.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None or find_spec("playwright") is None,
    reason="needs chromium and playwright",
)
# Set by `bootstrap.py test --all`, for tests that try examples.
AT_LENGTH = "GLEANSET_TESTS_AT_LENGTH" in os.environ
WITHOUT_POSIX = os.name == "nt" or "without_posix" in os.environ.get("PYTHONPATH", "")
TARS = {"tar": "w:", "tar.gz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}


# Imports of the workers of most tests: they take longer than the work itself.
WORK = (
    "facecrop.search",
    "gleanset.images.staging",
    "gleanset.work.processes",
    "harvest.archives",
    "harvest.folder",
    "labeler.duplicates.verification",
    "labeler.export.job",
    "labeler.quality.assessment",
    "labeler.web.serving",
    "scipy.cluster.hierarchy",
    "webapp.model_process",
    "preload_hashes",
)

Server = TypeVar("Server", bound=ThreadingHTTPServer)


class Ran(NamedTuple):
    """The exit code and output of a process."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object in the last line of stdout (`--json`)."""
        return json.loads(self.stdout.splitlines()[-1])

    def checked(self) -> Ran:
        """Return this; fail if the command has failed."""
        assert self.code == 0, self.stderr
        return self

    def refused(self, code: int, *texts: str) -> Ran:
        """Return this; fail unless the command has exited with this code and these messages."""
        assert self.code == code, self.stderr
        assert [text for text in texts if text not in self.stderr] == [], self.stderr
        assert "Traceback" not in self.stderr
        return self


def pixels(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """Draw a smooth colorful image; each seed looks different."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """Return an image file with these options of Pillow."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif_orientation(value: object) -> Image.Exif:
    """Return EXIF data with this orientation alone."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def picture(
    seed: int = 0, size: tuple[int, int] = (64, 48), kind: str = "JPEG", **options: Any
) -> bytes:
    """Return the bytes of an image drawn by `pixels`."""
    return encode(pixels(seed, size), kind, **options)


def write_pictures(
    folder: Path,
    names: Iterable[str] | int,
    first: int = 0,
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Write drawn images with seeds from `first`, or as many named after their seeds."""
    if isinstance(names, int):
        names = [f"{seed}.jpg" for seed in range(first, first + names)]
    for seed, name in enumerate(names, first):
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(
            picture(seed, size, "PNG" if file.suffix == ".png" else "JPEG")
        )
    return folder


def make_archive(path: Path, files: dict[str, bytes]) -> Path:
    """Make an archive of the type that its name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, TARS[path.name.partition(".")[2]]) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def read_files(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files below a folder, by path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def drawn_video(path: Path, source: str, *options: str) -> Path:
    """Write a video from an ffmpeg `lavfi` source; `options` are output options."""
    line = [
        "ffmpeg",
        "-v",
        "error",
        "-y",
        "-f",
        "lavfi",
        "-i",
        source,
        *options,
        f"file:{path}",
    ]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
    return path


def command(module: str, *args: str | bytes | Path) -> list[str | bytes]:
    """Return the command line that runs a console module of this checkout."""
    code = (
        f"from gleanset.cli import main; from {module} import commands; main(commands)"
    )
    return [sys.executable, "-c", code, *(os.fsencode(a) for a in args)]


def python_path(*folders: str | Path) -> str:
    """Return PYTHONPATH with `folders`, this checkout and the inherited entries."""
    places = (*map(str, folders), str(ROOT), os.environ.get("PYTHONPATH", ""))
    return os.pathsep.join(filter(None, places))


def start_cli(
    module: str, *args: str | bytes | Path, **options: Any
) -> subprocess.Popen[str]:
    """Start a command as `run_cli` does; `options` may keep its output, which is dropped."""
    environment = {"PYTHONPATH": python_path(), **options.pop("environment", {})}
    return subprocess.Popen(
        command(module, *args),
        env=os.environ | environment,
        text=True,
        **{"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options},
    )


def run_cli(
    module: str,
    *args: str | bytes | Path,
    cwd: Path | None = None,
    timeout: float = 120,
    prefix: tuple[str, ...] = (),
    **environment: str,
) -> Ran:
    """Run `harvest.cli` or another command; `environment` is added to the current one."""
    line = [*prefix, *command(module, *args)]
    return run_to_its_end(
        line, cwd, {"PYTHONPATH": python_path(), **environment}, timeout
    )


def run_to_its_end(
    line: list[str | bytes],
    cwd: Path | None,
    environment: dict[str, str],
    timeout: float,
) -> Ran:
    """Run a Python process; on timeout abort it with a traceback."""
    with subprocess.Popen(
        line,
        cwd=cwd,
        env={**os.environ, "PYTHONFAULTHANDLER": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="backslashreplace",
    ) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            out, err = process.communicate(timeout=10)
            pytest.fail(f"not at its end after {timeout} s: {line}\n{out}\n{err}")
        finally:
            process.kill()
    return Ran(process.returncode, out, err)


def run_here(
    module: str,
    *args: str | bytes | Path,
    cwd: Path | None = None,
    console: str = "utf-8",
    **environment: str,
) -> Ran:
    """Run a command as `run_cli` does, but faster, in this process.

    Only for commands that end normally: kills, interrupts and mounts need their own process.
    """
    from gleanset.cli import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding=console) for _ in range(2))
    root = logging.getLogger()
    thresholds = gc.get_threshold()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [module, *map(os.fsdecode, args)])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        # A command adds no log handler where there is one.
        patch.setattr(root, "handlers", [])
        patch.setattr(root, "level", root.level)
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.chdir(cwd or Path.cwd())
        try:
            main(import_module(module).commands)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        finally:
            gc.set_threshold(*thresholds)
        out.flush()
        err.flush()
    message = (stream.buffer.getvalue() for stream in (out, err))  # type: ignore[attr-defined]
    return Ran(
        code, *(text.decode(console, errors="backslashreplace") for text in message)
    )


def start_server_of_workers() -> None:
    """Start the process that forks all workers of this one, with their imports."""
    if sys.platform != "linux":
        return
    forkserver.set_forkserver_preload(["__main__", *WORK])
    with pytest.MonkeyPatch.context() as patch:
        # The server ignores `sys.path`, and modules that it does not find.
        patch.setenv("PYTHONPATH", python_path(ROOT / "tests"))
        forkserver.ensure_running()


class QuietHandler(BaseHTTPRequestHandler):
    """A request handler that logs nothing."""

    def begin_answer(self, status: int, *headers: tuple[str, object]) -> None:
        """Send the status and the headers; the caller writes the body."""
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class LoopbackServer(ThreadingHTTPServer):
    """An HTTP server on a free port of this machine, whose clients may hang up."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Ignore clients that hang up: the tests do so on purpose."""


@contextmanager
def running(server: Server) -> Iterator[Server]:
    """Serve until the end of the block."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def self_signed(folder: Path, *names: str) -> Path:
    """Make `cert.pem` and `key.pem` for names (`DNS:…`, `IP:…`); return the former."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program to make a certificate")
    openssl = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout key.pem"
    subprocess.run(
        [
            *openssl.split(),
            "-out",
            "cert.pem",
            "-addext",
            f"subjectAltName={','.join(names)}",
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"


def python(code: str, *args: str | Path) -> subprocess.Popen[str]:
    """Start a Python process of this checkout with pipes for its streams."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        env={**os.environ, "PYTHONPATH": python_path()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def examples(few: int, many: int) -> int:
    """Return the number of examples to try: `many` in full runs only."""
    return many if AT_LENGTH else few


def is_running(pid: int) -> bool:
    """Return whether a process has not ended, also one of another parent."""
    with suppress(OSError):
        return (
            Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )
    return False


def eventually(holds: Callable[[], bool], seconds: float = 60) -> bool:
    """Wait until a condition holds; return whether it did, despite stalls."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return holds()


def wait_for(page: Any, script: str, seconds: float = 60) -> Any:
    """Wait until the value of a script in a browser is true, and return it.

    The page's policy forbids Playwright's own wait, and polls from here would cost more.
    """
    value = page.evaluate(f"""(async () => {{
        const end = performance.now() + {1000 * seconds};
        for (;;) {{
            const value = await ({script});
            if (value || performance.now() > end) return value;
            await new Promise((done) => setTimeout(done, 20));
        }}
    }})()""")
    assert value, f"never: {script}"
    return value


def build_wheels(source: Path, out: Path) -> None:
    """Build the wheel of a source folder with the installed hatchling, offline."""
    options = ("--no-deps", "--no-build-isolation", "-q", "-w", out)
    pip = (sys.executable, "-m", "pip", "wheel", *options, source)
    subprocess.run(pip, check=True)
