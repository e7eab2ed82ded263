"""Staff merge two accounts of one person: asked for, decided on, booked."""

from datetime import datetime

from oscar_loyalty.points.errors import (
    AccountNotOpen,
    MergeRejected,
    MergeRequested,
    NeedsSecondPerson,
    OtherProgramme,
    SameAccount,
)
from oscar_loyalty.points.models import Account, MemberMerge
from oscar_loyalty.points.services.accounts import lock_accounts
from oscar_loyalty.points.services.common import needs_another
from oscar_loyalty.points.services.moving import merge_accounts
from oscar_loyalty.transactions import atomic_with_retries


@atomic_with_retries
def request_merge(
    *, source_id: int, target_id: int, actor_id: int, now: datetime, internal_note: str = ""
) -> MemberMerge:
    """
    Note that an account should be merged into another one; :func:`book_merge` does it. Asking twice for
    the same notes it once.

    :raises SameAccount, OtherProgramme, AccountNotOpen: these two cannot be merged
    :raises MergeRequested: the same account is already to be merged into another one
    """
    if source_id == target_id:
        raise SameAccount
    accounts = {account.pk: account for account in lock_accounts([source_id, target_id])}
    source, target = accounts[source_id], accounts[target_id]
    if source.programme_id != target.programme_id:
        raise OtherProgramme
    if not source.status == target.status == Account.Status.OPEN:
        raise AccountNotOpen
    merge, _created = MemberMerge.objects.get_or_create(
        open_key=str(source_id),
        defaults={
            "source": source,
            "target": target,
            "internal_note": internal_note,
            "requested_by_id": actor_id,
            "requested_at": now,
        },
    )
    if merge.target_id != target_id:
        raise MergeRequested
    return merge


@atomic_with_retries
def book_merge(
    *, merge: MemberMerge, actor_id: int, now: datetime, four_eyes_points: int | None = None
) -> MemberMerge:
    """
    Merge as was asked for, once. Where more than ``four_eyes_points`` move (pending, available and owed
    ones together), by somebody else than whoever asked.

    :raises MergeRejected: somebody decided against it
    :raises NeedsSecondPerson: whoever asked for it may not decide
    :raises HoldsOpen, AccountNotOpen: see :func:`merge_accounts`
    """
    # Accounts before the request: everybody who needs both comes this way.
    accounts = {account.pk: account for account in lock_accounts([merge.source_id, merge.target_id])}
    merge = MemberMerge.objects.select_for_update().get(pk=merge.pk)
    if merge.state == MemberMerge.State.BOOKED:
        return merge
    if merge.state == MemberMerge.State.REJECTED:
        raise MergeRejected(merge.pk)
    source = accounts[merge.source_id]
    if needs_another(
        merge.requested_by_id,
        actor_id=actor_id,
        points=source.pending + source.available + source.held + source.debt,
        four_eyes_points=four_eyes_points,
    ):
        raise NeedsSecondPerson
    merge.group_id = merge_accounts(
        source_id=merge.source_id,
        target_id=merge.target_id,
        idempotency_key=f"merge:{merge.pk}",
        actor_ref=f"user:{actor_id}",
        now=now,
    )
    return _decide(merge, MemberMerge.State.BOOKED, actor_id=actor_id, now=now)


@atomic_with_retries
def reject_merge(*, merge: MemberMerge, actor_id: int, now: datetime) -> MemberMerge:
    """Decide against a merge that was asked for; one that is decided stays as it is."""
    merge = MemberMerge.objects.select_for_update().get(pk=merge.pk)
    if merge.state == MemberMerge.State.REQUESTED:
        _decide(merge, MemberMerge.State.REJECTED, actor_id=actor_id, now=now)
    return merge


def _decide(merge: MemberMerge, state: str, *, actor_id: int, now: datetime) -> MemberMerge:
    merge.state = state
    merge.open_key = None
    merge.decided_by_id = actor_id
    merge.decided_at = now
    merge.save()
    return merge
