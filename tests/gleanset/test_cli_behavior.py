"""Common behaviour of all commands: help, exit codes, output, settings, read-only datasets."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest
from terminal_for_tests import run_in_terminal
from tools_for_tests import (
    ROOT,
    Ran,
    eventually,
    python_path,
    run_cli,
    run_here,
    write_pictures,
)

from gleanset import Dataset
from gleanset.cli import parse_key_values
from gleanset.db.connection import read_only_mode
from gleanset.errors import GleansetError, UsageError

MODULES = ("pipeline.cli", "harvest.cli", "facecrop.cli", "labeler.cli", "baseline.cli")


def every_command() -> Iterator[tuple[str, str, click.Command]]:
    for module in MODULES:
        try:
            group = import_module(module).commands
        except ImportError:
            continue
        yield from ((module, *named) for named in _named_commands(group))


def _named_commands(
    group: click.Group, prefix: str = ""
) -> Iterator[tuple[str, click.Command]]:
    """Yield a group's commands; those of subgroups as "group command"."""
    for name, result in group.commands.items():
        if isinstance(result, click.Group):
            yield from _named_commands(result, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", result


# They work on images, engines or their arguments, not on a dataset.
INTO = (("pipeline.cli", "run"), ("pipeline.cli", "demo"))
WITHOUT_DATASET = ("backbones", "detectors", "docker", "recipes")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "photos", 3)


def test_help_example_parses_for_every_command() -> None:
    for module, name, result in every_command():
        with click.Context(result, info_name=name) as context:
            text = result.get_help(context)
        program = "gleanset" if module == "pipeline.cli" else module.partition(".")[0]
        assert f"Example: {program} {name}" in " ".join(text.split())
        assert "None" not in text, "a limit that is not there"
        missing = [
            o for o in ("--json", "--quiet", "--progress", "--verbose") if o not in text
        ]
        if name.split()[0] not in WITHOUT_DATASET:
            expected = "--into" if (module, name) in INTO else "--dataset"
            missing += [] if expected in text else [expected]
        assert (module, name, missing) == (module, name, [])
        words = re.split(
            r"\s+", (result.epilog or "").partition(f" {name}")[2].partition("|")[0]
        )
        arguments = [word.strip("'") for word in words if word]
        result.make_context(name, arguments, resilient_parsing=False).close()


@pytest.mark.parametrize("module", ["harvest.cli", "pipeline.cli"])
def test_help_and_version_exit_with_zero(module: str) -> None:
    for arguments in (["-h"], ["--help"], ["--version"]):
        done = run_here(module, *arguments)
        assert (done.code, bool(done.stdout), done.stderr) == (0, True, "")


@pytest.mark.parametrize(
    ("module", "arguments", "code", "message"),
    [
        ("harvest.cli", ["nonsense"], 2, "No such command"),
        ("harvest.cli", ["folder"], 2, "DIR"),
        ("harvest.cli", ["folder", ".", "--bogus"], 2, "--bogus"),
        ("harvest.cli", ["keyword", "x", "--limit", "0"], 2, "--limit"),
        ("harvest.cli", ["frames", "x", "--every", "often"], 2, "5s"),
        ("harvest.cli", ["folder", "missing"], 3, "there is no folder missing"),
        ("harvest.cli", ["folder", "file"], 3, "file"),
        (
            "harvest.cli",
            ["keyword", "x", "-i", "missing"],
            3,
            "there is no file missing",
        ),
        ("labeler.cli", ["import", "missing"], 3, "there is no folder missing"),
        ("harvest.cli", ["urls", "missing"], 3, "there is no file missing"),
        ("harvest.cli", ["frames", "missing"], 3, "missing"),
        ("pipeline.cli", ["status"], 3, "gleanset init"),
        ("pipeline.cli", ["status", "-d", "file"], 2, "file"),
        ("pipeline.cli", ["init", "-d", "file/below"], 3, "file/below"),
        (
            "harvest.cli",
            ["keyword", "x", "-o", "bing.endpoint=http://127.0.0.1:9"],
            4,
            "private",
        ),
        ("labeler.cli", ["undo", "-d", "dataset"], 2, "nothing to undo"),
    ],
)
def test_user_errors_have_exit_code_and_message(
    tmp_path: Path, module: str, arguments: list[str], code: int, message: str
) -> None:
    (tmp_path / "file").write_text("no image")
    Dataset.create(tmp_path / "dataset").close()
    done = run_here(module, *arguments, cwd=tmp_path).refused(code, message)
    assert done.stdout == ""
    # Only the search that was begun, and then refused, needs a dataset.
    assert (tmp_path / "catalog.sqlite").exists() == (code == 4)


def test_missing_component_exits_with_6(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"x")
    without = {"PATH": str(tmp_path / "empty"), "IMAGEIO_FFMPEG_EXE": "no-such-ffmpeg"}
    run_here(
        "harvest.cli", "frames", "clip.mp4", "-d", "dataset", cwd=tmp_path, **without
    ).refused(6, "ffmpeg")


CODES = """
from gleanset.cli import create_program, job_options, main as run; from gleanset.errors import *
from gleanset.command_result import CommandResult
commands = create_program("probe", "x")
@commands.command()
@job_options()
def bug(job):
    raise ValueError("oh")
@commands.command()
@job_options()
def pipe(job):
    raise BrokenPipeError(32, "Broken pipe")
@commands.command()
@job_options()
def login(job):
    raise NeedsLogin("no key", "set FLICKR_API_KEY")
@commands.command()
@job_options()
def many(job):
    for n in range(100000):
        job.show(f"line {n}")
@commands.command()
@job_options()
def odd(job):
    job.say("on stderr")
    return Odd(ü="日本", surrogate=chr(0xdcff), n=1.5)
class Odd(CommandResult):
    ü: str
    surrogate: str
    n: float
if __name__ == "__main__":
    run(commands)
"""


@pytest.fixture(scope="module", autouse=True)
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Make `probe` importable and yield its file."""
    file = tmp_path_factory.mktemp("probe") / "probe.py"
    file.write_text(CODES, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(file.parent)
        yield file


@pytest.mark.parametrize(
    ("name", "error"),
    [("bug", "ValueError: oh"), ("pipe", "BrokenPipeError: [Errno 32]")],
)
def test_internal_error_exits_with_1_and_traceback(name: str, error: str) -> None:
    done = run_here("probe", name)
    assert (done.code, done.stdout) == (1, "")
    assert error in done.stderr
    assert "please report it" in done.stderr


def test_missing_login_exits_with_5_and_hint() -> None:
    done = run_here("probe", "login", "--json")
    assert done == Ran(5, "", "probe: no key\nhint: set FLICKR_API_KEY\n")


def test_closed_stdout_ends_command_without_error(probe: Path) -> None:
    line = f"{sys.executable} {probe} many | head -n 2; echo ${{PIPESTATUS[0]}}"
    environment = {**os.environ, "PYTHONPATH": python_path()}
    done = subprocess.run(
        ["bash", "-c", line], text=True, capture_output=True, env=environment
    )
    assert (done.stdout, done.stderr) == ("line 0\nline 1\n0\n", "")


def run_in_bash(line: str) -> Ran:
    environment = {**os.environ, "PYTHONPATH": python_path()}
    done = subprocess.run(
        ["bash", "-c", line], text=True, capture_output=True, env=environment
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["many", "odd --json", "odd"])
def test_output_on_full_disk_is_an_error_with_hint(probe: Path, words: str) -> None:
    done = run_in_bash(f"{sys.executable} {probe} {words} > /dev/full")
    assert done.code == 3
    assert "probe: no space left for standard output\nhint: free" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("words", "code"), [("odd", 0), ("odd --json", 0), ("login", 5)]
)
def test_command_runs_with_closed_streams(
    probe: Path, words: str, code: int, closed: str
) -> None:
    done = run_in_bash(f"{sys.executable} {probe} {words} {closed}")
    assert (done.code, "Traceback" in done.stderr) == (code, False)


def test_workers_run_with_closed_streams(photos: Path, tmp_path: Path) -> None:
    program = f"{sys.executable} -m harvest folder {photos} -d {tmp_path / 'd'}"
    assert run_in_bash(f"{program} <&- >&- 2>&-") == Ran(0, "", "")
    assert run_in_bash(f"{program} --json").json["known"] > 0


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252"])
def test_output_survives_terminal_encoding(encoding: str) -> None:
    done = run_here("probe", "odd", "--json", console=encoding)
    assert (done.code, done.stderr) == (0, "on stderr\n")
    assert (done.json["ü"], run_here("probe", "odd", console=encoding).code) == (
        "日本",
        0,
    )


def test_json_plain_and_quiet_output(photos: Path, tmp_path: Path) -> None:
    line = ("harvest.cli", "folder", photos, "--workers", "1", "-d", tmp_path / "d")
    done = run_here(*line)
    assert done.stdout == f"added: 3\nnext:\n  facecrop run -d {tmp_path / 'd'}\n"
    done = run_here(*line, "--json")
    assert (done.code, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)
    assert done.json == {
        "added": 0,
        "duplicate": 0,
        "known": 3,
        "rejected": 0,
        "ignored": 0,
    }
    assert run_here(*line, "-q") == Ran(0, "", "")


def test_dataset_option_overrides_folder_and_environment(
    tmp_path: Path, photos: Path
) -> None:
    for name in ("option", "current", "variable", "plain"):
        (tmp_path / name).mkdir()
    Dataset.create(tmp_path / "current").close()
    line = ("harvest.cli", "folder", photos, "--workers", "1", "-q")
    variable = {"GLEANSET_DATASET": str(tmp_path / "variable")}
    for folder, options, used in (
        ("current", ("-d", "../option"), "option"),
        ("current", (), "current"),
        ("plain", (), "variable"),
    ):
        assert run_here(*line, *options, cwd=tmp_path / folder, **variable).code == 0
        with Dataset.open(tmp_path / used) as dataset:
            assert dataset.images.count() == 3, used
    assert list((tmp_path / "plain").iterdir()) == []


def test_invalid_setting_exits_with_3_and_line(tmp_path: Path) -> None:
    Dataset.create(tmp_path).close()
    (tmp_path / "dataset.toml").write_text("[crop]\nmargn = 1\n")
    run_here("pipeline.cli", "status", "-d", tmp_path).refused(
        3, "dataset.toml, line 2", "did you mean 'margin'?"
    )


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """Interrupt a command and its workers, as a terminal does."""
    os.killpg(process.pid, signal.SIGINT)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [press_ctrl_c, subprocess.Popen.terminate])
def test_interrupt_exits_with_130_and_keeps_work(
    stop: Callable[[subprocess.Popen[str]], None], tmp_path: Path
) -> None:
    write_pictures(tmp_path / "many", 80)
    line = [
        "folder",
        str(tmp_path / "many"),
        "-d",
        str(tmp_path / "d"),
        "--workers",
        "1",
    ]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    # As the console script does, before the slow imports.
    program = [sys.executable, "-m", "harvest", *line]
    process = subprocess.Popen(program, **streams, text=True, start_new_session=True)
    assert eventually(lambda: any((tmp_path / "d" / "images").rglob("*.jpg")))
    stop(process)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "completed work is kept" in err
    assert err.splitlines()[-1].split() == ["harvest", *line]
    assert "Traceback" not in err
    with Dataset.open(tmp_path / "d") as dataset:
        imported = dataset.images.count()
    assert imported < 80
    done = run_here("harvest.cli", *line, "--json")
    assert (done.json["added"], done.json["known"]) == (80 - imported, imported)
    assert list((tmp_path / "d").rglob(".partial*")) == []


MISTYPED = {
    "baseline train --preset transfr": "transfer",
    "baseline train --preset simple -o epohcs=3": "epochs",
    "baseline train --preset simpel": "simple",
    "baseline train --preset triplett": "triplet",
    "baseline predict --detector animefase x.png": "animeface",
    "baseline gallery --class a --detector hole x.png": "whole",
    "facecrop run --detector lbpcascad": "lbpcascade",
    "facecrop run --detector lbpcascade:neighbours=3": "neighbors",
}


def test_typo_is_reported_without_heavy_imports() -> None:
    script = (
        "import sys\nfrom importlib import import_module\nfrom gleanset.cli import main\n"
        f"for line in {list(MISTYPED)!r}:\n"
        "    sys.argv = line.split()\n"
        "    try: main(import_module(f'{sys.argv[0]}.cli').commands)\n"
        "    except SystemExit as end: print(end.code, file=sys.stderr)\n"
        "print(*sorted({'torch', 'cv2', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr
    assert re.findall(r"[Dd]id you mean '(\w+)'", ran.stderr) == list(MISTYPED.values())
    assert re.findall(r"^\d+$", ran.stderr, re.MULTILINE) == ["2"] * len(MISTYPED)


def test_commands_start_without_heavy_imports() -> None:
    programs = (
        "baseline",
        "facecrop",
        "gleanset",
        "harvest",
        "labeler",
        "pipeline",
        "webapp",
    )
    script = (
        "import sys\nimport pipeline.status\n"
        + "".join(f"import {program}.cli\n" for program in programs)
        + "print(*sorted({'numpy', 'PIL.Image', 'cv2', 'torch', 'PySide6'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, "")


@pytest.mark.posix("only there onnxruntime keeps files of its own")
def test_onnxruntime_writes_no_telemetry_files(tmp_path: Path) -> None:
    script = "import gleanset; from importlib import import_module; import_module('onnxruntime')"
    # With CI variables set it would keep no identifier anyway.
    env = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("CI", "ORT_"))
    }
    env |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-B", "-c", script], env=env, check=True)
    assert list(tmp_path.iterdir()) == []


def test_key_values_are_parsed_last_one_wins() -> None:
    texts = ("epochs=10", " lr = 0.1", "epochs=20", "note=a=b", "empty=")
    values = {"epochs": "20", "lr": "0.1", "note": "a=b", "empty": ""}
    assert parse_key_values(texts, "epochs=10") == values
    assert parse_key_values(["bing.size=large"], "bing.size=large") == {
        "bing.size": "large"
    }


@pytest.mark.parametrize(
    ("text", "example"),
    [
        ("epochs", "epochs=10"),
        ("=10", "epochs=10"),
        ("size=large", "bing.size=large"),
        (".size=large", "bing.size=large"),
        ("bing.=large", "bing.size=large"),
    ],
)
def test_malformed_key_value_raises_error(text: str, example: str) -> None:
    with pytest.raises(
        UsageError, match=f"not {'SOURCE.' * ('.' in example)}KEY=VALUE"
    ) as raised:
        parse_key_values([text], example)
    assert example in str(raised.value)


# Mounts the dataset read-only over itself, for one command.
_MOUNTED = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
_RUN_ALL = """
import json, sys
from tools_for_tests import run_here
print(json.dumps([run_here(*words) for words in json.load(sys.stdin)]))
"""


@pytest.fixture(scope="module")
def source_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    write_pictures(folder / "tree/hana", 4)
    root = folder / "dataset"
    for module, *words in (
        ("harvest.cli", "folder", str(folder / "tree"), "--hints-from-folders"),
        ("facecrop.cli", "run", "--detector", "whole", "--workers", "1"),
        ("labeler.cli", "accept", "hints"),
        ("labeler.cli", "split", "--ratio", "2:1:1"),
        ("pipeline.cli", "snapshot", "v1"),
    ):
        run_here(module, *words, "-q", "-d", root).checked()
    return root


READING = {
    "list samples": ("pipeline.cli", "list", "samples"),
    "list snapshots": ("pipeline.cli", "list", "snapshots"),
    "status": ("pipeline.cli", "status", "--json"),
    "export": ("labeler.cli", "export", "{out}/export", "--workers", "1", "--json"),
    "verify": ("pipeline.cli", "verify"),
    "forget": ("pipeline.cli", "forget", "-s", "--image", "{tree}/hana/0.jpg"),
    "simulated dedup": ("labeler.cli", "dedup", "-s", "--workers", "1"),
    "simulated split": ("labeler.cli", "split", "-s", "--seed", "3"),
    "simulated folder": ("harvest.cli", "folder", "-s", "{tree}"),
    "simulated restore": ("pipeline.cli", "restore", "-s", "v1"),
    "init": ("pipeline.cli", "init", "-d", "{out}/own"),
    "merge": ("pipeline.cli", "merge", "{root}", "-d", "{out}/own"),
}
WRITING = {
    "dedup": ("labeler.cli", "dedup", "--workers", "1"),
    "folder": ("harvest.cli", "folder", "{tree}"),
    "undo": ("labeler.cli", "undo"),
    "gc": ("pipeline.cli", "gc"),
    "split": ("labeler.cli", "split", "--seed", "1"),
    "snapshot": ("pipeline.cli", "snapshot", "v2"),
}
UNUSABLE = {"unknown sample": ("labeler.cli", "label", "--reject", "0" * 32)}


@pytest.fixture(scope="module")
def medium(source_dataset: Path) -> Iterator[Path]:
    """Yield a copy of the dataset that this process cannot write to, unless it is root."""
    root = source_dataset.with_name("medium")
    shutil.copytree(source_dataset, root)
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    (root / "catalog.sqlite").chmod(0o444)
    for folder in folders:
        folder.chmod(0o555)
    yield root
    for folder in folders:
        folder.chmod(0o755)


@pytest.fixture(scope="module")
def results(medium: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Run all commands in one process, for which `root` is read-only."""
    out = tmp_path_factory.mktemp("out")
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        prefix = ("unshare", "-m", "sh", "-c", _MOUNTED, str(medium))
        tried = shutil.which("unshare") and subprocess.run(
            [*prefix, "true"], capture_output=True
        )
        if not tried or tried.returncode:
            pytest.skip(
                "root may write everywhere, and nothing can be mounted read-only here"
            )
    places = {"tree": medium.with_name("tree"), "out": out, "root": medium}
    commands = {
        name: [
            word.format(**places)
            for word in (*words, *(() if "-d" in words else ("-d", "{root}")))
        ]
        for name, words in (READING | WRITING | UNUSABLE).items()
    }
    done = subprocess.run(
        [*prefix, sys.executable, "-c", _RUN_ALL],
        env={**os.environ, "PYTHONPATH": python_path(ROOT / "tests")},
        input=json.dumps(list(commands.values())),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(
        zip(commands, (Ran(*ran) for ran in json.loads(done.stdout)), strict=True)
    )


def test_readers_and_simulations_need_no_lock(results: dict[str, Ran]) -> None:
    assert {name: results[name] for name in READING if results[name].code} == {}
    samples = results["list samples"].stdout.splitlines()
    assert {json.loads(line)["label"] for line in samples} == {"hana"}
    assert results["status"].json["images"] == results["export"].json["exported"] == 4


def test_writers_report_read_only_dataset(
    medium: Path, results: dict[str, Ran]
) -> None:
    for name in WRITING:
        result = results[name]
        assert (name, result.code, "Traceback" in result.stderr) == (name, 3, False), (
            result.stderr
        )
        assert "can only be read" in result.stderr
        assert "copy" in result.stderr
    assert results["unknown sample"].code == 2, "usage errors come first"
    names = sorted(path.name for path in medium.iterdir())
    assert not [name for name in names if name.endswith(("-wal", "-shm"))]


def test_read_only_mode_reads_log_with_index(
    source_dataset: Path, tmp_path: Path
) -> None:
    """Committed rows are visible while another process is writing."""
    root = tmp_path / "busy"
    shutil.copytree(source_dataset, root)
    assert read_only_mode(root / "catalog.sqlite") == "ro&immutable=1"
    with Dataset.open(root) as dataset, dataset.db.transaction():
        dataset.db.execute("INSERT INTO tombstone VALUES('a', 'b')")
    with Dataset.open(root) as dataset:
        with dataset.db.transaction():
            dataset.db.execute("INSERT INTO tombstone VALUES('c', 'd')")
        assert read_only_mode(root / "catalog.sqlite") == "ro"


@pytest.mark.posix("Windows does not delete the current folder of a process")
def test_every_command_is_refused_in_a_deleted_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GLEANSET_DATASET", raising=False)
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    reasons = {}
    for module, name, result in every_command():
        example = (result.epilog or "").partition(f" {name}")[2].partition("|")[0]
        arguments = re.sub(r"-d my-dataset", "", example).split()
        with pytest.raises(GleansetError) as refused:
            result.main(arguments, prog_name=name, standalone_mode=False)
        reasons[module, name] = refused.value.what
    assert set(reasons.values()) == {"the current folder no longer exists"}


@pytest.mark.posix("Windows does not delete the current folder of a process")
def test_dataset_named_by_its_whole_path_works_in_a_deleted_folder(
    tmp_path: Path, photos: Path
) -> None:
    root = tmp_path / "ds"
    with Dataset.create(root):
        pass
    delete_folder = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'

    def run(module: str, *arguments: str | Path) -> Ran:
        prefix = ("sh", "-c", delete_folder, str(tmp_path / "gone"))
        return run_cli(module, *arguments, "-d", root, prefix=prefix)

    assert run("pipeline.cli", "status", "--json").checked().json["images"] == 0
    # Worker processes, which begin in the current folder.
    for module, *arguments in (
        ("labeler.cli", "export", "out"),  # a relative path
        (
            "harvest.cli",
            "folder",
            photos,
        ),
    ):
        done = run(module, *arguments)
        done.refused(
            3, "the current folder no longer exists\nhint: change to another one: cd ~"
        )


def test_hints_are_wrapped_in_a_terminal(dataset: Dataset) -> None:
    wrong = ("train", "-o", "no_such_setting=1", "-d", dataset.root)
    ran = run_in_terminal("baseline.cli", *wrong, columns=60)
    assert ran.code == 2
    printed = [line for line in ran.lines if line]
    assert printed[0] == "baseline: unknown setting: 'no_such_setting'"
    assert printed[1].startswith("hint: use one of: ")
    assert printed[2].startswith("  ")
    assert all(len(line) <= 60 for line in printed)
    piped = run_here("baseline.cli", *wrong).stderr.splitlines()
    assert len(piped) == 2, "one line each for programs"
