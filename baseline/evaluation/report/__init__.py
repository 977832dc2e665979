"""The pages of reports: of a run, and of a cross-validation."""
