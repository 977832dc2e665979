"""The `gleanset` command: the one room that calls every stage."""
