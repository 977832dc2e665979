"""Visual similarity of samples: descriptors, embeddings, clusters and class proposals."""
