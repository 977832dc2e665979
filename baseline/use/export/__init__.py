"""A run as one file for another program: ONNX for servers and pages, LiteRT for phones."""
