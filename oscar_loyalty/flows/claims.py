"""
A guest's order, and the customer account made for it later: points that wait to be claimed.

Whoever claims proves that the order is theirs: by the link in a mail to the order's address, by the
session that placed it a moment ago, or by an address that the shop itself has verified. An order is
claimed once; the shop's own record of it is not touched.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.core import signing
from django.db import transaction
from django.utils.module_loading import import_string

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.earning import preview_purchase
from oscar_loyalty.flows.mailed_links import A_DAY, fingerprint_of, is_rare
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.return_settlement import find_shares
from oscar_loyalty.members.models import ClaimedOrder
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.rules import points_left, value_of
from oscar_loyalty.points.services import AccountNotOpen
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import end_of_day
from oscar_loyalty.shop import orders
from oscar_loyalty.shop.mail import MailNotSent, send_to_guest
from oscar_loyalty.shop.orders import GuestOrder, PurchaseFacts
from oscar_loyalty.transactions import spare_transaction

logger = logging.getLogger(__name__)

#: A token is good for claiming and nothing else.
_SALT = "oscar_loyalty.claim"
#: Of the outbox: the link is to be mailed.
CLAIM_TOPIC = "claim_link"
#: How long the session that placed an order is proof enough that it is theirs.
CHECKOUT_PROOF_HOURS = 2
#: Mails with a link for one order within a day.
MOST_MAILS_A_DAY = 3


class ClaimRefused(ValueError):
    """
    ``code`` says why nothing was claimed: ``claim_link_invalid``, ``claim_link_expired``,
    ``order_already_claimed``, ``order_cancelled``, ``nothing_to_claim``, ``earning_paused``, ``not_member``,
    ``claim_not_proved``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class WaitingPoints:
    """What a guest's order would bring if it were claimed before ``claim_until``, without what came back of
    it, and what that is worth. ``days`` is the whole period from the order on."""

    order_id: int
    order_number: str
    points: int
    value: Decimal
    currency: str
    days: int
    claim_until: datetime
    time_zone: str


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """``points`` that the claimed order brought; not ``is_new`` when it was claimed before."""

    order_number: str
    points: int
    value: Decimal
    currency: str
    is_new: bool


# Reading


def find_waiting_points(*, order_id: int, now: datetime) -> WaitingPoints | None:
    """What waits to be claimed for an order, ``None`` where nothing does. Reads only."""
    guest_order = orders.find_guest_order(order_id=order_id)
    if guest_order is None:
        return None
    try:
        return _waiting(guest_order, now=now)
    except ClaimRefused:
        return None


def read_claim(*, token: str, now: datetime) -> WaitingPoints:
    """
    What the link in a mail is good for.

    :raises ClaimRefused: nothing (any more)
    """
    return _waiting(_order_of(token), now=now)


def _waiting(guest_order: GuestOrder, *, now: datetime) -> WaitingPoints:
    purchase = guest_order.purchase
    policy = programmes.find_policy(currency=purchase.currency, at=purchase.placed_at)
    if policy is None or policy.rate is None or not policy.claim_days:
        raise ClaimRefused("nothing_to_claim")
    if purchase.is_claimed or not guest_order.is_guests:
        raise ClaimRefused("order_already_claimed")
    if purchase.is_cancelled:
        raise ClaimRefused("order_cancelled")
    last_day = (purchase.placed_at + timedelta(days=policy.claim_days)).astimezone(ZoneInfo(policy.time_zone))
    claim_until = end_of_day(last_day.date(), time_zone=policy.time_zone)
    if now >= claim_until:
        raise ClaimRefused("claim_link_expired")
    if policy.earning_paused:
        raise ClaimRefused("earning_paused")
    preview = preview_purchase(purchase, policy=policy)
    if preview is None:
        raise ClaimRefused("nothing_to_claim")
    points_waiting = points_left(preview.earning, shares=find_shares(purchase, policy=policy, now=now))
    if not points_waiting:
        raise ClaimRefused("nothing_to_claim")
    return WaitingPoints(
        order_id=purchase.order_id,
        order_number=purchase.number,
        points=points_waiting,
        value=value_of(points_waiting, rate=policy.rate),
        currency=preview.currency,
        days=policy.claim_days,
        claim_until=claim_until,
        time_zone=policy.time_zone,
    )


# The link


def make_token(*, guest_order: GuestOrder) -> str:
    """What a link to claim an order carries. It stops working when the order's address is corrected."""
    content = {"order": guest_order.purchase.number, "mail": fingerprint_of(guest_order.email)}
    return signing.dumps(content, salt=_SALT)


def send_claim_link(*, order_id: int, language: str, now: datetime, raises: bool = False) -> bool:
    """
    Mail the link to the address that a guest's order was placed with; return whether a mail went out.
    At most ``MOST_MAILS_A_DAY`` for one order, and none where nothing waits. What the mail server raises
    is logged, or passed on with ``raises``.
    """
    guest_order = orders.find_guest_order(order_id=order_id)
    if guest_order is None or not guest_order.email:
        return False
    try:
        waiting = _waiting(guest_order, now=now)
    except ClaimRefused:
        return False
    if not is_rare(f"claim-mail:{order_id}", most=MOST_MAILS_A_DAY, seconds=A_DAY):
        logger.warning("Order %s: enough mails with a link for one day", guest_order.purchase.number)
        return False
    programme = programmes.find_programme()
    try:
        send_to_guest(
            address=guest_order.email,
            language=language,
            code="LOYALTY_CLAIM",
            context={
                "points": waiting.points,
                "value": waiting.value,
                "currency": waiting.currency,
                "claim_until": waiting.claim_until,
                "time_zone": waiting.time_zone,
                "order_number": waiting.order_number,
                "programme_name": programme.name if programme else "",
            },
            claim_token=make_token(guest_order=guest_order),
        )
    except MailNotSent as error:
        logger.warning("Order %s: %s", guest_order.purchase.number, error)
        return False
    except Exception:
        if raises:
            raise
        logger.exception("Order %s: the link could not be mailed", guest_order.purchase.number)
        return False
    return True


def announce_claim(*, order_id: int, language: str, now: datetime) -> None:
    """Have the link mailed for a guest's order that was just placed, once, by the relay of the outbox."""
    with spare_transaction():
        write_messages(
            [
                OutboxMessage(
                    topic=CLAIM_TOPIC,
                    key=f"{CLAIM_TOPIC}:{order_id}",
                    payload={"order_id": order_id, "language": language},
                    created_at=now,
                    available_at=now,
                )
            ]
        )


def _order_of(token: str) -> GuestOrder:
    """The order that a token was made for. Whatever is wrong with it, the answer is the same."""
    try:
        content = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        raise ClaimRefused("claim_link_invalid") from None
    guest_order = orders.find_guest_order(number=content["order"])
    if guest_order is None or fingerprint_of(guest_order.email) != content["mail"]:
        raise ClaimRefused("claim_link_invalid")
    return guest_order


# Claiming


def claim_by_token(*, token: str, user_id: int, now: datetime) -> Claimed:
    """
    Make the points of the order that a mailed link is for those of a customer who takes part; safe to
    repeat for whoever claimed it.

    :raises ClaimRefused: nothing was changed
    """
    guest_order = _order_of(token)
    return _claim(guest_order.purchase.order_id, user_id=user_id, proof=ClaimedOrder.Proof.MAIL, now=now)


def claim_from_checkout(*, order_id: int, user: Any, now: datetime) -> Claimed:
    """
    The same for the order that the session of ``user`` has just placed as a guest. The address of their
    account must be that of the order; for another one the link in a mail is the proof.

    :raises ClaimRefused: nothing was changed
    """
    guest_order = orders.find_guest_order(order_id=order_id)
    if guest_order is None or not is_proved_by_checkout(guest_order=guest_order, user=user, now=now):
        raise ClaimRefused("claim_not_proved")
    return _claim(order_id, user_id=user.pk, proof=ClaimedOrder.Proof.CHECKOUT, now=now)


def is_proved_by_checkout(*, guest_order: GuestOrder, user: Any, now: datetime) -> bool:
    recent = now - guest_order.purchase.placed_at <= timedelta(hours=CHECKOUT_PROOF_HOURS)
    email = getattr(user, "email", "") or ""
    return bool(email) and recent and fingerprint_of(email) == fingerprint_of(guest_order.email)


def claim_verified_orders(*, user: Any, now: datetime) -> list[Claimed]:
    """
    Claim every guest's order with the address of a member, if the shop says that it has verified that
    address (``OSCAR_LOYALTY_EMAIL_IS_VERIFIED``). What cannot be claimed is passed over.
    """
    if not loyalty_settings.email_is_verified or not getattr(user, "email", ""):
        return []
    if not import_string(loyalty_settings.email_is_verified)(user):
        return []
    most = max((policy.claim_days for _from, policy in programmes.list_policies(currency="")), default=0)
    placed_after = now - timedelta(days=most)
    done = []
    for order_id in orders.list_guest_order_ids(email=user.email, placed_after=placed_after):
        try:
            done.append(_claim(order_id, user_id=user.pk, proof=ClaimedOrder.Proof.SHOP, now=now))
        except ClaimRefused as refused:
            logger.info("Order id %s was not claimed: %s", order_id, refused.code)
    return done


def _claim(order_id: int, *, user_id: int, proof: str, now: datetime) -> Claimed:
    with transaction.atomic():
        # First the order's lock: of two who claim it at once, the second sees what the first has done.
        purchase = orders.lock_purchase_facts(order_id=order_id)
        account = points.find_account_of_user(user_id=user_id, programme_code=loyalty_settings.programme_code)
        if account is not None and purchase.user_id == user_id:
            return _claimed(purchase, account=account, is_new=False)
        guest_order = orders.find_guest_order(order_id=order_id)
        assert guest_order is not None
        _waiting(guest_order, now=now)
        if account is None:
            raise ClaimRefused("not_member")
        ClaimedOrder.objects.create(
            order_number=purchase.number, member_id=account.member_id, proof=proof, claimed_at=now
        )
        try:
            reward_purchase(order_id=order_id, now=now)
        except AccountNotOpen:
            # Closed or merged since it was read.
            raise ClaimRefused("not_member") from None
        return _claimed(purchase, account=account, is_new=True)


def _claimed(purchase: PurchaseFacts, *, account: Account, is_new: bool) -> Claimed:
    earnings = points.list_earnings_of_order(programme_id=account.programme_id, order_ref=purchase.number)
    policy = programmes.find_policy(currency=purchase.currency, at=purchase.placed_at)
    booked = points.sum_left_of_earnings(earnings=earnings)
    worth = value_of(booked, rate=policy.rate) if policy and policy.rate else Decimal(0)
    return Claimed(
        order_number=purchase.number, points=booked, value=worth, currency=purchase.currency, is_new=is_new
    )
