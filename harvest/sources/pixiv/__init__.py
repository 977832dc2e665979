"""Pixiv: results in `source`, calls in `api`, login in `login`."""
