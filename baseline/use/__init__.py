"""Answering with a trained model: engines, predictions, exported files, galleries."""
