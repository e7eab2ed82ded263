"""What time makes due with returns: those that were never sent, and refunds that are later than promised."""

import logging
from contextlib import suppress
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import NoReverseMatch
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from oscar_loyalty.flows import return_terms, returns
from oscar_loyalty.flows.return_desk import find_failed
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.programmes.queries import find_programme
from oscar_loyalty.returns import desk_queries
from oscar_loyalty.returns.models import Return
from oscar_loyalty.shop.mail import make_url, send_to_staff

logger = logging.getLogger(__name__)

#: A parcel may be under way, and its carrier silent, for so long after the last day to send it.
PATIENCE_DAYS = 14
#: Of the outbox: staff are to be told what is overdue.
OVERDUE_TOPIC = "returns_overdue"
#: So many numbers stand in the mail; the desk shows the rest.
MOST_NAMED = 25
#: An hour of the shop's day before which nobody is told.
FIRST_HOUR = 8


def check_returns(*, now: datetime) -> int:
    """Do all of it; return how many returns were closed. What fails is logged. Safe to run at any time."""
    try:
        closed = cancel_unsent(now=now)
        order_reminder(now=now)
    except Exception:
        logger.exception("The returns could not be looked after")
        return 0
    return closed


def cancel_unsent(*, now: datetime, limit: int = 500) -> int:
    """
    Close returns whose goods were to be sent two weeks ago and never were; their customers are told.
    Withdrawals stay: who has withdrawn has no contract any more, so staff look after them. One that fails
    stops no other.
    """
    expired = desk_queries.list_unsent(expired_before=now - timedelta(days=PATIENCE_DAYS))
    closed = 0
    for return_id in list(expired.values_list("pk", flat=True)[:limit]):
        try:
            returns.cancel_return(return_id=return_id, reason="NOT_SENT", actor_ref="system", now=now)
            closed += 1
        except return_terms.ReturnRefused:
            # A parcel was seen a moment ago.
            continue
        except Exception:
            logger.exception("Return id %s could not be closed", return_id)
    return closed


def order_reminder(*, now: datetime) -> bool:
    """Have staff told once a day what is overdue, if anything; return whether that was ordered now."""
    programme = find_programme()
    zone = programme.time_zone if programme else timezone.get_default_timezone_name()
    local = now.astimezone(ZoneInfo(zone))
    key = f"{OVERDUE_TOPIC}:{local.date().isoformat()}"
    if local.hour < FIRST_HOUR or OutboxMessage.objects.filter(key=key).exists():
        return False
    if not (desk_queries.list_overdue(now=now).exists() or _list_missing(now).exists() or find_failed()):
        return False
    message = OutboxMessage(topic=OVERDUE_TOPIC, key=key, payload={}, created_at=now, available_at=now)
    try:
        with transaction.atomic():
            write_messages([message])
    except IntegrityError:
        # Another sweep, at the same moment.
        return False
    return True


def tell_overdue(*, now: datetime) -> None:
    """
    Mail staff what is overdue, which refunds need a hand, and what was refunded in advance and never came.
    What the mail server raises is passed on.
    """
    overdue, missing = _numbers(desk_queries.list_overdue(now=now)), _numbers(_list_missing(now))
    failed = sorted(find_failed())
    if not (overdue or missing or failed):
        return
    with translation.override(settings.LANGUAGE_CODE):
        parts = []
        if overdue:
            parts += [_("The refund of these returns is later than promised:"), _name(overdue)]
        if failed:
            parts += [_("The refund of these failed, or has to be paid by hand:"), _name(failed)]
        if missing:
            parts += [_("These were refunded in advance, and the goods never came:"), _name(missing)]
        with suppress(NoReverseMatch):  # where the shop leaves the dashboard's pages out
            parts.append(make_url("loyalty-dashboard:loyalty-returns", language=settings.LANGUAGE_CODE))
        told = send_to_staff(subject=_("Returns that wait for their refund"), body="\n\n".join(parts))
    if not told:
        logger.warning("Refunds are overdue, and nobody is there to be told")


def _list_missing(now: datetime) -> QuerySet[Return]:
    return desk_queries.list_missing(expired_before=now - timedelta(days=PATIENCE_DAYS))


def _numbers(found: QuerySet[Return]) -> list[str]:
    return list(found.values_list("number", flat=True)[: MOST_NAMED + 1])


def _name(numbers: list[str]) -> str:
    more = ["…"] if len(numbers) > MOST_NAMED else []
    return "\n".join([*numbers[:MOST_NAMED], *more])
