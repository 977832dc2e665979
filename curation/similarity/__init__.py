"""What samples look like: descriptors, the store of all vectors, and what is proposed by them."""
