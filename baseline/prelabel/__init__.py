"""Suggested classes, an order by similarity, and samples to label next.

`prelabeling` computes vectors and stores what `propose` returns for them.
"""

MIN_ACCEPT_CONFIDENCE = 0.95
"""Default confidence threshold of `labeler accept predictions`."""
