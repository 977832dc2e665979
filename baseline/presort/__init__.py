"""Proposals for samples without a label, an order of likeness, and what to label next.

`likeness` makes vectors, `propose` says what comes of them, by `curation/likeness/recommend.py`;
`presorter` stores it all.
"""
