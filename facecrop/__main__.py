"""Entry point of the `facecrop` command."""

from typing import NoReturn

from gleanset.start import begin


def main() -> NoReturn:
    """Run the console script."""
    begin("facecrop")
    from facecrop.cli import main as run

    run()


if __name__ == "__main__":
    main()
