"""
The day a parcel arrives: cut-off, handling, transit, Sundays, holidays. No database, no clock.

Days are days of the shop's time zone. A moment is turned into one once, so that the change to summer
time moves no promise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from oscar_loyalty.delivery.calendars import Region, is_holiday

_SATURDAY, _SUNDAY = 5, 6
#: A calendar without a single free day for so long is a mistake, not a holiday.
_LONGEST_SEARCH = 400


class NoDeliveryDay(ValueError):
    """Within more than a year there is no day on which the parcel could move."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """
    How a shop's parcels of one kind move.

    ``cut_off``: local time until which an order leaves the same working day. ``handling_days``: working
    days that packing takes besides. ``transit_days``: delivery days on the road; 0 for a pick-up.
    ``warehouse``: whose holidays keep the parcel from leaving. ``closed``: more days without work or
    delivery. ``delivery_from``/``delivery_until``: the hours of the promised day, if they are promised.
    """

    warehouse: Region
    time_zone: str
    cut_off: time = time(12, 0)
    handling_days: int = 0
    transit_days: int = 1
    works_on_saturday: bool = False
    delivers_on_saturday: bool = True
    closed: frozenset[date] = frozenset()
    delivery_from: time | None = None
    delivery_until: time | None = None

    def __post_init__(self) -> None:
        if self.handling_days < 0 or self.transit_days < 0:
            raise ValueError("Days of handling and transit are whole and not below zero.")
        if self.delivery_from and self.delivery_until and self.delivery_from >= self.delivery_until:
            raise ValueError("The hours of delivery end after they begin.")
        ZoneInfo(self.time_zone)


def is_working_day(day: date, *, schedule: Schedule) -> bool:
    """Whether the warehouse hands parcels over on ``day``."""
    return _is_open(
        day,
        region=schedule.warehouse,
        on_saturday=schedule.works_on_saturday,
        closed=schedule.closed,
    )


def is_delivery_day(day: date, *, schedule: Schedule, destination: Region) -> bool:
    """Whether a parcel can arrive at ``destination`` on ``day``; never on a Sunday or a holiday there."""
    return _is_open(
        day, region=destination, on_saturday=schedule.delivers_on_saturday, closed=schedule.closed
    )


def dispatch_date(moment: datetime, *, schedule: Schedule) -> date:
    """The working day on which what is ordered at ``moment`` leaves the warehouse."""
    day = moment.astimezone(ZoneInfo(schedule.time_zone)).date()
    if moment >= _cut_off_of(day, schedule=schedule):
        day += timedelta(days=1)
    working = (each for each in _days_from(day) if is_working_day(each, schedule=schedule))
    return _nth(working, schedule.handling_days)


def promised_date(moment: datetime, *, schedule: Schedule, destination: Region) -> date:
    """
    The day on which what is ordered at ``moment`` arrives at ``destination``. Never earlier for a later
    order.

    :raises NoDeliveryDay: the calendar has no day for it
    """
    left = dispatch_date(moment, schedule=schedule)
    if schedule.transit_days == 0:
        return _nth(_delivery_days_from(left, schedule=schedule, destination=destination), 0)
    after = left + timedelta(days=1)
    days = _delivery_days_from(after, schedule=schedule, destination=destination)
    return _nth(days, schedule.transit_days - 1)


def delivery_days(
    moment: datetime, *, schedule: Schedule, destination: Region, count: int
) -> tuple[date, ...]:
    """The next ``count`` days that a customer may choose, beginning with the earliest possible one."""
    earliest = promised_date(moment, schedule=schedule, destination=destination)
    days = _delivery_days_from(earliest, schedule=schedule, destination=destination)
    return tuple(_nth(days, 0) for _ in range(count))


def can_deliver_on(day: date, *, moment: datetime, schedule: Schedule, destination: Region) -> bool:
    """Whether what is ordered at ``moment`` can arrive on the chosen ``day``."""
    return is_delivery_day(day, schedule=schedule, destination=destination) and day >= promised_date(
        moment, schedule=schedule, destination=destination
    )


def holds_until(moment: datetime, *, schedule: Schedule) -> datetime:
    """Until when an order placed after ``moment`` still leaves on the same day as one placed at it."""
    day = dispatch_date(moment, schedule=schedule)
    # Packing takes working days that are counted from the day of the cut-off.
    for _ in range(schedule.handling_days):
        day = _nth((d for d in _days_before(day) if is_working_day(d, schedule=schedule)), 0)
    return _cut_off_of(day, schedule=schedule)


def end_of_day(day: date, *, time_zone: str) -> datetime:
    """The moment at which ``day`` is over: who has not got the parcel by then, has it too late."""
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def _cut_off_of(day: date, *, schedule: Schedule) -> datetime:
    # As a moment, not as a time on the wall: in the night in which an hour comes twice it passes once.
    return datetime.combine(day, schedule.cut_off, tzinfo=ZoneInfo(schedule.time_zone)).astimezone(UTC)


def _is_open(day: date, *, region: Region, on_saturday: bool, closed: frozenset[date]) -> bool:
    weekday = day.weekday()
    if weekday == _SUNDAY or (weekday == _SATURDAY and not on_saturday) or day in closed:
        return False
    return not is_holiday(day, region=region)


def _delivery_days_from(day: date, *, schedule: Schedule, destination: Region) -> Iterator[date]:
    for each in _days_from(day):
        if is_delivery_day(each, schedule=schedule, destination=destination):
            yield each


def _days_from(day: date) -> Iterator[date]:
    for distance in range(_LONGEST_SEARCH):
        yield day + timedelta(days=distance)


def _days_before(day: date) -> Iterator[date]:
    for distance in range(1, _LONGEST_SEARCH):
        yield day - timedelta(days=distance)


def _nth(days: Iterator[date], number: int) -> date:
    """:raises NoDeliveryDay: there are not so many"""
    for position, day in enumerate(days):
        if position == number:
            return day
    raise NoDeliveryDay
