"""Safe decoding, measuring and cropping of images."""
