"""Wikimedia Commons as a source: free images with author and licence."""

import re

from gleanset import Candidate, Origin
from harvest.sources import Endpoint, Option, Source, changed_error

PARAMETERS = {
    "action": "query",
    "format": "json",
    "formatversion": "2",
    "generator": "search",
}
PARAMETERS |= {
    "gsrnamespace": "6",
    "gsrlimit": "50",
    "prop": "imageinfo",
    "iiprop": "url|extmetadata",
}


class Commons(Source):
    """`https://commons.wikimedia.org`, without a key."""

    name = "commons"
    example = "owl"
    options = (
        Option(
            "endpoint", "another address of the API", "https://commons.wikimedia.org"
        ),
    )

    def pages(self, query, settings, client):
        """Yield pages of results in the site's order."""
        address = Endpoint(settings["endpoint"]).url("/w/api.php")
        position = {"continue": ""}
        while position:
            page = {key: str(value) for key, value in position.items()}
            parameters = PARAMETERS | {"gsrsearch": query.text} | page
            response = client.page(address, parameters, pace=1.0)
            answer = self.parse_json(response, query, dict)
            # An empty result has `batchcomplete`. Anything else is a changed site.
            if "batchcomplete" not in answer and "query" not in answer:
                raise changed_error(self.name, query.text, "JSON of another shape")
            files = answer.get("query", {}).get("pages", ())
            yield [build_candidate(file, query) for file in files]
            position = answer.get("continue")


def build_candidate(file, query):
    """Return the URL of an image, with its page, author and licence."""
    info = file["imageinfo"][0]
    texts = {key: str(text["value"]) for key, text in info["extmetadata"].items()}
    plain = {key: re.sub("<[^>]*>", "", text) for key, text in texts.items()}
    credit = {"author": plain.get("Artist"), "licence": plain.get("LicenseShortName")}
    origin = Origin(
        "commons",
        str(file["pageid"]),
        url=info["url"],
        page_url=info["descriptionurl"],
        query=query.text,
        hint=query.hint,
        **credit,
    )
    return Candidate(info["url"], origin)
