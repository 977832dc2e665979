"""All SQL of the project: one connection, and a small class for each kind of record."""
