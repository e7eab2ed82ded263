"""Days and promises in the reader's words."""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from django.utils.formats import date_format, time_format
from django.utils.translation import gettext, pgettext

from oscar_loyalty.delivery.models import DeliveryPromise


def name_day(day: date) -> str:
    """Thursday 3 December, or Donnerstag, 3. Dezember."""
    return date_format(day, pgettext("format of a day", "l j F"))


def name_arrival(day: date, *, window_from: time | None = None, window_until: time | None = None) -> str:
    """Arrives by Thursday 3 December; with the hours, if they were promised."""
    if window_from and window_until:
        return gettext("Arrives on %(day)s between %(start)s and %(end)s") % {
            "day": name_day(day),
            "start": time_format(window_from, "TIME_FORMAT"),
            "end": time_format(window_until, "TIME_FORMAT"),
        }
    return gettext("Arrives by %(day)s") % {"day": name_day(day)}


def name_moment(moment: datetime, *, time_zone: str) -> str:
    """Tuesday 1 December, 12:00, where the shop is."""
    local = moment.astimezone(ZoneInfo(time_zone))
    return f"{name_day(local.date())}, {time_format(local.time(), 'H:i')}"


def describe_promise(promise: DeliveryPromise) -> str:
    """What a customer is told of their order, in one sentence."""
    day = name_day(promise.promised_date)
    match promise.state:
        case DeliveryPromise.State.VOID:
            return gettext("The order was cancelled")
        case DeliveryPromise.State.ON_TIME:
            return gettext("Arrived, as promised by %(day)s") % {"day": day}
        case DeliveryPromise.State.DELIVERED_LATE:
            return gettext("Arrived, later than promised: we are sorry. It was due by %(day)s") % {"day": day}
        case DeliveryPromise.State.LATE:
            return gettext("Late: it should have arrived by %(day)s. We are sorry") % {"day": day}
    return name_arrival(
        promise.promised_date, window_from=promise.window_from, window_until=promise.window_until
    )
