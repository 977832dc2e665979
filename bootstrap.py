#!/usr/bin/env python3
"""Set up Gleanset from a fresh checkout and run it. Needs only Python 3.11 or newer.

    python3 bootstrap.py demo             run the demo on the bundled sample, from search to model
    python3 bootstrap.py install          install everything except PyTorch
    python3 bootstrap.py install --train  install PyTorch too, for the presets other than transfer
    python3 bootstrap.py test             install what tests need, run them; --all: also long ones

Each command creates .venv (or the folder in $GLEANSET_VENV) and installs the project with the
extras it needs. System packages are installed if possible (root on Debian or Ubuntu), otherwise the
command that installs them is printed. A second run skips what is already installed.
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
# Each dictionary maps a program, library or file to its Debian package.
REQUIRED = {"ffmpeg": "ffmpeg"}
# The browser is for `--source google`, npm for the page's on-device mode, the rest for the window.
OPTIONAL = {
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
# For tests: a virtual display, certificates for local copies of the sites, an NTFS file system,
# readers of XMP.
TEST_ONLY = {
    "Xvfb": "xvfb",
    "xdotool": "xdotool",
    "openssl": "openssl",
    "certutil": "libnss3-tools",
    "lowntfs-3g": "ntfs-3g",
    "exiv2": "exiv2",
    "exiftool": "libimage-exiftool-perl",
}
# Pages are tested in it in half the time. Not every release has it.
HEADLESS_BROWSER = {"chromium-headless-shell": "chromium-headless-shell"}
INSTALL_ALL = "install --train"
OPTIONAL_PACKAGES = {
    "demo": {},
    "install": OPTIONAL,
    INSTALL_ALL: OPTIONAL,
    "test": OPTIONAL | TEST_ONLY,
}
# What each command installs. Each includes everything that the ones before it install.
EXTRAS = {
    "demo": ".[transfer,web]",
    "install": ".[transfer,google,gui,video,formats,parquet,onnx,web]",
    INSTALL_ALL: ".[all]",
    "test": ".[all,docs,tensorboard]",
}
# What each installs, and how much disk space it needs.
SIZES = {
    "demo": "0.6 GB",
    "install": "1.3 GB",
    INSTALL_ALL: "6.7 GB, 2.7 GB without a GPU",
    "test": "7.5 GB, 3.5 GB without a GPU",
}
# A file system in memory, and what the tests of all processes may write there at the same time.
MEMORY_FOLDER = "/dev/shm"
MAX_TEST_BYTES = 6 * 2**30
PYTORCH_URL = "https://pytorch.org/get-started/locally/"
EXIT_USAGE = 2
EXIT_MISSING_COMPONENT = 6


def main() -> int:
    """Install what the command needs, then run it."""
    command, arguments = split_command(sys.argv[1:])
    if command not in EXTRAS:
        print(__doc__)
        return 0 if command in ("-h", "--help") else EXIT_USAGE
    if sys.version_info < (3, 11):  # noqa: UP036 - an older Python may run this file
        print(
            "Gleanset needs Python 3.11 or newer: sudo apt-get install python3.11-venv"
        )
        return EXIT_MISSING_COMPONENT
    if exit_code := install_system_packages(REQUIRED):
        return exit_code
    if install_system_packages(OPTIONAL_PACKAGES[command]):
        print(
            "continuing without them: only --source google, the page and the window need them"
        )
    if exit_code := install_project(command):
        return exit_code
    if command == "demo":
        return run([BIN / "gleanset", "demo", *arguments])
    # Without npm the page works on the server only; the script prints how to install it.
    run([BIN / "python", ROOT / "tools" / "npm_parts.py"])
    if command == "test":
        return run_tests(arguments)
    print(f"installed in {VENV}; now run: source {BIN / 'activate'}")
    return 0


def split_command(words: list[str]) -> tuple[str, list[str]]:
    """Return a key of `EXTRAS`, or another word, and the arguments of what it runs."""
    if words[:1] == ["install"]:
        return " ".join(words), []
    return (words[0] if words else "--help"), words[1:]


def run_tests(arguments: list[str]) -> int:
    """Run the selected tests, by default all but the long ones; with --all those too."""
    # Otherwise each of about a thousand processes would compile its imports again.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # A plugin of hypothesis imports trio, which no test uses: a second of every process.
    os.environ["HYPOTHESIS_NO_PLUGINS"] = "1"
    install_system_packages(HEADLESS_BROWSER)
    # More processes than cores: many tests wait for a server or a killed process. Each of them
    # takes 12 CPU seconds to collect the tests.
    worker_count = (os.cpu_count() or 1) + 2
    pytest = [BIN / "python", "-m", "pytest", "-n", worker_count, "--dist", "worksteal"]
    # Only collecting tests compiles those of this folder.
    is_new_checkout = not (ROOT / "tests" / "docs" / "__pycache__").exists()
    if is_new_checkout and arguments in ([], ["--all"]):
        compile_tests()
    if arguments == ["--all"]:
        os.environ["GLEANSET_TESTS_AT_LENGTH"] = "yes"
        return run(pytest)
    # Tests sync catalogues and files thousands of times, which takes milliseconds each on a disk.
    parent = MEMORY_FOLDER if has_room_for_tests(MEMORY_FOLDER) else None
    with TemporaryDirectory(dir=parent, ignore_cleanup_errors=True) as folder:
        os.environ["PYTEST_DEBUG_TEMPROOT"] = folder
        return run([*pytest, *arguments])


def compile_tests() -> None:
    """Collect the tests of a new checkout once, which compiles them and their imports.

    Otherwise each process of the run would: 13 CPU seconds, without PyTorch and other libraries.
    """
    pytest = [BIN / "python", "-m", "pytest", "-p", "no:xdist", "--collect-only"]
    # Errors are printed by the run.
    run([*pytest, "-qq"], stdout=subprocess.DEVNULL)


def has_room_for_tests(folder: str) -> bool:
    """Return whether a folder exists and has enough free space for the test suite."""
    return Path(folder).is_dir() and shutil.disk_usage(folder).free > MAX_TEST_BYTES


def install_system_packages(packages: dict[str, str]) -> int:
    """Install missing packages as root on Debian; otherwise print the command that does."""
    missing = sorted(
        {package for name, package in packages.items() if not is_installed(name)}
    )
    if not missing:
        return 0
    install = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    can_install = (
        hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get")
    )
    if can_install and run(["apt-get", "update", "-qq"]) == 0 and run(install) == 0:
        return 0
    print(
        "missing system packages; run this, then try again:\n  sudo", " ".join(install)
    )
    return EXIT_MISSING_COMPONENT


def is_installed(name: str) -> bool:
    """Return whether this machine has a program, shared library or file."""
    if ".so." not in name:
        return bool(shutil.which(name)) or Path(name).is_file()
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def install_project(command: str) -> int:
    """Create the environment and install the project, unless it is up to date."""
    extras = EXTRAS[command]
    project_hash = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    installed = STAMP.read_text().split() if STAMP.exists() else []
    if any(
        f"{project_hash}:{EXTRAS[other]}" in installed
        for other in commands_including(command)
    ):
        return 0
    print_download_size(command)
    if not (BIN / "python").exists() and (
        code := run([sys.executable, "-m", "venv", VENV])
    ):
        print(
            "missing venv module; run this, then try again:\n  sudo apt-get install python3-venv"
        )
        return code
    tools = read_development_tools() if command == "test" else []
    if code := install_packages(["--editable", extras, *tools]):
        return code
    STAMP.write_text(f"{project_hash}:{extras}\n")
    return 0


def print_download_size(command: str) -> None:
    """Print the size of the installation, and how to avoid the CUDA packages."""
    print(f"installing into {VENV}: {SIZES[command]} of disk space", flush=True)
    if "GPU" in SIZES[command]:
        print(
            "  Of that, 4 GB serve NVIDIA GPUs only. uv, if installed, chooses the build for this\n"
            f"  machine; or first install the CPU build into that environment: {PYTORCH_URL}",
            flush=True,
        )


def install_packages(packages: list[str]) -> int:
    """Install with uv, which selects the PyTorch build for this machine, else with pip."""
    if uv := shutil.which("uv"):
        command = [
            uv,
            "pip",
            "install",
            "--python",
            BIN / "python",
            "--torch-backend",
            "auto",
        ]
        if run([*command, *packages]) == 0:
            return 0
        print(
            "uv failed; using pip, which installs the CUDA build of PyTorch", flush=True
        )
    pip = [BIN / "python", "-m", "pip", "install", "--disable-pip-version-check"]
    # Compiling all 18,000 files takes 90 seconds of CPU; Python compiles what is imported.
    return run([*pip, "--no-compile", *packages])


def commands_including(command: str) -> list[str]:
    """Return the commands that install at least what this command needs."""
    commands = list(EXTRAS)
    return commands[commands.index(command) :]


def read_development_tools() -> list[str]:
    """Return the `dev` dependency group of pyproject.toml, which older pips cannot read."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return list(project["dependency-groups"]["dev"])


def run(command: list[object], stdout: int | None = None) -> int:
    """Run a command in the project folder and return its exit code."""
    try:
        return subprocess.run(
            [str(part) for part in command], cwd=ROOT, check=False, stdout=stdout
        ).returncode
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
