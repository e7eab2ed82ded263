"""SQLite finds no room in the middle of a booking."""

from datetime import timedelta

import pytest
from django.db import OperationalError, connection

from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, EarnedLine, Entry, Hold, Lot, Posting
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.faults.requests import NOW, award, make_accounts, redeem

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite lives in a file of the shop"),
]


def pragma(text: str) -> int:
    with connection.cursor() as cursor:
        return cursor.execute(f"PRAGMA {text}").fetchone()[0]


def rows() -> list[list[dict[str, object]]]:
    models = (Account, Lot, Entry, Posting, EarnedLine, Hold, OutboxMessage)
    return [list(model.objects.order_by("pk").values()) for model in models]


@pytest.mark.parametrize("room", range(4), ids=lambda pages: f"{pages} pages left")
def test_a_booking_that_finds_no_room_leaves_nothing_and_can_be_made_again(room):
    (account,) = make_accounts(1)
    most = pragma("max_page_count")
    steps = (award, 10), (hold, 5), (redeem, 5)
    pragma(f"max_page_count = {pragma('page_count') + room}")
    try:
        book, points, key, before, error = book_until_full(account, steps)
        assert "full" in str(error)
        assert rows() == before
        with pytest.raises(OperationalError):
            book(account.pk, points, key=key)
        assert rows() == before
    finally:
        pragma(f"max_page_count = {most}")
    assert_ledger_balanced(account)
    for book, points in steps:
        book(account.pk, points, key=key)
    assert Entry.objects.filter(order_ref=key, kind="EARN").count() == 1
    assert Entry.objects.filter(order_ref=key, kind="SPEND").count() == 1
    assert_ledger_balanced(account)


def book_until_full(account, steps):
    """The step that found no room, with what was stored before it and its error."""
    for number in range(200):
        for book, points in steps:
            before = rows()
            try:
                book(account.pk, points, key=f"full-{number}")
            except OperationalError as error:
                return book, points, f"full-{number}", before, error
    return pytest.fail("there was room")


def hold(account_id, points, *, key):
    services.hold_points(
        account_id=account_id,
        ref=f"basket:{key}",
        requested=points,
        currency="EUR",
        expires_at=NOW + timedelta(minutes=30),
        now=NOW,
    )
