"""Install hints, other systems, and plugins of other packages."""

import getpass
import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from plugin_packages import PluginPackages
from plugin_packages import packages as packages
from tools_for_tests import ROOT, run_cli

from baseline.settings import load_preset
from facecrop.detectors import DetectorSpec
from facecrop.detectors.recorded import RecordedDetector
from gleanset import platform
from gleanset.errors import GleansetError, UsageError
from gleanset.installation import install_command, restore_command, update_command
from gleanset.plugins import list_plugin_names, try_plugins
from harvest.candidates import search_source
from harvest.http import Client, DownloadLimits
from harvest.sources import Query, load_source
from labeler.export.options import ExportOptions

GOOD = """
class Nothing:
    "Finds nothing."
    name = "nothing"
    def __init__(self, threshold=0.5): self.threshold = float(threshold)
    settings = property(lambda self: f"threshold={self.threshold:g}")
    def detect(self, pixels): return []
"""
DETECTORS = "[gleanset.detectors]\n"
NOTHING = f"{DETECTORS}nothing = gleanset_x:Nothing\n"


def return_plugin(name: str, plugin: Any) -> Any:
    return plugin


def test_detector_plugin_is_loaded_with_settings(packages: PluginPackages) -> None:
    packages.add("gleanset-x", NOTHING, GOOD, "2.3")
    spec = DetectorSpec.create("nothing", threshold="0.7")
    assert "gleanset_x" in sys.modules
    assert spec.settings_text == "threshold=0.7 plugin=gleanset-x==2.3"
    recorded = RecordedDetector.from_text("nothing", spec.settings_text)
    assert recorded.spec({}) == spec
    with pytest.raises(UsageError, match="unknown setting of nothing: 'treshold'"):
        DetectorSpec.create("nothing", treshold=1)


def test_missing_plugin_of_recorded_detector_is_named(packages: PluginPackages) -> None:
    with pytest.raises(UsageError, match=r"came with the package gleanset-x==2\.3"):
        RecordedDetector.from_text("nothing", "threshold=0.7 plugin=gleanset-x==2.3")


ALL = ("detectors", ("whole",))
NEEDS_DEFAULT = GOOD.replace("=0.5", "")
RAISING = "class E(Exception):\n    def __str__(self): raise self\nraise E"
BROKEN_MODULES = {
    "import error": ("import a_package_of_nobody", "ModuleNotFoundError"),
    "syntax error": ("def", "SyntaxError"),
    "exits on import": ("import sys\nsys.exit(0)", "SystemExit: 0"),
    "not a class": ("Nothing = 7", "it is not a class"),
    "other name": (GOOD.replace('"nothing"', '"hidden"'), "name is 'hidden'"),
    "missing default": (NEEDS_DEFAULT, "threshold has no default"),
    "missing attribute": ("", "no attribute 'Nothing'"),
    "error without text": (RAISING, "cannot be used: E$"),
    "control characters in error": (
        "raise ValueError('\\x1b[2J' * 9)",
        r": \?\[2J\?\[2J",
    ),
}


@pytest.mark.parametrize("problem", BROKEN_MODULES)
def test_broken_plugin_is_reported_and_isolated(
    packages: PluginPackages, problem: str
) -> None:
    module, message = BROKEN_MODULES[problem]
    packages.add("gleanset-x", NOTHING, module)
    good = GOOD.replace('"nothing"', '"good"')
    packages.add("gleanset-y", f"{DETECTORS}good = gleanset_y:Nothing\n", good)
    with pytest.raises(UsageError) as raised:
        DetectorSpec.create("nothing")
    assert re.search(message, raised.value.what)
    assert raised.value.what.isprintable()
    assert "the detector nothing of gleanset-x 1.0 cannot be used" in raised.value.what
    assert "pip install --upgrade gleanset-x" in raised.value.fix
    assert DetectorSpec.create("good").build().settings == "threshold=0.5"
    assert DetectorSpec.create("whole").build().name == "whole"
    tried = {
        plugin.made_by: error for plugin, _, error in try_plugins(*ALL, return_plugin)
    }
    assert (tried["gleanset-y 1.0"], len(tried)) == (None, 2)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "evil\x1b[2J", "x" * 41, "whole", "auto", "hub:owner"]
)
def test_invalid_plugin_names_are_ignored(packages: PluginPackages, name: str) -> None:
    packages.add(
        "gleanset-x",
        f"{DETECTORS}{name} = gleanset_x:Nothing\n",
        "raise AssertionError",
    )
    assert list_plugin_names(*ALL) == []
    assert DetectorSpec.create("whole").build().name == "whole"


def test_broken_entry_points_are_isolated(packages: PluginPackages) -> None:
    packages.add("gleanset-x", "")
    entries = packages.folder / "gleanset_x-1.0.dist-info" / "entry_points.txt"
    entries.write_bytes(NOTHING.encode("utf-16"))
    packages.add("gleanset-z", f"{NOTHING}nothing\n")
    packages.add("gleanset-y", f"{DETECTORS}good = gleanset_y:Nothing\n")
    assert "good" in list_plugin_names(*ALL)


def test_plugin_is_imported_lazily_without_stdout(
    packages: PluginPackages, tmp_path: Path
) -> None:
    packages.add(
        "gleanset-x",
        f"{NOTHING}[gleanset.sources]\nforever = gleanset_x:nothing\n",
        "import pathlib\npathlib.Path('imported').touch()\nprint('hello')\n" + GOOD,
    )
    run = partial(run_cli, cwd=tmp_path)
    assert run("facecrop.cli", "run", "--help").code == 0
    assert not (tmp_path / "imported").exists()
    done = run("facecrop.cli", "detectors", "--json")
    assert (tmp_path / "imported").exists()
    assert done.stderr == "hello\n"
    assert done.json["of other packages"] == [
        "nothing (gleanset-x 1.0): Finds nothing."
    ]


SOURCE = """
from gleanset.records import Candidate, Origin
from harvest.sources import Source
class Nothing(Source):
    name, example, options = "nothing", "owl", ()
    def pages(self, query, settings, client):
        yield from PAGES
"""


@pytest.mark.parametrize(
    ("pages", "message"),
    [
        ("[[1]]", "AttributeError"),
        (
            "[[Candidate('http://h/1', Origin('nothing', 1))]]",
            "got `int` - at `$.origin.key`",
        ),
        (
            "[[Candidate('http://h/1', Origin('nothing', '1', tags='a b'))]]",
            "got `str` - at",
        ),
        ("1 / 0", "ZeroDivisionError"),
        (
            "[[Candidate('http://h/1', Origin('bing', '1'))]]",
            "it returns images of 'bing'",
        ),
    ],
)
def test_failing_source_plugin_is_named(
    packages: PluginPackages, pages: str, message: str
) -> None:
    entries = "[gleanset.sources]\nnothing = gleanset_x:Nothing\n"
    packages.add("gleanset-x", entries, SOURCE.replace("PAGES", pages))
    with Client(DownloadLimits()) as client:
        failed = "the source nothing of gleanset-x 1.0 failed"
        with pytest.raises(GleansetError, match=failed) as raised:
            list(search_source(load_source("nothing"), Query("owl"), client, Counter()))
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("[]", "not a mapping"),
        ("{'method': 'simple'}", "missing required field"),
        ("{'method': 'magic'}", "unknown training method: 'magic'"),
        ("{'preset': 'transfer'}", "reserved setting: 'preset'"),
    ],
)
def test_invalid_preset_plugin_raises_error(
    packages: PluginPackages, settings: str, message: str
) -> None:
    packages.add(
        "gleanset-x", "[gleanset.presets]\np = gleanset_x:P\n", f"P = {settings}\n"
    )
    with pytest.raises(UsageError, match=message):
        load_preset("p", {})


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("somewhere", "its layout is 'somewhere'"),
        ("shards", "open_shard is for shards"),
    ],
)
def test_invalid_format_plugin_raises_error(
    packages: PluginPackages, layout: str, message: str
) -> None:
    module = (
        "from labeler.export.formats import ExportFormat\n"
        f"F = ExportFormat(about='', reading='', layout={layout!r})\n"
    )
    packages.add("gleanset-x", "[gleanset.exports]\nf = gleanset_x:F\n", module)
    with pytest.raises(UsageError, match=message):
        ExportOptions(format="f")


CLONE = str(ROOT)
ORIGINS = {
    "wheel": {"url": "file:///WHEELS/new%20wheels/gleanset-0.1.0-py3-none-any.whl"},
    "deleted wheel": {"url": "file:///nowhere/gleanset-0.1.0-py3-none-any.whl"},
    "repository": {
        "url": "https://example.org/g.git",
        "vcs_info": {"vcs": "git", "commit_id": "4f0c"},
    },
    "index": None,
}
SCRIPT = """
import json, sys
from pathlib import Path
from gleanset.installation import *
hints = {}
for name, origin in json.load(sys.stdin).items():
    Path(sys.argv[1]).unlink(missing_ok=True)
    if origin is not None:
        Path(sys.argv[1]).write_text(json.dumps(origin))
    hints[name] = install_command("train"), reinstall_command(), update_command()
print(json.dumps(hints))
"""


@pytest.fixture(scope="module")
def hints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[list[str]]]:
    """Return the commands that a copy outside a clone prints, by where it was installed from."""
    site = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("__pycache__", "node_modules")
    shutil.copytree(ROOT / "gleanset", site / "gleanset", ignore=ignored)
    about = site / "gleanset-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: gleanset\nVersion: 0.1.0\n"
    )
    (site / "new wheels").mkdir()
    (site / "new wheels" / "gleanset-0.1.0-py3-none-any.whl").touch()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(about / "direct_url.json")],
        cwd=site,
        env={"PYTHONPATH": str(site), "PATH": str(Path(sys.executable).parent)},
        input=json.dumps(ORIGINS).replace("/WHEELS", str(site)),
        capture_output=True,
        text=True,
        check=True,
    )
    return {
        name: [shlex.split(line) for line in lines]
        for name, lines in json.loads(done.stdout).items()
    }


def test_hints_for_clone_name_its_folder() -> None:
    assert shlex.split(install_command("gui", "web"))[-2:] == [
        "-e",
        f"{CLONE}[gui,web]",
    ]
    assert (
        restore_command("datasets") == f"git -C {shlex.quote(CLONE)} restore datasets"
    )
    assert update_command().startswith(f"git -C {shlex.quote(CLONE)} pull && ")


@pytest.mark.parametrize(("folder", "is_own"), [(".venv", True), ("other", False)])
def test_hint_for_pytorch_names_the_script_that_made_the_environment(
    monkeypatch: pytest.MonkeyPatch, folder: str, is_own: bool
) -> None:
    monkeypatch.setattr(sys, "prefix", str(ROOT / folder))
    script = shlex.join(["python3", f"{CLONE}/bootstrap.py", "install", "--train"])
    assert (install_command("train") == script) == is_own


def test_hints_name_source_of_installation(hints: dict[str, list[list[str]]]) -> None:
    install, reinstall, update = hints["wheel"]
    assert install[-1].startswith("gleanset[train] @ file:///")
    assert install[-1].endswith("/new%20wheels/gleanset-0.1.0-py3-none-any.whl")
    assert reinstall[-2] == "--force-reinstall"
    assert update[-1] == "gleanset-VERSION-py3-none-any.whl"
    assert hints["deleted wheel"][0][-1] == "./gleanset-0.1.0-py3-none-any.whl[train]"
    assert (
        hints["repository"][0][-1]
        == "gleanset[train] @ git+https://example.org/g.git@4f0c"
    )
    install, _, update = hints["index"]
    assert (install[-1], update[-2:]) == ("gleanset[train]", ["--upgrade", "gleanset"])


BOOTSTRAP = runpy.run_path(str(ROOT / "bootstrap.py"))
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]


def installed_by(command: str) -> set[str]:
    """Return the extras that a command installs, including nested ones."""
    result: set[str] = set()
    pending = BOOTSTRAP["EXTRAS"][command].strip(".[]").split(",")
    while pending:
        extra = pending.pop()
        result.add(extra)
        for needed in EXTRAS[extra]:
            if needed.startswith("gleanset["):
                pending += needed.removeprefix("gleanset[").strip("]").split(",")
    return result


def test_installed_extras_are_reused_if_sufficient() -> None:
    for command in BOOTSTRAP["EXTRAS"]:
        for other in BOOTSTRAP["EXTRAS"]:
            included = other in BOOTSTRAP["commands_including"](command)
            assert included == (installed_by(command) <= installed_by(other)), (
                command,
                other,
            )


def test_pytorch_is_installed_on_request() -> None:
    commands = list(BOOTSTRAP["EXTRAS"])
    with_torch = [name for name in commands if "train" in installed_by(name)]
    assert with_torch == ["install --train", "test"]
    assert installed_by("install") == installed_by("install --train") - {"all", "train"}
    assert installed_by("demo") == {"transfer", "web"}
    assert BOOTSTRAP["SIZES"].keys() == BOOTSTRAP["OPTIONAL_PACKAGES"].keys()
    assert list(BOOTSTRAP["SIZES"]) == commands


@pytest.mark.parametrize(
    ("words", "command", "rest"),
    [
        (["install", "--train"], "install --train", []),
        (["install", "--all"], "install --all", []),
        (["demo", "--into", "d"], "demo", ["--into", "d"]),
        (["test", "--all"], "test", ["--all"]),
        ([], "--help", []),
    ],
)
def test_command_line_of_bootstrap(
    words: list[str], command: str, rest: list[str]
) -> None:
    assert BOOTSTRAP["split_command"](words) == (command, rest)
    assert (command in BOOTSTRAP["EXTRAS"]) == (
        command not in ("install --all", "--help")
    )


def test_tests_install_all_extras() -> None:
    assert installed_by("test") == set(EXTRAS)


@pytest.mark.parametrize("error", [ImportError, KeyError, OSError])
def test_user_name_falls_back_to_someone(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    monkeypatch.setattr(getpass, "getuser", Mock(side_effect=error("no name")))
    assert platform.get_user_name() == "someone"


def test_exchange_paths_swaps_or_keeps(tmp_path: Path) -> None:
    file = tmp_path / "one"
    other = tmp_path / "other"
    file.write_text("1")
    other.write_text("2")
    swapped = platform.exchange_paths(file, other)
    assert (file.read_text(), other.read_text()) == (
        ("2", "1") if swapped else ("1", "2")
    )
    assert not platform.exchange_paths(file, tmp_path / "missing")
