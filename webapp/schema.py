"""What the OpenAPI page says of forms and answers. The answers themselves are made elsewhere."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _object(properties: Schema, *optional: str) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(items: Schema, **more: object) -> Schema:
    return {"type": "array", "items": items, **more}


def _answer(says: str, schema: Schema) -> Schema:
    return {"description": says, "content": {"application/json": {"schema": schema}}}


def _or_null(kind: str) -> Schema:
    return {"type": [kind, "null"]}


TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer"}
BOX = _list(WHOLE, minItems=4, maxItems=4, description="x, y, width, height of the upright picture")
BOXES: Schema = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": "for each file a list of boxes [x, y, width, height] in pixels of the upright "
    "picture, or null where the server is to find the faces",
}
_PART = _object(
    {
        "box": {"anyOf": [BOX, {"type": "null"}]},
        "score": _or_null("number"),
        "answer": _or_null("string"),
        "familiarity": _or_null("number"),
        "tells_strangers": {
            "type": "boolean",
            "description": "whether the answer would be null for what looks like nothing learnt",
        },
        "unfamiliar": {
            "type": "boolean",
            "description": "the answer is null because the picture looks like nothing learnt",
        },
        "predictions": _list(_object({"label": TEXT, "confidence": NUMBER})),
        "nearest": _list(_object({"label": TEXT, "sample": TEXT, "likeness": NUMBER})),
    }
)
_REFUSED = _object({"reason": TEXT, "detail": TEXT})
_PICTURE = _object(
    {"name": TEXT, "width": WHOLE, "height": WHOLE, "parts": _list(_PART), "error": _REFUSED},
    "width",
    "height",
    "parts",
    "error",
)
ERROR = _answer(
    "Refused", _object({"error": _object({"reason": TEXT, "detail": TEXT, "mend": TEXT})})
)
PREDICTION = _answer("Who it is", _object({"run": TEXT, "pictures": _list(_PICTURE)}))
FACES = _answer(
    "Where the faces are",
    _object(
        {
            "pictures": _list(
                _object(
                    {
                        "name": TEXT,
                        "width": WHOLE,
                        "height": WHOLE,
                        "faces": _list(_object({"box": BOX, "score": NUMBER})),
                        "error": _REFUSED,
                    },
                    "width",
                    "height",
                    "faces",
                    "error",
                )
            )
        }
    ),
)
CLASSES = _answer(
    "The classes",
    _object(
        {
            "title": TEXT,
            "languages": _list(TEXT, description="those that the page offers; none for all"),
            "sure_from": NUMBER,
            "run": TEXT,
            "classes": _list(TEXT),
            "size": WHOLE,
            "cropping": {"type": "object"},
            "finder": {"enum": ["browser", "server"]},
            "box_style": _list(NUMBER),
            "portraits": {"type": "boolean"},
            "on_device": {"type": "boolean"},
            "reports": {"type": "boolean"},
        }
    ),
)
_COUNTS: Schema = {"type": "object", "additionalProperties": WHOLE}
_CLASS_FIGURES = _object({"name": TEXT, "precision": NUMBER, "recall": NUMBER, "pictures": WHOLE})
_MEASURED = _object(
    {
        "split": TEXT,
        "pictures": WHOLE,
        "moments": _or_null("integer"),
        "accuracy": NUMBER,
        "interval": {"type": ["array", "null"], "items": NUMBER, "minItems": 2, "maxItems": 2},
        "commonest_class": NUMBER,
        "few": {"type": "boolean"},
        "clear_of_copies": {"type": "boolean"},
        "classes": _list(_CLASS_FIGURES),
    }
)
_LEARNT_FROM = _object(
    {
        "images": WHOLE,
        "sources": _COUNTS,
        "licences": _COUNTS,
        "unlicensed": WHOLE,
        "made_by_model": WHOLE,
        "gone": WHOLE,
    }
)
_CLASS_COUNTS = {split: _or_null("integer") for split in ("train", "val", "test")}
CARD = _answer(
    "What is known; null is not known",
    _object(
        {
            "run": TEXT,
            "title": TEXT,
            "languages": _list(TEXT),
            "detector": TEXT,
            "classes": _list(_object({"name": TEXT, **_CLASS_COUNTS})),
            "unknown_below": _or_null("number"),
            "own_threshold": {"type": "boolean"},
            "tells_strangers": {"type": "boolean"},
            "strangers": _or_null("object"),
            "measured": {"anyOf": [_MEASURED, {"type": "null"}]},
            "preset": _or_null("string"),
            "date": _or_null("string"),
            "learnt_from": {"anyOf": [_LEARNT_FROM, {"type": "null"}]},
            "contact": _or_null("string"),
            "description": _or_null("string"),
            "takes_requests": {"type": "boolean"},
        }
    ),
)
_TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
PORTRAITS = _answer("Data URIs of JPEGs", _object({"faces": _TEXTS, "example": _or_null("string")}))
REPORT: Schema = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": 'JSON: {"claimed": class, "box": [x, y, width, height] or null, "note": text}',
}
REPORTED = _answer("Kept", _object({"new": {"type": "boolean"}}))
TAKE_DOWN: Schema = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": 'JSON: {"page": address it came from, "words": which picture, "reason": why, '
    '"contact": how to reach you}; a page, words or a file, and a reason have to be there',
}
HEALTH = _answer("It answers", _object({"status": TEXT, "run": TEXT, "version": TEXT}))
PING = _answer("At once", _object({"pong": {"type": "boolean"}}))


FILE: Schema = {"type": "string", "format": "binary"}
FILES = _list(FILE)


def form_body(fields: Schema, *optional: str) -> Schema:
    """Return the description of a form with these fields, of which some are optional."""
    schema = _object(fields, *optional)
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    }
