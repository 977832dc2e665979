"""Shards in a bucket: each is written where its worker runs, and sent from there."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from gleanset.files.s3 import Bucket
from labeler.export.shards import Shard, ShardManifest, ShardWriter


@dataclass(frozen=True, slots=True)
class BucketShardWriter:
    """Writes shards to `place`; picklable. One that is whole there is kept.

    A shard is sent first and its manifest last: with that it counts.
    """

    write: ShardWriter
    place: Bucket

    def __call__(self, shard: Shard) -> ShardManifest:
        """Return what is in the shard, once the server has it."""
        found = self._sent(shard.name)
        if found is not None and found.of == self.write.digest_of(shard):
            return found
        with TemporaryDirectory(prefix="gleanset-shard-") as folder:
            here = Path(folder)
            manifest = replace(self.write, folder=here, earlier=here / "none")(shard)
            self.place.put(manifest.shard, here / manifest.shard)
            self.place.put(f"{shard.name}.json", here / f"{shard.name}.json")
        return manifest

    def _sent(self, name: str) -> ShardManifest | None:
        """Return the manifest of a shard that is whole, unchanged and lacks nothing, else None."""
        try:
            data, _ = self.place.get(f"{name}.json")
            found = ShardManifest(**json.loads(data))
        except (OSError, ValueError, TypeError):
            return None
        facts = self.place.facts(found.shard)
        same = facts is not None and facts.sha256 == found.sha256
        return found if same and not found.failed else None
