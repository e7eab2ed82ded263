"""Awarding in bulk writes what awarding one by one writes."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from oscar_loyalty.members.models import Member
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, EarnedLine, Entry, Lot, Posting
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.points.services import Award, award_many, award_points, open_account
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import NOW

DAY = timedelta(days=1)


def award(account_id, number, points=100, *, active_at=NOW, months=36, **values):
    return Award(
        **{
            "account_id": account_id,
            "points": points,
            "idempotency_key": f"purchase:{number}",
            "source_ref": f"order:{number}",
            "order_ref": str(number),
            "active_at": active_at,
            "expiry_months": months,
            "unit_value": Decimal("0.01"),
            "currency": "EUR",
            "lines": (LineEarning(ref=f"line:{number}", basis=Decimal("1.00"), points=points),),
            "explanation": {"version": 1, "number": number},
            "effective_at": NOW - DAY,
            **values,
        }
    )


def make_account(programme):
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    return open_account(member_id=member.pk, programme_id=programme.pk)


def hold(account, points, *, now=NOW, until=NOW + DAY):
    services.hold_points(
        account_id=account.pk,
        ref=f"basket:{account.pk}",
        requested=points,
        currency="EUR",
        expires_at=until,
        now=now,
    )


def rows_of(accounts):
    """What is stored of some accounts, without what is chance: ids, and hashes of them. Of the entries
    those that the test made; their pasts name reservations by chance too."""
    numbers = {account.pk: index for index, account in enumerate(accounts)}
    lots = {
        lot.pk: (numbers[lot.account_id], index)
        for index, lot in enumerate(Lot.objects.filter(account__in=accounts).order_by("account_id", "pk"))
    }
    chance = {"id", "public_id", "account_id", "open_key", "member_id", "head_hash", "group_id", "hash"}
    chance |= {"prev_hash", "key_digest"}
    names = {str(lot.public_id): f"lot {lots[lot.pk]}" for lot in Lot.objects.filter(account__in=accounts)}
    told = set(OutboxMessage.objects.values_list("key", flat=True))

    def plain(row):
        return {
            field.name: getattr(row, field.attname)
            for field in row._meta.concrete_fields
            if field.attname not in chance
        }

    def key_of(entry):
        kind, _, name = entry.idempotency_key.partition(":")
        return kind, names.get(name[:36], name)

    return [
        (
            plain(Account.objects.get(pk=account.pk)),
            [plain(lot) for lot in Lot.objects.filter(account=account).order_by("pk")],
            [
                (
                    plain(entry) | {"idempotency_key": key_of(entry)},
                    f"points_posted:{entry.public_id}" in told,
                    [
                        (posting.debit, posting.credit, posting.points, lots.get(posting.lot_id))
                        for posting in Posting.objects.filter(entry=entry).order_by("pk")
                    ],
                    [
                        (line.line_ref, line.rule_code, line.basis, line.points)
                        for line in EarnedLine.objects.filter(entry=entry).order_by("pk")
                    ],
                )
                for entry in Entry.objects.filter(account=account, created_at=NOW).order_by("seq")
            ],
        )
        for account in accounts
    ]


def put_in_debt(account, points):
    """An earning is spent and then taken back."""
    at = NOW - 20 * DAY
    earned = award_points(**award(account.pk, 900, points, active_at=at, months=None).as_arguments(), now=at)
    hold(account, points, now=at, until=NOW)
    services.capture_hold(
        ref=f"basket:{account.pk}", points=points, amount=Decimal(1), order_ref=f"for {account.pk}", now=at
    )
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="back", now=at)


def put_on_hold(account, points):
    """Points that are reserved for a basket, and are over meanwhile."""
    at = NOW - 60 * DAY
    award_points(**award(account.pk, 800, points, active_at=at, months=1).as_arguments(), now=at)
    hold(account, points, now=at)


def leave_something_due(account, points):
    """Nobody looked at it since before its points became spendable and were gone."""
    at = NOW - 60 * DAY
    award_points(**award(account.pk, 700, points, active_at=at + DAY, months=1).as_arguments(), now=at)


def freeze(account, points):
    Account.objects.filter(pk=account.pk).update(status="FROZEN")


def close(account, points):
    Account.objects.filter(pk=account.pk).update(status="CLOSED", open_key=None)


PASTS = [None, put_in_debt, put_on_hold, leave_something_due, freeze, close]

wishes = st.fixed_dictionaries(
    {
        "account": st.integers(0, 2),
        "number": st.integers(1, 6),
        "points": st.sampled_from([1, 7, 100, 250]),
        "active_at": st.sampled_from([NOW - 400 * DAY, NOW - 35 * DAY, NOW, NOW + DAY, FAR_FUTURE]),
        "months": st.sampled_from([1, 12, None]),
    }
)


class TestBothWays(TestCase):
    # Shrinking builds a world for each try: minutes for little.
    @settings(phases=[Phase.explicit, Phase.reuse, Phase.generate])
    @given(
        pasts=st.lists(st.tuples(st.sampled_from(PASTS), st.sampled_from([50, 150])), min_size=3, max_size=3),
        wanted=st.lists(wishes, min_size=1, max_size=8),
    )
    def test_bulk_writes_what_one_by_one_writes(self, pasts, wanted):
        programme = Programme.objects.create(code="default", name="Points", time_zone="Europe/Berlin")
        worlds = []
        for _ in range(2):
            accounts = [make_account(programme) for _past in pasts]
            for account, (past, points) in zip(accounts, pasts, strict=True):
                if past is not None:
                    past(account, points)
            worlds.append(accounts)
        one_by_one, in_bulk = worlds
        said = []
        for wish in wanted:
            arguments = award(
                one_by_one[wish["account"]].pk,
                wish["number"],
                wish["points"],
                active_at=wish["active_at"],
                months=wish["months"],
            ).as_arguments()
            before = Entry.objects.count()
            try:
                award_points(**arguments, now=NOW)
            except ValueError as error:
                said.append(type(error))
            else:
                said.append(Entry.objects.count() > before)
        done = award_many(
            [
                award(
                    in_bulk[wish["account"]].pk,
                    wish["number"],
                    wish["points"],
                    active_at=wish["active_at"],
                    months=wish["months"],
                )
                for wish in wanted
            ],
            now=NOW,
        )
        assert [type(one.error) if one.error else one.is_new for one in done] == said
        for bulk, single in zip(rows_of(in_bulk), rows_of(one_by_one), strict=True):
            for mine, theirs in zip(bulk, single, strict=True):
                assert mine == theirs
        for account in in_bulk:
            assert_ledger_balanced(account)


@pytest.mark.parametrize("orders", [1, 40])
def test_the_number_of_statements_does_not_grow_with_the_orders(programme, orders):
    accounts = [make_account(programme) for _ in range(4)]
    awards = [award(accounts[number % 4].pk, number) for number in range(orders)]
    with CaptureQueriesContext(connection) as statements:
        award_many(awards, now=NOW)
    # Accounts are written by one statement each, sent together.
    assert len(statements) - (len(accounts) if orders > 1 else 1) <= 12


def test_again_it_books_nothing(account):
    awards = [award(account.pk, number) for number in range(3)]
    assert [one.is_new for one in award_many(awards, now=NOW)] == [True] * 3
    again = award_many(awards, now=NOW + DAY)
    assert [one.is_new for one in again] == [False] * 3
    assert [one.entry.seq for one in again] == [1, 3, 5]


def test_months_may_be_counted_from_another_moment(account):
    old = award(account.pk, 1, active_at=NOW - 400 * DAY, months=12)
    award_many([replace(old, expires_from=NOW), replace(old, idempotency_key="purchase:2")], now=NOW)
    first, second = Lot.objects.order_by("pk")
    assert (first.remaining, first.expires_at.date().isoformat()) == (100, "2027-03-10")
    assert (second.remaining, second.expired) == (0, 100)


def test_what_is_over_at_this_very_moment_is_awarded_and_gone(account):
    over = award(account.pk, 1, active_at=NOW - 400 * DAY, months=12)
    award_many([over], now=NOW - 400 * DAY)
    last = Lot.objects.get().expires_at
    award_many([replace(over, idempotency_key="purchase:2")], now=last)
    assert list(Lot.objects.values_list("remaining", "expired")) == [(0, 100), (0, 100)]


# Days from now at which points that are there become spendable, and months until they expire.
@pytest.mark.parametrize("past", [[(1, 12)], [(-20, 1)], [(1, 12), (-20, 1)], [(-20, None)]])
def test_what_is_due_next_is_what_it_is_after_awarding_one_by_one(programme, past):
    accounts = [make_account(programme) for _ in range(2)]
    for account in accounts:
        for number, (days, months) in enumerate(past, start=10):
            # A single point, so that no lot is too small to be seen.
            one = award(account.pk, number, 1, active_at=NOW + days * DAY, months=months)
            award_points(**one.as_arguments(), now=NOW)
    single, bulk = (award(account.pk, 1, active_at=NOW - 5 * DAY, months=1) for account in accounts)
    award_points(**single.as_arguments(), now=NOW)
    award_many([bulk], now=NOW)
    first, second = Account.objects.order_by("pk").values_list("due_at", flat=True)
    assert first == second


def test_what_is_wrong_with_one_award_is_told_and_stops_no_other(programme):
    plain, reserving, last = (make_account(programme) for _ in range(3))
    award_many([award(reserving.pk, 1, months=None)], now=NOW)
    hold(reserving, 60)
    over = award(reserving.pk, 2, active_at=NOW - 400 * DAY, months=12)
    done = award_many(
        [
            *(award(plain.pk, 3), award(plain.pk, 4, 0), award(plain.pk, 3, 7)),
            *(over, award(reserving.pk, 5, 0), replace(over, points=7)),
            award(last.pk, 6),
        ],
        now=NOW,
    )
    refused = [services.InvalidPoints, services.IdempotencyKeyReused]
    assert [type(one.error) if one.error else one.is_new for one in done] == [
        *(True, *refused),
        *(True, *refused),
        True,
    ]


def test_of_what_is_over_at_this_very_moment_reserved_points_stay(programme):
    """One by one and in bulk: reserved is what expires first."""
    accounts = [make_account(programme) for _ in range(2)]
    over = award(accounts[0].pk, 2, active_at=NOW - 400 * DAY, months=12)
    award_many([replace(over, account_id=make_account(programme).pk)], now=NOW - 400 * DAY)
    last = Lot.objects.get().expires_at
    for account in accounts:
        award_many([award(account.pk, 1, active_at=last - DAY, months=None)], now=last - DAY)
        hold(account, 60, now=last, until=last + DAY)
    award_points(**over.as_arguments(), now=last)
    award_many([replace(over, account_id=accounts[1].pk)], now=last)
    first, second = (
        list(Lot.objects.filter(account=account).order_by("pk").values_list("remaining", "expired"))
        for account in accounts
    )
    assert first == second == [(100, 0), (60, 40)]


def test_an_award_may_say_as_little_as_awarding_one_does(account):
    least = {"points": 5, "idempotency_key": "a", "source_ref": "a", "active_at": NOW, "expiry_months": None}
    [done] = award_many([Award(account_id=account.pk, unit_value=1, currency="EUR", **least)], now=NOW)
    assert (done.entry.order_ref, done.entry.explanation, done.entry.effective_at) == ("", {}, NOW)


def test_what_the_database_refuses_leaves_nothing_behind(programme, account, monkeypatch):
    monkeypatch.setattr(
        "oscar_loyalty.points.book.write_messages", lambda messages: pytest.fail("on the way out")
    )
    with pytest.raises(pytest.fail.Exception):
        award_many([award(account.pk, 1), award(make_account(programme).pk, 2)], now=NOW)
    assert not Entry.objects.exists()
    account.refresh_from_db()
    assert account.seq == 0
