"""Inference engines, one module for each runtime, loaded on demand."""
