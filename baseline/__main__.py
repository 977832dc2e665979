"""Runs `python -m baseline` as the command `baseline`."""

from gleanset.start import baseline as main

if __name__ == "__main__":
    main()
