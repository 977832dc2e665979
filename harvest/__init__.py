"""Getting images in: folders, URL lists, search keywords, video frames."""
