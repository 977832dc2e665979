"""The self-drawn sample: characters, pictures, a clip, and a local site that serves them."""
