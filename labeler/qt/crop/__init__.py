"""Drawing boxes on an image."""
