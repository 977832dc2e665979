"""Looking at decisions a second time."""
