"""What a purchase earns: one engine for previews and for the booking."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import partial

from oscar_loyalty.earning import queries as earning_queries
from oscar_loyalty.earning import services as budgets
from oscar_loyalty.earning.limits import Allowances, earliest_start
from oscar_loyalty.earning.models import RuleBudget
from oscar_loyalty.earning.rules import Judgement, limit_earning, only_rules
from oscar_loyalty.flows.rulebooks import Case, Facts, Rulebook, gather, read_rulebook
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.rules import Earning, PurchaseLine, bases_for, points_for_lines, value_of
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.shop.orders import PurchaseFacts
from oscar_loyalty.shop.products import find_excluded_product_ids


@dataclass(frozen=True, kw_only=True)
class EarnPreview:
    """What a purchase would earn now: whole ``points``, and the money they would save later."""

    points: int
    value: Decimal
    currency: str
    basis: Decimal
    version: int
    earning: Earning


@dataclass(frozen=True, kw_only=True)
class Situation:
    """Who would order, when and how: what rules ask for beside the lines. Guests have no ``user_id``."""

    at: datetime
    user_id: int | None = None
    channel: str = ""
    shipping_method: str = ""


def preview_earning(
    *,
    lines: Sequence[PurchaseLine],
    currency: str,
    now: datetime,
    user_id: int | None = None,
    channel: str = "",
    shipping_method: str = "",
) -> EarnPreview | None:
    """What the lines would earn if they were ordered now; ``None`` when the programme earns nothing."""
    policy = programmes.find_policy(currency=currency, at=now)
    situation = Situation(at=now, user_id=user_id, channel=channel, shipping_method=shipping_method)
    return preview_under_policy(lines=lines, policy=policy, situation=situation) if policy else None


def preview_under_policy(
    *, lines: Sequence[PurchaseLine], policy: Policy, situation: Situation | None = None
) -> EarnPreview | None:
    """The same under a policy at hand, so that a page of previews reads it once."""
    return preview_each({0: lines}, policy=policy, situation=situation).get(0)


def preview_each(
    purchases: Mapping[int, Sequence[PurchaseLine]], *, policy: Policy, situation: Situation | None = None
) -> dict[int, EarnPreview]:
    """
    What each purchase would earn if it were ordered alone. A fixed number of statements, so that a page of
    products costs as much as one: at most one where there is only the base rate, and nothing is said but
    that rate without a ``situation``. Empty when the programme earns nothing.
    """
    if not policy.can_earn() or policy.rate is None:
        return {}
    rulebook = read_rulebook(policy) if situation is not None else Rulebook()
    earnings: Mapping[int, Earning]
    if rulebook.is_empty or situation is None:
        earnings = _earn_at_base_rate(purchases, policy=policy)
    else:
        cases = [
            Case(
                key=key,
                lines=lines,
                at=situation.at,
                user_id=situation.user_id,
                channel=situation.channel,
                shipping_method=situation.shipping_method,
            )
            for key, lines in purchases.items()
        ]
        facts = gather(cases, policy=policy, rulebook=rulebook)
        judged = _judge(facts, policy=policy, rulebook=rulebook)
        allowances = _read_allowances(facts, judged, policy=policy, rulebook=rulebook)
        earnings = {
            key: allowances.limit(
                judged[key],
                rules=rulebook.by_code,
                member_id=facts[key].member_id,
                at=facts[key].context.placed_at,
                again=partial(_judge_one, facts[key], policy, rulebook),
            )
            for key in purchases
        }
    return {
        key: EarnPreview(
            points=earning.points,
            value=value_of(earning.points, rate=policy.rate),
            currency=policy.rate.currency,
            basis=earning.basis,
            version=policy.version,
            earning=earning,
        )
        for key, earning in earnings.items()
    }


def preview_purchase(purchase: PurchaseFacts, *, policy: Policy) -> EarnPreview | None:
    """What an order that is not booked would earn, judged by the moment when it was placed."""
    if not policy.can_earn() or policy.rate is None:
        return None
    earned = earnings_under_policy([purchase], policy=policy).of(purchase)
    return EarnPreview(
        points=earned.points,
        value=value_of(earned.points, rate=policy.rate),
        currency=policy.rate.currency,
        basis=earned.basis,
        version=policy.version,
        earning=earned,
    )


@dataclass(kw_only=True)
class Earnings:
    """
    What purchases earn, after every limit, by the id of their orders. ``waiting`` are orders with a rule
    that is judged when it is known how they were paid. ``allowances`` are what is left for the next ones.
    """

    by_order: dict[int, Earning]
    waiting: frozenset[int] = frozenset()
    allowances: Allowances | None = None
    rulebook: Rulebook = field(default_factory=Rulebook)
    _budgets: Mapping[str, RuleBudget] = field(default_factory=dict)

    def of(self, purchase: PurchaseFacts) -> Earning:
        return self.by_order[purchase.order_id]

    def count(self, order_ids: Iterable[int], *, now: datetime) -> None:
        """Have the budgets know what was booked; inside the transaction that booked it."""
        if not self._budgets:
            return
        granted = dict.fromkeys(self._budgets, 0)
        for order_id in order_ids:
            for line in self.by_order[order_id].lines:
                if line.rule_code in granted:
                    granted[line.rule_code] += line.points
        rules = self.rulebook.by_code
        budgets.grant_points(budgets=self._budgets, granted=granted, rules=rules, now=now)


def earnings_under_policy(
    purchases: Sequence[PurchaseFacts],
    *,
    policy: Policy,
    rulebook: Rulebook | None = None,
    accounts: Mapping[int, Account] | None = None,
    allowances: Allowances | None = None,
    tier_codes: Mapping[int, str] | None = None,
    payment_known: bool = False,
    lock: bool = False,
) -> Earnings:
    """
    What orders earn under a policy that can earn, one after the other in the order given: what one takes
    of a limit is gone for the next. A fixed number of statements, however many orders.

    ``lock`` before a booking, inside its transaction: accounts first, then budgets, so that orders at the
    same time cannot exceed a limit together. A simulation hands in the ``rulebook`` of a draft, keeps the
    ``allowances`` of one batch for the next (no history is read then) and may say ``tier_codes`` by order.
    """
    rulebook = read_rulebook(policy) if rulebook is None else rulebook
    if rulebook.is_empty:
        lines = {purchase.order_id: purchase.lines for purchase in purchases}
        return Earnings(by_order=_earn_at_base_rate(lines, policy=policy))
    cases = [
        Case(
            key=purchase.order_id,
            lines=purchase.lines,
            at=purchase.placed_at,
            user_id=purchase.user_id,
            order_id=purchase.order_id,
            number=purchase.number,
            channel=purchase.channel,
            shipping_method=purchase.shipping_method,
        )
        for purchase in purchases
    ]
    facts = gather(
        cases,
        policy=policy,
        rulebook=rulebook,
        accounts=accounts,
        payment_known=payment_known,
        tier_codes=None if tier_codes is None else dict(tier_codes.items()),
    )
    judged = _judge(facts, policy=policy, rulebook=rulebook)
    return _settle(
        facts,
        judged,
        policy=policy,
        rulebook=rulebook,
        allowances=allowances,
        account_ids=[account.pk for account in (accounts or {}).values()] if lock else None,
    )


def earning_on_confirmation(
    purchase: PurchaseFacts, *, policy: Policy, account: Account, lock: bool = False
) -> Earnings:
    """
    What an order earns in addition now that it is known how it was paid: the points of the rules that
    depend on that, and not more than the whole order brings more by them.
    """
    rulebook = read_rulebook(policy)
    codes = frozenset(rule.code for rule in rulebook.rules if rule.waits_for_payment)
    accounts = {} if purchase.user_id is None else {purchase.user_id: account}
    case = Case(
        key=purchase.order_id,
        lines=purchase.lines,
        at=purchase.placed_at,
        user_id=purchase.user_id,
        order_id=purchase.order_id,
        number=purchase.number,
        channel=purchase.channel,
        shipping_method=purchase.shipping_method,
    )
    facts = gather([case], policy=policy, rulebook=rulebook, accounts=accounts, payment_known=True)
    now_known = facts[purchase.order_id]
    unknown = now_known._replace(context=now_known.context._replace(payment_methods=None))
    before = _judge({0: unknown}, policy=policy, rulebook=rulebook)[0]
    after = _judge({0: now_known}, policy=policy, rulebook=rulebook)[0]
    more = after.earning.points - before.earning.points
    added = limit_earning(only_rules(after.earning, codes), most_of={}, most=max(more, 0))
    judged: dict[Hashable, Judgement] = {purchase.order_id: replace(after, earning=added)}
    return _settle(
        facts,
        judged,
        policy=policy,
        rulebook=rulebook,
        allowances=None,
        account_ids=[account.pk] if lock else None,
        rejudge=False,
    )


def _settle(
    facts: Mapping[Hashable, Facts],
    judged: Mapping[Hashable, Judgement],
    *,
    policy: Policy,
    rulebook: Rulebook,
    allowances: Allowances | None,
    account_ids: Sequence[int] | None,
    rejudge: bool = True,
) -> Earnings:
    """Apply the limits of members and budgets. With ``account_ids`` under locks, in the order of all."""
    locked: Mapping[str, RuleBudget] = {}
    codes = _budgets_asked(judged, rulebook)
    if account_ids is not None and (codes or rulebook.periods):
        services.lock_accounts(account_ids)
        locked = budgets.lock_budgets(programme_id=policy.programme_id, codes=codes)
    if allowances is None:
        allowances = _read_allowances(facts, judged, policy=policy, rulebook=rulebook, locked=locked)
    rules = rulebook.by_code
    by_order = {}
    for key, judgement in judged.items():
        member_id, at = facts[key].member_id, facts[key].context.placed_at
        again = partial(_judge_one, facts[key], policy, rulebook) if rejudge else None
        earning = allowances.limit(judgement, rules=rules, member_id=member_id, at=at, again=again)
        allowances.take(earning, rules=rules, member_id=member_id, at=at)
        by_order[key] = earning
    return Earnings(
        by_order=by_order,  # type: ignore[arg-type]
        waiting=frozenset(key for key, one in judged.items() if one.waits),  # type: ignore[misc]
        allowances=allowances,
        rulebook=rulebook,
        _budgets=locked,
    )


def _judge(
    facts: Mapping[Hashable, Facts], *, policy: Policy, rulebook: Rulebook
) -> dict[Hashable, Judgement]:
    assert policy.rate is not None
    engine = rulebook.engine(policy.rate)
    return {key: engine.judge(lines=one.lines, context=one.context) for key, one in facts.items()}


def _judge_one(
    facts: Facts, policy: Policy, rulebook: Rulebook, most_of: Mapping[str, int], most: int | None
) -> Judgement:
    assert policy.rate is not None
    engine = rulebook.engine(policy.rate)
    return engine.judge(lines=facts.lines, context=facts.context, most_of=most_of, most=most)


def _budgets_asked(judged: Mapping[Hashable, Judgement], rulebook: Rulebook) -> frozenset[str]:
    """Rules with a budget that want to give something here: the others need no look and no lock."""
    limited = rulebook.budget_codes
    if not limited:
        return frozenset()
    return limited.intersection(code for one in judged.values() for code in one.holding)


def _read_allowances(
    facts: Mapping[Hashable, Facts],
    judged: Mapping[Hashable, Judgement],
    *,
    policy: Policy,
    rulebook: Rulebook,
    locked: Mapping[str, RuleBudget] | None = None,
) -> Allowances:
    """What is left of the limits: at most one statement for budgets and one for members."""
    codes = _budgets_asked(judged, rulebook)
    rows = locked or earning_queries.find_budgets(programme_id=policy.programme_id, codes=codes)
    periods = rulebook.periods
    allowances = Allowances(
        time_zone=policy.time_zone,
        periods=periods,
        granted={code: row.granted for code, row in rows.items()},
        paused=frozenset(code for code, row in rows.items() if row.paused_at is not None),
    )
    member_ids = {one.member_id for one in facts.values() if one.member_id is not None}
    if periods and member_ids:
        since = earliest_start(
            periods, at=min(one.context.placed_at for one in facts.values()), time_zone=policy.time_zone
        )
        capped = frozenset(r.code for r in rulebook.rules if r.cap_member_points is not None)
        of_everything = any(one.member_caps for one in judged.values())
        given = earning_queries.find_given(
            member_ids=member_ids, codes=None if of_everything else capped, since=since
        )
        for member_id, rows_of_member in given.items():
            for one in rows_of_member:
                allowances.add(member_id=member_id, code=one.rule_code, at=one.at, points=one.points)
    return allowances


def _earn_at_base_rate(
    purchases: Mapping[int, Sequence[PurchaseLine]], *, policy: Policy
) -> dict[int, Earning]:
    """With at most one statement."""
    assert policy.rate is not None
    products = [line.product_id for lines in purchases.values() for line in lines]
    excluded = find_excluded_product_ids(products, policy=policy)
    return {
        key: points_for_lines(
            bases_for(lines, policy=policy, excluded_product_ids=excluded), rate=policy.rate
        )
        for key, lines in purchases.items()
    }
