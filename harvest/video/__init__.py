"""Videos: ffmpeg samples frames and finds scene cuts in one decoding pass."""
