"""Addresses of parcel lockers, as people write them."""

from contextlib import suppress

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as some

from oscar_loyalty.delivery.lockers import LockerRefused, make_locker, names_locker, read_locker


@pytest.mark.parametrize(
    "lines",
    [
        ["1234567", "Packstation 123", ""],
        ["Packstation 123", "1234567"],
        ["PACKSTATION123", "", "1234567"],
        ["packstation Nr. 123", "Postnummer 1234567"],
        ["Packstation Nummer 123", "Postnr.: 123 45 67"],
        ["c/o Ada Lovelace", "Packstation: 123", "DHL-Postnummer: 1234567"],
        ["Pack-Station 123", " 1234567 "],
    ],
)
def test_an_address_of_a_packstation_is_understood(lines):
    locker = read_locker(lines, country="DE", postcode="12345")
    assert (locker.post_number, locker.number) == ("1234567", "123")
    assert (locker.line1, locker.line2) == ("1234567", "Packstation 123")


@pytest.mark.parametrize(
    "lines", [["Marktplatz 1", ""], ["", "", ""], ["Am Packhof 12"], ["Packstationsweg 12"], [None, None]]
)
def test_other_addresses_name_no_packstation(lines):
    assert not names_locker(lines)
    with pytest.raises(LockerRefused, match="names no Packstation"):
        read_locker(lines)


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["Packstation", "1234567"], "Please add the number"),
        (["Packstation 12", "1234567"], "has three digits"),
        (["Packstation 1234", "1234567"], "has three digits"),
        (["Packstation 000", "1234567"], "has three digits"),
        (["Packstation abc", "1234567"], "has three digits"),
        (["Packstation 123", ""], "Please add your Postnummer"),
        (["Packstation 123", "12345"], "six to ten digits"),
        (["Packstation 123", "12345678901"], "six to ten digits"),
        (["Packstation 123", "Postnummer 12E4567"], "six to ten digits"),
        (["Packstation 123", "١٢٣٤٥٦٧"], "six to ten digits"),
    ],
)
def test_what_is_missing_is_said_in_plain_words(lines, problem):
    assert names_locker(lines)
    with pytest.raises(LockerRefused) as refused:
        read_locker(lines)
    assert problem in str(refused.value)


def test_every_problem_is_told_at_once():
    with pytest.raises(LockerRefused) as refused:
        read_locker(["Packstation 1"], country="AT", postcode="1010")
    assert len(refused.value.problems) == 4


@given(post_number=some.from_regex(r"[0-9]{6,10}", fullmatch=True), number=some.integers(1, 999))
def test_what_is_written_into_an_address_is_read_back(post_number, number):
    locker = make_locker(post_number=post_number, number=f"{number:03}")
    assert read_locker([locker.line1, locker.line2, ""]) == locker
    assert read_locker([locker.line2, f"Postnummer {locker.line1}"]) == locker


@given(lines=some.lists(some.text(max_size=40), max_size=4))
def test_no_text_breaks_the_reading(lines):
    locker = None
    with suppress(LockerRefused):
        locker = read_locker(lines)
    assert locker is None or (6 <= len(locker.post_number) <= 10 and len(locker.number) == 3)


def test_problems_are_told_in_the_readers_language():
    with translation.override("de"), pytest.raises(LockerRefused) as refused:
        read_locker(["Packstation 1", "1234567"])
    assert refused.value.problems
