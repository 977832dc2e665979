"""Runs `python -m pipeline` as the command `gleanset`."""

from gleanset.start import gleanset as main

if __name__ == "__main__":
    main()
