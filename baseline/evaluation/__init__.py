"""How good a model is, from plain arrays: scores, embeddings, true classes, keys.

No module here needs torch. `outputs` is what a network said of a split; `metrics`, `calibration`
and `intervals` judge a classifier, as a whole and by parts of the data, `retrieval` an embedding;
`decision_rule` turns scores into answers at a stated cost. `report_metrics` puts it together for
one run.
"""
