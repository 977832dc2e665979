"""Runs `python -m labeler` as the command `labeler`."""

from gleanset.start import labeler as main

if __name__ == "__main__":
    main()
