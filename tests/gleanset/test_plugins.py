"""Plugins: found by their names, imported when they are asked for, left out when they are bad."""

from __future__ import annotations

import re
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from plugin_packages import PluginPackages, forget
from plugin_packages import packages as packages
from tools_for_tests import run_cli

from baseline.settings import load_preset
from facecrop.detectors import DetectorSpec, checked_detector_class
from facecrop.detectors.options import RecordedDetector
from gleanset import plugins
from gleanset.errors import UsageError
from gleanset.plugins import load_plugin, plugin_names, plugin_words, tried_plugins
from gleanset.work.cluster_nodes import NodeAnswer, NodeCheck, answer_question, installed
from harvest.http import Client, DownloadLimits
from harvest.prefetch import SourceResults
from harvest.sources import Query, source_named
from labeler.export.options import ExportOptions

GOOD = """
GLEANSET_CONTRACT = 1
class Nothing:
    "Finds nothing."
    name = "nothing"
    def __init__(self, threshold=0.5): self.threshold = float(threshold)
    settings = property(lambda self: f"threshold={self.threshold:g}")
    def detect(self, pixels): return []
"""
DETECTORS = "[gleanset.detectors]\n"
NOTHING = f"{DETECTORS}nothing = gleanset_x:Nothing\n"


def as_it_is(name: str, found: Any) -> Any:
    return found


def test_a_detector_is_found_by_its_name_with_its_settings(packages: PluginPackages) -> None:
    packages.add("gleanset-x", NOTHING, GOOD, "2.3")
    spec = DetectorSpec.of("nothing", threshold="0.7")
    assert "gleanset_x" in sys.modules
    assert spec.recorded == "threshold=0.7 plugin=gleanset-x==2.3"
    recorded = RecordedDetector.of("nothing", spec.recorded)
    assert recorded.spec({}) == spec
    with pytest.raises(UsageError, match="no setting of nothing called 'treshold'"):
        DetectorSpec.of("nothing", treshold=1)


def test_what_was_recorded_names_the_package_that_is_gone(packages: PluginPackages) -> None:
    with pytest.raises(UsageError, match=r"came with the package gleanset-x==2\.3"):
        RecordedDetector.of("nothing", "threshold=0.7 plugin=gleanset-x==2.3")


ALL = ("detectors", ("whole",))
NEEDS_DEFAULT = GOOD.replace("=0.5", "")
RAISING = "class E(Exception):\n    def __str__(self): raise self\nraise E"
BAD = {
    "it cannot be imported": (NOTHING, "import a_package_of_nobody", "ModuleNotFoundError"),
    "its text is no Python": (NOTHING, "def", "SyntaxError"),
    "it ends the program": (NOTHING, "import sys\nsys.exit(0)", "SystemExit: 0"),
    "it is of another type": (NOTHING, "GLEANSET_CONTRACT = 1\nNothing = 7", "it is no class"),
    "it has another name": (NOTHING, GOOD.replace('"nothing"', '"hidden"'), "name is 'hidden'"),
    "it lacks a default": (NOTHING, NEEDS_DEFAULT, "threshold has no default"),
    "it is not where it says": (NOTHING, "GLEANSET_CONTRACT = 1", "no attribute 'Nothing'"),
    "it takes too long": (NOTHING, "import time\ntime.sleep(1)", "more than 0.3 s to load"),
    "another version": (NOTHING, "GLEANSET_CONTRACT = 99", "= 99, and this Gleanset"),
    "it says no contract": (NOTHING, "class Nothing: pass", "says no GLEANSET_CONTRACT"),
    "its error says nothing": (NOTHING, RAISING, "left out: E$"),
    "its error clears screens": (NOTHING, "raise ValueError('\\x1b[2J' * 9)", r": \?\[2J\?\[2J"),
    "its place is none": (f"{DETECTORS}nothing = ../evil.py\n", GOOD, "is not MODULE:NAME"),
    "its entry points are none": (f"{NOTHING}nothing\n", GOOD, ""),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_plugin_is_left_out_by_name_and_the_others_go_on(
    packages: PluginPackages, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    entries, module, why = BAD[what]
    packages.add("gleanset-x", entries, module)
    good = GOOD.replace('"nothing"', '"good"')
    packages.add("gleanset-y", f"{DETECTORS}good = gleanset_y:Nothing\n", good)
    monkeypatch.setenv(plugins.WAIT, "0.3" if "more than" in why else "60")
    with pytest.raises(UsageError) as raised:
        DetectorSpec.of("nothing")
    monkeypatch.setenv(plugins.WAIT, "60")
    assert re.search(why, raised.value.what)
    assert raised.value.what.isprintable()
    left_out = "the detector nothing of gleanset-x 1.0 is left out" in raised.value.what
    assert left_out == bool(why)
    assert not left_out or "pip uninstall gleanset-x" in raised.value.mend
    assert DetectorSpec.of("good").build().settings == "threshold=0.5"
    assert DetectorSpec.of("whole").build().name == "whole"
    tried = tried_plugins(*ALL, checked_detector_class)
    assert {plugin.package: bool(trouble) for plugin, _, trouble in tried} == {
        "gleanset-x": True,
        "gleanset-y": False,
    }


NAMES = {
    "../../etc/passwd": "a name has small letters",
    "a/b": "a name has small letters",
    "evil\x1b[2J": "a name has small letters",
    "x" * 41: "at most 40",
    "Whole": "one of Gleanset's own",
    "whole": "one of Gleanset's own",
    "auto": "one of Gleanset's own",
    "hub": "one of Gleanset's own",
    "hub:owner": "a name has small letters",
    "a.b": "a name has small letters",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_left_out_and_shown_harmlessly(
    packages: PluginPackages, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    entries = f"{DETECTORS}{name} = gleanset_x:Nothing\n"
    packages.add("gleanset-x", entries, "raise AssertionError")
    assert plugin_names(*ALL) == []
    assert plugin_words("detectors", lambda: ("whole",)) == ""
    assert NAMES[name] in caplog.messages[0]
    assert caplog.messages[0].isprintable()
    assert "gleanset_x" not in sys.modules
    with pytest.raises(UsageError):
        DetectorSpec.of("gleanset-x")


def test_of_two_packages_that_want_one_name_neither_has_it(packages: PluginPackages) -> None:
    packages.add("gleanset-x", NOTHING, GOOD)
    packages.add("gleanset-z", f"{DETECTORS}nothing = gleanset_z:Nothing\n", GOOD)
    with pytest.raises(UsageError, match=r"left out: gleanset-x 1.0 and gleanset-z 1.0 bring"):
        DetectorSpec.of("nothing")
    assert plugin_names(*ALL) == []


def test_what_is_known_of_a_package_that_is_there_twice_is_of_the_first(
    packages: PluginPackages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.add("gleanset-x", NOTHING, GOOD, "1.0")
    newer = PluginPackages(tmp_path / "newer")
    newer.add("gleanset-x", NOTHING, GOOD, "2.0")
    monkeypatch.syspath_prepend(str(newer.folder))
    forget()
    assert [plugin.version for plugin in plugins.plugins_of(*ALL)] == ["2.0"]


def test_a_node_is_told_that_lacks_a_package_which_is_used(
    packages: PluginPackages, tmp_path: Path
) -> None:
    packages.add("gleanset-x", NOTHING, GOOD)
    packages.add("gleanset-y", f"{DETECTORS}unused = gleanset_y:Nothing\n")
    check = NodeCheck((tmp_path,))
    with check.asking() as question:
        answer = answer_question(question, "a")
        bare = NodeAnswer(installed(), ())
        assert check.troubles(question, "a", bare) == []
        DetectorSpec.of("nothing")
        assert check.troubles(question, "a", answer) == []
        [trouble] = check.troubles(question, "a", bare)
    assert trouble == "has gleanset-x not installed, and 1.0 is here"


def test_a_package_without_a_name_is_left_out(packages: PluginPackages) -> None:
    packages.add("gleanset-x", NOTHING, GOOD)
    (packages.folder / "gleanset_x-1.0.dist-info" / "METADATA").write_text("Name: a b\n")
    forget()
    with pytest.raises(UsageError, match="its package has no name and version"):
        DetectorSpec.of("nothing")


def test_entry_points_that_are_no_text_hinder_nobody(packages: PluginPackages) -> None:
    packages.add("gleanset-x", "")
    entries = packages.folder / "gleanset_x-1.0.dist-info" / "entry_points.txt"
    entries.write_bytes(NOTHING.encode("utf-16"))
    packages.add("gleanset-y", f"{DETECTORS}good = gleanset_y:Nothing\n")
    assert plugin_names(*ALL) == ["good"]


def test_plugins_can_be_switched_off(
    packages: PluginPackages, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.add("gleanset-x", NOTHING, GOOD)
    monkeypatch.setenv(plugins.WAIT, "0")
    assert plugin_names(*ALL) == []
    assert load_plugin("detectors", "nothing", as_it_is) is None


def test_what_it_prints_as_it_loads_is_no_answer_and_what_it_loads_is_loaded_late(
    packages: PluginPackages, tmp_path: Path
) -> None:
    packages.add(
        "gleanset-x",
        f"{NOTHING}[gleanset.sources]\nforever = gleanset_x:nothing\n",
        "import pathlib\npathlib.Path('imported').touch()\nprint('hello')\n" + GOOD,
    )
    packages.add("gleanset-y", f"{DETECTORS}loop = gleanset_y:Loop\n", "while True: pass")
    run = partial(run_cli, cwd=tmp_path, **{plugins.WAIT: "2"})
    assert run("pipeline.cli", "init", "-d", "data").code == 0
    shown = run("facecrop.cli", "run", "--help").stdout
    assert "Of other packages: loop (gleanset-y 1.0), nothing" in " ".join(shown.split())
    assert not (tmp_path / "imported").exists()
    done = run("facecrop.cli", "detectors", "--json")
    assert (tmp_path / "imported").exists()
    assert done.stdout.count("\n") == 1
    assert done.stderr == "hello\n"
    assert done.json["of other packages"] == [
        "loop (gleanset-y 1.0): left out: it takes more than 2 s to load",
        "nothing (gleanset-x 1.0): Finds nothing.",
    ]


SOURCE = """
from gleanset.records import Candidate, Origin
from harvest.sources import Source
GLEANSET_CONTRACT = 1
class Nothing(Source):
    name, example, options = "nothing", "owl", ()
    def pages(self, query, settings, client):
        yield from PAGES
"""


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ("[[1]]", "AttributeError"),
        ("[[Candidate('http://h/1', Origin('nothing', 1))]]", "got `int` - at `$.origin.key`"),
        ("[[Candidate('http://h/1', Origin('nothing', '1', tags='a b'))]]", "got `str` - at"),
        ("1 / 0", "ZeroDivisionError"),
        ("[[Candidate('http://h/1', Origin('bing', '1'))]]", "it gives pictures of 'bing'"),
    ],
)
def test_a_source_that_fails_refuses_and_is_named(
    packages: PluginPackages, pages: str, why: str
) -> None:
    entries = "[gleanset.sources]\nnothing = gleanset_x:Nothing\n"
    packages.add("gleanset-x", entries, SOURCE.replace("PAGES", pages))
    with Client(DownloadLimits()) as client:
        results = SourceResults(source_named("nothing"), Query("owl"), client)
        assert list(results.search()) == []
    assert "the source nothing of gleanset-x 1.0 failed" in str(results.error)
    assert why in str(results.error)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("[]", "no mapping"),
        ("{'method': 'simple'}", "missing required field"),
        ("{'method': 'magic'}", "no method 'magic'"),
        ("{'preset': 'transfer'}", "says 'preset'"),
    ],
)
def test_a_preset_that_is_none_is_left_out(
    packages: PluginPackages, settings: str, why: str
) -> None:
    module = f"GLEANSET_CONTRACT = 1\nP = {settings}\n"
    packages.add("gleanset-x", "[gleanset.presets]\np = gleanset_x:P\n", module)
    with pytest.raises(UsageError, match=why):
        load_preset("p", {})


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ("pictures='somewhere'", "its pictures are 'somewhere'"),
        ("pictures='shards'", "open_shard is for shards"),
        ("pictures='shards', open_shard=print, ending='/../x'", "not in something like"),
        ("pictures='whole', left_by_reader='('", "missing \\)"),
    ],
)
def test_a_format_that_is_none_is_left_out(packages: PluginPackages, fields: str, why: str) -> None:
    module = (
        "from labeler.export.formats import ExportFormat\nGLEANSET_CONTRACT = 1\n"
        f"F = ExportFormat(about='', reading='', {fields})\n"
    )
    packages.add("gleanset-x", "[gleanset.exports]\nf = gleanset_x:F\n", module)
    with pytest.raises(UsageError, match=why):
        ExportOptions(format="f")
