"""
What earns without an order: joining, a birthday, a complete profile, a confirmed newsletter, an event that
the shop reports. Each is rewarded once, whoever asks and how often.

These points can be spent at once: there is no order whose return they would have to wait for.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Exists, OuterRef, Q
from django.utils.module_loading import import_string

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.earning import queries as earning
from oscar_loyalty.earning import services as budgets
from oscar_loyalty.earning.facts import Line
from oscar_loyalty.earning.limits import Allowances, earliest_start
from oscar_loyalty.earning.matching import holds_for_member
from oscar_loyalty.earning.models import EarningRule, Occurrence
from oscar_loyalty.earning.rules import Rule, judge
from oscar_loyalty.flows.purchases import explain_parts
from oscar_loyalty.flows.rulebooks import Case, Rulebook, gather
from oscar_loyalty.members import services as member_services
from oscar_loyalty.members.models import Birthday, Consent, Member
from oscar_loyalty.members.queries import BIRTHDAY_KNOWN_DAYS
from oscar_loyalty.points import queries as points
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.rules import Earning
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import Policy, end_of_day
from oscar_loyalty.shop import customers
from oscar_loyalty.shop.currencies import get_default_currency

logger = logging.getLogger(__name__)

Occasion = EarningRule.Occasion

#: So many days back the sweep looks for birthdays that nobody rewarded.
BIRTHDAY_CATCH_UP_DAYS = 7
_ONE = Decimal(1)


class KeyReused(ValueError):
    """The key of a reported event was first used for another event or another member."""


@dataclass(frozen=True, kw_only=True)
class Rewarded:
    """What an occasion brought; not ``is_new`` when it was rewarded before."""

    points: int
    is_new: bool


def reward_occasion(
    *, member_id: int, occasion: str, ref: str, now: datetime, event_code: str = ""
) -> Rewarded | None:
    """
    Book what the rules in force give for an occasion of a member, once for each ``ref``: "once" for what
    happens once ever, the year for a birthday, the caller's own key for an event. ``None`` when nothing is
    earned at all at the moment: no programme, earning paused, no such rule, no open account.

    :raises KeyReused: the event's key was used for something else
    """
    policy = programmes.find_policy(currency=get_default_currency(), at=now)
    if policy is None or policy.rate is None or policy.earning_paused or not policy.has_rules:
        return None
    rules = _list_rules(policy, occasion=occasion, event_code=event_code)
    key = f"{occasion}:{ref}"
    with transaction.atomic():
        account = points.find_account(member_id=member_id, programme_code=policy.programme_code)
        if account is None or account.member.status != Member.Status.ACTIVE:
            return None
        services.lock_accounts([account.pk])
        earlier = earning.find_occurrence(member_id=member_id, key=key)
        if earlier is not None:
            if earlier.event_code != event_code:
                raise KeyReused(ref)
            return Rewarded(points=earlier.points, is_new=False)
        if not rules:
            return None
        earned = _earn(rules, policy=policy, account=account, now=now)
        if earned.points or occasion == Occasion.EVENT:
            Occurrence.objects.create(
                programme_id=policy.programme_id,
                member_id=member_id,
                occasion=occasion,
                key=key,
                event_code=event_code,
                points=earned.points,
                occurred_at=now,
            )
        if earned.points:
            _book(
                earned,
                key=key,
                occasion=occasion,
                event_code=event_code,
                account=account,
                policy=policy,
                now=now,
            )
        return Rewarded(points=earned.points, is_new=True)


def report_event(*, member_id: int, event_code: str, key: str, now: datetime) -> Rewarded | None:
    """
    The shop tells of something a member did. ``key`` names it: reported again it brings nothing more.

    :raises KeyReused: the key was first used for another event or another member
    """
    others = Occurrence.objects.filter(occasion=Occasion.EVENT, key=f"{Occasion.EVENT}:{key}")
    if others.exclude(member_id=member_id).exists():
        raise KeyReused(key)
    return reward_occasion(
        member_id=member_id, occasion=Occasion.EVENT, ref=key, event_code=event_code, now=now
    )


def confirm_newsletter(*, member_id: int, source: str, now: datetime) -> Rewarded | None:
    """
    A member has confirmed the newsletter by the link in a mail (double opt-in): the consent is logged, and
    rewarded once ever. Whoever withdraws it keeps the points: a consent that costs something to take back
    would not be free (Art. 7(3) and (4) GDPR).
    """
    member_services.record_consent(
        member_id=member_id,
        purpose=Consent.Purpose.MARKETING,
        granted=True,
        source=source,
        now=now,
        confirmed=True,
    )
    return reward_occasion(member_id=member_id, occasion=Occasion.NEWSLETTER, ref="once", now=now)


def reward_profile(*, member_id: int, now: datetime) -> Rewarded | None:
    """Reward a member whose profile is complete as the shop sees it; ``None`` as long as it is not."""
    if not is_profile_complete(member_id=member_id):
        return None
    return reward_occasion(member_id=member_id, occasion=Occasion.PROFILE_COMPLETED, ref="once", now=now)


def is_profile_complete(*, member_id: int) -> bool:
    """Whether the shop finds nothing missing in a member's profile."""
    member = Member.objects.select_related("user").get(pk=member_id)
    return member.user is not None and bool(_is_complete()(member.user))


def reward_birthdays(*, now: datetime) -> int:
    """
    Reward the members whose birthday is today or was a few days ago, where the programme is at home;
    return how many. Whoever was born on 29 February has their birthday on the 28th in common years. Counts
    only what was known 30 days before. Safe to repeat and to run in parallel.
    """
    member_services.forget_birthdays()
    policy = _find_policy_with(Occasion.BIRTHDAY, now=now)
    if policy is None:
        return 0
    today = now.astimezone(ZoneInfo(policy.time_zone)).date()
    rewarded = 0
    for back in range(BIRTHDAY_CATCH_UP_DAYS):
        day = today - timedelta(days=back)
        for member_id in _list_birthdays(day, time_zone=policy.time_zone):
            rewarded += _quietly(
                partial(
                    reward_occasion,
                    member_id=member_id,
                    occasion=Occasion.BIRTHDAY,
                    ref=str(day.year),
                    now=now,
                )
            )
    return rewarded


def reward_profiles(*, now: datetime, limit: int = 1000) -> int:
    """Reward members who completed their profile without anybody noticing; return how many."""
    policy = _find_policy_with(Occasion.PROFILE_COMPLETED, now=now)
    if policy is None:
        return 0
    done = Occurrence.objects.filter(member=OuterRef("pk"), occasion=Occasion.PROFILE_COMPLETED)
    members = Member.objects.filter(~Exists(done), status=Member.Status.ACTIVE, user__isnull=False)
    if loyalty_settings.profile_is_complete:
        # Only the shop can tell; who was not here lately has changed nothing.
        members = members.filter(user__last_login__gte=now - timedelta(days=2))
    else:
        members = customers.with_complete_profile(members)
    rewarded = 0
    for member_id in list(members.order_by("pk").values_list("pk", flat=True)[:limit]):
        rewarded += _quietly(partial(reward_profile, member_id=member_id, now=now))
    return rewarded


def _find_policy_with(occasion: str, *, now: datetime) -> Policy | None:
    policy = programmes.find_policy(currency=get_default_currency(), at=now)
    if policy is None or policy.earning_paused or not policy.has_rules:
        return None
    return policy if _list_rules(policy, occasion=occasion, event_code="") else None


def _list_rules(policy: Policy, *, occasion: str, event_code: str) -> list[Rule]:
    version = {"programme_id": policy.programme_id, "version": policy.version}
    if occasion == Occasion.EVENT:
        return earning.list_event_rules(**version, event_code=event_code)
    return earning.list_rules(**version, occasion=occasion)


def _earn(rules: list[Rule], *, policy: Policy, account: Account, now: datetime) -> Earning:
    """By the engine of the orders: an order of nothing but the bonus. Under the lock of the account."""
    assert policy.rate is not None
    rulebook = Rulebook(rules=tuple(rules))
    user_id = account.member.user_id
    case = Case(key=0, lines=(), at=now, user_id=user_id)
    accounts = {user_id: account} if user_id is not None else {}
    facts = gather([case], policy=policy, rulebook=rulebook, accounts=accounts)[0]
    holding = [rule for rule in rules if holds_for_member(rule.conditions, context=facts.context)]
    codes = frozenset(rule.code for rule in holding if rule.budget_points is not None)
    locked = budgets.lock_budgets(programme_id=policy.programme_id, codes=codes)
    allowances = Allowances(
        time_zone=policy.time_zone,
        periods=rulebook.periods,
        granted={code: row.granted for code, row in locked.items()},
        paused=frozenset(code for code, row in locked.items() if row.paused_at is not None),
    )
    if rulebook.periods:
        since = earliest_start(rulebook.periods, at=now, time_zone=policy.time_zone)
        given = earning.find_given(
            member_ids=[account.member_id], codes=[rule.code for rule in holding], since=since
        )
        for one in given.get(account.member_id, ()):
            allowances.add(member_id=account.member_id, code=one.rule_code, at=one.at, points=one.points)
    nothing_else = partial(
        judge,
        lines=[Line(ref="occasion", amount=_ONE)],
        rate=replace(policy.rate, earn_points=0),
        context=facts.context,
        rules=holding,
    )
    earned = allowances.limit(
        nothing_else(),
        rules=rulebook.by_code,
        member_id=account.member_id,
        at=now,
        again=lambda most_of, most: nothing_else(most_of=most_of, most=most),
    )
    granted = dict.fromkeys(locked, 0)
    for line in earned.lines:
        if line.rule_code in granted:
            granted[line.rule_code] += line.points
    budgets.grant_points(budgets=locked, granted=granted, rules=rulebook.by_code, now=now)
    lines = tuple(line._replace(basis=Decimal(0)) for line in earned.lines if line.points)
    parts = tuple(part for part in earned.parts if part.points)
    return replace(earned, basis=Decimal(0), lines=lines, parts=parts)


def _book(
    earned: Earning,
    *,
    key: str,
    occasion: str,
    event_code: str,
    account: Account,
    policy: Policy,
    now: datetime,
) -> None:
    assert policy.rate is not None
    # A caller's key may be as long as ours can be.
    ref = key if len(key) <= 100 else f"{occasion}:{hashlib.sha256(key.encode()).hexdigest()}"
    services.award_points(
        account_id=account.pk,
        points=earned.points,
        idempotency_key=f"occasion:{ref}",
        source_ref=f"occasion:{ref}",
        active_at=now,
        expiry_months=policy.expiry_months,
        unit_value=policy.rate.unit_value,
        currency=policy.rate.currency,
        lines=earned.lines,
        explanation={
            "rule": occasion,
            "version": policy.version,
            **({"event": event_code} if event_code else {}),
            **explain_parts(earned),
        },
        now=now,
    )


def _list_birthdays(day: date, *, time_zone: str) -> Iterator[int]:
    """Members who have their birthday on a day, told early enough and not rewarded yet."""
    on_day = Q(month=day.month, day=day.day)
    if (day.month, day.day) == (2, 28) and (day + timedelta(days=1)).month == 3:
        on_day |= Q(month=2, day=29)
    begins = end_of_day(day - timedelta(days=1), time_zone=time_zone)
    done = Occurrence.objects.filter(member=OuterRef("member_id"), key=f"{Occasion.BIRTHDAY}:{day.year}")
    found = Birthday.objects.filter(
        ~Exists(done),
        on_day,
        set_at__lte=begins - timedelta(days=BIRTHDAY_KNOWN_DAYS),
        member__status=Member.Status.ACTIVE,
    )
    yield from found.order_by("member_id").values_list("member_id", flat=True).iterator()


def _is_complete() -> Callable[[Any], bool]:
    path = loyalty_settings.profile_is_complete
    return import_string(path) if path else customers.has_complete_profile  # type: ignore[no-any-return]


def _quietly(reward: Callable[[], Rewarded | None]) -> int:
    """One member's error stops no other member; the next sweep tries again."""
    try:
        rewarded = reward()
    except Exception:
        logger.exception("An occasion could not be rewarded: %r", reward)
        return 0
    return int(rewarded is not None and rewarded.is_new and rewarded.points > 0)
