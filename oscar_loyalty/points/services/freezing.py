"""Staff stop an account while something is being looked into, and let it go on."""

from datetime import datetime

from oscar_loyalty.points.book import Book
from oscar_loyalty.points.errors import AccountNotOpen
from oscar_loyalty.points.models import Account, Freeze
from oscar_loyalty.transactions import atomic_with_retries


@atomic_with_retries
def freeze_account(*, account_id: int, actor_id: int, note: str, now: datetime) -> Freeze:
    """
    Let nobody reserve, spend or correct points of an account; what is earned is still booked, and what
    expires expires. Frozen twice, it stays as the first one froze it.

    :raises AccountNotOpen: it is closed or merged, and there is nothing to stop
    """
    account = Book.open(account_id, now=now).account
    if account.status == Account.Status.FROZEN:
        if running := Freeze.objects.filter(account=account, lifted_at=None).order_by("-id").first():
            return running
    elif account.status != Account.Status.OPEN:
        raise AccountNotOpen
    Account.objects.filter(pk=account.pk).update(status=Account.Status.FROZEN)
    return Freeze.objects.create(account=account, note=note, frozen_by_id=actor_id, frozen_at=now)


@atomic_with_retries
def unfreeze_account(*, account_id: int, actor_id: int, now: datetime) -> None:
    """
    Let an account go on. One that is open stays open.

    :raises AccountNotOpen: it is closed or merged for good
    """
    account = Book.open(account_id, now=now).account
    if account.status == Account.Status.OPEN:
        return
    if account.status != Account.Status.FROZEN:
        raise AccountNotOpen
    Account.objects.filter(pk=account.pk).update(status=Account.Status.OPEN)
    Freeze.objects.filter(account=account, lifted_at=None).update(lifted_by_id=actor_id, lifted_at=now)
