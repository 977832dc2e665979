"""Any of the hundreds of sites that gallery-dl knows: the query is an address it understands.

gallery-dl finds the pictures, our downloader fetches them. Of gallery-dl only its
extractors run: no archive, post-processor, filter or file name of it has a say, nothing is
written, printed or asked for, and its log goes to ours. What it keeps between runs (logins)
stays in memory, unless the person's own gallery-dl settings are asked for by `config=yes`.
Its settings belong to the whole process, so searches run one after another.

Left out: what the site itself calls video, sound, text or an archive (so is an ugoira,
which comes as a zip or a video), and what only another program than a browser could fetch.
A picture that needs a cookie is rejected when it is downloaded: cookies stay here.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from gleanset.errors import GleansetError
from harvest.http import Client
from harvest.sources.base import Option, Pages, Query, Source
from harvest.sources.gallery_dl.extraction import ExtractedFile, Extraction, load_library
from harvest.sources.gallery_dl.records import candidate, refusal

log = logging.getLogger(__name__)


class GalleryDl(Source):
    """The sites of gallery-dl, through its library.

    `overrides` are settings of gallery-dl that go before all others, whatever the site.
    """

    name: ClassVar[str] = "gallery_dl"
    example: ClassVar[str] = "https://danbooru.donmai.us/posts?tags=owl"
    hints: ClassVar[bool] = False
    options: ClassVar[tuple[Option, ...]] = (
        Option("endpoint", "address to ask instead of the site's own, where it has one root"),
        Option(
            "config",
            "use your gallery-dl settings: logins, cookies, proxies",
            "no",
            {"no": "no", "yes": "yes"},
        ),
    )

    def __init__(self, overrides: Mapping[str, object] | None = None) -> None:
        self._overrides = overrides or {}

    def pages(self, query: Query, settings: Mapping[str, str], client: Client) -> Pages:
        """Yield what gallery-dl finds at the address, in its order.

        Raises also `UsageError` for an address that it does not know, `InputUnusable` where
        nothing is there, `NeedsLogin`, and `MissingComponent` without gallery-dl.
        """
        own = settings["config"] == "yes"
        library = load_library(client.user_agent, self._overrides, own_settings=own)
        extraction = Extraction(library, settings["endpoint"], client)
        files = extraction.files_at(query.text, self.example)
        skipped = 0
        for file in _translated(library, query, files):
            picture = candidate(file.extractor, file.url, file.metadata, query)
            if picture is not None:
                yield [picture]
            skipped += picture is None
        if skipped:
            log.info("%s: %d files left out that are no pictures", query.text, skipped)


def _translated(
    library: Any, query: Query, files: Iterator[ExtractedFile]
) -> Iterator[ExtractedFile]:
    """Yield the files; raise gallery-dl's exceptions as ours."""
    errors = library.exception
    try:
        yield from files
    except GleansetError:
        raise
    except (errors.StopExtraction, errors.TerminateExtraction):
        return
    except Exception as error:
        raise refusal(errors, error, query) from error
