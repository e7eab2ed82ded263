"""
Parcels to a Packstation of DHL: what the customer has to give, and how it stands in an address.

DHL asks for the name, below it the Postnummer of the recipient's customer account, then "Packstation" with
the three digits of its number, then postcode and town
(https://www.dhl.de/en/privatkunden/hilfe-kundenservice/packstation/empfangen.html). In an address of
Oscar's these are ``line1`` and ``line2``. DHL publishes no check digit of the Postnummer, so none is
checked: six to ten digits are taken.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.translation import gettext

#: Packstations are in Germany only.
COUNTRY = "DE"
_LOCKER = re.compile(
    r"^\s*pack\s*-?\s*station\b[\s:.#-]*(?:(?:nummer|nr|no)\b[\s:.#-]*)?(.*?)\s*$", re.IGNORECASE
)
_LOCKER_GLUED = re.compile(r"^\s*packstation(\d+)\s*$", re.IGNORECASE)
_POST_NUMBER_WORD = re.compile(
    r"^\s*(?:dhl[\s-]*)?(?:post[\s-]*(?:nummer|nr|number|no)|kundennummer)\b[\s:.#-]*", re.IGNORECASE
)


class LockerRefused(ValueError):
    """The address of a parcel locker is not complete; ``problems`` say why, in the reader's words."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(" ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, kw_only=True)
class ParcelLocker:
    """``post_number``: the recipient's Postnummer; ``number``: three digits of the Packstation."""

    post_number: str
    number: str

    @property
    def line1(self) -> str:
        return self.post_number

    @property
    def line2(self) -> str:
        return f"Packstation {self.number}"


def make_locker(*, post_number: str, number: str) -> ParcelLocker:
    """
    What a customer typed, without the spaces.

    :raises LockerRefused: one of the two cannot be right
    """
    post_number = re.sub(r"[\s.-]", "", _POST_NUMBER_WORD.sub("", post_number))
    number = re.sub(r"\s", "", number)
    problems = [*_problems_of_number(number), *_problems_of_post_number(post_number)]
    if problems:
        raise LockerRefused(problems)
    return ParcelLocker(post_number=post_number, number=number)


def names_locker(lines: Sequence[str]) -> bool:
    """Whether an address is meant for a Packstation, complete or not."""
    return _find_number(lines) is not None


def read_locker(lines: Sequence[str], *, country: str = COUNTRY, postcode: str | None = None) -> ParcelLocker:
    """
    The Packstation of an address, in whichever order its lines are. ``lines``: without the town.

    :raises LockerRefused: it names none, or is not complete
    """
    number = _find_number(lines)
    if number is None:
        raise LockerRefused([gettext("The address names no Packstation.")])
    problems = []
    if country.upper() != COUNTRY:
        problems.append(gettext("Packstations are in Germany only."))
    if postcode is not None and not re.fullmatch(r"\s*\d{5}\s*", postcode):
        problems.append(gettext("The postcode of the Packstation has five digits."))
    try:
        locker = make_locker(post_number=_find_post_number(lines), number=number)
    except LockerRefused as refused:
        raise LockerRefused([*refused.problems, *problems]) from None
    if problems:
        raise LockerRefused(problems)
    return locker


def _problems_of_number(number: str) -> list[str]:
    if not number:
        return [
            gettext("Please add the number of the Packstation: three digits, for example Packstation 123.")
        ]
    if not _is_digits(number, 3, 3) or number == "000":
        return [gettext("The number of a Packstation has three digits, for example 123.")]
    return []


def _problems_of_post_number(post_number: str) -> list[str]:
    if not post_number:
        return [
            gettext(
                "Please add your Postnummer: DHL gave it to you when you registered for Packstations, and "
                "without it the parcel comes back."
            )
        ]
    if not _is_digits(post_number, 6, 10):
        return [gettext("A Postnummer has six to ten digits and nothing else.")]
    return []


def _is_digits(text: str, least: int, most: int) -> bool:
    return text.isascii() and text.isdigit() and least <= len(text) <= most


def _find_number(lines: Sequence[str]) -> str | None:
    """What stands after the word Packstation; ``None`` when nobody says that word."""
    for line in lines:
        found = _LOCKER_GLUED.match(line or "") or _LOCKER.match(line or "")
        if found:
            return found[1]
    return None


def _find_post_number(lines: Sequence[str]) -> str:
    """The line that is called Postnummer or, when none is, the first that begins with a digit."""
    others = [line.strip() for line in lines if line and line.strip() and not names_locker([line])]
    named = [line for line in others if _POST_NUMBER_WORD.match(line)]
    bare = [line for line in others if line[:1].isdigit()]
    return next(iter([*named, *bare]), "")
