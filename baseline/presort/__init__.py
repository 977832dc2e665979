"""Proposals for samples without a label, an order of likeness, and what to label next.

`presorter` makes vectors and stores what `propose` says of them, by
`curation/similarity/class_learning.py`.
"""

MIN_ACCEPT_CONFIDENCE = 0.95
"""The confidence from which `labeler accept proposals` takes a proposal, where nothing is said."""
