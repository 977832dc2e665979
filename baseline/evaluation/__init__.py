"""How good a model is: figures with intervals, calibration, the decision rule, reports.

`outputs` is what a network said of a split; `metrics`, `calibration` and `intervals` judge a
classifier, as a whole and by parts of the data, `retrieval` an embedding; `answers` turns
scores into answers, by `thresholds` at a stated cost. `judging` puts it together for one run. None
of these needs torch.
"""
