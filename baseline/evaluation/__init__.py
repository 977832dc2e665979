"""How good a model is, from plain arrays: scores, embeddings, true classes, keys.

Only `network` knows torch. `figures`, `calibration`, `intervals` judge a classifier,
`retrieval`, `verification` and `openset` an embedding; `slices` compares parts of the data,
`thresholds` and `answers` turn scores into answers at a stated cost, `doubts` finds labels that
are likely wrong. `judge` puts it together for one run.
"""
