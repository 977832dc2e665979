"""Flickr: results in `source`, calls and login in `api`."""
