"""Which run of a dataset is served: the one that was named, or the newest."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from baseline.runs import find_run_folder
from gleanset.errors import GleansetError
from webapp.exports import exported
from webapp.served import (
    FILE,
    ServedModel,
    ServedModels,
    read_served,
    served_place,
    write_served,
)

SECONDS = 5.0
log = logging.getLogger(__name__)


def put_in_force(root: Path, run: str | None, scratch: Path) -> tuple[Path, str]:
    """Let `run` answer: a run of the dataset in `root`, its folder, or an exported file.

    None is the newest run, unless one was named before. Returns the file that names it, which
    lies in `scratch` for an exported file, and what a person is told. Raises what `find_run_folder`
    and `exported` raise.
    """
    if run is not None and run.endswith(".onnx"):
        file = Path(run).resolve()
        model = ServedModel(file.stem, str(file))
        write_served(scratch / FILE, ServedModels().taken_over(model, follow=False))
        return scratch / FILE, f"{file} is served"
    place = served_place(root)
    served = read_served(place)
    if run is None and not served.follow:
        return place, f"{served.in_force.run} is served, as was chosen with: webapp use"
    put_run_in_force(root, run)
    return place, f"{read_served(place).in_force.run} is served"


def put_run_in_force(root: Path, run: str | None) -> None:
    """Let a run of the dataset answer; None is the newest, which newer ones follow."""
    place = served_place(root)
    model = served_run(root, run)
    write_served(place, read_served(place).taken_over(model, follow=run is None))


def served_run(root: Path, run: str | None) -> ServedModel:
    """Return a run as a server needs it. Raises what its export raises."""
    folder = find_run_folder(root, run).resolve()
    return ServedModel(folder.name, str(exported(folder)))


class NewerRuns:
    """Looks for runs newer than the one in force; each is tried once."""

    def __init__(self, root: Path, place: Path) -> None:
        self._root, self._place = root, place
        self._tried: Path | None = None

    def look(self) -> None:
        """Put the newest run in force. Raises what the export of it raises."""
        newest = find_run_folder(self._root, None).resolve()
        served = read_served(self._place)
        if not served.follow or newest == self._tried or newest.name == served.in_force.run:
            return
        self._tried = newest
        model = ServedModel(newest.name, str(exported(newest)))
        # Asked again: a person may have named a run while this one was exported.
        if (served := read_served(self._place)).follow:
            write_served(self._place, served.taken_over(model, follow=True))


@contextmanager
def following(root: Path, place: Path) -> Iterator[None]:
    """Look for newer runs while the body runs."""
    ended = threading.Event()
    runs = NewerRuns(root, place)

    def follow() -> None:
        while not ended.wait(SECONDS):
            try:
                runs.look()
            except GleansetError as error:
                log.warning("the model before goes on: %s", error)

    threading.Thread(target=follow, name="newer runs", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
