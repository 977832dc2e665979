"""Command to suggest for training."""

from __future__ import annotations

from gleanset import Dataset


def suggest_training_command(dataset: Dataset) -> str:
    """Return the command that trains a model, with the preset of the latest run if there is one."""
    latest_run = dataset.runs.get_latest("baseline")
    preset = (latest_run.settings if latest_run else {}).get("preset", "transfer")
    return f"baseline train --preset {preset} {dataset.option}"
