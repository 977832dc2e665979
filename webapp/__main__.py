"""The `webapp` command from its first instant on."""

from typing import NoReturn

from gleanset.interrupts import listen


def main() -> NoReturn:
    """The console script."""
    listen()
    from webapp.cli import main as run

    run()


if __name__ == "__main__":
    main()
