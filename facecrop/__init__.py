"""Finding faces in images and cutting them out as samples."""
