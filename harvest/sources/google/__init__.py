"""Google: results in `source`, the browser in `browser`, parsing in `page`."""
