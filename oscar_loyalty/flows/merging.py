"""Two members turn out to be one person: staff merge them, and both log-ins lead to one account."""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.utils.translation import gettext

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.adjustments import find_four_eyes_limit
from oscar_loyalty.flows.wording import count_points
from oscar_loyalty.members import services as members
from oscar_loyalty.points import queries as points
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, MemberMerge
from oscar_loyalty.points.services import AccountNotOpen
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.shop.baskets import find_frozen_refs
from oscar_loyalty.tiers.services import lock_statuses, merge_tiers


def request_merge(
    *, source_member_id: int, target_member_id: int, actor_id: int, now: datetime, internal_note: str = ""
) -> MemberMerge:
    """
    Ask for one member to be merged into another one; :func:`book_merge` does it.

    :raises AccountNotOpen: one of them takes no part any more
    :raises SameAccount, MergeRequested: see ``points.services``
    """
    accounts = [
        points.find_account(member_id=member_id, programme_code=loyalty_settings.programme_code)
        for member_id in (source_member_id, target_member_id)
    ]
    source, target = accounts
    if source is None or target is None:
        raise AccountNotOpen
    return services.request_merge(
        source_id=source.pk,
        target_id=target.pk,
        actor_id=actor_id,
        internal_note=internal_note,
        now=now,
    )


def book_merge(*, merge: MemberMerge, actor_id: int, now: datetime) -> MemberMerge:
    """
    Merge two members for good, once: what the one's baskets have reserved is given back, the points and
    the deficit move, and whoever logs in as the one is the other.

    :raises ProgrammeMissing: no version of the programme is in force
    :raises NeedsSecondPerson: so many points are decided on by somebody else than whoever asked
    :raises HoldsOpen: a basket with reserved points is being paid for; try again later
    :raises AccountNotOpen, MergeRejected: see ``points.services``
    """
    version = programmes.get_version(at=now)
    with transaction.atomic():
        services.lock_accounts([merge.source_id, merge.target_id])
        refs = list(points.list_open_holds().filter(account_id=merge.source_id).values_list("ref", flat=True))
        being_paid = find_frozen_refs(refs)
        for ref in refs:
            if ref not in being_paid:
                services.release_hold(ref=ref, now=now)
        merge = services.book_merge(
            merge=merge, actor_id=actor_id, four_eyes_points=version.four_eyes_points, now=now
        )
        lock_statuses(member_ids=[merge.source.member_id, merge.target.member_id])
        members.merge_members(source_id=merge.source.member_id, target_id=merge.target.member_id, now=now)
        merge_tiers(source_id=merge.source.member_id, target_id=merge.target.member_id, now=now)
    return merge


@dataclass(frozen=True, kw_only=True)
class MergeEffect:
    """What a merge would move, and what the member who remains would have then."""

    source: points.Balance
    target: points.Balance
    available_after: int
    pending_after: int
    debt_after: int

    @property
    def moving(self) -> int:
        """Points that count against the limit for two people."""
        return self.source.pending + self.source.available + self.source.held + self.source.debt


def preview_merge(*, source: Account, target: Account, now: datetime) -> MergeEffect:
    """What would be booked, reservations of the source given back. Reads only."""
    give = points.get_balance(account=source, now=now)
    have = points.get_balance(account=target, now=now)
    available = have.available + give.available + give.held
    debt = have.debt + give.debt
    repaid = min(available, debt)
    return MergeEffect(
        source=give,
        target=have,
        available_after=available - repaid,
        pending_after=have.pending + give.pending,
        debt_after=debt - repaid,
    )


def find_obstacle(
    *, merge: MemberMerge, actor_id: int, may_request: bool, may_approve: bool, now: datetime
) -> str:
    """
    Why somebody may not book a merge that waits, in words; empty when they may. See the function of the
    same name for adjustments.
    """
    if merge.requested_by_id != actor_id:
        return "" if may_approve else gettext("You may not decide on what others ask for.")
    limit = find_four_eyes_limit(now=now)
    moving = preview_merge(source=merge.source, target=merge.target, now=now).moving
    if limit is not None and moving > limit:
        return gettext(
            "You asked for this merge yourself. Above %(limit)s a second person has to approve it."
        ) % {"limit": count_points(limit)}
    return "" if may_request else gettext("You may not merge members.")
