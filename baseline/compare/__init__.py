"""Runs side by side, on the pictures that all of them were judged on."""
