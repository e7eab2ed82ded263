"""Stripe's form encoding, and the check of names and types that comes before a call begins."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .errors import refuse

Field = Callable[[Any, str], Any]
MAX_METADATA = {"keys": 50, "key": 40, "value": 500}


def decode(encoded: str) -> dict[str, Any]:
    """Turn ``metadata[order]=7&expand[]=customer`` into nested dicts and lists of texts."""
    tree: dict[str, Any] = {}
    for name, value in parse_qsl(encoded, keep_blank_values=True):
        path = [name.split("[", 1)[0], *re.findall(r"\[([^\]]*)\]", name)]
        branch = tree
        for part in path[:-1]:
            branch = branch.setdefault(part or str(len(branch)), {})
            if not isinstance(branch, dict):
                raise refuse(f"Invalid object: {name}", param=path[0])
        branch[path[-1] or str(len(branch))] = value
    return {name: _lists(value) for name, value in tree.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.isascii() and key.isdigit() for key in value):
        return [_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _lists(part) for key, part in value.items()}


def read(given: dict[str, Any], fields: dict[str, Field], *, inside: str = "") -> dict[str, Any]:
    """
    Check ``given`` against ``fields`` and return the values with their types.

    Names that ``required`` marks must be there. Every call may carry ``expand``.
    """

    def full(name: str) -> str:
        return f"{inside}[{name}]" if inside else name

    known = fields if inside else {"expand": texts, **fields}
    if unknown := [full(name) for name in given if name not in known]:
        plural = "s" if len(unknown) > 1 else ""
        raise refuse(
            f"Received unknown parameter{plural}: {', '.join(unknown)}",
            code="parameter_unknown",
            param=unknown[0],
        )
    for name, field in known.items():
        if name not in given and getattr(field, "is_required", False):
            raise refuse(f"Missing required param: {full(name)}.", code="parameter_missing", param=full(name))
    return {name: known[name](value, full(name)) for name, value in given.items()}


def required(field: Field) -> Field:
    def checked(value: Any, name: str) -> Any:
        return field(value, name)

    checked.is_required = True  # type: ignore[attr-defined]
    return checked


def text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise refuse("Invalid string: must be a string", param=name)
    if value == "":
        raise refuse(
            f"You passed an empty string for '{name}'. We assume empty values are an attempt to unset a"
            f" parameter; however '{name}' cannot be unset. You should remove '{name}' from your request"
            " or supply a non-empty value.",
            code="parameter_invalid_empty",
            param=name,
        )
    if len(value) > 5000:
        raise refuse(
            f"Invalid string: {value[:20]}...; must be at most 5000 characters",
            code="parameter_invalid_string_length",
            param=name,
        )
    return value


def integer(value: Any, name: str) -> int:
    if not (isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value)):
        raise refuse(f"Invalid integer: {value}", code="parameter_invalid_integer", param=name)
    return int(value)


def positive(value: Any, name: str) -> int:
    number = integer(value, name)
    if number < 1:
        raise refuse(
            "This value must be greater than or equal to 1.", code="parameter_invalid_integer", param=name
        )
    return number


def boolean(value: Any, name: str) -> bool:
    if value not in ("true", "false"):
        raise refuse(f"Invalid boolean: {value}", param=name)
    return value == "true"


def url(value: Any, name: str) -> str:
    parts = urlsplit(text(value, name))
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise refuse("Not a valid URL", code="url_invalid", param=name)
    return value


def texts(value: Any, name: str) -> list[str]:
    if not (isinstance(value, list) and all(isinstance(part, str) for part in value)):
        raise refuse("Invalid array", param=name)
    return value


def anything(value: Any, name: str) -> Any:
    return value


def choice(*allowed: str) -> Field:
    def checked(value: Any, name: str) -> str:
        if value not in allowed:
            options = ", ".join(allowed[:-1]) + f", or {allowed[-1]}" if len(allowed) > 1 else allowed[0]
            raise refuse(f"Invalid {name}: must be one of {options}", param=name)
        return value

    return checked


def nested(**fields: Field) -> Field:
    def checked(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise refuse("Invalid object", param=name)
        return read(value, fields, inside=name)

    return checked


def moment(value: Any, name: str) -> dict[str, int]:
    """A time, or a range of times: ``created=…`` or ``created[gte]=…``; returned as a range."""
    if not isinstance(value, dict):
        exactly = integer(value, name)
        return {"gte": exactly, "lte": exactly}
    return read(value, dict.fromkeys(("gt", "gte", "lt", "lte"), integer), inside=name)


def metadata(value: Any, name: str) -> dict[str, str]:
    """Texts by name. An empty value unsets a name; an empty text instead of the mapping unsets all."""
    if value == "":
        return {}
    if isinstance(value, list):  # metadata[0]=… is a name too
        value = {str(position): part for position, part in enumerate(value)}
    if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
        raise refuse("Invalid object", param=name)
    if len(value) > MAX_METADATA["keys"]:
        raise refuse("You can have up to 50 metadata keys.", param=name)
    for key, part in value.items():
        if len(key) > MAX_METADATA["key"]:
            raise refuse(f"Metadata keys can have up to 40 characters: {key}", param=name)
        if len(part) > MAX_METADATA["value"]:
            raise refuse("Metadata values can have up to 500 characters.", param=f"{name}[{key}]")
    return value


def merged_metadata(before: dict[str, str], given: dict[str, str]) -> dict[str, str]:
    return {key: part for key, part in {**before, **given}.items() if part} if given else {}


LIST = {"limit": integer, "starting_after": text, "ending_before": text, "created": moment}
