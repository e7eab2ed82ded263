"""
Public holidays by country and part of a country.

The days come from the ``holidays`` library, the extra ``oscar-loyalty[delivery]``. A promise is cautious: a
day that is a holiday for a part of the region only (15 August in the Catholic towns of Bavaria) counts.
"""

from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

#: The part of a country is not known: a holiday in any of its parts counts.
ANYWHERE = "*"
#: Kinds of holidays on which no parcel is carried, where a country has them.
_CATEGORIES = ("public", "catholic")
#: Codes of ISO 3166-2 have three characters at most; the library knows some towns too ("Augsburg").
_LONGEST_CODE = 3


@dataclass(frozen=True, kw_only=True)
class Region:
    """
    Where a parcel leaves or arrives: ``country`` by ISO 3166-1 ("DE"), ``subdivision`` by the second half of
    ISO 3166-2 ("BY"), empty for what is a holiday in the whole country only, or :data:`ANYWHERE`.
    """

    country: str
    subdivision: str = ""


def is_holiday(day: date, *, region: Region) -> bool:
    """Whether ``day`` is a public holiday there. A country that nobody knows has none."""
    return day in _holidays_of(region.country.upper(), region.subdivision, day.year)


def name_subdivision(country: str, text: str) -> str:
    """
    The code of a part of a country by what people write: "Bayern", "Bavaria", "BY" or "DE-BY" are "BY".
    Empty when the text names none.
    """
    wanted = " ".join(text.split()).casefold()
    if not wanted:
        return ""
    return _names_of(country.upper()).get(wanted.removeprefix(f"{country.casefold()}-"), "")


def find_region(*, country: str, state: str = "", subdivision: str = "") -> Region:
    """
    The region of an address. Without a state that names a part of the country, a holiday anywhere in
    the country counts: a promise that is a day too late is kept, one that is a day too early is not.
    """
    return Region(
        country=country.upper(), subdivision=subdivision or name_subdivision(country, state) or ANYWHERE
    )


def is_known(region: Region) -> bool:
    """Whether the library knows the holidays of a region."""
    parts = _subdivisions_of(region.country.upper())
    return parts is not None and (region.subdivision in ("", ANYWHERE) or region.subdivision in parts)


#: What English readers write, beside the names the library has.
_ENGLISH = {
    "DE": {
        "bavaria": "BY",
        "hesse": "HE",
        "lower saxony": "NI",
        "mecklenburg-western pomerania": "MV",
        "north rhine-westphalia": "NW",
        "rhineland-palatinate": "RP",
        "saxony": "SN",
        "saxony-anhalt": "ST",
        "thuringia": "TH",
        "nrw": "NW",
    },
    "AT": {
        "burgenland": "1",
        "carinthia": "2",
        "lower austria": "3",
        "upper austria": "4",
        "salzburg": "5",
        "styria": "6",
        "tyrol": "7",
        "vorarlberg": "8",
        "vienna": "9",
    },
}


@lru_cache(maxsize=512)
def _holidays_of(country: str, subdivision: str, year: int) -> frozenset[date]:
    parts = _subdivisions_of(country)
    if parts is None:
        return frozenset()
    if subdivision == ANYWHERE:
        codes = [code for code in parts if len(code) <= _LONGEST_CODE]
        days = [_holidays_of(country, code, year) for code in ("", *codes)]
        return frozenset().union(*days)
    known = subdivision if subdivision in parts else None
    categories = [each for each in _CATEGORIES if each in _class_of(country).supported_categories]
    found = _library().country_holidays(country, subdiv=known, years=year, categories=categories)
    return frozenset(day for day in found if day.year == year)


@lru_cache(maxsize=64)
def _names_of(country: str) -> dict[str, str]:
    parts = _subdivisions_of(country)
    if parts is None:
        return {}
    names = {code.casefold(): code for code in parts}
    for name, code in getattr(_class_of(country), "subdivisions_aliases", {}).items():
        names.setdefault(name.casefold(), code)
    for name, code in _ENGLISH.get(country, {}).items():
        names.setdefault(name, code)
    return names


@lru_cache(maxsize=64)
def _subdivisions_of(country: str) -> tuple[str, ...] | None:
    try:
        return tuple(_class_of(country).subdivisions)
    except (KeyError, NotImplementedError):
        return None


def _class_of(country: str) -> Any:
    return _library().country_holidays(country).__class__


def _library() -> Any:
    try:
        import holidays
    except ImportError as error:
        raise ImportError("Promised days need the library holidays: oscar-loyalty[delivery].") from error
    return holidays
