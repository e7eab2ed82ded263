"""Which texts the ledger takes: the same on every engine, and refused before anything is written."""

from typing import Any

from django.db import models

from oscar_loyalty.points.errors import InvalidText


def check_text(text: object, *, most: int) -> str:
    """
    ``text`` if every engine stores it as it is. PostgreSQL takes no NUL, SQLite any length, and half of
    a character cannot be written at all.

    :raises InvalidText: it is no such text, or longer than ``most`` characters
    """
    if not isinstance(text, str) or len(text) > most or "\0" in text or not _is_whole(text):
        raise InvalidText(text)
    return text


def check_references(*references: object) -> None:
    """:raises InvalidText: one of the names of baskets, orders, lines or keys is none"""
    for reference in references:
        check_text(reference, most=128)


def check_texts(row: models.Model) -> None:
    """:raises InvalidText: a text of the row is one that not every engine stores as it is"""
    for field in row._meta.concrete_fields:
        value = getattr(row, field.attname)
        if isinstance(field, models.CharField | models.TextField):
            if value is not None or not field.null:
                check_text(value, most=field.max_length or 10**6)
        elif isinstance(field, models.JSONField):
            check_json(value)


def check_json(value: Any) -> None:
    """:raises InvalidText: a text in it is one that not every engine stores as it is"""
    if isinstance(value, str):
        check_text(value, most=10**6)
    elif isinstance(value, dict):
        for key, part in value.items():
            check_json(key)
            check_json(part)
    elif isinstance(value, list | tuple):
        for part in value:
            check_json(part)


def _is_whole(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
