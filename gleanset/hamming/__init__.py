"""Finding 64-bit hashes that lie within a Hamming distance of each other."""
