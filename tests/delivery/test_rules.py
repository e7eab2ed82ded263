"""The day a parcel arrives, as a table and as properties."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as some

from oscar_loyalty.delivery.calendars import (
    ANYWHERE,
    Region,
    find_region,
    is_holiday,
    is_known,
    name_subdivision,
)
from oscar_loyalty.delivery.rules import (
    NoDeliveryDay,
    Schedule,
    can_deliver_on,
    delivery_days,
    dispatch_date,
    end_of_day,
    holds_until,
    is_delivery_day,
    is_working_day,
    promised_date,
)

BERLIN = ZoneInfo("Europe/Berlin")
BE, BY, SN, NW = (Region(country="DE", subdivision=code) for code in ("BE", "BY", "SN", "NW"))
EXPRESS = Schedule(warehouse=BE, time_zone="Europe/Berlin")
STANDARD = Schedule(warehouse=BE, time_zone="Europe/Berlin", handling_days=1, transit_days=2)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("ordered", "schedule", "destination", "arrives"),
    [
        # Tuesday, before and after noon.
        ("2026-12-01 11:59", EXPRESS, BE, "2026-12-02"),
        ("2026-12-01 12:00", EXPRESS, BE, "2026-12-03"),
        # Friday afternoon leaves on Monday; Friday morning arrives on Saturday.
        ("2026-11-27 13:00", EXPRESS, BE, "2026-12-01"),
        ("2026-11-27 09:00", EXPRESS, BE, "2026-11-28"),
        # Saturday and Sunday leave on Monday.
        ("2026-11-28 09:00", EXPRESS, BE, "2026-12-01"),
        ("2026-11-29 23:00", EXPRESS, BE, "2026-12-01"),
        # Christmas: Thursday 24 December is a working day, 25 Friday and 26 Saturday are holidays.
        ("2026-12-23 09:00", EXPRESS, BE, "2026-12-24"),
        ("2026-12-24 09:00", EXPRESS, BE, "2026-12-28"),
        ("2026-12-24 13:00", EXPRESS, BE, "2026-12-29"),
        # New Year's Day 2027 is a Friday; Epiphany a Wednesday, in Bavaria only.
        ("2026-12-31 09:00", EXPRESS, BE, "2027-01-02"),
        ("2027-01-05 09:00", EXPRESS, BE, "2027-01-06"),
        ("2027-01-05 09:00", EXPRESS, BY, "2027-01-07"),
        # Easter 2026: Good Friday 3 April, Easter Monday 6 April.
        ("2026-04-02 09:00", EXPRESS, BE, "2026-04-04"),
        ("2026-04-02 13:00", EXPRESS, BE, "2026-04-08"),
        # Reformation Day, Saturday 31 October 2026, All Saints' on Sunday: Saxony has the first.
        ("2026-10-30 09:00", EXPRESS, BE, "2026-10-31"),
        ("2026-10-30 09:00", EXPRESS, SN, "2026-11-02"),
        # In 2028 Reformation Day is a Tuesday and All Saints' a Wednesday.
        ("2028-10-30 09:00", EXPRESS, SN, "2028-11-01"),
        ("2028-10-31 09:00", EXPRESS, NW, "2028-11-02"),
        ("2028-10-31 09:00", EXPRESS, BE, "2028-11-01"),
        # Day of Repentance and Prayer, Wednesday 18 November 2026, Saxony alone.
        ("2026-11-17 09:00", EXPRESS, SN, "2026-11-19"),
        # Women's Day, Monday 8 March 2027: the warehouse in Berlin rests, so Bavaria waits too.
        ("2027-03-08 09:00", EXPRESS, BY, "2027-03-10"),
        # Assumption, 15 August 2028, a Tuesday: cautious for all of Bavaria.
        ("2028-08-14 09:00", EXPRESS, BY, "2028-08-16"),
        # One day of packing and two on the road, over a weekend.
        ("2026-12-01 09:00", STANDARD, BE, "2026-12-04"),
        ("2026-12-03 09:00", STANDARD, BE, "2026-12-07"),
        ("2026-12-04 13:00", STANDARD, BE, "2026-12-10"),
    ],
)
def test_a_parcel_arrives_on(ordered, schedule, destination, arrives):
    promised = promised_date(at(ordered), schedule=schedule, destination=destination)
    assert promised == date.fromisoformat(arrives)


def test_nothing_is_promised_for_saturdays_where_nobody_delivers_then():
    weekdays = Schedule(warehouse=BE, time_zone="Europe/Berlin", delivers_on_saturday=False)
    assert promised_date(at("2026-11-27 09:00"), schedule=weekdays, destination=BE) == date(2026, 11, 30)


def test_a_warehouse_may_work_on_saturdays():
    six_days = Schedule(warehouse=BE, time_zone="Europe/Berlin", works_on_saturday=True)
    assert dispatch_date(at("2026-11-27 13:00"), schedule=six_days) == date(2026, 11, 28)
    assert promised_date(at("2026-11-27 13:00"), schedule=six_days, destination=BE) == date(2026, 11, 30)


def test_a_pick_up_is_ready_on_the_day_of_packing():
    pick_up = Schedule(warehouse=BE, time_zone="Europe/Berlin", transit_days=0)
    assert promised_date(at("2026-12-01 09:00"), schedule=pick_up, destination=BE) == date(2026, 12, 1)


def test_days_on_which_the_shop_is_closed_count_like_holidays():
    closed = frozenset({date(2026, 12, 2), date(2026, 12, 3)})
    schedule = Schedule(warehouse=BE, time_zone="Europe/Berlin", closed=closed)
    assert promised_date(at("2026-12-01 09:00"), schedule=schedule, destination=BE) == date(2026, 12, 4)


def test_the_cut_off_is_told_in_the_shops_time_whatever_zone_the_moment_comes_in():
    eleven_in_berlin = datetime(2026, 12, 1, 10, 30, tzinfo=UTC)
    assert promised_date(eleven_in_berlin, schedule=EXPRESS, destination=BE) == date(2026, 12, 2)
    one_in_berlin_in_summer = datetime(2026, 7, 1, 10, 30, tzinfo=UTC)
    assert promised_date(one_in_berlin_in_summer, schedule=EXPRESS, destination=BE) == date(2026, 7, 3)


def test_the_hour_that_comes_twice_does_not_turn_a_promise_back():
    """25 October 2026: 2:00 to 3:00 happens twice; the cut-off at 2:15 is the first of them."""
    night = Schedule(
        warehouse=BE,
        time_zone="Europe/Berlin",
        cut_off=time(2, 15),
        works_on_saturday=True,
        closed=frozenset(),
    )
    start = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)
    moments = [start + timedelta(minutes=15 * step) for step in range(40)]
    days = [promised_date(moment, schedule=night, destination=BE) for moment in moments]
    assert days == sorted(days)


def test_a_cut_off_in_the_hour_that_is_skipped_is_a_moment_like_any_other():
    night = Schedule(warehouse=BE, time_zone="Europe/Berlin", cut_off=time(2, 30))
    assert promised_date(at("2026-03-29 12:00"), schedule=night, destination=BE) == date(2026, 3, 31)


def test_days_of_choice_leave_out_sundays_and_holidays():
    chosen = delivery_days(at("2026-12-23 09:00"), schedule=EXPRESS, destination=BE, count=6)
    assert [day.isoformat() for day in chosen] == [
        "2026-12-24",
        "2026-12-28",
        "2026-12-29",
        "2026-12-30",
        "2026-12-31",
        "2027-01-02",
    ]


def test_a_promise_holds_until_the_next_cut_off():
    assert holds_until(at("2026-12-01 09:00"), schedule=EXPRESS) == at("2026-12-01 12:00")
    assert holds_until(at("2026-12-01 12:00"), schedule=EXPRESS) == at("2026-12-02 12:00")
    assert holds_until(at("2026-12-05 09:00"), schedule=EXPRESS) == at("2026-12-07 12:00")
    assert holds_until(at("2026-12-03 13:00"), schedule=STANDARD) == at("2026-12-04 12:00")


def test_a_day_ends_at_local_midnight_in_summer_and_winter():
    assert end_of_day(date(2026, 12, 1), time_zone="Europe/Berlin") == datetime(2026, 12, 1, 23, tzinfo=UTC)
    assert end_of_day(date(2026, 7, 1), time_zone="Europe/Berlin") == datetime(2026, 7, 1, 22, tzinfo=UTC)


def test_a_shop_that_never_works_promises_nothing():
    first = date(2026, 1, 1)
    never = frozenset(first + timedelta(days=number) for number in range(900))
    with pytest.raises(NoDeliveryDay):
        promised_date(
            at("2026-02-01 09:00"),
            schedule=Schedule(warehouse=BE, time_zone="Europe/Berlin", closed=never),
            destination=BE,
        )


@pytest.mark.parametrize(
    "wrong",
    [
        {"handling_days": -1},
        {"transit_days": -1},
        {"time_zone": "Europe/Bielefeld"},
        {"delivery_from": time(18), "delivery_until": time(8)},
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(wrong):
    with pytest.raises((ValueError, KeyError)):
        Schedule(**{"warehouse": BE, "time_zone": "Europe/Berlin", **wrong})


# Regions


@pytest.mark.parametrize(
    ("country", "text", "code"),
    [
        ("DE", "Bayern", "BY"),
        ("DE", "Bavaria", "BY"),
        ("DE", " by ", "BY"),
        ("DE", "DE-BY", "BY"),
        ("de", "Nordrhein-Westfalen", "NW"),
        ("DE", "NRW", "NW"),
        ("DE", "thüringen", "TH"),
        ("AT", "Vienna", "9"),
        ("DE", "Atlantis", ""),
        ("DE", "", ""),
        ("XX", "Bayern", ""),
    ],
)
def test_what_people_write_names_a_part_of_the_country(country, text, code):
    assert name_subdivision(country, text) == code


def test_without_a_state_a_holiday_anywhere_in_the_country_counts():
    reformation_day = date(2028, 10, 31)
    nowhere = find_region(country="DE", state="")
    assert nowhere.subdivision == ANYWHERE
    assert is_holiday(reformation_day, region=nowhere)
    assert not is_holiday(reformation_day, region=Region(country="DE"))
    assert not is_holiday(date(2028, 8, 8), region=nowhere), "the feast of the town of Augsburg alone"


def test_a_country_nobody_knows_has_sundays_only():
    nowhere = Region(country="XX")
    assert not is_known(nowhere)
    assert promised_date(at("2026-12-24 09:00"), schedule=EXPRESS, destination=nowhere) == date(2026, 12, 25)


# Whatever is ordered whenever

moments = some.datetimes(
    min_value=datetime(2024, 1, 1),  # noqa: DTZ001 - the zone is given apart
    max_value=datetime(2032, 12, 31),  # noqa: DTZ001
    timezones=some.just(UTC),
)
regions = some.sampled_from(
    [BE, BY, SN, NW, Region(country="DE"), Region(country="DE", subdivision=ANYWHERE), Region(country="AT")]
)
schedules = some.builds(
    Schedule,
    warehouse=regions,
    time_zone=some.sampled_from(["Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland", "UTC"]),
    cut_off=some.times(),
    handling_days=some.integers(0, 5),
    transit_days=some.integers(0, 7),
    works_on_saturday=some.booleans(),
    delivers_on_saturday=some.booleans(),
)


@given(moment=moments, schedule=schedules, destination=regions)
def test_no_promise_is_for_a_sunday_or_a_holiday_or_before_the_parcel_left(moment, schedule, destination):
    day = promised_date(moment, schedule=schedule, destination=destination)
    assert day.weekday() != 6
    assert schedule.delivers_on_saturday or day.weekday() != 5
    assert not is_holiday(day, region=destination)
    left = dispatch_date(moment, schedule=schedule)
    assert is_working_day(left, schedule=schedule)
    assert moment.astimezone(ZoneInfo(schedule.time_zone)).date() <= left
    assert day >= left + timedelta(days=min(schedule.transit_days, 1))
    on_the_road = [left + timedelta(days=n) for n in range(1, (day - left).days + 1)]
    delivering = [d for d in on_the_road if is_delivery_day(d, schedule=schedule, destination=destination)]
    assert schedule.transit_days == 0 or len(delivering) == schedule.transit_days


@given(
    moment=moments, later=some.timedeltas(timedelta(0), timedelta(days=40)), schedule=schedules, to=regions
)
def test_who_orders_later_is_promised_no_earlier_day(moment, later, schedule, to):
    first = promised_date(moment, schedule=schedule, destination=to)
    assert first <= promised_date(moment + later, schedule=schedule, destination=to)


@given(moment=moments, schedule=schedules, destination=regions, count=some.integers(0, 20))
def test_days_of_choice_are_those_that_can_be_kept(moment, schedule, destination, count):
    days = delivery_days(moment, schedule=schedule, destination=destination, count=count)
    assert len(days) == count
    assert list(days) == sorted(set(days))
    earliest = promised_date(moment, schedule=schedule, destination=destination)
    assert not days or days[0] == earliest
    offered = set(days)
    for number in range((days[-1] - earliest).days + 1 if days else 0):
        day = earliest + timedelta(days=number)
        possible = can_deliver_on(day, moment=moment, schedule=schedule, destination=destination)
        assert possible == (day in offered)


@given(moment=moments, schedule=schedules, destination=regions)
def test_a_promise_changes_at_the_moment_it_says_and_not_before(moment, schedule, destination):
    until = holds_until(moment, schedule=schedule)
    assert until > moment
    assume(until - moment > timedelta(seconds=1))
    just_before = until - timedelta(seconds=1)
    assert dispatch_date(just_before, schedule=schedule) == dispatch_date(moment, schedule=schedule)
    assert dispatch_date(until, schedule=schedule) > dispatch_date(moment, schedule=schedule)
