"""Months, local days and qualifying periods: pure functions of dates, right on days with a clock change."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo


def add_months(day: date, months: int) -> date:
    """The same day so many months later or, below zero, earlier; the last of the month where it has no
    such day: 31 January plus one month is the end of February."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


@lru_cache(maxsize=4096)
def start_of_day(day: date, time_zone: str) -> datetime:
    """The first instant of a local day, in UTC."""
    return datetime.combine(day, time.min, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def local_day(moment: datetime, time_zone: str) -> date:
    return moment.astimezone(ZoneInfo(time_zone)).date()


@lru_cache(maxsize=4096)
def counts_until(moment: datetime, *, months: int, time_zone: str) -> datetime:
    """
    The instant from which what happened at ``moment`` is more than the last ``months`` ago: the end of the
    local day so many months later.
    """
    day = add_months(local_day(moment, time_zone), months)
    return start_of_day(day + timedelta(days=1), time_zone)


def after_grace(moment: datetime, *, days: int, time_zone: str) -> datetime:
    """
    The end of a grace of whole local days that begins at ``moment``: a day that has begun counts extra,
    so nobody has less than was promised. Without a grace it is over at once.
    """
    if days == 0:
        return moment
    day = local_day(moment, time_zone)
    begun = moment > start_of_day(day, time_zone)
    return start_of_day(day + timedelta(days=days + begun), time_zone)


class Periods:
    """
    Periods of so many months in a row, counted from a day: number 0 begins on it, number -1 ends there.
    Each is counted from that day and not from the one before, so that 31 January does not become the 28th.
    """

    def __init__(self, *, first_day: date, months: int, time_zone: str) -> None:
        self._first_day = first_day
        self._months = months
        self._time_zone = time_zone

    def start(self, number: int) -> datetime:
        """The first instant of a period, which is the end of the one before it."""
        return start_of_day(add_months(self._first_day, number * self._months), self._time_zone)

    def number_at(self, moment: datetime) -> int:
        day = local_day(moment, self._time_zone)
        apart = (day.year - self._first_day.year) * 12 + day.month - self._first_day.month
        number = apart // self._months
        # In the month of the change the day decides.
        if add_months(self._first_day, number * self._months) > day:
            number -= 1
        return number
