"""The `facecrop` command from its first instant on."""

from typing import NoReturn

from gleanset.start import begin


def main() -> NoReturn:
    """The console script."""
    begin("facecrop")
    from facecrop.cli import main as run

    run()


if __name__ == "__main__":
    main()
