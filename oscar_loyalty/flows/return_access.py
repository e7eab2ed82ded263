"""
A guest's way to the order that they want to return: number and address → a link by mail → the order.

Whether an order fits is told by nothing but that mail. The link is good for returns of one order, for a day.
"""

import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.core import signing

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.mailed_links import A_DAY, fingerprint_of, fold_email, is_rare
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.shop.mail import MailNotSent, make_url, send_to_address
from oscar_loyalty.shop.order_owners import OwnedOrder, find_owned_order, get_owned_order
from oscar_loyalty.transactions import spare_transaction

logger = logging.getLogger(__name__)

#: A token is good for returning an order and nothing else.
_SALT = "oscar_loyalty.return"
LINK_HOURS = 24
#: Of the outbox: the link is to be mailed.
LINK_TOPIC = "return_link"
#: Mails with a link for one order within a day.
MOST_MAILS_A_DAY = 3


class AccessRefused(ValueError):
    """``code`` says why: ``return_link_invalid``, ``return_link_expired``."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may return which order. ``actor_ref`` stands in the history of the return."""

    order_id: int
    number: str
    actor_ref: str
    user_id: int | None = None


def send_access_link(*, number: str, email: str, language: str, now: datetime) -> str | None:
    """
    Have a link mailed to the address of an order, if both fit; return the key of the message in the outbox,
    which is no news for whoever asked. It is written, not sent, so that asking takes the same time for all.
    """
    order = find_owned_order(number=number.strip().removeprefix("#"))
    if order is None or not order.email or fold_email(order.email) != fold_email(email):
        return None
    if not is_rare(f"return-mail:{order.order_id}", most=MOST_MAILS_A_DAY, seconds=A_DAY):
        logger.warning("Order %s: enough mails with a link for one day", order.number)
        return None
    key = f"{LINK_TOPIC}:{order.order_id}:{uuid.uuid4()}"
    with spare_transaction():
        write_messages(
            [
                OutboxMessage(
                    topic=LINK_TOPIC,
                    key=key,
                    payload={"order_id": order.order_id, "language": language},
                    created_at=now,
                    available_at=now,
                )
            ]
        )
    return key


def mail_access_link(*, order_id: int, language: str, now: datetime) -> None:
    """Mail the link. What the mail server raises is passed on: the outbox tries again."""
    order = get_owned_order(order_id=order_id)
    if order is None:
        return
    token = make_token(order=order, now=now)
    if loyalty_settings.return_url:
        url = loyalty_settings.return_url.replace("{token}", token)
    else:
        url = make_url("loyalty:return-guest", language=language, token=token)
    try:
        send_to_address(
            address=order.email,
            language=language,
            code="LOYALTY_RETURN_LINK",
            context={"order_number": order.number, "return_url": url, "hours": LINK_HOURS},
        )
    except MailNotSent as error:
        logger.warning("Order %s: %s", order.number, error)


def make_token(*, order: OwnedOrder, now: datetime) -> str:
    """What a link carries. It stops working when the order's address is corrected."""
    until = now + timedelta(hours=LINK_HOURS)
    content = {
        "order": order.number,
        "mail": fingerprint_of(order.email),
        "until": int(until.timestamp()),
    }
    return signing.dumps(content, salt=_SALT)


def read_access(token: str, now: datetime) -> int:
    """
    The key of the order that a token is for.

    :raises AccessRefused: of none (any more)
    """
    return read_guest_access(token, now).order_id


def read_guest_access(token: str, now: datetime) -> Access:
    """The same with what a page wants to know. :raises AccessRefused: of no order (any more)"""
    try:
        content = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        raise AccessRefused("return_link_invalid") from None
    order = find_owned_order(number=content["order"])
    if order is None or not order.email or fingerprint_of(order.email) != content["mail"]:
        raise AccessRefused("return_link_invalid")
    if now >= datetime.fromtimestamp(content["until"], tz=UTC):
        raise AccessRefused("return_link_expired")
    return Access(order_id=order.order_id, number=order.number, actor_ref="guest")


def find_customer_access(*, number: str, user_id: int) -> Access | None:
    """An order of a customer's own; ``None`` for everybody else's."""
    order = find_owned_order(number=number)
    if order is None or order.user_id != user_id:
        return None
    return Access(order_id=order.order_id, number=order.number, actor_ref="customer", user_id=user_id)
