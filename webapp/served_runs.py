"""Which run of a dataset is served: the one that was named, or the newest."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baseline.data.runs import find_run_folder, newest_run_folder
from gleanset.errors import GleansetError
from gleanset.work.progress import Progress
from webapp.exports import exported
from webapp.served import FILE, ServedModel, ServedModels, read_served, served_place, write_served

SECONDS = 5.0
log = logging.getLogger(__name__)


def put_in_force(
    root: Path,
    run: str | None,
    scratch: Path,
    wanted: str | None = None,
    progress: Progress | None = None,
) -> tuple[Path, str]:
    """Let `run` answer: a run of the dataset in `root`, its folder, or an exported file.

    None is the newest run that is `wanted`, unless one was named before. Returns the file
    that names it, which lies in `scratch` where one is named here, and what a person is told;
    `progress` is told what is done. Raises what `find_run_folder` and `exported` raise.
    """
    place = served_place(root)
    if run is not None:
        # In force for this server alone: others of the dataset go on as they are.
        place, model = scratch / FILE, served_run(root, run, None, progress)
        write_served(place, ServedModels().taken_over(model, follow=False))
        return place, f"{model.run} is served"
    if not (served := read_served(place)).follow:
        return place, f"{served.in_force.run} is served, as was chosen with: webapp serve --switch"
    put_run_in_force(root, None, wanted, progress)
    return place, f"{read_served(place).in_force.run} is served"


def put_run_in_force(
    root: Path, run: str | None, wanted: str | None = None, progress: Progress | None = None
) -> None:
    """Let a run of the dataset answer; None is the newest `wanted`, which newer ones follow."""
    place = served_place(root)
    model = served_run(root, run, wanted, progress)
    write_served(place, read_served(place).taken_over(model, follow=run is None))


def served_run(
    root: Path, run: str | None, wanted: str | None = None, progress: Progress | None = None
) -> ServedModel:
    """Return a run as a server needs it: `run`, which may be an exported file, or the newest
    `wanted`. Raises what its export raises.
    """
    if run is not None and run.endswith(".onnx"):
        return ServedModel(Path(run).stem, str(Path(run).resolve()))
    found = find_run_folder(root, run) if run else newest_run_folder(root, wanted)
    folder = found.resolve()
    return ServedModel(folder.name, str(exported(folder, progress)))


class NewerRuns:
    """Looks for runs newer than the one in force, of those `wanted`; each is tried once."""

    def __init__(self, root: Path, place: Path, wanted: str | None = None) -> None:
        self._root, self._place, self._wanted = root, place, wanted
        self._tried: Path | None = None

    def look(self) -> None:
        """Put the newest run in force. Raises what the disk and the export of it raise."""
        # `Path.resolve` raises no OSError where links lead round in a circle.
        newest = Path(os.path.realpath(newest_run_folder(self._root, self._wanted), strict=True))
        served = read_served(self._place)
        if not served.follow or newest == self._tried or newest.name == served.in_force.run:
            return
        self._tried = newest
        model = ServedModel(newest.name, str(exported(newest)))
        # Asked again: a person may have named a run while this one was exported.
        if (served := read_served(self._place)).follow:
            write_served(self._place, served.taken_over(model, follow=True))


@contextmanager
def following(root: Path, place: Path, wanted: str | None = None) -> Iterator[None]:
    """Look for newer runs (those `wanted`) while the body runs."""
    ended = threading.Event()
    runs = NewerRuns(root, place, wanted)

    def follow() -> None:
        before = ""
        while not ended.wait(SECONDS):
            try:
                runs.look()
            except (GleansetError, OSError) as error:
                if before != (before := str(error)):
                    log.warning("the model before goes on: %s", before)

    threading.Thread(target=follow, name="newer runs", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
