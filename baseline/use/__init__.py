"""Using trained models: engines, predictions, exported files, galleries."""
