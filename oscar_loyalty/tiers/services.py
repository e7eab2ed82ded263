"""
Qualifying, recomputing and what staff give. Whoever changes where a member stands locks the row of their
status before anything is read; orders and accounts are locked before it, never after.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import Q, QuerySet, Sum

from oscar_loyalty.members.models import Member
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.points.book import insert_rows, update_rows
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.tiers.models import (
    QualifyingEntry,
    TierChange,
    TierOverride,
    TierStatus,
)
from oscar_loyalty.tiers.reading import Rules, read_histories, read_rules
from oscar_loyalty.tiers.rules import NOTHING, Standing
from oscar_loyalty.transactions import make_unless_there

_COLUMNS = ["tier_code", "since", "lost_at", "due_at", "qualified", "computed_at", "version_number"]


class UnknownTier(ValueError):
    """No tier of the programme version in force has the code; nothing was written."""


class OverrideTooShort(ValueError):
    """A tier that staff give ends in the future; nothing was written."""


@dataclass(frozen=True, kw_only=True)
class Qualification:
    """What an order adds: qualifying ``points``, money spent (``spend``, in ``currency``), and itself."""

    member_id: int
    order_ref: str
    occurred_at: datetime
    points: int
    spend: Decimal
    currency: str


@transaction.atomic
def qualify_purchase(
    *,
    programme_id: int,
    member_id: int,
    order_ref: str,
    occurred_at: datetime,
    points: int,
    spend: Decimal,
    currency: str,
    now: datetime,
) -> QualifyingEntry:
    """
    Let an order count towards the tiers of a member (or of the one they were merged into), from the moment
    at which it was placed. Safe to repeat: an order counts once, for one member.
    """
    mine: QuerySet[QualifyingEntry] = QualifyingEntry.objects.filter(
        programme_id=programme_id, order_ref=order_ref, key=f"purchase:{order_ref}"
    )
    if earlier := mine.first():
        return earlier
    status, is_new = lock_status(programme_id=programme_id, member_id=member_id, now=now)
    # Of two who book the same order at once the second one waited for the lock.
    if earlier := mine.first():
        return earlier
    entry = QualifyingEntry.objects.create(
        programme_id=programme_id,
        member_id=status.member_id,
        key=f"purchase:{order_ref}",
        order_ref=order_ref,
        occurred_at=occurred_at,
        booked_at=now,
        points=points,
        spend=spend,
        currency=currency,
        orders=1,
    )
    rules = read_rules(programme_id=programme_id, now=now)
    _recompute([status], new={status.pk} if is_new else set(), rules=rules, now=now)
    return entry


@transaction.atomic
def disqualify_purchase(
    *,
    programme_id: int,
    order_ref: str,
    key: str,
    now: datetime,
    left_points: int = 0,
    left_spend: Decimal = NOTHING,
    is_left: bool = False,
    is_undone: bool = False,
) -> QualifyingEntry | None:
    """
    Let an order, or part of it, count no longer. ``left_points`` and ``left_spend`` are what is left of it
    after all its returns so far, so that it does not matter in how many steps it was returned; nothing
    left is the whole order, unless ``is_left`` says that some of it is, which counts as an order alone.
    ``key`` names the event; the same one again changes nothing. ``None`` when the order did not count, or
    counts no more than that already. With ``is_undone`` a return has been undone, and the order may count
    for more again.
    """
    entries: QuerySet[QualifyingEntry] = QualifyingEntry.objects.filter(
        programme_id=programme_id, order_ref=order_ref
    )
    first = entries.order_by("id").first()
    if first is None:
        return None
    status, is_new = lock_status(programme_id=programme_id, member_id=first.member_id, now=now)
    # The first entry's member, however many were merged since: keys are of one member.
    if earlier := entries.filter(member_id=first.member_id, key=key).first():
        return earlier
    counts = entries.aggregate(points=Sum("points"), spend=Sum("spend"), orders=Sum("orders"))
    points = left_points - counts["points"]
    spend = left_spend - counts["spend"]
    orders = int(is_left or bool(left_points or left_spend)) - counts["orders"]
    if not is_undone:
        points, spend, orders = min(points, 0), min(spend, NOTHING), min(orders, 0)
    if not (points or spend or orders):
        return None
    entry = QualifyingEntry.objects.create(
        programme_id=programme_id,
        member_id=first.member_id,
        key=key,
        order_ref=order_ref,
        occurred_at=first.occurred_at,
        booked_at=now,
        points=points,
        spend=spend,
        currency=first.currency,
        orders=orders,
    )
    rules = read_rules(programme_id=programme_id, now=now)
    _recompute([status], new={status.pk} if is_new else set(), rules=rules, now=now, returned_order=order_ref)
    return entry


def qualify_many(
    *, programme_id: int, qualifications: Sequence[Qualification], now: datetime
) -> tuple[int, set[int]]:
    """
    The entries that :func:`qualify_purchase` would write, in few statements, for orders of which some may
    count already; return how many are new, and whose. Where these members stand is computed when somebody
    calls :func:`recompute_due`: they are due from now on. Call inside a transaction, orders locked.
    """
    there = set(
        QualifyingEntry.objects.filter(
            programme_id=programme_id, order_ref__in=[one.order_ref for one in qualifications]
        ).values_list("order_ref", flat=True)
    )
    wanted = [one for one in qualifications if one.order_ref not in there]
    if not wanted:
        return 0, set()
    members = {one.member_id for one in wanted}
    missing = sorted(_without_status(members, programme_id=programme_id))
    if missing:
        make_unless_there([_new_status(programme_id, pk, now=now) for pk in missing], key="member")
    locked = _locked(TierStatus.objects.filter(programme_id=programme_id, member_id__in=members))
    due = [status.pk for status in locked.order_by("pk")]
    QualifyingEntry.objects.bulk_create(
        QualifyingEntry(
            programme_id=programme_id,
            member_id=one.member_id,
            key=f"purchase:{one.order_ref}",
            order_ref=one.order_ref,
            occurred_at=one.occurred_at,
            booked_at=now,
            points=one.points,
            spend=one.spend,
            currency=one.currency,
            orders=1,
        )
        for one in wanted
    )
    TierStatus.objects.filter(pk__in=due).update(due_at=now)
    return len(wanted), members


@transaction.atomic
def recompute_member(*, programme_id: int, member_id: int, now: datetime) -> TierStatus:
    """Bring the status of a member (or of the one they were merged into) to what the fold says now."""
    status, is_new = lock_status(programme_id=programme_id, member_id=member_id, now=now)
    rules = read_rules(programme_id=programme_id, now=now)
    _recompute([status], new={status.pk} if is_new else set(), rules=rules, now=now)
    return status


def recompute_known(*, member_id: int, now: datetime) -> None:
    """The same in every programme where the member has a status; costs one statement where there is none."""
    for programme_id in list(
        TierStatus.objects.filter(member_id=member_id)
        .order_by("programme_id")
        .values_list("programme_id", flat=True)
    ):
        recompute_member(programme_id=programme_id, member_id=member_id, now=now)


@transaction.atomic
def recompute_batch(
    status_ids: Collection[int], *, rules: Rules, now: datetime, only_due: bool = False
) -> int:
    """
    Bring some statuses up to date in one transaction and return how many. Those that somebody else has
    locked are left to them, where the engine can pass over locked rows; with ``only_due`` also those that
    somebody else has brought up to date meanwhile.
    """
    wanted = TierStatus.objects.filter(pk__in=status_ids)
    if only_due:
        wanted = wanted.filter(Q(due_at__lte=now) | ~Q(version_number=rules.version))
    statuses = _locked(
        wanted,
        skip_locked=connection.features.has_select_for_update_skip_locked,
    )
    found = list(statuses.order_by("pk"))
    _recompute(found, new=set(), rules=rules, now=now)
    return len(found)


@transaction.atomic
def merge_tiers(*, source_id: int, target_id: int, now: datetime) -> None:
    """
    What a merged member qualified with counts for the one who remained from now on. Call it after the
    members were merged, in the same transaction, which begins with :func:`lock_statuses`.
    """
    programmes = set(
        TierStatus.objects.filter(member_id__in=[source_id, target_id]).values_list("programme_id", flat=True)
    )
    for programme_id in sorted(programmes):
        of_both = TierStatus.objects.filter(programme_id=programme_id, member_id__in=[source_id, target_id])
        list(_locked(of_both).order_by("pk"))
        of_both.filter(member_id=source_id).update(
            tier_code="", lost_at=FAR_FUTURE, due_at=FAR_FUTURE, qualified=0, since=now, computed_at=now
        )
        recompute_member(programme_id=programme_id, member_id=target_id, now=now)


@transaction.atomic
def give_tier(
    *,
    programme_id: int,
    member_id: int,
    tier_code: str,
    active_to: datetime,
    reason: str,
    given_by_ref: str,
    now: datetime,
) -> TierOverride:
    """
    Lift a member to a tier from now until before ``active_to``. The same gift sent twice is one gift.

    :raises UnknownTier: the version in force has no such tier
    :raises OverrideTooShort: ``active_to`` is not in the future
    """
    rules = read_rules(programme_id=programme_id, now=now)
    if rules.scheme is None or not rules.scheme.rank_of(tier_code):
        raise UnknownTier(tier_code)
    if active_to <= now:
        raise OverrideTooShort(active_to)
    status, is_new = lock_status(programme_id=programme_id, member_id=member_id, now=now)
    running = TierOverride.objects.filter(
        programme_id=programme_id,
        member_id=status.member_id,
        tier_code=tier_code,
        active_to=active_to,
        ended_at=None,
    )
    if again := running.first():
        return again
    override = TierOverride.objects.create(
        programme_id=programme_id,
        member_id=status.member_id,
        tier_code=tier_code,
        reason=reason,
        active_from=now,
        active_to=active_to,
        given_by_ref=given_by_ref,
    )
    _recompute([status], new={status.pk} if is_new else set(), rules=rules, now=now)
    return override


@transaction.atomic
def end_override(*, override_id: int, now: datetime) -> TierOverride:
    """End a tier given by staff before its day. Safe to repeat."""
    override = TierOverride.objects.get(pk=override_id)
    status, is_new = lock_status(programme_id=override.programme_id, member_id=override.member_id, now=now)
    override.refresh_from_db()
    if override.ended_at is None and override.active_to > now:
        override.ended_at = now
        override.save(update_fields=["ended_at"])
        rules = read_rules(programme_id=override.programme_id, now=now)
        _recompute([status], new={status.pk} if is_new else set(), rules=rules, now=now)
    return override


def lock_statuses(*, member_ids: Collection[int]) -> None:
    """
    Lock what statuses members have, for a journey that changes the members themselves: call it inside its
    transaction, after their accounts and before their own rows. Whoever books an order for them has locked
    the status and then needs the member's row.
    """
    list(_locked(TierStatus.objects.filter(member_id__in=member_ids)).order_by("pk").values_list("pk"))


def lock_status(*, programme_id: int, member_id: int, now: datetime) -> tuple[TierStatus, bool]:
    """
    The locked status of a member, or of the one they were merged into; ``True`` when it was made just
    now. Call inside a transaction. Two who make it at once get the same row, one after the other.
    """
    while True:
        mine = TierStatus.objects.filter(programme_id=programme_id, member_id=member_id)
        status = _locked(mine).first()
        if status is None:
            make_unless_there([_new_status(programme_id, member_id, now=now)], key="member")
            status = _locked(mine).get()
        # Read under the lock: a merge changes the member's row before it lets go of their status.
        merged_into = Member.objects.values_list("merged_into_id", flat=True).get(pk=member_id)
        if merged_into is None:
            # A row that nobody has computed yet has told nobody anything.
            return status, not status.version_number
        member_id = merged_into


def _locked(statuses: QuerySet[TierStatus], *, skip_locked: bool = False) -> QuerySet[TierStatus]:
    return statuses.select_for_update(
        skip_locked=skip_locked, no_key=connection.features.has_select_for_no_key_update
    )


def _new_status(programme_id: int, member_id: int, *, now: datetime) -> TierStatus:
    return TierStatus(
        programme_id=programme_id,
        member_id=member_id,
        since=now,
        due_at=now,
        computed_at=now,
        version_number=0,
    )


def _without_status(members: set[int], *, programme_id: int) -> set[int]:
    found = TierStatus.objects.filter(programme_id=programme_id, member_id__in=members)
    return members - set(found.values_list("member_id", flat=True))


def _recompute(
    statuses: Sequence[TierStatus],
    *,
    new: Collection[int],
    rules: Rules,
    now: datetime,
    returned_order: str = "",
) -> None:
    """Fold for locked rows and write what is different, in a fixed number of statements."""
    if not statuses:
        return
    histories = read_histories({status.member_id for status in statuses}, programme_id=rules.programme_id)
    changes: list[TierChange] = []
    for status in statuses:
        history = histories[status.member_id]
        standing = history.fold(rules=rules, now=now)
        is_new = status.pk in new or not status.version_number
        changes += _news(
            status,
            standing,
            rules=rules,
            is_new=is_new,
            now=now,
            returned_order=returned_order,
            has_left=history.joined_at is None,
        )
        apply_standing(status, standing, rules=rules, now=now)
    update_rows(list(statuses), _COLUMNS)
    if changes:
        insert_rows(changes)
        write_messages([_announcement(change) for change in changes])


def apply_standing(status: TierStatus, standing: Standing, *, rules: Rules, now: datetime) -> None:
    """What is stored of a standing."""
    status.tier_code = standing.tier_code
    status.since = standing.since
    status.lost_at = standing.lost_at
    status.due_at = standing.due_at
    status.qualified = standing.qualified
    status.computed_at = now
    status.version_number = rules.version


def _news(
    status: TierStatus,
    standing: Standing,
    *,
    rules: Rules,
    is_new: bool,
    now: datetime,
    returned_order: str,
    has_left: bool,
) -> list[TierChange]:
    """
    What to add to the history, which is never rewritten: changes since it was last looked at and, where
    the past turned out to be different (a return, an order that was booked late), one that says so.
    """

    def change(from_code: str, to_code: str, *, reason: str, order_ref: str, at: datetime) -> TierChange:
        return TierChange(
            programme_id=status.programme_id,
            member_id=status.member_id,
            from_code=from_code,
            to_code=to_code,
            reason=reason,
            order_ref=order_ref,
            changed_at=at,
            booked_at=now,
        )

    seen = [] if is_new else [one for one in standing.changes if one.at <= status.computed_at]
    fresh = standing.changes[len(seen) :]
    held = "" if is_new else status.tier_code
    then = seen[-1].to_code if seen else ""
    news: list[TierChange] = []
    if then != held:
        rank_of = rules.scheme.rank_of if rules.scheme else (lambda _code: 0)
        if seen and rank_of(then) > rank_of(held):
            last = seen[-1]
            at = max(last.at, status.since)
            news.append(change(held, then, reason=last.reason, order_ref=last.order_ref, at=at))
        elif held == standing.tier_code:
            return []
        else:
            # What was known until now was true until now: one step to where the member stands.
            reason = _reason_of_fall(returned_order=returned_order, has_left=has_left)
            return [change(held, standing.tier_code, reason=reason, order_ref=returned_order, at=now)]
    news += [
        change(one.from_code, one.to_code, reason=one.reason, order_ref=one.order_ref, at=one.at)
        for one in fresh
    ]
    return news


def _reason_of_fall(*, returned_order: str, has_left: bool) -> str:
    if has_left:
        return TierChange.Reason.LEFT
    return TierChange.Reason.RETURNED if returned_order else TierChange.Reason.RULES


def _announcement(change: TierChange) -> OutboxMessage:
    return OutboxMessage(
        topic="tier_changed",
        key=f"tier_changed:{change.pk}",
        payload={"change_id": change.pk, "member_id": change.member_id},
        created_at=change.booked_at,
        available_at=change.booked_at,
    )
