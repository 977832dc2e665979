"""The sources that come with Gleanset: by name, the class that `harvest.sources` loads."""

SOURCES = {
    "bing": "harvest.sources.bing:Bing",
    "flickr": "harvest.sources.flickr:Flickr",
    "google": "harvest.sources.google.source:Google",
    "pixiv": "harvest.sources.pixiv.source:Pixiv",
}
