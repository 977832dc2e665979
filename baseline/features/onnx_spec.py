"""Which ONNX file is meant, and how its publisher wants pictures: all of it in one name.

A person writes a file (`ccip.onnx`), its description (`ccip.toml`), an address with its hash
(`https://…/model.onnx#sha256=…`), or a name on a hub (`hub:…`). `pinned_embedding` makes of each
the one name that settings keep: where the file is, its SHA-256, and what is told of its input.
Nothing here needs torch or onnx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Meta

from gleanset.config import TomlTable, read_toml
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.fetch import Published
from gleanset.files.hub import MOST_BYTES, PREFIX, HubFile, HubPin, is_on_hub, on_hub, pinned
from gleanset.files.store import sha256_of_file

MOST_TOLD = 1_000_000
"""Bytes of a JSON file beside it."""

Side = Annotated[int, Meta(ge=8, le=2048)]
Channel = Annotated[float, Meta(gt=-1e6, lt=1e6)]
Sides = Annotated[tuple[Side, ...], Meta(min_length=2, max_length=2)]
Deviation = Annotated[float, Meta(gt=0, lt=1e6)]
Deviations = Annotated[tuple[Deviation, ...], Meta(min_length=3, max_length=3)]
Channels = Annotated[tuple[Channel, ...], Meta(min_length=3, max_length=3)]
_SPECIAL = {"%": "%25", "+": "%2B", "#": "%23", "&": "%26"}
_HASH = re.compile(r"[0-9a-f]{64}")


class InputDetails(TomlTable, frozen=True):
    """What is told of an embedding's input and output; None where nothing is.

    A channel value is (`range` x value in 0..1 - `mean`) / `std`, in the order of `colours`.
    `size` is height and width, or both in one; `output` is the name of an output, of a value
    inside, or of the node that makes it.
    """

    size: Side | Sides | None = None
    mean: Channels | None = None
    std: Deviations | None = None
    range: Literal[1, 255] | None = None
    colours: Literal["rgb", "bgr"] = "rgb"
    layout: Literal["nchw", "nhwc"] | None = None
    output: str | None = None


class Description(InputDetails, frozen=True):
    """A `.toml` file: the same, and whose input it is.

    `model` is an address or a path from there; None means the `.onnx` file of the same name.
    """

    model: str | None = None
    sha256: str = ""


Ask = Callable[[HubFile], HubPin]


class EmbeddingSpec(msgspec.Struct, frozen=True):
    """An ONNX file: its path or address, its SHA-256, a name for people, and its details.

    `source` is the file beside it that told details, empty where a person did.
    """

    model: str
    sha256: str
    name: str
    details: InputDetails
    source: str = ""

    @property
    def is_address(self) -> bool:
        """Whether the file is to be fetched."""
        return _is_address(self.model)

    def pinned(self) -> str:
        """Return the one name that says all of this; `parse` reads it."""
        told = {key: getattr(self.details, key) for key in self.details.__struct_fields__}
        usual = InputDetails()
        rest = {k: _text(v) for k, v in told.items() if v != getattr(usual, k)}
        pairs = {"sha256": self.sha256, "name": self.name} | rest
        pairs |= {"told": self.source} if self.source else {}
        return f"{_escaped(self.model)}#" + "&".join(f"{k}={_escaped(v)}" for k, v in pairs.items())

    @property
    def side(self) -> tuple[int, int] | None:
        """Height and width of its input, where they are told."""
        size = self.details.size
        if size is None or isinstance(size, int):
            return None if size is None else (size, size)
        return size[0], size[1]


def is_embedding(name: str) -> bool:
    """Return whether a backbone's name means an ONNX file, or the description of one."""
    place = name.partition("#")[0].lower()
    return _is_address(place) or place.endswith((".onnx", ".toml"))


def pinned_embedding(name: str, ask: Ask | None = None) -> str:
    """Return the name that says which file is meant, by its hash, and how it takes pictures.

    Reads and hashes a file on this disk, fetches nothing. What a name on a hub stands for is left
    open unless `ask` says it. Raises `UsageError` or `InputUnusable`, and what `ask` raises.
    """
    place, _, fragment = name.partition("#")
    path = Path(unquote(place)).expanduser()
    if not _is_address(place) and path.suffix.lower() == ".toml":
        return _described(path, ask).pinned()
    spec = parse(name)
    if spec.is_address:
        return _checked(spec, ask).pinned()
    beside = path.with_suffix(".toml")
    if not fragment and beside.is_file():
        return _described(beside, ask).pinned()
    details, source = (spec.details, spec.source) if fragment else _told_beside(path)
    return _on_disk(path, spec.sha256, details, spec.name, source).pinned()


def parse(name: str) -> EmbeddingSpec:
    """Read a name: a path or an address, and after # what is told of it.

    That is `key=value` with & between. Raises `UsageError` for a key or value that is not known.
    """
    place, _, fragment = name.partition("#")
    pairs = {k: unquote(v) for k, _, v in (one.partition("=") for one in fragment.split("&")) if k}
    model = unquote(place)
    known = {key: pairs.pop(key, "") for key in ("sha256", "name", "told")}
    try:
        details = msgspec.convert(
            {key: _value(key, text) for key, text in pairs.items()}, InputDetails, strict=False
        )
    except msgspec.ValidationError as error:
        raise UsageError(
            f"'{name}': {error}",
            f"after # stand sha256 and {', '.join(InputDetails.__struct_fields__)}; "
            "or describe the file in a .toml",
        ) from error
    shown = known["name"] or _stem(model)
    return EmbeddingSpec(model, _digest(known["sha256"]), shown, details, known["told"])


def refused(name: str, why: str, mend: str = "") -> InputUnusable:
    """Return the error for an ONNX file that cannot serve as a backbone."""
    return InputUnusable(
        f"{name} cannot be a backbone: {why}",
        mend or "name an ONNX file that makes one vector of one picture",
    )


def _described(path: Path, ask: Ask | None) -> EmbeddingSpec:
    """Return what a `.toml` describes."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}", "check the name of the backbone")
    found = read_toml(path, Description)
    told = msgspec.structs.asdict(found)
    model, sha256 = told.pop("model"), _digest(told.pop("sha256"))
    details = InputDetails(**told)
    if model and _is_address(model):
        return _checked(EmbeddingSpec(model, sha256, path.stem, details), ask)
    there = path.parent / Path(model).expanduser() if model else path.with_suffix(".onnx")
    return _on_disk(there, sha256, details, path.stem)


def _on_disk(
    path: Path, sha256: str, details: InputDetails, name: str, source: str = ""
) -> EmbeddingSpec:
    """Return the spec of a file that is there, has a bearable size, and the hash if one is told."""
    try:
        size = path.stat().st_size
        if not path.is_file() or size > MOST_BYTES:
            raise UsageError(
                f"{path} is no file of at most {MOST_BYTES / 1e9:g} GB", "name an ONNX file"
            )
        digest = sha256_of_file(path)
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", "check the name of the backbone"
        ) from error
    if sha256 and digest != sha256:
        raise InputUnusable(
            f"{path} is another file than the one meant: its SHA-256 is {digest}, not {sha256}",
            "put the file back, or give the new hash",
        )
    return EmbeddingSpec(str(path.absolute()), digest, name, details, source)


def _checked(spec: EmbeddingSpec, ask: Ask | None) -> EmbeddingSpec:
    if is_on_hub(spec.model):
        return _of_hub(spec, ask)
    where = 'ADDRESS#sha256=…, or sha256 = "…" in its .toml'
    Published.checked(spec.model, spec.sha256, where)
    if not unquote(urlsplit(spec.model).path).lower().endswith(".onnx"):
        raise UsageError(f"{spec.model} names no .onnx file", "give the address of the file itself")
    return spec


def _of_hub(spec: EmbeddingSpec, ask: Ask | None) -> EmbeddingSpec:
    """Return the spec with its whole name, pinned by `ask`, and the details that are known."""
    repository = HubFile.parse(spec.model).repository
    known = on_hub("baseline.features")["repositories"].get(repository, {})
    model = str(HubFile.parse(spec.model, known.pop("file", "model.onnx")))
    model, sha256 = pinned(model, spec.sha256, ask) if ask else (model, spec.sha256)
    more = {"details": msgspec.convert(known, InputDetails), "source": "imgutils"}
    more = more if known and spec.details == InputDetails() else {}
    return msgspec.structs.replace(spec, model=model, sha256=sha256, **more)


def _digest(text: str) -> str:
    word = text.lower().removeprefix("sha256:")
    if word and not _HASH.fullmatch(word):
        raise UsageError(f"'{text}' is no SHA-256", "give its 64 hex digits")
    return word


def _told_beside(path: Path) -> tuple[InputDetails, str]:
    """Return what `preprocess.json` (deepghs) or `config.json` (timm) in the same folder tells."""
    for name, read in (("preprocess.json", _of_stages), ("config.json", _of_timm)):
        beside = path.with_name(name)
        if beside.is_file() and beside.stat().st_size <= MOST_TOLD:
            try:
                told = read(json.loads(beside.read_bytes()))
                if told:
                    return msgspec.convert(told, InputDetails, strict=False), name
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise InputUnusable(
                    f"{beside} does not say how {path.name} takes pictures: {error}",
                    f"describe it in {path.with_suffix('.toml').name}, which goes first",
                ) from error
    return InputDetails(), ""


def _of_stages(config: Any) -> dict[str, Any]:
    """Read deepghs' list of steps, of which the last resize or crop gives the size."""
    details: dict[str, Any] = {}
    for step in config.get("test") or config.get("val") or config.get("stages") or ():
        if step["type"] in ("resize", "center_crop", "pad_to_size"):
            sides = step["size"] if isinstance(step["size"], list) else [step["size"]]
            details["size"] = (sides[0], sides[-1])
        elif step["type"] == "normalize":
            details |= {key: tuple(step[key]) for key in ("mean", "std")}
    return details


def _of_timm(file_json: Any) -> dict[str, Any]:
    """Read timm's `pretrained_cfg`, also where it is the whole file."""
    config = file_json.get("pretrained_cfg", file_json)
    details = {key: tuple(config[key]) for key in ("mean", "std") if key in config}
    if details and "input_size" in config:
        details["size"] = tuple(config["input_size"][1:])
    return details


def _is_address(text: str) -> bool:
    return text.lower().startswith(("https://", "http://", PREFIX))


def _stem(model: str) -> str:
    if is_on_hub(model):  # where the folder says what it is
        return HubFile.parse(model).key.split("/")[-2]
    return Path(urlsplit(model).path if _is_address(model) else model).stem


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _text(value: object) -> str:
    return ",".join(f"{one}" for one in value) if isinstance(value, tuple) else f"{value}"


def _value(key: str, text: str) -> object:
    if key in ("mean", "std") or (key == "size" and "," in text):
        return tuple(text.split(","))
    return text
