"""Detection of faces in images, and cropping them as samples."""
