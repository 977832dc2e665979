"""The wheel is reproducible, complete, and works without a checkout."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tools_for_tests import ROOT, build_wheels

import gleanset
from tools.code_measures import PACKAGES as PRODUCT

PACKAGES = (*PRODUCT, "datasets")
FILES = ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "NOTICE.md")


def copy_sources(folder: Path) -> Path:
    """Return a copy of what a wheel is built from, with other dates and permissions."""
    source = folder / "source"
    left_out = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in (*PACKAGES, "docker/animeface-2009"):
        shutil.copytree(
            ROOT / name, source / name, ignore=left_out, copy_function=shutil.copyfile
        )
    for name in FILES:
        shutil.copyfile(ROOT / name, source / name)
    return source


def build_wheel(folder: Path) -> Path:
    """Build the wheel of a copy of the checkout."""
    source = copy_sources(folder)
    out = folder / "out"
    build_wheels(source, out)
    [wheel] = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling")
    return build_wheel(tmp_path_factory.mktemp("first"))


@pytest.mark.long
def test_wheel_is_reproducible(wheel: Path, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        second = build_wheel(tmp_path)
    finally:
        os.umask(before)
    digests = {
        hashlib.sha256(file.read_bytes()).hexdigest() for file in (wheel, second)
    }
    assert len(digests) == 1


@pytest.mark.long
def test_wheel_contains_package_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        wheel_names = set(packed.namelist())
    expected_names = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and not {"__pycache__", "node_modules"} & set(path.parts)
    }
    expected_names = {
        f"pipeline/{name}" if name.startswith("datasets/") else name
        for name in expected_names
    }
    assert sorted(expected_names - wheel_names) == []
    if shutil.which("npm"):
        assert "webapp/page/vendor/onnxruntime-web/ort.wasm.min.mjs" in wheel_names
    assert any(name.endswith("dist-info/licenses/NOTICE.md") for name in wheel_names)


@pytest.mark.long
def test_build_folder_contains_only_uploaded_files(tmp_path: Path) -> None:
    source = copy_sources(tmp_path)
    line = [sys.executable, "-m", "hatchling", "build", "-t", "wheel"]
    subprocess.run(line, cwd=source, check=True, capture_output=True)
    assert [path.suffix for path in (source / "dist").iterdir()] == [".whl"]


def test_upper_bounds_have_reasons() -> None:
    lines = (ROOT / "pyproject.toml").read_text("utf-8").splitlines()
    bounded = [
        number
        for number, line in enumerate(lines)
        if re.search(r'"[\w-]+>=[^"]*,<[^"]*"', line)
    ]
    assert len(bounded) >= 2
    assert [
        lines[number]
        for number in bounded
        if not lines[number - 1].lstrip().startswith("#")
    ] == []


@pytest.mark.long
def test_sbom_lists_dependencies(wheel: Path) -> None:
    schemas = pytest.importorskip("cyclonedx.schema")
    validators = pytest.importorskip("cyclonedx.validation.json")
    with zipfile.ZipFile(wheel) as packed:
        [name] = [name for name in packed.namelist() if name.endswith(".cdx.json")]
        text = packed.read(name).decode()
    assert "/sboms/" in name
    validator = validators.JsonStrictValidator(schemas.SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    bill = json.loads(text)
    assert bill["metadata"]["component"]["version"] == gleanset.__version__
    scopes = {part["name"]: part.get("scope") for part in bill["components"]}
    assert (scopes["numpy"], scopes["torch"]) == ("required", "optional")
    if shutil.which("npm"):
        [runtime] = [
            part for part in bill["components"] if part["name"] == "onnxruntime-web"
        ]
        assert runtime["licenses"] == [{"license": {"id": "MIT"}}]


def foreign_wheel(folder: Path) -> Path:
    """Return a wheel of another project, whose package is called like one of ours."""
    path = folder / "baseline-1.6-py3-none-any.whl"
    about = "baseline-1.6.dist-info"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("baseline/__init__.py", '"""Deep learning baselines."""\n')
        packed.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: baseline\nVersion: 1.6\n"
        )
        packed.writestr(
            f"{about}/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        packed.writestr(
            f"{about}/RECORD",
            f"baseline/__init__.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n",
        )
    return path


@pytest.mark.long
def test_installed_wheel_works_without_checkout(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True
    )
    python = venv / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "-q",
        "--no-deps",
    ]
    subprocess.run([*pip, str(wheel)], check=True)
    # Use the dependencies of this environment, but not its checkout.
    [site] = (venv / "lib").glob("python*/site-packages")
    site_folders = [place for place in sys.path if place.endswith("site-packages")]
    (site / "dependencies.pth").write_text("\n".join(site_folders), encoding="utf-8")

    def run(*words: str) -> str:
        line = [str(venv / "bin" / words[0]), *words[1:]]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        done = subprocess.run(
            line, cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    place = run("python", "-c", "import gleanset; print(gleanset.__file__)").strip()
    assert Path(place).is_relative_to(venv)
    result = run(
        "python",
        "-c",
        "from importlib.metadata import version as v; print(v('gleanset'))",
    )
    assert result.strip() == gleanset.__version__
    assert run("gleanset", "--version") == f"gleanset, version {gleanset.__version__}\n"
    recipes = {file.stem for file in (ROOT / "datasets" / "recipes").glob("*.toml")}
    assert all(name in run("gleanset", "recipes") for name in recipes)
    assert "ok  animeface" in run("gleanset", "doctor")
    run("gleanset", "run", "sample", "--into", "sample", "--simulate", "-q")
    for program in ("harvest", "facecrop", "labeler", "baseline", "webapp"):
        assert run(program, "--help").startswith("Usage: ")

    # Another package of a name of ours replaces it, and takes it along when it is uninstalled.
    subprocess.run([*pip, str(foreign_wheel(tmp_path))], check=True)
    uninstall = [*pip[: pip.index("install")], "uninstall", "-q", "-y", "baseline"]
    for name in ("baseline", "nothing"):
        line = [str(venv / "bin" / "gleanset"), "status"]
        refused = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
        assert refused.returncode == 6, refused.stderr
        error, hint = refused.stderr.splitlines()
        assert error.endswith(f"Gleanset's package baseline is another: {name}")
        assert f"install --force-reinstall 'gleanset @ {wheel.as_uri()}'" in hint
        assert ("uninstall baseline && " in hint) == (name == "baseline")
        subprocess.run(uninstall, check=True, capture_output=True)


def test_page_container_includes_build_files() -> None:
    ignored = (ROOT / "docker" / "webapp" / "Dockerfile.dockerignore").read_text(
        encoding="utf-8"
    )
    assert [name for name in FILES if f"!{name}" not in ignored.splitlines()] == []
