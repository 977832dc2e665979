"""Wikimedia Commons as a source: free pictures, each with its author and its licence."""

import re

from gleanset import Candidate, Origin
from harvest.sources import Endpoint, Option, Source, changed_error

ASKED = {"action": "query", "format": "json", "formatversion": "2", "generator": "search"}
ASKED |= {"gsrnamespace": "6", "gsrlimit": "50", "prop": "imageinfo", "iiprop": "url|extmetadata"}


class Commons(Source):
    """`https://commons.wikimedia.org`, without a key."""

    name = "commons"
    example = "owl"
    options = (Option("endpoint", "address to ask instead", "https://commons.wikimedia.org"),)

    def pages(self, query, settings, client):
        """Yield results in the site's order, page after page as they are wanted."""
        address, more = Endpoint(settings["endpoint"]).url("/w/api.php"), {"continue": ""}
        while more:
            asked = {**ASKED, "gsrsearch": query.text, **{k: str(v) for k, v in more.items()}}
            answer = self.parse_json(client.page(address, asked, pace=1.0), query, dict)
            # That nothing was found is said, too. Anything else is no empty result.
            if "batchcomplete" not in answer and "query" not in answer:
                raise changed_error(self.name, query.text, "JSON of another shape")
            pictures = answer.get("query", {}).get("pages", ())
            yield [candidate(found, found["imageinfo"][0], query) for found in pictures]
            more = answer.get("continue")


def candidate(found, info, query):
    """Return a picture to fetch, with where it was found and whose it is."""
    texts = {key: str(text["value"]) for key, text in info["extmetadata"].items()}
    told = {key: re.sub("<[^>]*>", "", text) for key, text in texts.items()}
    credit = {"author": told.get("Artist"), "licence": told.get("LicenseShortName")}
    place = {"url": info["url"], "page_url": info["descriptionurl"]}
    asked = {"query": query.text, "hint": query.hint}
    origin = Origin("commons", str(found["pageid"]), **place, **asked, **credit)
    return Candidate(info["url"], origin)
