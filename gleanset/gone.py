"""Commands and options of earlier development versions, and what to use instead."""

from __future__ import annotations

from collections.abc import Sequence

from gleanset.errors import UsageError

REMOVED_COMMANDS = {
    "baseline compare --output": "redirect the table, or its data: baseline compare --json",
    "baseline compare -o": "redirect the table, or its data: baseline compare --json",
    "baseline curve": "compare runs on more and fewer images: baseline train --folds 5",
    "baseline evaluate --open-set": "see the model's card for how images of other classes are "
    "rejected (docs/use.md)",
    "baseline evaluate --spare": "use: baseline evaluate --protect CLASS=99.9%",
    "baseline evaluate --unknown-error": "reject unlike images: --max-rejection-rate 5%; set a "
    "minimum confidence: unknown_below in [web] of dataset.toml",
    "baseline doubts": "use: baseline label-issues",
    "baseline predict --move": "copy the files: --copy-to DIR",
    "baseline predict --watch": "use: watchexec -w inbox baseline predict inbox --copy-to sorted",
    "baseline presort": "use: baseline prelabel",
    "facecrop compare": "in a clone: python benchmarks/detectors.py FILE.json (docs/detectors.md)",
    "gleanset completion": "add this line to ~/.bashrc: "
    'eval "$(_GLEANSET_COMPLETE=bash_source gleanset)" (zsh, fish: docs/use.md)',
    "gleanset demo --serve": "build the dataset, then serve it: webapp serve -d demo",
    "gleanset diff": "compare counts: gleanset snapshot; rows: sqldiff snapshots/NAME.sqlite "
    "catalog.sqlite (a tool of SQLite)",
    "gleanset init --store": "use a folder: gleanset init DIR; export to a URL: "
    "labeler export s3://BUCKET/PREFIX",
    "gleanset list --format": "use JSON Lines, which pandas and DuckDB read: "
    "gleanset list KIND > FILE.jsonl",
    "gleanset list --out": "redirect the lines: gleanset list KIND > FILE.jsonl",
    "gleanset publish": "copy the dataset's folder: aws s3 sync DIR s3://BUCKET/PREFIX",
    "gleanset restore --limit": "see the counts: gleanset snapshot",
    "gleanset restore --settings": "keep copies of dataset.toml, for instance with git",
    "harvest check": "search without downloading: harvest keyword WORD --source NAME --limit 3 "
    "--simulate",
    "harvest folder --on": "leave it out: images are imported on this machine",
    "harvest frames --around": "use: --from TIME --to TIME --every 0.5s",
    "harvest frames --at": "take video and time from: gleanset list images; then: "
    "ffplay -ss TIME VIDEO",
    "gleanset episodes --crop-bars": "crop the video first: ffmpeg -i VIDEO -vf crop=W:H:X:Y "
    "OUT.mkv",
    "harvest frames --crop-bars": "crop the video first: ffmpeg -i VIDEO -vf crop=W:H:X:Y OUT.mkv",
    "harvest frames --within": "use: --from TIME --to TIME --every 0.5s",
    "harvest keyword --on": "leave it out: images are downloaded on this machine",
    "harvest keyword --range": "use: --limit N; images that are known are not downloaded again",
    "harvest keyword --shards": "export shards: labeler export OUT --format webdataset",
    "harvest urls --on": "leave it out: images are downloaded on this machine",
    "harvest urls --shards": "use img2dataset, or export shards: labeler export OUT --format "
    "webdataset",
    "labeler accept-hints": "use: labeler accept hints",
    "labeler audit --sheet": "use its pairs in any image viewer: labeler audit --json | jq .pairs",
    "labeler balance": "classes count equally in training: baseline train -o balance=weights; "
    "collect more of a class: harvest keyword NAME --label NAME",
    "labeler classes add --from": "use: xargs -d '\\n' -n 1 labeler classes add < FILE",
    "labeler classes remove": "use: labeler classes delete",
    "labeler export --move": "make class folders of links: labeler export OUT --no-split --link",
    "labeler export --names": "leave it out: files keep their original names",
    "labeler export --on": "leave it out: exports are written on this machine",
    "labeler export --undecided": "decide the faces in the window: labeler",
    "labeler export --undo": "delete the folder that labeler export OUT --no-split --link made",
    "labeler find": "import the image and look for its duplicates: harvest folder IMAGE, "
    "facecrop run --new, labeler dedup",
    "labeler gallery --detector": "filter the samples with jq: gleanset list samples",
    "labeler gallery --hint": "filter the samples with jq: gleanset list samples",
    "labeler gallery --score": "filter the samples with jq: gleanset list samples",
    "labeler gallery --with-reports": "list them: gleanset list reports",
    "labeler gallery --status": "filter the samples with jq: gleanset list samples",
    "labeler open --screenshot": "use the screenshot program of the desktop",
    "labeler open --size": "the window remembers its size",
    "labeler quality --simulate": "leave it out: the command only measures",
    "labeler split --fold": "cross-validate: baseline train --folds 5",
    "labeler split --folds": "cross-validate: baseline train --folds 5",
    "labeler split --most": "collect fewer images of that source: --limit N",
    "webapp serve --switch": "restart the server: webapp serve RUN",
    "webapp serve --trust-proxy": "use: --forwarded-allow-ips ADDRESS",
    "webapp takedowns": "list them: gleanset list reports; remove one: gleanset forget --report N",
}
"""Full name of a command, or of a command with an option, and the hint of the error."""

REMOVED_TABLES = {
    "store": "move its folders into the dataset as images, crops, exports and runs, then remove "
    "[store]",
    "target": "labels of each class are counted by: gleanset status",
}
"""Keys of `dataset.toml` that were no option of a command, and the hint."""

UNUSED_BALANCE = f"not used: balance of an earlier version ({REMOVED_COMMANDS['labeler balance']})"
"""Warning of commands that used what `labeler balance` stored."""


def find_removed_key(steps: Sequence[str]) -> str | None:
    """Return the hint for a key of a TOML file that was in an earlier version, if any."""
    *tables, key = (step for step in steps if not step.isdigit())
    if not tables and key in REMOVED_TABLES:
        return REMOVED_TABLES[key]
    # In recipes, `names` of [[export]] is the option of `labeler export --names`.
    option = " ".join((*tables, f"--{key.replace('_', '-')}" if tables else key))
    return next(
        (hint for name, hint in REMOVED_COMMANDS.items() if name.partition(" ")[2] == option), None
    )


def check_not_removed(name: str) -> None:
    """Raise `UsageError` with a hint if a command or option was in an earlier version."""
    # Every program is also a subcommand of gleanset.
    command = next(
        (key for key in (name, name.removeprefix("gleanset ")) if key in REMOVED_COMMANDS), None
    )
    if command is not None:
        raise UsageError(f"{command} no longer exists", REMOVED_COMMANDS[command])
