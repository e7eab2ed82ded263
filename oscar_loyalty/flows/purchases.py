"""
Order placed → points earned; status reached → points spendable; order cancelled → all undone; opened again →
all as it was.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.earning import queries as earning_queries
from oscar_loyalty.earning import services as earning_services
from oscar_loyalty.flows import tiering
from oscar_loyalty.flows.bonuses import book_bonuses
from oscar_loyalty.flows.earning import earning_on_confirmation, earnings_under_policy
from oscar_loyalty.flows.return_settlement import level_share
from oscar_loyalty.points import queries as points
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.points.rules import Earning
from oscar_loyalty.points.services import Award
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import FAR_FUTURE, Policy
from oscar_loyalty.shop import orders
from oscar_loyalty.shop.orders import CANCEL_KEY, PurchaseFacts
from oscar_loyalty.tiers import queries as tiers
from oscar_loyalty.tiers.perk_services import restore_uses, undo_uses

logger = logging.getLogger(__name__)

#: Oscar stores how an order was paid a moment after it was placed.
PAYMENT_KNOWN_AFTER = timedelta(minutes=15)
#: So many orders from before joining are booked while the customer waits; the sweep does the rest.
MOST_AT_ONCE = 50


def reward_purchase(*, order_id: int, now: datetime) -> None:
    """
    Bring the points of an order to what its state asks for: book them as pending, let them become
    spendable, or undo them. Safe to repeat and in any order of events: nudge and sweep both call it.
    """
    with transaction.atomic():
        purchase = orders.lock_purchase_facts(order_id=order_id)
        promised = programmes.find_policy(currency=purchase.currency, at=purchase.placed_at)
        # Orders from before the first version may have been booked under a later one.
        policy = promised or programmes.find_policy(currency=purchase.currency, at=now)
        if policy is None:
            return
        earnings = points.list_earnings_of_order(programme_id=policy.programme_id, order_ref=purchase.number)
        policy = _policy_of(purchase, earnings=earnings, promised=policy)
        if purchase.was_cancelled and not purchase.is_cancelled:
            _redo_purchase(purchase, policy=policy, now=now)
        if purchase.is_cancelled:
            _undo_purchase(purchase, earnings=earnings, policy=policy, now=now)
        elif earnings:
            _schedule_purchase(purchase, earned=earnings[0], policy=policy, now=now)
        elif promised is not None:
            _book_purchase(purchase, policy=promised, now=now)
        if policy.has_rules:
            _judge_waiting_rules(purchase, policy=policy, now=now)


def reward_earlier_purchases(*, user_id: int, now: datetime) -> int:
    """
    Book the orders that a customer placed shortly before joining, as far as the version in force at
    each of them lets them count; return how many orders that concerns. Safe to repeat. What fails is
    logged and left to the sweep.
    """
    policies = programmes.list_policies(currency="")
    most = max((policy.claim_days for _from, policy in policies), default=0)
    if not most:
        return 0
    rewarded = 0
    placed_after = now - timedelta(days=most)
    earlier = orders.list_order_ids_of_user(user_id=user_id, placed_after=placed_after, placed_until=now)
    for order_id in earlier[:MOST_AT_ONCE]:
        try:
            reward_purchase(order_id=order_id, now=now)
            rewarded += 1
        except Exception:
            logger.exception("Order %s from before joining could not be rewarded", order_id)
    return rewarded


def counts_for(purchase: PurchaseFacts, *, account: Account, policy: Policy) -> bool:
    """
    Whether an order may earn for a member: one placed since they joined, one that they claimed, or one
    placed not longer than ``claim_days`` before they joined.
    """
    grace = timedelta(days=policy.claim_days)
    return purchase.is_claimed or purchase.placed_at + grace >= account.member.joined_at


def award_for(
    purchase: PurchaseFacts,
    *,
    account_id: int,
    policy: Policy,
    earning: Earning,
    active_at: datetime,
    expires_from: datetime | None = None,
    event: str = "purchase",
) -> Award:
    """
    What the ledger is asked to book for an order that earns. ``event`` names why: it was placed, or it is
    known how it was paid (``purchase-confirmed``).
    """
    assert policy.rate is not None
    return Award(
        account_id=account_id,
        points=earning.points,
        idempotency_key=f"{event}:{purchase.number}",
        source_ref=f"order:{purchase.number}",
        order_ref=purchase.number,
        active_at=active_at,
        expiry_months=policy.expiry_months,
        unit_value=policy.rate.unit_value,
        currency=purchase.currency,
        lines=tuple(line for line in earning.lines if line.basis),
        explanation={
            "rule": "PURCHASE",
            "version": policy.version,
            "earn_points": policy.rate.earn_points,
            "earn_amount": str(policy.rate.earn_amount),
            "currency": purchase.currency,
            "basis": str(earning.basis),
            "includes_tax": policy.includes_tax,
            "includes_shipping": policy.includes_shipping,
            "rounding": "FLOOR_ONCE",
            **explain_parts(earning),
        },
        effective_at=purchase.placed_at,
        expires_from=expires_from,
    )


def explain_parts(earning: Earning) -> dict[str, Any]:
    """What each rule brought, as it is stored with the booking; nothing where only the base rate acted."""
    if not earning.parts:
        return {}
    rules = []
    for part in earning.parts:
        said: dict[str, Any] = {"code": part.rule_code, "points": part.points, "qualifies": part.qualifies}
        if part.kind:
            said["kind"] = part.kind
        if part.text_de or part.text_en:
            said |= {"text_de": part.text_de, "text_en": part.text_en}
        if part.parameters:
            said["parameters"] = dict(part.parameters)
        rules.append(said)
    return {"rules": rules}


def _judge_waiting_rules(purchase: PurchaseFacts, *, policy: Policy, now: datetime) -> None:
    """Book what depends on how an order was paid, once that is known; nothing for a cancelled one."""
    if not earning_queries.is_waiting(order_ref=purchase.number):
        return
    if purchase.is_cancelled:
        earning_services.stop_waiting(order_ref=purchase.number, now=now)
        return
    active_at = _spendable_from(purchase, policy=policy, now=now)
    is_known = purchase.placed_at + PAYMENT_KNOWN_AFTER <= now
    if active_at == FAR_FUTURE or not (policy.spendable_status or is_known):
        return
    account = points.find_account_of_user(
        user_id=purchase.user_id, programme_code=loyalty_settings.programme_code
    )
    if account is not None and policy.can_earn():
        added = earning_on_confirmation(purchase, policy=policy, account=account, lock=True)
        earning = added.of(purchase)
        if earning.points:
            award = award_for(
                purchase,
                account_id=account.pk,
                policy=policy,
                earning=earning,
                active_at=active_at,
                event="purchase-confirmed",
            )
            services.award_points(**award.as_arguments(), now=now)
            added.count([purchase.order_id], now=now)
            if purchase.has_returns:
                level_share(purchase, policy=policy, now=now)
    if policy.can_earn():
        earning_services.end_waiting(order_ref=purchase.number)


def _policy_of(purchase: PurchaseFacts, *, earnings: Sequence[Entry], promised: Policy) -> Policy:
    """What was booked under another version than that of its time stays under that one."""
    number = earnings[0].explanation.get("version") if earnings else None
    if number is None or number == promised.version:
        return promised
    booked_under = programmes.find_policy_of_version(currency=purchase.currency, number=number)
    return booked_under or promised


def _schedule_purchase(purchase: PurchaseFacts, *, earned: Entry, policy: Policy, now: datetime) -> None:
    active_at = _spendable_from(purchase, policy=policy, now=now)
    if active_at != FAR_FUTURE:
        services.schedule_activation(
            account_id=earned.account_id,
            source_ref=f"order:{purchase.number}",
            active_at=active_at,
            now=now,
        )


def _book_purchase(purchase: PurchaseFacts, *, policy: Policy, now: datetime) -> None:
    account = points.find_account_of_user(
        user_id=purchase.user_id, programme_code=loyalty_settings.programme_code
    )
    if account is None:
        return
    if not counts_for(purchase, account=account, policy=policy) or policy.earning_paused:
        return
    if purchase.has_bonus and policy.can_earn():
        book_bonuses(
            purchase,
            account_id=account.pk,
            policy=policy,
            active_at=_spendable_from(purchase, policy=policy, now=now),
            now=now,
        )
    earning, earned = None, None
    if policy.can_earn():
        accounts = {} if purchase.user_id is None else {purchase.user_id: account}
        earned = earnings_under_policy([purchase], policy=policy, accounts=accounts, lock=True)
        if earned.waiting:
            earning_services.wait_for_payment(
                programme_id=policy.programme_id, order_ref=purchase.number, now=now
            )
        earning = earned.of(purchase)
    if earned is not None and earning is not None and earning.points:
        award = award_for(
            purchase,
            account_id=account.pk,
            policy=policy,
            earning=earning,
            active_at=_spendable_from(purchase, policy=policy, now=now),
        )
        services.award_points(**award.as_arguments(), now=now)
        earned.count([purchase.order_id], now=now)
    # Last, so that the order itself is judged by the tier held before it.
    tiering.count_purchase(purchase, member_id=account.member_id, policy=policy, earning=earning, now=now)
    if not (earning and earning.points) and tiering.is_uncounted(purchase, policy=policy):
        # It counts and earns nothing, so that the ledger does not know of its cancellation.
        _redo_purchase(purchase, policy=policy, now=now)
    elif purchase.has_returns:
        # Somebody joined, or claimed the order, after a part of it had come back.
        level_share(purchase, policy=policy, now=now)


def _spendable_from(purchase: PurchaseFacts, *, policy: Policy, now: datetime) -> datetime:
    reached_at = None
    if policy.spendable_status:
        reached_at = orders.find_status_reached_at(purchase=purchase, status=policy.spendable_status, now=now)
    return spendable_from(purchase, policy=policy, reached_at=reached_at)


def spendable_from(purchase: PurchaseFacts, *, policy: Policy, reached_at: datetime | None) -> datetime:
    """When points of an order become spendable that reached the policy's status, if it has one, then."""
    start = reached_at if policy.spendable_status else purchase.placed_at
    return FAR_FUTURE if start is None else start + timedelta(days=policy.waiting_days)


def _undo_purchase(
    purchase: PurchaseFacts, *, earnings: Sequence[Entry], policy: Policy, now: datetime
) -> None:
    """
    Whoever has the points today: the ledger follows merged accounts. Who has left the programme gets
    nothing back and owes nothing, as their account is closed. An order that was cancelled before and opened
    again is undone again, under keys with a number.
    """
    cancelled = points.list_entries_by_key(prefix=CANCEL_KEY, order_ref=purchase.number)
    times = Counter(points.list_undone(cancelled).values_list("reverses_id", flat=True))

    def key_of(entry: Entry, key: str) -> str:
        return f"{key}:{times[entry.pk] + 1}" if times[entry.pk] else key

    undo_uses(order_ref=purchase.number, now=now)
    # Points spent come back first, so that taking back what was earned finds them and makes no deficit.
    if spent := _find_entry(purchase, policy=policy, kind=Entry.Kind.SPEND):
        services.return_spend(
            account_id=spent.account_id,
            spent=spent,
            idempotency_key=key_of(spent, f"{CANCEL_KEY}-spend:{purchase.number}"),
            grace_days=policy.return_grace_days,
            now=now,
        )
    for earned in earnings:
        is_first = earned.idempotency_key == f"purchase:{purchase.number}"
        key = f"{CANCEL_KEY}-earn:{purchase.number}" if is_first else f"{CANCEL_KEY}:{earned.public_id}"
        services.clawback_points(
            account_id=earned.account_id,
            earned=earned,
            idempotency_key=key_of(earned, key),
            now=now,
        )
    tiering.uncount_purchase(purchase, policy=policy, now=now)


def _redo_purchase(purchase: PurchaseFacts, *, policy: Policy, now: datetime) -> None:
    """
    An order was cancelled, and is opened again: it has earned, is paid with points and counts as before, as
    far as it has not come back. Points that are not there any more are owed. The newest booking goes first.
    """
    cancelled = list(points.list_entries_by_key(prefix=CANCEL_KEY, order_ref=purchase.number))
    for entry in reversed(cancelled):
        key = f"open-again:{entry.public_id}"
        if entry.kind == Entry.Kind.CLAWBACK:
            services.undo_clawback(
                account_id=entry.account_id,
                clawback=entry,
                idempotency_key=key,
                grace_days=policy.return_grace_days,
                now=now,
            )
        elif entry.kind == Entry.Kind.SPEND_RETURN:
            services.undo_spend_return(
                account_id=entry.account_id, returned=entry, idempotency_key=key, now=now
            )
    keys = tiers.list_keys(programme_id=policy.programme_id, order_ref=purchase.number)
    times = len(cancelled) + sum(key.startswith(f"{CANCEL_KEY}:") for key in keys)
    if level_share(purchase, policy=policy, is_undone=True, event=f"open-again-{times}", now=now):
        restore_uses(order_ref=purchase.number)
        earning_services.go_on_waiting(order_ref=purchase.number)


def _find_entry(purchase: PurchaseFacts, *, policy: Policy, kind: str) -> Entry | None:
    return points.find_entry_of_order(programme_id=policy.programme_id, order_ref=purchase.number, kind=kind)
