"""Pixiv: results in `source`, calls and login in `api`."""
