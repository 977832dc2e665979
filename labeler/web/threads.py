"""The threads of the server: one decides, one composes pages, and one compares faces."""

import asyncio
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gleanset import Dataset
from gleanset.errors import GleansetError, UsageError
from gleanset.platform import lower_thread_priority
from gleanset.web.problems import RefusedRequest, busy_error
from labeler.review import list_doubtful
from labeler.sorting.descriptor_queue import measure_in_batches
from labeler.sorting.page_layout import ClassPage
from labeler.sorting.pages import Pages
from labeler.sorting.session import SortingSession
from labeler.web.access import PersonName
from labeler.web.api_models import LabelPage, SentStep, StepAnswer, StepText
from labeler.web.checking import MAX_DOUBTFUL, CheckPage, CopiesCheck, LabelsCheck
from labeler.web.sharing import SharedSorting, Wish

POLL_SECONDS = 0.7
"""How often changes by windows and commands are looked for: they are shown within 2 s."""

SWITCH_SECONDS = 0.0005
MAX_COMPOSING_SECONDS = 0.1
"""Where composing takes longer, the next page is prepared while a person looks at one. Otherwise
it is composed once it is needed, from all decisions."""

# A temporary view hides the table of this name: queries see these samples (rows) as unlabelled.
_SAMPLES_WITHOUT_LABELS = """
    CREATE TEMP VIEW sample AS
    SELECT id, key, image, face, detector, score, x, y, w, h, phash, sharpness,
        iif(id IN ({rows}), NULL, label) AS label,
        iif(id IN ({rows}), 'queue', status) AS status, kept, duplicate_set,
        split_group, split, angle, size, track, last_split
    FROM main.sample
    """

T = TypeVar("T")


class PageComposer:
    """Composes pages on a thread of its own: of many thousand faces it takes seconds."""

    def __init__(self, root: Path):
        self._session = SortingSession(Dataset.open(root))
        self._pages: dict[PersonName, Pages] = defaultdict(lambda: Pages(self._session))

    def compose(self, name: PersonName, wish: Wish) -> list[ClassPage]:
        """Return the next pages of a person; none if nothing is left to show."""
        pages = self._pages[name]
        pages.room = wish.room
        pages.reserved = wish.reserved
        self._hide_labels(wish.second)
        for note in wish.notes:
            note(pages)
        return pages.list_next()

    def _hide_labels(self, samples: Sequence[int]) -> None:
        """Let samples wait on this connection, so that their labels suggest nothing."""
        db = self._session.dataset.db
        db.execute("DROP VIEW IF EXISTS temp.sample")
        if samples:
            db.execute(_SAMPLES_WITHOUT_LABELS.format(rows=",".join(map(str, samples))))

    def list_checks(self, *, of_copies: bool) -> list[CopiesCheck | LabelsCheck]:
        """Return duplicate sets, or pages of doubtful labels."""
        from labeler.duplicates.finder import DuplicateFinder  # OpenCV is slow to load

        dataset = self._session.dataset
        # Hide none: the last page that was composed may have hidden some.
        self._hide_labels(())
        if of_copies:
            return [*map(CopiesCheck, DuplicateFinder(dataset).plan().open_sets())]
        items = list_doubtful(dataset)
        starts = range(0, len(items), MAX_DOUBTFUL)
        return [LabelsCheck(items[n : n + MAX_DOUBTFUL]) for n in starts]


class SortingThreads:
    """Runs work on the threads that own connections, and wakes those that wait for changes."""

    _sharing: SharedSorting
    _composer: PageComposer
    """Made by `start` on their threads."""

    def __init__(self, root: Path, share: float):
        self._root = root
        self._share = share
        self._deciding = ThreadPoolExecutor(1, "deciding")
        self._composing = ThreadPoolExecutor(1, "composing")
        self._run_ended = asyncio.Event()
        self._is_closed = False
        self._measuring_task: asyncio.Task[None] | None = None
        self._tasks: dict[PersonName, asyncio.Task[None]] = {}
        """The composing of a page for each person."""
        self._composing_seconds = 0.0

    async def start(self) -> None:
        """Open the dataset. Raises errors of the dataset."""
        # Composing is mostly Python: with Python's 5 ms, each of the 50 queries of an answer would
        # wait so long for the interpreter.
        sys.setswitchinterval(SWITCH_SECONDS)
        self._sharing = await _run(
            self._deciding, SharedSorting, self._root, self._share
        )
        self._composer = await _run(self._composing, PageComposer, self._root)

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Return the result of a method of `SharedSorting`. Raises `RefusedRequest`."""
        try:
            return await _run(
                self._deciding,
                work,
                self._sharing,
                *arguments,
            )
        finally:
            # Wakes those that wait for this event; from now on they wait for a new one.
            self._run_ended.set()
            self._run_ended = asyncio.Event()

    async def wait_for_change(self, version: int, seconds: float) -> None:
        """Wait until the version is another one, at most for some seconds."""
        # A timeout is not an error: the state is sent again, unchanged.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._sharing.version == version:
                    await self._run_ended.wait()

    async def get_page(self, name: PersonName, room: int) -> LabelPage:
        """Return the page of a person, once it is composed.

        `room` is the number of tiles that fill the screen (0: as before).
        """
        # Again if other people took its faces meanwhile. Shielded, because others may wait for the
        # same task when this request is cancelled.
        while (page := await self._find_page(name, room)) is None:
            await asyncio.shield(self._compose_for(name))
        return page

    async def _find_page(self, name: PersonName, room: int = 0) -> LabelPage | None:
        page = await self.run(SharedSorting.get_page, name, room)
        # Pages that follow are composed while the person looks at this one.
        if self._composing_seconds > MAX_COMPOSING_SECONDS:
            self._compose_for(name)
        return page

    async def take(self, name: PersonName, sent: SentStep) -> StepAnswer:
        """Carry out a step of a person, and return what there is to show now."""
        result = await self.run(SharedSorting.take_step, name, sent)
        if (page := await self._find_page(name)) is None:
            # What is saved is acknowledged soon: the browser asks for a page that takes longer.
            composing = self._compose_for(name)
            await asyncio.wait([composing], timeout=MAX_COMPOSING_SECONDS)
            page = await self._find_page(name)
        return StepAnswer(
            result.step,
            result.kind,
            StepText.describe(result.operation),
            result.changed_since,
            page,
            await self.run(SharedSorting.get_state, name),
        )

    async def get_check(
        self, name: PersonName, skipped: int, *, of_copies: bool
    ) -> CheckPage:
        """Return duplicates or doubtful labels that a person has to check."""
        work = partial(self._composer.list_checks, of_copies=of_copies)
        checks = await _run(self._composing, work)
        return await self.run(SharedSorting.show_check, name, checks, skipped)

    def _compose_for(self, name: PersonName) -> asyncio.Task[None]:
        task = self._tasks.get(name)
        if task is None or task.done():
            task = asyncio.create_task(self._compose(name))
            self._tasks[name] = task
        return task

    async def _compose(self, name: PersonName) -> None:
        wish = await self.run(SharedSorting.make_wish, name)
        start = time.monotonic()
        pages = await _run(
            self._composing,
            self._composer.compose,
            name,
            wish,
        )
        self._composing_seconds = time.monotonic() - start
        if self._composing_seconds <= MAX_COMPOSING_SECONDS:
            pages = pages[:1]  # the page after it learns from this one
        await self.run(SharedSorting.note_composed, name, pages)

    async def watch(self) -> None:
        """Look for changes by other processes, and for faces to compare."""
        while True:
            with suppress(RefusedRequest):
                is_due = await self.run(SharedSorting.poll)
                task = self._measuring_task
                if is_due and (task is None or task.done()):
                    self._measuring_task = asyncio.create_task(self._measure_all())
            await asyncio.sleep(POLL_SECONDS)

    async def _measure_all(self) -> None:
        # Tried again later, for instance once the disk has room.
        with suppress(GleansetError, RefusedRequest):
            await asyncio.to_thread(self._measure)
            await self.run(SharedSorting.note_measured)

    def _measure(self) -> None:
        """Compute the embeddings of samples without one."""
        lower_thread_priority()
        with (
            Dataset.open(self._root) as dataset,
            closing(measure_in_batches(dataset)) as batches,
        ):
            # Each step measures and stores a batch; what it yields is not needed.
            for _ in batches:
                if self._is_closed:
                    return

    async def stop(self) -> None:
        """Finish what was begun, and close the dataset."""
        self._is_closed = True
        for task in self._tasks.values():
            task.cancel()
        if self._measuring_task is not None:
            await self._measuring_task
        await self.run(SharedSorting.close)


async def _run(
    thread: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any
) -> T:
    """Return the result of work on a thread. Raises `RefusedRequest` for its errors."""
    loop = asyncio.get_running_loop()
    try:
        return await loop.run_in_executor(thread, work, *arguments)
    except UsageError as error:
        raise RefusedRequest(409, "refused", error.what, error.fix) from error
    except GleansetError as error:
        # The browser sends it again: the disk is full, or another process is writing.
        raise busy_error(error.what) from error
