"""From an episode to faces by person: faces are found while it is decoded, and followed."""
