#!/usr/bin/env python3
"""Set Gleanset up from a fresh checkout and run it. Needs Python 3.11 and nothing else.

    python3 bootstrap.py demo      the bundled sample, from a search to a judged model
    python3 bootstrap.py test      the test suite; with --all also what repeats a test at length
    python3 bootstrap.py install   only install, with everything

It makes .venv (or the folder in $GLEANSET_VENV), installs the project with what the command
needs, and system packages where it may (root on Debian or Ubuntu). A second run is quick.
"""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("GLEANSET_VENV", ROOT / ".venv")).absolute()
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
STAMP = VENV / "gleanset-installed"
# Program, library or file -> Debian package.
NEEDED = {"ffmpeg": "ffmpeg"}
# Without the browser only the source Google is not there, without npm what the page does on the
# device, without the rest only the window.
WANTED = {
    "npm": "npm",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libdbus-1.so.3": "libdbus-1-3",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf": "fonts-dejavu-core",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc": "fonts-noto-cjk",
}
# What only the tests of the real window use.
SCREEN = {"Xvfb": "xvfb", "xdotool": "xdotool"}
# With these, sites on this machine answer under the real names, also to a browser.
CERTIFICATES = {"openssl": "openssl", "certutil": "libnss3-tools"}
# With this, a disk as Windows has it.
DISKS = {"lowntfs-3g": "ntfs-3g"}
TESTS = WANTED | SCREEN | CERTIFICATES | DISKS
# What a command installs; each includes what those before it do.
EXTRAS = {"demo": ".[train]", "install": ".[all]", "test": ".[all,cluster,docs]"}
# A file system in memory, and the bytes that the tests of all processes keep at once, with room.
MEMORY = "/dev/shm"
WRITTEN_BY_TESTS = 6 * 2**30
PYTORCH = "https://pytorch.org/get-started/locally/"
USAGE = 2
MISSING = 6


def main() -> int:
    """Install what the command needs, then become it."""
    command, *rest = sys.argv[1:] or ["--help"]
    if command not in EXTRAS:
        print(__doc__)
        return 0 if command in ("-h", "--help") else USAGE
    if sys.version_info < (3, 11):  # noqa: UP036 - here an older Python may read us
        print("Gleanset needs Python 3.11 or newer: sudo apt-get install python3.11-venv")
        return MISSING
    if code := install_system_packages(NEEDED):
        return code
    wanted = {"demo": {}, "install": WANTED, "test": TESTS}[command]
    if install_system_packages(wanted):
        print("going on without them: they are for --source google, the page and the window")
    if code := install_project(command):
        return code
    if command == "demo":
        return run([BIN / "gleanset", "demo", *rest])
    # Parts of the page. It says itself what is missing; the server does without.
    run([BIN / "python", ROOT / "webapp" / "npm_parts.py"])
    if command == "test":
        return run_tests(rest)
    print(f"installed in {VENV}; now: source {BIN / 'activate'}")
    return 0


def run_tests(chosen: list[str]) -> int:
    """Run the chosen tests, or all but those marked long; with --all those, too."""
    # Each of some thousand processes would compile all that it imports, PyTorch included.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # More processes than cores: many tests wait for a server or a killed process.
    workers = (os.cpu_count() or 1) + 3
    pytest = [BIN / "python", "-m", "pytest", "-n", workers, "--dist", "worksteal"]
    if chosen == ["--all"]:
        os.environ["GLEANSET_TESTS_AT_LENGTH"] = "yes"
        return run(pytest)
    # Catalogues and files are synced thousands of times, and a disk takes milliseconds each.
    place = MEMORY if has_room(MEMORY) else None
    with TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as folder:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
        return run([*pytest, *(chosen or ["-m", "not long"])])


def has_room(folder: str) -> bool:
    """Whether a folder is there and takes all that tests write."""
    return Path(folder).is_dir() and shutil.disk_usage(folder).free > WRITTEN_BY_TESTS


def install_system_packages(wanted: dict[str, str]) -> int:
    """Install what is missing as root on Debian, else print the one line that does."""
    missing = sorted({package for name, package in wanted.items() if not is_there(name)})
    if not missing:
        return 0
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    may = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")
    if may and run(["apt-get", "update", "-qq"]) == 0 and run(install) == 0:
        return 0
    print("please install what is missing and run this again:\n  sudo", " ".join(install))
    return MISSING


def is_there(name: str) -> bool:
    """Whether a program, a shared library or a file is on this machine."""
    if ".so." not in name:
        return bool(shutil.which(name)) or Path(name).is_file()
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def install_project(command: str) -> int:
    """Make the environment and install into it, unless nothing has changed since."""
    wanted = EXTRAS[command]
    mark = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    done = STAMP.read_text().split() if STAMP.exists() else []
    if any(f"{mark}:{EXTRAS[one]}" in done for one in including(command)):
        return 0
    say_how_much()
    if not (BIN / "python").exists() and (code := run([sys.executable, "-m", "venv", VENV])):
        print("please install venv and run this again:\n  sudo apt-get install python3-venv")
        return code
    tools = [] if command == "demo" else development_tools()
    if code := install_packages(["--editable", wanted, *tools], compiled=command != "test"):
        return code
    STAMP.write_text(f"{mark}:{wanted}\n")
    return 0


def say_how_much() -> None:
    """Say what comes; pip and uv themselves show how far they are."""
    print(f"installing into {VENV}: about 1 GB to fetch, 3 GB on the disk", flush=True)
    if sys.platform == "linux" and not shutil.which("uv"):
        print(
            "  and 3 and 4 GB more for NVIDIA cards, which PyTorch brings along: not where uv is\n"
            f"  installed, or PyTorch was put there first as its own page says, {PYTORCH}",
            flush=True,
        )


def install_packages(wanted: list[str], *, compiled: bool) -> int:
    """Install by uv, which knows what build of PyTorch is for this machine; else by pip."""
    if uv := shutil.which("uv"):
        by_uv = [uv, "pip", "install", "--python", BIN / "python", "--torch-backend", "auto"]
        if run([*by_uv, *wanted]) == 0:
            return 0
        print("uv could not; going on with pip, which takes the build for NVIDIA cards", flush=True)
    pip = [BIN / "python", "-m", "pip", "install", "--disable-pip-version-check"]
    # Python compiles what is imported; all 18,000 files take a core a minute and a half.
    return run([*pip, *([] if compiled else ["--no-compile"]), *wanted])


def including(command: str) -> list[str]:
    """Return the commands that install at least what this one needs."""
    commands = list(EXTRAS)
    return commands[commands.index(command) :]


def development_tools() -> list[str]:
    """The packages of the `dev` group in pyproject.toml (older pips cannot read groups)."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return list(project["dependency-groups"]["dev"])


def run(command: list[object]) -> int:
    """Run a command from the project's folder; its exit code."""
    try:
        return subprocess.run([str(part) for part in command], cwd=ROOT, check=False).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
