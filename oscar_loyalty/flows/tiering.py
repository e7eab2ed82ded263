"""Orders count towards tiers, time passes for them, and members are told."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from oscar_loyalty.points import queries as points
from oscar_loyalty.points.rules import Earning, bases_for
from oscar_loyalty.processes import can_share_work, share_work
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.programmes.rules import Policy, cent_of
from oscar_loyalty.shop.orders import CANCEL_KEY, PurchaseFacts
from oscar_loyalty.shop.products import find_excluded_product_ids
from oscar_loyalty.tiers import queries, services
from oscar_loyalty.tiers.models import TierStatus
from oscar_loyalty.tiers.reading import read_histories, read_rules
from oscar_loyalty.tiers.services import Qualification, apply_standing

logger = logging.getLogger(__name__)


def count_purchase(
    purchase: PurchaseFacts, *, member_id: int, policy: Policy, earning: Earning | None, now: datetime
) -> None:
    """
    Let an order count towards its customer's tier, whether it earned points or not. Money spent is what
    points would be computed on. No statement in a programme that never had tiers.
    """
    if policy.has_tiers:
        one = qualification_of(purchase, member_id=member_id, policy=policy, earning=earning)
        services.qualify_purchase(
            programme_id=policy.programme_id,
            member_id=one.member_id,
            order_ref=one.order_ref,
            occurred_at=one.occurred_at,
            points=one.points,
            spend=one.spend,
            currency=one.currency,
            now=now,
        )


def uncount_purchase(purchase: PurchaseFacts, *, policy: Policy, now: datetime) -> None:
    """A cancelled order counts as if it had never been placed. Again when it was opened again meanwhile."""
    if policy.has_tiers:
        keys = queries.list_keys(programme_id=policy.programme_id, order_ref=purchase.number)
        times = sum(key.startswith(f"{CANCEL_KEY}:") for key in keys[:-1])
        key = f"{CANCEL_KEY}:{purchase.number}"
        services.disqualify_purchase(
            programme_id=policy.programme_id,
            order_ref=purchase.number,
            key=f"{key}:{times + 1}" if times else key,
            now=now,
        )


def is_uncounted(purchase: PurchaseFacts, *, policy: Policy) -> bool:
    """Whether an order counts no more because it was cancelled, whatever it is now."""
    if not policy.has_tiers:
        return False
    keys = queries.list_keys(programme_id=policy.programme_id, order_ref=purchase.number)
    return bool(keys) and keys[-1].startswith(f"{CANCEL_KEY}:")


def recount_purchase(
    purchase: PurchaseFacts,
    *,
    policy: Policy,
    shares: Mapping[str, Fraction],
    key: str,
    now: datetime,
    is_undone: bool = False,
) -> None:
    """
    Let an order count for what is left of it when ``shares`` of its lines have come back (the empty name: of
    all goods together). ``key`` names the event; ``is_undone``: it may count for more again.
    """
    if not policy.has_tiers:
        return
    excluded = find_excluded_product_ids([line.product_id for line in purchase.lines], policy=policy)
    bases = bases_for(purchase.lines, policy=policy, excluded_product_ids=excluded)
    spend = sum(
        (
            Fraction(max(base.amount, Decimal(0))) * (1 - shares.get(base.ref, Fraction(0)))
            for base in bases
            if not base.excluded
        ),
        Fraction(0),
    )
    services.disqualify_purchase(
        programme_id=policy.programme_id,
        order_ref=purchase.number,
        key=key,
        left_points=_points_left(purchase, policy=policy, shares=shares),
        left_spend=(Decimal(spend.numerator) / spend.denominator).quantize(cent_of(purchase.currency)),
        is_left=shares.get("") != 1,
        is_undone=is_undone,
        now=now,
    )


def _points_left(purchase: PurchaseFacts, *, policy: Policy, shares: Mapping[str, Fraction]) -> int:
    """What of the qualifying points of an order is left; line by line, as the ledger takes them back."""
    earnings = points.list_earnings_of_order(programme_id=policy.programme_id, order_ref=purchase.number)
    counted = {
        entry.pk: {rule["code"] for rule in entry.explanation.get("rules", ()) if rule["qualifies"]}
        for entry in earnings
        if entry.explanation.get("rule") == "PURCHASE"
    }
    with_rules = {entry.pk for entry in earnings if entry.explanation.get("rules")}
    left = 0
    for line in points.list_lines_of_earnings(entries=[entry for entry in earnings if entry.pk in counted]):
        if line.entry_id not in with_rules or line.rule_code in counted[line.entry_id]:
            share = shares.get(line.line_ref, shares.get("", Fraction(0)))
            left += line.points - int(line.points * share)
    return left


def qualification_of(
    purchase: PurchaseFacts, *, member_id: int, policy: Policy, earning: Earning | None
) -> Qualification:
    """What an order adds; ``earning`` is what it brought, where the policy earns anything."""
    return Qualification(
        member_id=member_id,
        order_ref=purchase.number,
        occurred_at=purchase.placed_at,
        points=qualifying_points(earning) if earning else 0,
        spend=earning.basis if earning else _basis_of(purchase, policy=policy),
        currency=purchase.currency,
    )


def qualifying_points(earning: Earning) -> int:
    """What the base rate brought, and those rules that count for tiers."""
    if not earning.parts:
        return earning.points
    return sum(part.points for part in earning.parts if part.qualifies)


def _basis_of(purchase: PurchaseFacts, *, policy: Policy) -> Decimal:
    """Money that points would be computed on if the policy had a rate for the currency."""
    excluded = find_excluded_product_ids([line.product_id for line in purchase.lines], policy=policy)
    bases = bases_for(purchase.lines, policy=policy, excluded_product_ids=excluded)
    return sum((max(one.amount, Decimal(0)) for one in bases if not one.excluded), Decimal(0))


def recompute_due_tiers(
    *,
    now: datetime,
    limit: int | None = 10_000,
    batch: int = queries.BATCH,
    processes: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> int:
    """
    Bring the tiers up to date that time or a new version of the programme has made due, in batches, at
    most about ``limit`` members; return how many. Safe to stop at any moment, to run twice and in parallel:
    what somebody else has locked is left to them. One member's error stops nobody else.

    ``processes`` share the work where they can, and then know no limit.
    """
    programme = programmes.find_programme()
    if programme is None:
        return 0
    rules = read_rules(programme_id=programme.pk, now=now)

    def count_due() -> int:
        return queries.count_due(programme_id=programme.pk, version=rules.version, now=now)

    total = count_due() if on_progress or processes > 1 else 0
    done = 0
    if processes > 1 and can_share_work():

        def tick() -> None:
            if on_progress:
                on_progress(max(total - count_due(), 0), total)

        share_work(_recompute_all_due, now, batch, processes=processes, tick=tick)
        # Each leaves to the others what they have locked; MariaDB locks more than what is read.
        done = max(total - count_due(), 0)
    due = queries.iterate_due(programme_id=programme.pk, version=rules.version, now=now, batch=batch)
    for status_ids in due:
        done += _recompute(status_ids, programme=programme, now=now, only_due=True)
        if on_progress:
            on_progress(min(done, total), total)
        if limit is not None and done >= limit:
            break
    return done


def _recompute_all_due(now: datetime, batch: int) -> None:
    recompute_due_tiers(now=now, limit=None, batch=batch)


def _recompute(status_ids: list[int], *, programme: Programme, now: datetime, only_due: bool = False) -> int:
    # Read for each batch: a long run must not judge by rules that have been replaced meanwhile.
    rules = read_rules(programme_id=programme.pk, now=now)
    try:
        return services.recompute_batch(status_ids, rules=rules, now=now, only_due=only_due)
    except Exception:
        if len(status_ids) == 1:
            logger.exception("The tier with status %s could not be recomputed", status_ids[0])
            return 0
    # One of them is at fault: each alone, so that the others are brought up to date.
    return sum(
        _recompute([status_id], programme=programme, now=now, only_due=only_due) for status_id in status_ids
    )


def recompute_all_tiers(
    *, now: datetime, batch: int = queries.BATCH, on_progress: Callable[[int, int], None] | None = None
) -> int:
    """Compute every member's tier anew from their orders; nothing changes where nothing was wrong."""
    programme = programmes.get_programme()
    wanted = queries.list_statuses(programme_id=programme.pk)
    total = wanted.count() if on_progress else 0
    done = 0
    for statuses in queries.iterate_rows(wanted, batch=batch):
        done += _recompute([status.pk for status in statuses], programme=programme, now=now)
        if on_progress:
            on_progress(min(done, total), total)
    return done


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A stored status that is not what the fold says: column, what is stored and what it should be."""

    member: str
    column: str
    stored: object
    computed: object


_COMPARED = ("tier_code", "since", "lost_at", "due_at", "qualified")


def check_tiers(
    *,
    now: datetime,
    batch: int = queries.BATCH,
    part: int = 0,
    parts: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Difference]:
    """
    Compare every stored status with a computation from scratch. One that is due, or that waits for new
    rules, is compared as of the moment at which it was computed last: being late is no mistake. Reads only.
    Of all statuses, cut into ``parts``, number ``part``: for processes that share them.
    """
    programme = programmes.get_programme()
    current = read_rules(programme_id=programme.pk, now=now)
    wanted = queries.list_statuses(programme_id=programme.pk, part=part, parts=parts)
    total = wanted.count() if on_progress else 0
    done = 0
    for statuses in queries.iterate_rows(wanted, batch=batch):
        histories = read_histories({one.member_id for one in statuses}, programme_id=programme.pk)
        for status in statuses:
            if not status.version_number and current.version:
                continue  # Nobody has computed it yet.
            late = status.due_at <= now or status.version_number != current.version
            rules, at = current, now
            if late:
                at = status.computed_at
                rules = read_rules(programme_id=programme.pk, now=at)
            fresh = TierStatus()
            apply_standing(fresh, histories[status.member_id].fold(rules=rules, now=at), rules=rules, now=at)
            for column in _COMPARED:
                stored, computed = getattr(status, column), getattr(fresh, column)
                if stored != computed:
                    yield Difference(
                        member=str(status.member_id), column=column, stored=stored, computed=computed
                    )
        done += len(statuses)
        if on_progress:
            on_progress(done, total)
