"""Runs `python -m harvest` as the command `harvest`."""

from gleanset.start import harvest as main

if __name__ == "__main__":
    main()
