"""What a view says when it has nothing to show, and what it offers to do next."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.sorting import LabelCounts
from gleanset.work.stage import is_at_work
from labeler.qt.translations import counted, tr
from labeler.qt.views.base import LabelerView
from labeler.qt.views.empty import NextStep, Notice
from labeler.sorting.grid_rows import ALL_PLACES, SET_ASIDE
from labeler.sorting.session import Place


def command(*words: str) -> NextStep:
    """Return a step that only a terminal can do."""
    return NextStep(command=shlex.join(words))


def to_view(view: LabelerView, name: str, text: str) -> NextStep:
    """Return a step that leads to another view."""
    return NextStep(text, lambda: view.acts.show_view(name))


def to_queue(view: LabelerView) -> NextStep:
    """Return a step that leads to what is not sorted."""
    text = tr("Go to what is not sorted")
    return NextStep(text, lambda: view.acts.show_place(Place.QUEUE.target))


def to_pages(view: LabelerView) -> NextStep:
    """Return a step that leads to the class pages."""
    return to_view(view, "pages", tr("Go to class pages"))


def making_pages() -> Notice:
    """The first page is not there yet."""
    return Notice(tr("Pages are being made …"), tr("A name that you type meanwhile is kept."))


class FaceSearchState(NamedTuple):
    """How many images there are, and whether a process finds faces in them now."""

    images: int
    at_work: bool

    @classmethod
    def of(cls, dataset: Dataset) -> FaceSearchState:
        """Return that of a dataset."""
        return cls(dataset.images.count(), is_at_work(dataset.cache, "facecrop"))


def no_faces(view: LabelerView, search: FaceSearchState) -> Notice:
    """A dataset without samples: with images, or without any."""
    if view.acts.takes_in() or search.at_work:
        return Notice(tr("Faces are being looked for …"), tr("They appear here as they are found."))
    if not search.images:
        return Notice(
            tr("There are no faces here yet"),
            tr("Drop pictures, folders or videos onto this window, or choose them:"),
            (
                NextStep(tr("A folder …"), view.acts.choose_folder),
                NextStep(tr("Pictures and videos …"), view.acts.choose_files),
            ),
        )
    return Notice(
        tr("No faces were found in the pictures yet"),
        counted(tr("{count} pictures are here."), search.images),
        (
            NextStep(tr("Find the faces in them"), view.acts.find_faces),
            to_view(view, "crop", tr("Draw boxes by hand")),
        ),
    )


def all_sorted(view: LabelerView, counts: LabelCounts) -> Notice:
    """Nothing waits any more."""
    text = tr("{count} faces have their place.")
    later, done = tr("Show what was put off: {count}"), counts.total - counts.later
    place = Place.LATER.target
    put_off = NextStep(counted(later, counts.later), lambda: view.acts.show_place(place))
    return Notice(
        tr("Everything is sorted"),
        counted(text, done),
        (
            *([put_off] if counts.later else []),
            to_view(view, "review", tr("Look at it again")),
            to_view(view, "duplicates", tr("Look for copies")),
            to_view(view, "numbers", tr("Split and export it")),
        ),
    )


def of_place(view: LabelerView, target: str, name: str, key: str, counts: LabelCounts) -> Notice:
    """A class, or a place besides classes, with nobody in it."""
    if target in (Place.QUEUE.target, ALL_PLACES):
        return all_sorted(view, counts)
    words = {
        Place.LATER.target: (
            tr("Nothing was put off"),
            tr("L puts a face off: it waits here."),
        ),
        Place.OTHER.target: (
            tr("Nobody is here"),
            tr("O sends a face of somebody you do not collect here."),
        ),
        Place.REJECT.target: (
            tr("Nothing was rejected"),
            tr("Del sends here what is no face; Q takes it back."),
        ),
        SET_ASIDE: (
            tr("No copies are set aside"),
            tr("Copies of a picture can be found; the best one is kept."),
        ),
    }
    look = to_view(view, "duplicates", tr("Look for copies"))
    if target in words:
        title, text = words[target]
        return Notice(title, text, (look,) if target == SET_ASIDE else (to_queue(view),))
    how = tr("Point at a face and press {key}, or drag faces onto the row at the left.")
    how = how.format(key=key.upper()) if key else tr("Drag faces onto the row at the left.")
    title = tr("No face is {name} yet").format(name=name)
    return Notice(title, how, (to_queue(view), to_pages(view)))


def nothing_fits(clear: Callable[[], object]) -> Notice:
    """Filters that leave nothing."""
    text = tr("Clear the filters")
    title = tr("Nothing fits the filters")
    return Notice(title, "", (NextStep(text, clear),))


def of_wall(view: LabelerView, wall: str, root: Path) -> Notice:
    """A wall of the review without anything on it."""
    whole = str(root)
    notices: dict[str, Notice] = {
        "model": Notice(
            tr("No label differs from what the model says"),
            tr("The model says more once it has learnt anew."),
            (
                NextStep(tr("Learn now"), view.acts.learn),
                command("baseline", "presort", "-d", whole),
            ),
        ),
        "doubts": Notice(
            tr("No label is in doubt"),
            tr("Labels that are likely wrong are searched for in a terminal:"),
            (command("baseline", "doubts", "-d", whole),),
        ),
        "page": Notice(
            tr("Nothing was filed with a page"),
            tr("Here is what Enter filed on class pages."),
            (to_pages(view),),
        ),
        "flags": Notice(
            tr("Nothing is flagged"),
            tr("Blurred, black, tiny and odd pictures are searched for in a terminal:"),
            (command("labeler", "quality", "-d", whole),),
        ),
    }
    nothing = Notice(
        tr("Nothing is labelled yet"),
        tr("Sort some faces first: then look at them again."),
        (to_pages(view), to_queue(view)),
    )
    return notices.get(wall, nothing)


def no_copies(look: Callable[[], object]) -> Notice:
    """No groups of copies are left to be decided."""
    return Notice(
        tr("No copies wait for you"),
        tr("Pictures that came since the last search have to be compared first."),
        (NextStep(tr("Look for duplicates"), look),),
    )


def comparing() -> Notice:
    """Copies are being looked for."""
    return Notice(tr("Looking for copies …"))


def no_missed_images(view: LabelerView, show_all: Callable[[], object]) -> Notice:
    """No image without a face."""
    return Notice(
        tr("There is no image in which no face was found"),
        tr("Boxes can be drawn on any image."),
        (
            NextStep(tr("Show all images"), show_all),
            NextStep(tr("Find faces in images that came since"), view.acts.find_faces),
        ),
    )


def no_such_image(clear: Callable[[], object]) -> Notice:
    """A search among images that finds none."""
    title = tr("There is no such image")
    text = tr("Clear the search")
    return Notice(title, "", (NextStep(text, clear),))


def no_classes(view: LabelerView) -> Notice:
    """No class yet: there is nothing to count."""
    return Notice(
        tr("There are no classes yet"),
        tr("Name somebody on a class page, or press N over a face in the grid."),
        (to_pages(view), to_queue(view)),
    )
