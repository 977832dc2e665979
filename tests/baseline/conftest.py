"""Here, so that the tests of this room find what they share."""
