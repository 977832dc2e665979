"""The grid of tiles: its layout, its model, its painting, what mouse and keys do on it."""
