"""Presets, training, evaluation, prediction and model export."""
