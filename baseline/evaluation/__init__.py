"""Evaluation of models: metrics with intervals, calibration, the decision rule, reports.

None of these modules needs PyTorch.
"""
