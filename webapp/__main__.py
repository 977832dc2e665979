"""Runs `python -m webapp` as the command `webapp`."""

from gleanset.start import webapp as main

if __name__ == "__main__":
    main()
