"""
What a draft would have brought: the orders of the last months under the draft and under what is in force.

Members are taken one after the other, each with their orders in the order of placing, so that memory does
not grow with the shop and processes share the members. Nothing is written but the job itself.

What it does not know: whether customers would have bought otherwise. Orders that were cancelled bring
nothing in both. The catalogue is that of today. Budgets of all members together are counted for each share
of the members alone.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import Any

from django.db import OperationalError
from django.utils.translation import gettext

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.earning.limits import Allowances
from oscar_loyalty.flows import simulation_tiers
from oscar_loyalty.flows.earning import earnings_under_policy
from oscar_loyalty.flows.purchases import award_for
from oscar_loyalty.flows.rulebooks import Rulebook, find_accounts, read_rulebook
from oscar_loyalty.flows.simulation_tally import MemberOutcome, Sample, Tally
from oscar_loyalty.flows.simulation_tiers import TierJudge
from oscar_loyalty.flows.tiering import qualifying_points
from oscar_loyalty.flows.version_diff import fingerprint
from oscar_loyalty.jobs import services as jobs
from oscar_loyalty.jobs.models import JobPart, JobRun
from oscar_loyalty.jobs.queries import get_job
from oscar_loyalty.points.models import Account
from oscar_loyalty.points.rules import Earning, bases_for, sum_at_rate, value_of
from oscar_loyalty.processes import share_work
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.rules import Policy
from oscar_loyalty.shop import past_orders
from oscar_loyalty.shop.orders import PurchaseFacts, find_purchase_facts
from oscar_loyalty.shop.past_orders import MemberHistory
from oscar_loyalty.shop.products import find_excluded_product_ids
from oscar_loyalty.tiers.rules import Contribution

logger = logging.getLogger(__name__)

KIND = "SIMULATION"
#: Orders read at once.
BATCH = 1_000
#: Members of one part at the most, and parts at the least where there are members enough.
_PART_MEMBERS = 5_000
_PARTS = 32

Clock = Callable[[], datetime]
#: Points that count for tiers, and the money that they are computed on.
Counted = tuple[int, Decimal]
OnProgress = Callable[[int, int], None]


class NotOfThisShop(ValueError):
    """The version belongs to a programme that this shop does not run."""


def subject_of(version: ProgrammeVersion) -> str:
    return f"version:{version.pk}"


def request_simulation(
    *, version: ProgrammeVersion, months: int, requested_by_ref: str, now: datetime
) -> JobRun:
    """
    Ask for a simulation of a version over the orders of the last ``months``.

    :raises AlreadyRunning: one of this version is not over yet
    :raises NotOfThisShop: the version is another programme's
    """
    if version.programme.code != loyalty_settings.programme_code:
        raise NotOfThisShop(version.programme.code)
    in_force = programmes.find_version_in_force(programme_id=version.programme_id, at=now)
    return jobs.request_job(
        kind=KIND,
        subject=subject_of(version),
        parameters={
            "version": version.pk,
            "compared_with": in_force.pk if in_force is not None else None,
            "months": months,
            "since": months_before(now, months).isoformat(),
            "until": now.isoformat(),
            "fingerprint": fingerprint(version),
        },
        requested_by_ref=requested_by_ref,
        now=now,
    )


def simulate(
    *, version: ProgrammeVersion, months: int, now: datetime, requested_by_ref: str = "system"
) -> dict[str, Any]:
    """Ask for a simulation, do it here and now, and return its result."""
    job = request_simulation(version=version, months=months, requested_by_ref=requested_by_ref, now=now)
    job = run_simulation(job_id=job.pk, clock=lambda: now)
    assert isinstance(job.result, dict), job.error
    return job.result


def run_simulation(
    *, job_id: int, clock: Clock, processes: int = 1, on_progress: OnProgress = lambda _done, _total: None
) -> JobRun:
    """
    Do what was asked for, or go on where a dead worker left it; nothing when somebody else does it or it
    is over. ``processes`` share the members: for commands only.
    """
    job = jobs.take_up_job(job_id=job_id, now=clock())
    if job is None:
        return get_job(job_id)
    try:
        _plan(job)
        if processes > 1:
            failed = share_work(
                _work_in_process,
                job.pk,
                job.attempt,
                clock,
                processes=processes,
                tick=_teller(job, on_progress),
            )
            if failed:
                raise RuntimeError("A process died, perhaps for want of memory: see the log.")
        else:
            _work(job, clock=clock, on_progress=on_progress)
        _finish(job, now=clock())
    except jobs.JobNotYours:
        pass
    except OperationalError:
        # The database is not there; when it is back, a sweep finds the job without a sign of life.
        raise
    except Exception as error:
        logger.exception("Simulation %s failed", job.pk)
        jobs.fail_job(job=job, error=f"{type(error).__name__}: {error}", now=clock())
    jobs.end_cancelled_job(job=job, now=clock())
    return get_job(job_id)


def months_before(now: datetime, months: int) -> datetime:
    """The same day and time so many months ago; the last day of a shorter month."""
    index = now.year * 12 + now.month - 1 - months
    for day in (now.day, 30, 29, 28):
        try:
            return now.replace(year=index // 12, month=index % 12 + 1, day=day)
        except ValueError:
            continue
    raise AssertionError("every month has 28 days")


# The work


def _plan(job: JobRun) -> None:
    since, until = _period(job)
    ids = past_orders.find_member_range()
    ranges: list[tuple[int, int]] = []
    if ids is not None:
        first, last = ids
        size = min(max((last - first + 1) // _PARTS, 100), _PART_MEMBERS)
        ranges = [(start, min(start + size - 1, last)) for start in range(first, last + 1, size)]
    jobs.plan_parts(
        job=job,
        parts=[{"first": first, "last": last} for first, last in ranges],
        total=past_orders.count_member_orders(since=since, until=until),
    )


def _work(job: JobRun, *, clock: Clock, on_progress: OnProgress) -> None:
    sides = _sides_of(job, now=_period(job)[1])
    done = job.done
    while (part := jobs.take_part(job=job)) is not None:
        replay = _Replay(sides)
        for count in replay.run(_histories(job, part)):
            done += count
            jobs.report_progress(job=job, part=part, more=count, now=clock())
            on_progress(done, job.total)
        jobs.report_progress(job=job, part=part, more=0, now=clock())
        jobs.finish_part(job=job, part=part, result=replay.tally.to_json())


def _work_in_process(job_id: int, attempt: int, clock: Clock) -> None:
    job = get_job(job_id)
    job.attempt = attempt
    try:
        _work(job, clock=clock, on_progress=lambda _done, _total: None)
    except jobs.JobNotYours:
        return


def _teller(job: JobRun, on_progress: OnProgress) -> Callable[[], None]:
    def tell() -> None:
        done, total = JobRun.objects.values_list("done", "total").get(pk=job.pk)
        on_progress(done, total)

    return tell


def _finish(job: JobRun, *, now: datetime) -> None:
    tally = Tally()
    for stored in job.parts.order_by("number").values_list("result", flat=True):
        assert stored is not None, "every part is done"
        tally.merge(Tally.from_json(stored))
    draft, in_force = _versions_of(job)
    result = _result_of(tally, draft=draft, in_force=in_force, sides=_sides_of(job, now=_period(job)[1]))
    result["is_outdated"] = fingerprint(draft) != job.parameters["fingerprint"]
    jobs.finish_job(job=job, result={**job.parameters, **result}, now=now)


def _period(job: JobRun) -> tuple[datetime, datetime]:
    return (
        datetime.fromisoformat(job.parameters["since"]),
        datetime.fromisoformat(job.parameters["until"]),
    )


def _histories(job: JobRun, part: JobPart) -> Iterator[MemberHistory]:
    since, until = _period(job)
    return past_orders.list_histories(
        first_id=part.parameters["first"], last_id=part.parameters["last"], since=since, until=until
    )


def _versions_of(job: JobRun) -> tuple[ProgrammeVersion, ProgrammeVersion | None]:
    wanted = (job.parameters["version"], job.parameters["compared_with"])
    found = ProgrammeVersion.objects.select_related("programme").in_bulk([pk for pk in wanted if pk])
    if wanted[0] not in found:
        raise LookupError(gettext("The version was deleted meanwhile."))
    return found[wanted[0]], found.get(wanted[1])


class _Side:
    """One of the two versions, with its policy in each currency read once."""

    def __init__(self, version: ProgrammeVersion | None, *, now: datetime) -> None:
        self._version = version
        self._policies: dict[str, Policy | None] = {}
        self._rulebooks: dict[str, Rulebook] = {}
        self._allowances: dict[str, Allowances] = {}
        self.judge: TierJudge | None = simulation_tiers.find_judge(version, now=now) if version else None

    def policy(self, currency: str) -> Policy | None:
        """``None`` where it earns nothing. The brakes are no part of a version: they are not looked at."""
        if currency not in self._policies:
            policy = None
            if self._version is not None:
                policy = programmes.find_policy_of_version(currency=currency, number=self._version.number)
            if policy is not None:
                policy = replace(policy, earning_paused=False)
            self._policies[currency] = policy if policy is not None and policy.can_earn() else None
        return self._policies[currency]

    def begin(self) -> None:
        """A share of the members begins: nobody has got anything yet that a limit would count."""
        self._allowances.clear()

    def asks_for_tiers(self, purchases: Sequence[PurchaseFacts]) -> bool:
        """Whether what some order earns depends on the tier its member held before it."""
        return self.judge is not None and any(book.needs_tier for book in self._rulebooks_for(purchases))

    def asks_for_members(self, purchases: Sequence[PurchaseFacts]) -> bool:
        return any(book.needs_member for book in self._rulebooks_for(purchases))

    def _rulebooks_for(self, purchases: Sequence[PurchaseFacts]) -> list[Rulebook]:
        policies = [self.policy(currency) for currency in {purchase.currency for purchase in purchases}]
        return [self._rulebook(policy) for policy in policies if policy is not None]

    def _rulebook(self, policy: Policy) -> Rulebook:
        assert policy.rate is not None
        currency = policy.rate.currency
        if currency not in self._rulebooks:
            self._rulebooks[currency] = read_rulebook(policy)
        return self._rulebooks[currency]

    def sum_at_base_rate(self, purchases: Sequence[PurchaseFacts]) -> dict[int, Counted]:
        """What orders would count for tiers without any rule; nothing where there is no rate."""
        sums: dict[int, Counted] = {}
        product_ids = {line.product_id for purchase in purchases for line in purchase.lines}
        for currency in {purchase.currency for purchase in purchases}:
            policy = self.policy(currency)
            if policy is None or policy.rate is None:
                continue
            excluded = find_excluded_product_ids(product_ids, policy=policy)
            for purchase in purchases:
                if purchase.currency == currency:
                    bases = bases_for(purchase.lines, policy=policy, excluded_product_ids=excluded)
                    sums[purchase.order_id] = sum_at_rate(bases, rate=policy.rate)
        return sums

    def earn(
        self,
        purchases: Sequence[PurchaseFacts],
        *,
        tier_codes: Mapping[int, str],
        accounts: Mapping[int, Account],
    ) -> dict[int, Earning]:
        """
        What orders earn, given in the order of members and time; nothing where there is no rate.
        ``tier_codes`` by order, of those whose members had a tier; ``accounts`` by customer.
        """
        earnings: dict[int, Earning] = {}
        for currency in dict.fromkeys(purchase.currency for purchase in purchases):
            policy = self.policy(currency)
            if policy is None:
                continue
            rulebook = self._rulebook(policy)
            if currency not in self._allowances:
                self._allowances[currency] = Allowances(time_zone=policy.time_zone, periods=rulebook.periods)
            earned = earnings_under_policy(
                [one for one in purchases if one.currency == currency],
                policy=policy,
                rulebook=rulebook,
                accounts=accounts,
                allowances=self._allowances[currency],
                tier_codes=tier_codes,
            )
            earnings.update(earned.by_order)
        return earnings

    def value(self, points: int, *, currency: str) -> str:
        policy = self.policy(currency)
        return str(value_of(points, rate=policy.rate)) if policy is not None and policy.rate else "0"


def _sides_of(job: JobRun, *, now: datetime) -> tuple[_Side, _Side]:
    draft, in_force = _versions_of(job)
    return _Side(in_force, now=now), _Side(draft, now=now)


class _Replay:
    """Orders of members go by; what they bring is tallied."""

    def __init__(self, sides: tuple[_Side, _Side]) -> None:
        self._sides = sides
        self._with_tiers = any(side.judge is not None for side in sides)
        self.tally = Tally()
        for side in sides:
            side.begin()

    def run(self, histories: Iterator[MemberHistory]) -> Iterator[int]:
        """Yields after each batch how many orders were in it."""
        stream = ((history, order.order_id) for history in histories for order in history.orders)
        member: _MemberSum | None = None
        while batch := list(islice(stream, BATCH)):
            purchases = {
                one.order_id: one
                for one in find_purchase_facts([order_id for _history, order_id in batch], lock=False)
            }
            sorted_purchases = [
                purchases[order_id]
                for _history, order_id in batch
                if order_id in purchases and not purchases[order_id].is_cancelled
            ]
            accounts = self._find_accounts(sorted_purchases)
            before, after = (
                side.earn(
                    sorted_purchases,
                    tier_codes=self._find_tiers(index, side, batch, sorted_purchases, member=member),
                    accounts=accounts,
                )
                for index, side in enumerate(self._sides)
            )
            for history, order_id in batch:
                if member is None or member.history.member_id != history.member_id:
                    self._close(member)
                    member = _MemberSum(history)
                purchase = purchases.get(order_id)
                if purchase is None:
                    continue
                if purchase.is_cancelled:
                    self.tally.cancelled += 1
                    continue
                self._add(member, purchase, before.get(order_id), after.get(order_id))
            yield len(batch)
        self._close(member)

    def _find_accounts(self, purchases: Sequence[PurchaseFacts]) -> Mapping[int, Account]:
        """Of the customers, once for both versions, where a rule of either asks who the member is."""
        if not any(side.asks_for_members(purchases) for side in self._sides):
            return {}
        return find_accounts({one.user_id for one in purchases if one.user_id is not None})

    def _find_tiers(
        self,
        index: int,
        side: _Side,
        batch: "Sequence[tuple[MemberHistory, int]]",
        purchases: Sequence[PurchaseFacts],
        *,
        member: "_MemberSum | None",
    ) -> dict[int, str]:
        """
        The tier that each order's member held before it, where rules ask for it: by what was spent, or by
        points of the base rate. ``member`` is whose orders were the last of the batch before this one.
        """
        if side.judge is None or not side.asks_for_tiers(purchases):
            return {}
        at_base_rate = side.sum_at_base_rate(purchases)
        by_id = {purchase.order_id: purchase for purchase in purchases}
        orders: dict[int, list[Contribution]] = {}
        joined: dict[int, datetime] = {}
        if member is not None:
            orders[member.history.member_id] = list(member.qualifying[index])
        for history, order_id in batch:
            joined[history.member_id] = history.joined_at
            if order_id in by_id:
                one = _contribution_of(by_id[order_id], at_base_rate.get(order_id))
                orders.setdefault(history.member_id, []).append(one)
        codes: dict[str, str] = {}
        for member_id, joined_at in joined.items():
            codes |= side.judge.find_codes_before(orders.get(member_id, ()), joined_at=joined_at)
        return {purchase.order_id: codes.get(purchase.number, "") for purchase in purchases}

    def _add(
        self, member: "_MemberSum", purchase: PurchaseFacts, before: Earning | None, after: Earning | None
    ) -> None:
        points = (before.points if before else 0, after.points if after else 0)
        self.tally.add_order(currency=purchase.currency, before=points[0], after=points[1])
        member.orders += 1
        for index, earning in enumerate((before, after)):
            member.points[index] += points[index]
            if self._with_tiers:
                counted = (qualifying_points(earning), earning.basis) if earning is not None else None
                member.qualifying[index].append(_contribution_of(purchase, counted))
        if self.tally.wants(purchase.number, is_same=points[0] == points[1]):
            self.tally.add_sample(
                Sample(
                    number=purchase.number,
                    placed_at=purchase.placed_at.isoformat(),
                    currency=purchase.currency,
                    before=points[0],
                    after=points[1],
                    facts_before=_facts(purchase, before, side=self._sides[0]),
                    facts_after=_facts(purchase, after, side=self._sides[1]),
                )
            )

    def _close(self, member: "_MemberSum | None") -> None:
        """A member's last order has gone by."""
        if member is None or not member.orders:
            return
        tiers = [
            side.judge.find_code(orders, joined_at=member.history.joined_at) if side.judge else ""
            for side, orders in zip(self._sides, member.qualifying, strict=True)
        ]
        self.tally.add_member(
            MemberOutcome(
                member_id=member.history.member_id,
                orders=member.orders,
                before=member.points[0],
                after=member.points[1],
                tier_before=tiers[0],
                tier_after=tiers[1],
            )
        )


class _MemberSum:
    """One member at a time: before and after."""

    def __init__(self, history: MemberHistory) -> None:
        self.history = history
        self.orders = 0
        self.points = [0, 0]
        self.qualifying: tuple[list[Contribution], list[Contribution]] = ([], [])


def _contribution_of(purchase: PurchaseFacts, counted: Counted | None) -> Contribution:
    # Money is what points are computed on, as for the members' real tiers.
    points, spend = counted or (0, _goods_of(purchase))
    return Contribution(
        occurred_at=purchase.placed_at,
        order_ref=purchase.number,
        points=points,
        spend=spend,
        currency=purchase.currency,
        orders=1,
    )


def _goods_of(purchase: PurchaseFacts) -> Decimal:
    return sum((line.incl_tax for line in purchase.lines if not line.is_shipping), Decimal(0))


def _facts(purchase: PurchaseFacts, earning: Earning | None, *, side: _Side) -> Mapping[str, Any]:
    """The facts that a booking would store, from the same function."""
    policy = side.policy(purchase.currency)
    if earning is None or policy is None:
        return {}
    award = award_for(purchase, account_id=0, policy=policy, earning=earning, active_at=purchase.placed_at)
    return award.explanation


def _result_of(
    tally: Tally,
    *,
    draft: ProgrammeVersion,
    in_force: ProgrammeVersion | None,
    sides: tuple[_Side, _Side],
) -> dict[str, Any]:
    before, after = sides
    codes: Collection[str] = dict.fromkeys(
        code for side in sides if side.judge is not None for code in ("", *side.judge.codes)
    )
    return {
        "number": draft.number,
        "compared_number": in_force.number if in_force is not None else None,
        "orders": tally.orders,
        "cancelled": tally.cancelled,
        "members": tally.members,
        "gaining": tally.gaining,
        "losing": tally.losing,
        "currencies": [
            {
                "currency": currency,
                "orders": orders,
                "points_before": points_before,
                "points_after": points_after,
                "cost_before": before.value(points_before, currency=currency),
                "cost_after": after.value(points_after, currency=currency),
            }
            for currency, (orders, points_before, points_after) in sorted(tally.currencies.items())
        ],
        "most_gained": [asdict(one) for one in tally.gained],
        "most_lost": [asdict(one) for one in tally.lost],
        "tiers": {
            "codes": list(codes),
            "moves": [[*pair, members] for pair, members in sorted(tally.moves.items())],
        }
        if codes
        else None,
        "samples": [asdict(one) for one in tally.chosen_samples()],
    }
