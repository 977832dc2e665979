"""The next command of `gleanset status` and those of hints work in every state of a dataset."""

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from catalogue_rows import sample_of
from color_model import write_model
from drawn_dataset import put_whole
from PIL import Image, ImageDraw
from tools_for_tests import Ran, command, encode, pixels, run_here, write_pictures

from baseline.evaluation.metrics import RunMetrics, write_metrics
from gleanset import Box, Dataset, Origin
from gleanset.db.journal import Choice
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals, list_clusters
from gleanset.db.reports import ACCEPTED, REMOVAL, Claim, Reports
from gleanset.db.sorting import SampleTiles
from gleanset.records import Rejection
from gleanset.work.progress import NO_PROGRESS
from harvest.archives import harvest_files
from harvest.importer import ImportOptions
from labeler.acceptance import accept_hints
from labeler.classes import ClassEditor
from labeler.importing.job import import_labelled
from labeler.requests import ImportRequest
from labeler.sorting.session import Place, SortingSession
from labeler.splits.plan import apply_split, plan_split
from pipeline.maintenance.removals import plan_removal, remove_images
from pipeline.status import next_step

BY_HAND = "20260101-120000-simple"
Make = Callable[[Dataset, Path], object]


def tree(folder: Path, classes: dict[str, int], start: int = 0) -> Path:
    """Draw images into a folder for each class."""
    for name, number in classes.items():
        write_pictures(folder / name, number, start + 100 * len(name))
    return folder


def harvested(dataset: Dataset, place: Path, *, hints: bool = True) -> None:
    new = tree(place / "new", {"cat": 6, "owls": 6}, 30)
    harvest_files(dataset, [new], ImportOptions(hints=hints, workers=1))


def searched(dataset: Dataset, place: Path, *, hints: bool = True) -> None:
    harvested(dataset, place, hints=hints)
    for image in list(dataset.images.iterate()):
        dataset.faces.replace(image.sha256, "animeface", "threshold=0.5", [])


def taken_whole(dataset: Dataset, place: Path, *, hints: bool = True) -> None:
    harvested(dataset, place, hints=hints)
    for image in list(dataset.images.iterate()):
        sample_of(dataset, image)


def labeler(dataset: Dataset, *words: str) -> None:
    run_here("labeler.cli", *words, "-q", "-d", dataset.root).checked()


def all_weak_labels_disputed(dataset: Dataset, place: Path) -> None:
    taken_whole(dataset, place)
    for image in list(dataset.images.iterate()):
        dataset.images.add_origin(
            image.sha256, Origin("bing", image.sha256, hint="dog")
        )


def one_weak_label_disputed_since(dataset: Dataset, place: Path) -> None:
    """Accept all weak labels, then find one image under another label."""
    taken_whole(dataset, place)
    labeler(dataset, "accept", "hints")
    image = next(iter(dataset.images.iterate()))
    dataset.images.add_origin(image.sha256, Origin("bing", "1", hint="dog"))
    accept_hints(dataset)


def all_classes_deleted(dataset: Dataset, place: Path) -> None:
    taken_whole(dataset, place)
    labeler(dataset, "accept", "hints")
    for name in ("cat", "owls"):
        ClassEditor(dataset).delete(name)


def imported(
    dataset: Dataset,
    place: Path,
    classes: tuple[str, ...] = ("cat", "owls"),
    start: int = 0,
) -> None:
    """Add labelled images of one sample each, as an import does."""
    labels = [
        Choice(put_whole(dataset, pixels(seed), str(seed)), "label", name, "import")
        for number, name in enumerate(classes)
        for seed in range(start + 200 * number, start + 200 * number + 6)
    ]
    dataset.journal.apply("Import", labels)


def imported_and_compared(dataset: Dataset, place: Path) -> None:
    imported(dataset, place)
    labeler(dataset, "dedup")


def compared_but_not_marked(dataset: Dataset, place: Path) -> None:
    """A split compares labelled images, and marks no duplicates."""
    harvest_files(dataset, [copies(place)], ImportOptions(hints=True, workers=1))
    for image in list(dataset.images.iterate()):
        sample_of(dataset, image)
    labeler(dataset, "accept", "hints")
    labeler(dataset, "split")


def copies(place: Path) -> Path:
    """Draw two images in two classes, each with a copy of another quality."""
    for seed, name in enumerate(("cat", "owls")):
        (place / "copies" / name).mkdir(parents=True)
        for quality in (95, 60):
            path = place / "copies" / name / f"{quality}.jpg"
            path.write_bytes(encode(pixels(seed, (320, 240)), quality=quality))
    return place / "copies"


def one_class(dataset: Dataset, place: Path) -> None:
    imported(dataset, place, ("cat",))


def split(dataset: Dataset, place: Path) -> None:
    imported_and_compared(dataset, place)
    apply_split(dataset, plan_split(dataset, dataset.settings.split))


def labelled_since_a_split(dataset: Dataset, place: Path) -> None:
    imported(dataset, place)
    labeler(dataset, "split", "--ratio", "2:1:1")
    imported(dataset, place, start=50)


def harvested_since_a_split(dataset: Dataset, place: Path) -> None:
    split(dataset, place)
    harvest_files(
        dataset, [tree(place / "later", {"owls": 2}, 50)], ImportOptions(workers=1)
    )


def without_their_files(dataset: Dataset, place: Path) -> None:
    harvested_since_a_split(dataset, place)
    for image in dataset.images.iterate():
        if image.origins[0].path is not None:
            dataset.image_path(image.sha256, image.format).unlink()
    run_here(
        "facecrop.cli", "run", "--new", "--workers", "1", "-q", "-d", dataset.root
    ).checked()


def import_cut_short(dataset: Dataset, place: Path) -> None:
    """Import images without the step that labels them, as after a kill."""
    folder = tree(place / "sorted", {"cat": 6, "owls": 6})
    killed = patch.object(dataset.journal, "apply", side_effect=KeyboardInterrupt)
    with killed, pytest.raises(KeyboardInterrupt):
        import_labelled(
            dataset,
            ImportRequest(path=str(folder), workers=1),
            simulate=False,
            progress=NO_PROGRESS,
        )


def trained(dataset: Dataset, place: Path) -> None:
    split(dataset, place)
    run = dataset.runs.start(BY_HAND, "baseline", {"preset": "simple"})
    dataset.runs.finish(run.id, "done", {})
    write_model(dataset.runs_folder / BY_HAND / "served.onnx")


def trained_and_more_waits(dataset: Dataset, place: Path) -> None:
    trained(dataset, place)
    taken_whole(dataset, place)


def reported(dataset: Dataset, place: Path) -> None:
    trained(dataset, place)
    claim = Claim(
        sha256="0" * 64, format="PNG", box=Box(0, 0, 9, 9), claimed="cat", run=BY_HAND
    )
    Reports(dataset.db).add(claim)


def accepted(dataset: Dataset, place: Path) -> None:
    reported(dataset, place)
    with dataset.db.transaction():
        dataset.db.execute("UPDATE run SET started='2020-01-01T00:00:00Z'")
        Reports(dataset.db).settle(dataset.journal.apply("Accept", []), [1], ACCEPTED)


def asked_to_take_down(dataset: Dataset, _: Path) -> None:
    claim = Claim(
        sha256="0" * 64,
        format="PNG",
        box=Box(0, 0, 9, 9),
        claimed="",
        run=BY_HAND,
        note="mine",
        kind=REMOVAL,
    )
    Reports(dataset.db).add(claim)


def all_taken_down(dataset: Dataset, place: Path) -> None:
    trained(dataset, place)
    images = [image.sha256 for image in dataset.images.iterate()]
    remove_images(dataset, plan_removal(dataset, images, [], []), "asked to")


STATES: tuple[tuple[Make, str], ...] = (
    (lambda dataset, place: None, "harvest folder DIR --hints-from-folders"),
    (harvested, "facecrop run"),
    (searched, "facecrop run --detector whole"),
    (taken_whole, "labeler accept hints"),
    (lambda dataset, place: taken_whole(dataset, place, hints=False), "labeler"),
    (all_weak_labels_disputed, "labeler"),
    (one_weak_label_disputed_since, "labeler dedup"),
    (all_classes_deleted, "labeler accept hints"),
    (imported, "labeler dedup"),
    (imported_and_compared, "labeler split"),
    (compared_but_not_marked, "labeler dedup"),
    (import_cut_short, "labeler import {place}/sorted"),
    (one_class, "harvest folder DIR --hints-from-folders"),
    (split, "baseline train --preset transfer"),
    (labelled_since_a_split, "labeler dedup"),
    (harvested_since_a_split, "facecrop run --detector whole --new"),
    (without_their_files, "baseline train --preset transfer"),
    (trained, "webapp serve"),
    (trained_and_more_waits, "labeler"),
    (reported, "webapp serve --admin"),
    (accepted, "baseline train --preset simple"),
    (asked_to_take_down, "webapp reports list"),
    (all_taken_down, "harvest folder DIR --hints-from-folders"),
)


RUN = {expected: make for make, expected in STATES}
"""Each command is run only in the last state that expects it."""
# Run with an option, and in another test.
del RUN["webapp serve"], RUN["baseline train --preset simple"]


def serve_until_ctrl_c(line: list[str | bytes]) -> None:
    """Start a server, interrupt it once it prints its address."""
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as server:
        try:
            address = server.stdout.readline().decode()
            server.send_signal(signal.SIGINT)
            _, message = server.communicate(timeout=60)
        finally:
            server.kill()
    assert address.startswith("http://127.0.0.1:"), message.decode()
    assert server.returncode == 0, message.decode()


def has_open(pid: int, path: Path) -> bool:
    """Return whether a process has a file open."""
    try:
        return path in map(Path.resolve, Path("/proc", str(pid), "fd").iterdir())
    except FileNotFoundError:
        # Another file was closed between its listing and its resolution.
        return False


def open_until_ctrl_c(line: list[str | bytes], catalogue: Path) -> None:
    """Open a window, and interrupt it once it has had the catalogue open for a second."""
    polls = 0
    with subprocess.Popen(line, stderr=subprocess.PIPE) as window:
        try:
            while window.poll() is None and polls < 10:
                polls = polls + 1 if has_open(window.pid, catalogue) else 0
                time.sleep(0.1)
            window.send_signal(signal.SIGINT)
            _, message = window.communicate(timeout=60)
        finally:
            window.kill()
    assert window.returncode == 130, message.decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(
            make,
            expected,
            id=getattr(make, "__name__", ""),
            marks=[pytest.mark.damages("files of images are missing")]
            * (make is without_their_files),
        )
        for make, expected in STATES
    ],
)
def test_next_command_works_as_printed(
    tmp_path: Path, make: Make, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")  # there is a display
    root = tmp_path / "my dataset"
    with Dataset.create(root) as dataset:
        make(dataset, tmp_path)
        line = next_step(dataset)
    assert line == f"{expected.format(place=tmp_path)} -d {shlex.quote(str(root))}"
    if RUN.get(expected) is not make:
        return
    assert run_here("pipeline.cli", "status", "--json", "-d", root).json["next"] == line
    place = tree(tmp_path / "mine", {"cat": 2, "owls": 2}, 70)
    program, *words = [
        str(place) if word == "DIR" else word for word in shlex.split(line)
    ]
    module = PROGRAMS.get(program, program)
    if words[0] == "train":
        # Shorter than printed.
        words += [f"-o{option}" for option in ("size=32", "views=1", "strength=1")]
    if words[0] == "serve":
        serve_until_ctrl_c(command(f"{module}.cli", *words, "--port", "0"))
        return
    if words[0] in ("-d", "--view"):
        open_until_ctrl_c(command(f"{module}.cli", *words), root / "catalog.sqlite")
        return
    run_here(f"{module}.cli", *words, cwd=tmp_path).checked()


@pytest.mark.usefixtures("no_display")
def test_confident_predictions_are_accepted_before_split(
    dataset: Dataset, tmp_path: Path
) -> None:
    imported_and_compared(dataset, tmp_path)
    assert next_step(dataset).startswith("labeler split ")
    taken_whole(dataset, tmp_path, hints=False)
    queued = [
        sample.key
        for sample in dataset.samples.iter_by_key()
        if sample.status == "queue"
    ]
    prelabelled = [
        PrelabelledSample(key, place, (Proposal("cat", 0.97),))
        for place, key in enumerate(queued)
    ]
    Proposals(dataset.db).replace(prelabelled, {"known": ["cat", "owls"]})
    line = next_step(dataset)
    assert line == f"labeler accept predictions {dataset.option}"
    done = run(f"{line} --json", tmp_path)
    assert done.json["accepted"] == len(queued), done.stderr
    assert next_step(dataset).startswith("labeler dedup ")


def test_failed_images_do_not_hide_new_ones(dataset: Dataset, tmp_path: Path) -> None:
    taken_whole(dataset, tmp_path)
    labeler(dataset, "accept", "hints")
    samples = list(dataset.samples.iterate())
    for sample in samples[:4]:
        face_failure = Rejection("facecrop", sample.image, "too slow")
        dataset.faces.record_failure(sample.image, "animeface", "", face_failure)
        dataset.rejections.add(Rejection("dedup", sample.key, "truncated"))
    dataset.db.execute("UPDATE sample SET label=NULL, status='queue' WHERE id<=4")
    # The labelled samples were never compared, and none of them failed.
    assert next_step(dataset).startswith("labeler dedup ")
    new = tree(tmp_path / "later", {"cat": 3}, 300)
    harvest_files(dataset, [new], ImportOptions(hints=False, workers=1))
    assert next_step(dataset).startswith("facecrop run --detector whole --new ")
    for image in dataset.images.iterate():
        dataset.rejections.add(Rejection("facecrop", image.sha256, "file is gone"))
    assert next_step(dataset).startswith("labeler dedup ")
    for sample in samples:
        dataset.rejections.add(Rejection("dedup", sample.key, "truncated"))
    assert next_step(dataset).startswith("labeler split ")


def test_undo_prints_state_and_next_command(tmp_path: Path) -> None:
    """What was just undone is never advised again."""
    first = tree(tmp_path / "first", {"cat": 8, "owls": 8})
    later = tree(tmp_path / "later", {"cat": 3, "owls": 3}, 500)
    root = tmp_path / "ds"
    at = f"-d {root}"

    def labeler_says(*words: str) -> str:
        said = run_here("labeler.cli", *words, "-d", root).checked().stdout
        return " ".join(said.split())

    def next_line() -> str:
        with Dataset.open(root) as dataset:
            return next_step(dataset)

    for words in (
        ("import", str(first)),
        ("dedup",),
        ("split",),
        ("import", str(later)),
    ):
        labeler_says(*words)
    said = labeler_says("undo")
    assert said == (
        "undone: Import 6 from later restored: 6 "
        f"now: not in the dataset (the images stay): 6 next: gleanset status {at}"
    )
    assert next_line() == f"baseline train --preset transfer {at}"
    labeler_says("undo")
    assert next_line() == f"harvest folder DIR --hints-from-folders {at}"


def test_undone_dedup_leaves_copies_without_a_split(tmp_path: Path) -> None:
    root = tmp_path / "ds"
    with Dataset.create(root) as dataset:
        for command in ("dedup", "split"):
            if command == "dedup":
                compared_but_not_marked(dataset, tmp_path)
            labeler(dataset, command)
    said = run_here("labeler.cli", "undo", "-d", root).checked().stdout
    assert "undone: Mark 2 as duplicates\n" in said
    assert "  labelled: 2, waiting for split: 2\n" in said
    assert f"  labeler split -d {root}\n" in said
    with Dataset.open(root) as dataset:
        assert next_step(dataset) == f"labeler split -d {root}"
        labeler(dataset, "split")
        assert not next_step(dataset).startswith(("labeler dedup", "labeler split"))


def test_undone_acceptance_is_not_advised_again(
    dataset: Dataset, tmp_path: Path
) -> None:
    taken_whole(dataset, tmp_path)
    labeler(dataset, "accept", "hints")
    said = run_here("labeler.cli", "undo", "-d", dataset.root).checked().stdout
    assert "  unlabelled: 12\n" in said
    assert not next_step(dataset).startswith("labeler accept hints")
    dataset.journal.undo(SampleTiles(dataset.db).list_steps()[-1].id)
    assert next_step(dataset).startswith("labeler dedup")


def test_status_names_undecided_pairs(dataset: Dataset, tmp_path: Path) -> None:
    image = pixels(3, (320, 240))
    for name, copy in (("plain", image), ("sticker", with_sticker(image))):
        key = put_whole(dataset, copy, name)
        dataset.journal.apply("Label", [Choice(key, "label", name)])
    labeler(dataset, "dedup")
    said = run_here("pipeline.cli", "status", "-d", dataset.root).checked().stdout
    assert "undecided pairs: 1" in said
    assert f"pairs to decide: labeler groups --doubtful -d {dataset.root}" in " ".join(
        said.split()
    )


def with_sticker(image: Image.Image) -> Image.Image:
    """Lay one plain disc over an image: only a person knows whether it is a copy."""
    copy = image.copy()
    pen = ImageDraw.Draw(copy)
    pen.ellipse((110, 80, 190, 160), "gold", "black", 4)
    return copy


def test_hint_repeats_dataset_option(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "my data") as dataset:
        wrong = ("label", "cat", "--cluster", "nothing")
        with_option = run_here("labeler.cli", *wrong, "-d", dataset.root, cwd=tmp_path)
        assert with_option.stderr.rstrip().endswith(
            f": gleanset list clusters {dataset.option}"
        )
        in_folder = run_here("labeler.cli", *wrong, cwd=dataset.root)
        assert in_folder.stderr.rstrip().endswith(": gleanset list clusters")


@pytest.mark.slow
@pytest.mark.usefixtures("no_display")
def test_clusters_are_suggested_without_display(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "my dataset") as dataset:
        taken_whole(dataset, tmp_path, hints=False)
        where = f"-d {shlex.quote(str(dataset.root))}"

        def follow(line: str) -> None:
            assert next_step(dataset) == f"{line} {where}"
            run(f"{line} {where} -q", tmp_path).checked()

        follow("baseline prelabel")
        assert next_step(dataset) == f"labeler serve {where}"
        result = list_clusters(dataset.db)
        assert len(result) > 1
        for label, stack in zip(("cat", "owls"), result, strict=False):
            words = ("label", label, "--cluster", stack.id, "-q", "-d", dataset.root)
            assert run_here("labeler.cli", *words).code == 0
        assert next_step(dataset).startswith("labeler dedup ")


@pytest.mark.usefixtures("no_display")
def test_skipped_samples_are_not_prelabelled_again(
    dataset: Dataset, tmp_path: Path
) -> None:
    """Skipped samples need the window, which is not available here."""
    trained_and_more_waits(dataset, tmp_path)
    assert next_step(dataset) == f"baseline prelabel {dataset.option}"
    keys = [
        sample.key
        for sample in dataset.samples.iter_by_key()
        if sample.status == "queue"
    ]
    session = SortingSession(dataset)
    session.decide(list(session.tiles.get_ids(keys).values()), f":{Place.LATER}")
    assert next_step(dataset) == f"webapp serve {dataset.option}"


@pytest.mark.usefixtures("no_display")
def test_single_pending_image_does_not_delay_serving(
    dataset: Dataset, tmp_path: Path
) -> None:
    trained(dataset, tmp_path)
    put_whole(dataset, pixels(777), "disputed")
    assert next_step(dataset) == f"webapp serve {dataset.option}"


@pytest.mark.usefixtures("no_display")
def test_after_another_split_training_comes_before_serving(
    dataset: Dataset, tmp_path: Path
) -> None:
    trained(dataset, tmp_path)
    data = {"splits": dataset.samples.hash_splits()}
    write_metrics(dataset.runs_folder / BY_HAND, RunMetrics(["cat", "owls"], {}, data))
    assert next_step(dataset) == f"webapp serve {dataset.option}"
    labeler(dataset, "split", "--ratio", "2:1:1", "--seed", "1")
    assert next_step(dataset).startswith("baseline train")


PROGRAMS = {"gleanset": "pipeline"}
COMMAND_WITH_DATASET = re.compile(
    r"\b((?:gleanset|harvest|facecrop|labeler|baseline|webapp) [a-z][^;\n]*)"
)
COMMANDS = (
    "baseline train -o epochs=1 -o size=32",
    "baseline train --folds 2 -s",
    "baseline evaluate",
    "baseline predict .",
    "baseline export",
    "labeler split",
    "labeler export out",
    "labeler accept hints",
    "labeler accept predictions",
    "labeler quality",
    "labeler audit",
)

INVALID_COMMANDS = (
    "labeler label hana nothing",
    "labeler label hana --cluster nothing",
    "labeler classes rename nobody somebody",
    "labeler classes delete nobody",
    "labeler accept predictions --class nobody",
    "webapp reports accept 9",
    "gleanset forget --report 9",
    "gleanset restore nothing",
    "gleanset forget nothing",
    "baseline evaluate nothing",
    "baseline compare nothing neither",
    "baseline predict .",
    "labeler export out",
    "labeler audit nothing",
)
COMMAND_WITHOUT_DATASET = re.compile(
    r": ((?:gleanset|harvest|facecrop|labeler|baseline|webapp)(?: [a-z-]+)+)(?=[;,)]|$)",
    re.M,
)
"""A command without placeholders, to be typed in the dataset folder."""


def without_hints(make: Callable[..., object]) -> Make:
    def make_without_hints(dataset: Dataset, folder: Path) -> None:
        make(dataset, folder, hints=False)

    make_without_hints.__name__ = f"{make.__name__}_without_hints"
    return make_without_hints


HINT_STATES: tuple[Make, ...] = (
    lambda dataset, folder: None,
    without_hints(harvested),
    without_hints(searched),
    without_hints(taken_whole),
    one_class,
    imported,
)


def suggested_commands(text: str) -> list[str]:
    """Return the commands in a text that name their dataset."""
    return [
        line.strip() for line in COMMAND_WITH_DATASET.findall(text) if " -d " in line
    ]


class HintFollower:
    """Runs the commands of hints, each once while nothing changes."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._results: dict[str, tuple[int, str]] = {}
        self.first_step = self.next

    @property
    def next(self) -> str:
        with Dataset.open(self._root) as dataset:
            return next_step(dataset)

    def run(self, line: str) -> tuple[int, str]:
        if line not in self._results:
            # Where a cross-validation can be planned, a training would start.
            is_training = line.startswith("baseline train --preset")
            done = run(f"{line} --folds 2 -s" if is_training else line, self._folder)
            if is_training and done.code:
                done = run(line, self._folder)
            assert done.code in (0, 2, 3), done.stderr
            self._results[line] = done.code, done.stdout + done.stderr
        return self._results[line]

    def follow(self, line: str, *previous_lines: str) -> None:
        """Run a command and, unless it changed something, the commands it names."""
        assert line not in previous_lines, f"circular hints: {(*previous_lines, line)}"
        code, message = self.run(line)
        # test_next_step trains, and runs the command that status prints.
        if code == 0 and line.startswith(("gleanset status", "baseline train")):
            return
        if code == 0 and self.next != self.first_step:
            self._results.clear()
            return
        commands = suggested_commands(message)
        assert commands, f"no command in the output of {line}: {message}"
        for suggestion in commands:
            self.follow(suggestion, *previous_lines, line)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make", HINT_STATES, ids=lambda make: make.__name__.strip("<>")
)
@pytest.mark.usefixtures("no_display")
def test_commands_in_error_hints_work(tmp_path: Path, make: Make) -> None:
    root = tmp_path / "my dataset"
    with Dataset.create(root) as dataset:
        make(dataset, tmp_path)
    follower = HintFollower(root, tmp_path)
    for words in COMMANDS:
        line = f"{words} -d {shlex.quote(str(root))}"
        code, message = follower.run(line)
        for suggestion in suggested_commands(message) if code else []:
            follower.follow(suggestion, line)


@pytest.mark.slow
def test_hints_work_in_dataset_folder(tmp_path: Path) -> None:
    with Dataset.create(tmp_path / "d") as dataset:
        imported(dataset, tmp_path)
    commands = set()
    for line in INVALID_COMMANDS:
        done = run(line, tmp_path / "d")
        assert done.code in (2, 3), (line, done.stderr)
        commands |= set(COMMAND_WITHOUT_DATASET.findall(done.stderr))
    assert len(commands) > 3
    for line in sorted(commands):
        done = run(line, tmp_path / "d")
        assert done.code == 0, (line, done.stderr)


def run(line: str, folder: Path) -> Ran:
    program, *words = shlex.split(line)
    return run_here(f"{PROGRAMS.get(program, program)}.cli", *words, cwd=folder)
