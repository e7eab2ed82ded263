"""
What happened to a return → a mail to its customer, where one is expected: at most one for each step.

The news is turned into a message of its own first, so that whatever else listens to it may fail and be told
again without the mail going out again.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.utils.translation import get_language

from oscar_loyalty.flows import return_reading
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.returns.models import Return, ReturnEvent
from oscar_loyalty.returns.states import State
from oscar_loyalty.shop.mail import MailNotSent, make_url, send_to_address, send_to_customer

logger = logging.getLogger(__name__)

#: Of the outbox: a customer is to be written to about an event of their return.
MAIL_TOPIC = "return_mail"

#: The kind of mail for what happened. The label has a mail of its own.
MAILS = {
    "REQUESTED": "LOYALTY_RETURN_REQUESTED",
    "RECEIVED": "LOYALTY_RETURN_RECEIVED",
    "GOODS_ARRIVED": "LOYALTY_RETURN_RECEIVED",
    "PARTLY_ACCEPTED": "LOYALTY_RETURN_PARTLY",
    "REFUNDED": "LOYALTY_RETURN_REFUNDED",
    "REFUND_FAILED": "LOYALTY_RETURN_REFUND_FAILED",
    "SETTLED": "LOYALTY_RETURN_SETTLED",
    "REJECTED": "LOYALTY_RETURN_REJECTED",
    "CANCELLED": "LOYALTY_RETURN_CANCELLED",
}


def announce_mail(*, event_id: int, code: str, now: datetime) -> None:
    """Have the customer written to about what happened, if that is worth a mail."""
    if code not in MAILS:
        return
    message = OutboxMessage(
        topic=MAIL_TOPIC,
        key=f"{MAIL_TOPIC}:{event_id}",
        payload={"event": event_id},
        created_at=now,
        available_at=now,
    )
    write_messages([message])


def send_mail_about(*, event_id: int) -> None:
    """Write to the customer. What the mail server raises is passed on: the relay tries again."""
    event = ReturnEvent.objects.select_related("of_return__policy").filter(pk=event_id).first()
    if event is None or not _is_news(event):
        return
    of_return = event.of_return
    try:
        if of_return.user_id is not None:
            send_to_customer(
                user_id=of_return.user_id,
                code=MAILS[event.code],
                context=_context(event),
                links={},
                language=of_return.language,
            )
        else:
            send_to_address(
                address=of_return.email,
                language=of_return.language,
                code=MAILS[event.code],
                context=_context(event),
            )
    except MailNotSent as error:
        logger.warning("Return %s: %s", of_return.number, error)


def _is_news(event: ReturnEvent) -> bool:
    """A step that the next one has overtaken is told by the mail about that one."""
    of_return = event.of_return
    if event.reason == "REFUND_FAILED" and event.code != "REFUND_FAILED":
        return False  # It fell back to a decision; the failure has a mail of its own.
    if event.code == State.RECEIVED:
        return of_return.state == State.RECEIVED
    if event.code == State.REFUNDED:
        return of_return.state == State.REFUNDED
    if event.code == State.SETTLED:
        return of_return.state == State.SETTLED
    return True


def _context(event: ReturnEvent) -> dict[str, Any]:
    """What the templates read. What is called there is called in the language of the mail."""
    of_return = event.of_return
    return {
        "number": of_return.number,
        "order_number": of_return.order_ref,
        "of_return": of_return,
        "lines": list(of_return.lines.order_by("id")),
        "requested_at": of_return.requested_at,
        "time_zone": return_reading.find_time_zone(),
        "reason": event.reason,
        "is_withdrawal": of_return.kind == Return.Kind.WITHDRAWAL,
        "sentences": _sentences(of_return),
        "return_url": _page(of_return),
        "is_guest": of_return.user_id is None,
    }


def _sentences(of_return: Return) -> Callable[[], list[str]]:
    return lambda: return_reading.tell(of_return, refund=return_reading.read_refund(of_return))


def _page(of_return: Return) -> Callable[[], str]:
    """Guests get a fresh link from that page: one in a mail is good for a day."""
    if of_return.user_id is None:
        return lambda: make_url("loyalty:return-find", language=get_language() or "")
    return lambda: make_url(
        "loyalty:return-detail", language=get_language() or "", return_number=of_return.number
    )
