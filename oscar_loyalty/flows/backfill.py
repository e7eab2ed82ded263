"""
Past orders of members, booked in bulk: for a shop that had customers before it had a programme.

An order earns what it would have earned when it was placed, as if the member had been one then; what
counts is the version in force at that moment, or today's where staff ask for that. Each batch of
orders is one transaction, and an order that was booked is never booked again: so a run may be stopped
at any moment and started again.
"""

import enum
import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.bonuses import book_bonuses, sum_bonuses
from oscar_loyalty.flows.earning import Earnings, earnings_under_policy
from oscar_loyalty.flows.purchases import award_for, spendable_from
from oscar_loyalty.flows.return_settlement import level_share
from oscar_loyalty.flows.tiering import qualification_of
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.rules import Earning
from oscar_loyalty.points.services import AccountNotOpen, Award, award_many, lock_accounts
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import Policy, expiry_after
from oscar_loyalty.shop import orders
from oscar_loyalty.shop.orders import Period, PurchaseFacts
from oscar_loyalty.tiers.services import Qualification, qualify_many

logger = logging.getLogger(__name__)

#: Orders booked in one transaction. Their members wait that long at the most when they order meanwhile.
BATCH_SIZE = 500


class Reason(enum.StrEnum):
    """Why an order brought no points."""

    ALREADY_BOOKED = "already booked"
    NO_MEMBER = "no member"
    CANCELLED = "cancelled"
    NO_VERSION = "no programme version in force"
    NO_RATE = "no rate for the currency"
    PAUSED = "earning paused"
    NOTHING_EARNED = "nothing earned"
    ACCOUNT_CLOSED = "account closed meanwhile"
    FAILED = "failed"


_COUNTING = {None, Reason.ALREADY_BOOKED, Reason.NOTHING_EARNED, Reason.NO_RATE}


@dataclass(frozen=True, kw_only=True)
class Terms:
    """
    How past orders are judged: under the version of their time or, with ``version_now``, under the one
    in force; with ``expiry_from_now`` the months until expiry are counted from today at the earliest.
    """

    version_now: bool = False
    expiry_from_now: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one order: whole ``points``, or the ``reason`` why there are none. ``state`` is
    ``PENDING``, ``SPENDABLE`` or ``EXPIRED`` as the points are now."""

    order_id: int
    order_number: str
    placed_at: datetime | None = None
    member: str = ""
    points: int = 0
    state: str = ""
    reason: Reason | None = None


@dataclass(kw_only=True)
class Totals:
    """Sums of a run, by order and by point."""

    orders: int = 0
    booked: int = 0
    points: int = 0
    by_state: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)

    def add(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self.orders += 1
            if outcome.reason is not None:
                self.by_reason[outcome.reason] += 1
                continue
            self.booked += 1
            self.points += outcome.points
            self.by_state[outcome.state] += outcome.points

    def merge(self, other: "Totals") -> None:
        self.orders += other.orders
        self.booked += other.booked
        self.points += other.points
        self.by_state += other.by_state
        self.by_reason += other.by_reason

    @property
    def failed(self) -> int:
        return self.by_reason[Reason.FAILED]


def backfill(
    *,
    period: Period,
    terms: Terms,
    now: datetime,
    dry_run: bool = False,
    limit: int | None = None,
    batch_size: int = BATCH_SIZE,
) -> Iterator[list[Outcome]]:
    """
    Book the orders of a period, in the order in which they were placed, and say batch by batch what
    became of each. ``dry_run`` says the same and books nothing; ``limit`` ends after so many orders.
    """
    for order_ids in orders.list_order_ids(period, size=batch_size):
        wanted = order_ids if limit is None else order_ids[:limit]
        if limit is not None:
            limit -= len(wanted)
        if wanted:
            yield _backfill_batch(wanted, terms=terms, now=now, dry_run=dry_run)
        if limit == 0:
            return


def _backfill_batch(order_ids: list[int], *, terms: Terms, now: datetime, dry_run: bool) -> list[Outcome]:
    try:
        return _book(order_ids, terms=terms, now=now, dry_run=dry_run)
    except Exception:
        if len(order_ids) == 1:
            logger.exception("Order %s could not be booked", order_ids[0])
            return [Outcome(order_id=order_ids[0], order_number="", reason=Reason.FAILED)]
    # One of them is at fault: each alone, so that the others are booked.
    return [
        outcome
        for order_id in order_ids
        for outcome in _backfill_batch([order_id], terms=terms, now=now, dry_run=dry_run)
    ]


@transaction.atomic
def _book(order_ids: list[int], *, terms: Terms, now: datetime, dry_run: bool) -> list[Outcome]:
    purchases = orders.find_purchase_facts(order_ids, lock=not dry_run, to_book=True)
    by_id = {purchase.order_id: purchase for purchase in purchases}
    # In the order of the calls, which is that of time: lots of one member are numbered by it.
    purchases = [by_id[order_id] for order_id in order_ids if order_id in by_id]
    user_ids = {purchase.user_id for purchase in purchases if purchase.user_id is not None}
    accounts = points.find_accounts_of_users(
        user_ids=user_ids, programme_code=loyalty_settings.programme_code
    )
    histories = _Histories(version_now=terms.version_now, now=now)
    judged, earnings = _judge(
        purchases, accounts=accounts, histories=histories, terms=terms, now=now, lock=not dry_run
    )
    awards = [
        (purchase, verdict)
        for purchase, verdict in judged
        if isinstance(verdict, _Verdict) and verdict.award.points
    ]
    refused: dict[int, Reason] = {}
    if not dry_run:
        done = award_many([verdict.award for _purchase, verdict in awards], now=now)
        for (purchase, _verdict), awarded in zip(awards, done, strict=True):
            if isinstance(awarded.error, AccountNotOpen):
                refused[purchase.order_id] = Reason.ACCOUNT_CLOSED
            elif awarded.error is not None:
                logger.error("Order %s could not be booked: %r", purchase.number, awarded.error)
                refused[purchase.order_id] = Reason.FAILED
            elif not awarded.is_new:
                refused[purchase.order_id] = Reason.ALREADY_BOOKED
        booked_ids = {purchase.order_id for purchase, _verdict in awards} - refused.keys()
        for earned in earnings:
            earned.count(booked_ids & earned.by_order.keys(), now=now)
        known = {order_id: one for earned in earnings for order_id, one in earned.by_order.items()}
        _count_for_tiers(
            judged, refused=refused, known=known, accounts=accounts, histories=histories, now=now
        )
        _complete(judged, refused=refused, accounts=accounts, histories=histories, now=now)
    outcomes = []
    for purchase, verdict in judged:
        reason = verdict if isinstance(verdict, Reason) else refused.get(purchase.order_id)
        booked = verdict if isinstance(verdict, _Verdict) and reason is None else None
        outcomes.append(
            Outcome(
                order_id=purchase.order_id,
                order_number=purchase.number,
                placed_at=purchase.placed_at,
                member=str(booked.account.member.public_id) if booked else "",
                points=booked.award.points + booked.bonus if booked else 0,
                state=booked.state if booked else "",
                reason=reason,
            )
        )
    return outcomes


def _count_for_tiers(
    judged: "Sequence[tuple[PurchaseFacts, _Verdict | Reason]]",
    *,
    refused: dict[int, Reason],
    known: dict[int, Earning],
    accounts: dict[int, Account],
    histories: "_Histories",
    now: datetime,
) -> None:
    """
    Let orders count towards tiers as well: those booked just now, those that earned no points, and those
    that were booked before the programme had tiers. Where members stand is computed by whoever calls
    :func:`recompute_due_tiers` afterwards; the sweep does.
    """
    purchases = _counting(judged, refused=refused)
    chosen: dict[int, tuple[Account, Policy]] = {}
    for purchase in purchases:
        account = accounts.get(purchase.user_id) if purchase.user_id is not None else None
        policy = histories.find_policy(purchase)
        if account is not None and policy is not None and policy.has_tiers:
            chosen[purchase.order_id] = (account, policy)
    others = {key: pair for key, pair in chosen.items() if key not in known and pair[1].can_earn()}
    earnings = dict(known)
    for earned in _earn(purchases, others, lock=False):
        earnings |= earned.by_order
    by_programme: dict[int, list[Qualification]] = defaultdict(list)
    for purchase in purchases:
        if purchase.order_id in chosen:
            account, policy = chosen[purchase.order_id]
            by_programme[policy.programme_id].append(
                qualification_of(
                    purchase,
                    member_id=account.member_id,
                    policy=policy,
                    earning=earnings.get(purchase.order_id),
                )
            )
    for programme_id, qualifications in by_programme.items():
        qualify_many(programme_id=programme_id, qualifications=qualifications, now=now)


def _complete(
    judged: "Sequence[tuple[PurchaseFacts, _Verdict | Reason]]",
    *,
    refused: dict[int, Reason],
    accounts: dict[int, Account],
    histories: "_Histories",
    now: datetime,
) -> None:
    """What few orders have, one by one: points that offers promised, and parts that came back since."""
    for purchase, verdict in judged:
        if isinstance(verdict, _Verdict) and verdict.bonus and purchase.order_id not in refused:
            book_bonuses(
                purchase,
                account_id=verdict.account.pk,
                policy=verdict.policy,
                active_at=verdict.award.active_at,
                now=now,
            )
    for purchase in _counting(judged, refused=refused):
        policy = histories.find_policy(purchase)
        if purchase.has_returns and policy is not None and purchase.user_id in accounts:
            level_share(purchase, policy=policy, now=now)


def _counting(
    judged: "Sequence[tuple[PurchaseFacts, _Verdict | Reason]]", *, refused: dict[int, Reason]
) -> list[PurchaseFacts]:
    """Orders that count towards tiers, whether or not they earned points."""
    return [
        purchase
        for purchase, verdict in judged
        if (verdict if isinstance(verdict, Reason) else refused.get(purchase.order_id)) in _COUNTING
        and not purchase.is_cancelled
    ]


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    """``bonus``: points that offers promised for the order, beside the award."""

    account: Account
    policy: Policy
    award: Award
    bonus: int
    state: str


def _judge(
    purchases: Sequence[PurchaseFacts],
    *,
    accounts: dict[int, Account],
    histories: "_Histories",
    terms: Terms,
    now: datetime,
    lock: bool,
) -> tuple[list[tuple[PurchaseFacts, _Verdict | Reason]], list[Earnings]]:
    """What each order is to be booked with, or why it is not; a fixed number of statements. And what the
    budgets of rules are to know once it is booked."""
    earned = points.list_earned_orders(
        programme_code=loyalty_settings.programme_code,
        order_refs=[purchase.number for purchase in purchases],
    )
    reasons: dict[int, Reason] = {}
    chosen: dict[int, tuple[Account, Policy]] = {}
    for purchase in purchases:
        account = accounts.get(purchase.user_id) if purchase.user_id is not None else None
        policy = histories.find_policy(purchase)
        if account is None:
            reasons[purchase.order_id] = Reason.NO_MEMBER
        elif purchase.number in earned:
            reasons[purchase.order_id] = Reason.ALREADY_BOOKED
        elif purchase.is_cancelled:
            reasons[purchase.order_id] = Reason.CANCELLED
        elif policy is None:
            reasons[purchase.order_id] = Reason.NO_VERSION
        elif not policy.can_earn():
            reasons[purchase.order_id] = Reason.PAUSED if policy.earning_paused else Reason.NO_RATE
        else:
            chosen[purchase.order_id] = (account, policy)
    if lock and any(policy.has_rules for _account, policy in chosen.values()):
        # All of them before the first budget: see earnings_under_policy.
        lock_accounts(account.pk for account, _policy in chosen.values())
    groups = _earn(purchases, chosen, lock=lock)
    earnings = {order_id: one for group in groups for order_id, one in group.by_order.items()}
    reached = orders.find_statuses_reached_at(
        list(chosen),
        statuses={policy.spendable_status for _account, policy in chosen.values()} - {""},
    )
    bonuses = sum_bonuses([purchase.number for purchase in purchases if purchase.has_bonus])
    judged: list[tuple[PurchaseFacts, _Verdict | Reason]] = []
    for purchase in purchases:
        if (reason := reasons.get(purchase.order_id)) is not None:
            judged.append((purchase, reason))
            continue
        earning = earnings[purchase.order_id]
        bonus = bonuses.get(purchase.number, 0)
        if earning.points + bonus == 0:
            judged.append((purchase, Reason.NOTHING_EARNED))
        else:
            account, policy = chosen[purchase.order_id]
            first = reached.get((purchase.order_id, policy.spendable_status))
            if first is None and purchase.status == policy.spendable_status:
                first = now  # It has the status without a history: set by an import.
            verdict = _verdict(
                purchase,
                account=account,
                policy=policy,
                earning=earning,
                bonus=bonus,
                reached_at=first,
                terms=terms,
                now=now,
            )
            judged.append((purchase, verdict))
    return judged, groups


def _verdict(
    purchase: PurchaseFacts,
    *,
    account: Account,
    policy: Policy,
    earning: Earning,
    bonus: int,
    reached_at: datetime | None,
    terms: Terms,
    now: datetime,
) -> _Verdict:
    active_at = spendable_from(purchase, policy=policy, reached_at=reached_at)
    award = award_for(
        purchase,
        account_id=account.pk,
        policy=policy,
        earning=earning,
        active_at=active_at,
        expires_from=now if terms.expiry_from_now else None,
    )
    state = "PENDING"
    if active_at <= now:
        start = now if terms.expiry_from_now else active_at
        expires_at = expiry_after(start, months=policy.expiry_months, time_zone=policy.time_zone)
        state = "SPENDABLE" if expires_at > now else "EXPIRED"
    return _Verdict(account=account, policy=policy, award=award, bonus=bonus, state=state)


def _earn(
    purchases: Collection[PurchaseFacts], chosen: dict[int, tuple[Account, Policy]], *, lock: bool
) -> list[Earnings]:
    """By version and currency. Past orders are confirmed: how they were paid is known."""
    by_policy: dict[tuple[str, int], dict[int, PurchaseFacts]] = defaultdict(dict)
    for purchase in purchases:
        if purchase.order_id in chosen:
            policy = chosen[purchase.order_id][1]
            by_policy[purchase.currency, policy.version][purchase.order_id] = purchase
    return [
        earnings_under_policy(
            list(group.values()),
            policy=chosen[next(iter(group))][1],
            accounts={
                purchase.user_id: chosen[order_id][0]
                for order_id, purchase in group.items()
                if purchase.user_id is not None
            },
            payment_known=True,
            lock=lock,
        )
        for group in by_policy.values()
    ]


class _Histories:
    """Every version of the programme by currency, each currency read once for a batch."""

    def __init__(self, *, version_now: bool, now: datetime) -> None:
        self._version_now = version_now
        self._now = now
        self._by_currency: dict[str, list[tuple[datetime, Policy]]] = {}

    def find_policy(self, purchase: PurchaseFacts) -> Policy | None:
        versions = self._by_currency.get(purchase.currency)
        if versions is None:
            versions = programmes.list_policies(currency=purchase.currency)
            self._by_currency[purchase.currency] = versions
        at = self._now if self._version_now else purchase.placed_at
        found = [policy for active_from, policy in versions if active_from <= at]
        return found[-1] if found else None
