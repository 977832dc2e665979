"""Runs `python -m facecrop` as the command `facecrop`."""

from gleanset.start import facecrop as main

if __name__ == "__main__":
    main()
