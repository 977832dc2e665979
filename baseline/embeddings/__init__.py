"""Embeddings made by others, as ONNX files, that serve as backbones."""
