"""Exporting runs as ONNX files for other programs: servers, pages and phones."""
