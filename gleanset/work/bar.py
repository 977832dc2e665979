"""A bar of tqdm; imported only by commands that show one."""

from tqdm import tqdm


class Bar(tqdm):  # type: ignore[type-arg]
    """A bar that Ctrl-C never leaves locked."""

    def refresh(self, *_: object, **__: object) -> None:
        """Draw the bar."""
        # tqdm's own method keeps the lock if an exception is raised while it draws: threads that
        # advance the bar would wait, and the pool would wait for them.
        with self.get_lock():  # type: ignore[no-untyped-call]
            super().refresh(nolock=True)
