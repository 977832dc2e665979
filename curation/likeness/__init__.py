"""What samples look like: a descriptor that needs no network, and the store of all such vectors."""
