"""Generator of the bundled sample: characters, images, a clip, and the responses of its site."""
