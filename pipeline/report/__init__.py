"""`gleanset report`: a dataset and its model as one HTML file."""
