"""Accounts are opened, and brought up to date."""

from collections.abc import Iterable
from datetime import datetime

from django.db import IntegrityError, connection, transaction

from oscar_loyalty.points.book import Book
from oscar_loyalty.points.models import Account
from oscar_loyalty.transactions import atomic_with_retries


def open_account(*, member_id: int, programme_id: int) -> Account:
    """The member's open account in a programme, made when there is none. One each, even in a race."""
    key = f"{programme_id}:{member_id}"
    try:
        with transaction.atomic():
            account, _created = Account.objects.get_or_create(
                open_key=key, defaults={"member_id": member_id, "programme_id": programme_id}
            )
    except IntegrityError:
        account = Account.objects.get(open_key=key)
    return account


@atomic_with_retries
def settle_account(*, account_id: int, now: datetime) -> None:
    """Activate and expire what is due."""
    Book.open(account_id, now=now)


def lock_accounts(account_ids: Iterable[int]) -> list[Account]:
    """
    Lock several accounts, the lowest id first. For a journey that books on more than one of them: call
    it inside its transaction before anything else of the ledger.
    """
    accounts = Account.objects.select_for_update(no_key=connection.features.has_select_for_no_key_update)
    wanted = sorted(set(account_ids))
    if len(wanted) > 2:  # a batch; see Book.open_many
        return list(accounts.filter(pk__in=wanted).order_by("pk"))
    return [accounts.get(pk=pk) for pk in wanted]
