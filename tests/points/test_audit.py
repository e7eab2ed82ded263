"""
Each finding of the audit is made to happen, once, by rows that were changed behind the app's back. Who
changed them also computed every hash anew, so that not only the chain shows it.
"""

import uuid
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection, transaction

from oscar_loyalty.members.models import Member
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points import services
from oscar_loyalty.points.audit import CODES, audit_account, reading
from oscar_loyalty.points.book import Book, Move, entry_hash
from oscar_loyalty.points.hashing import digest
from oscar_loyalty.points.models import Account, EarnedLine, Entry, Hold, Lot, Posting
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.testing.ledger import lifted_triggers

from .conftest import NOW

DAY = timedelta(days=1)
# MariaDB commits when a trigger is lifted.
pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=connection.vendor == "mysql")]


@pytest.fixture(autouse=True)
def nobody_refuses(db):
    """Whoever may write everything may also lift triggers."""
    with lifted_triggers():
        yield
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # What was left dangling on purpose is rolled back.
                cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def award(account, points=100, *, number=1, now=NOW, active_at=NOW, months=12, lines=()):
    return services.award_points(
        account_id=account.pk,
        points=points,
        idempotency_key=f"purchase:{number}",
        source_ref=f"order:{number}",
        order_ref=str(number),
        active_at=active_at,
        expiry_months=months,
        unit_value=Decimal("0.01"),
        currency="EUR",
        lines=lines,
        now=now,
    )


def hold(account, points, *, number=1, now=NOW):
    return services.hold_points(
        account_id=account.pk,
        ref=f"basket:{number}",
        requested=points,
        currency="EUR",
        expires_at=now + DAY,
        now=now,
    )


def spend(account, points, *, number=1, now=NOW):
    hold(account, points, number=number, now=now)
    return services.capture_hold(
        ref=f"basket:{number}", points=points, amount=Decimal("1.00"), order_ref=f"s{number}", now=now
    )


def table(model):
    return connection.ops.quote_name(model._meta.db_table)


def change(model, pk, **values):
    """Write columns of one row as somebody with a database console would."""
    fields = {name: model._meta.get_field(name) for name in values}
    columns = ", ".join(f"{connection.ops.quote_name(fields[name].column)} = %s" for name in values)
    told = [
        fields[name].get_db_prep_save(value, connection)
        if not fields[name].is_relation
        else (value.pk if hasattr(value, "pk") else value)
        for name, value in values.items()
    ]
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table(model)} SET {columns} WHERE id = %s", [*told, pk])  # noqa: S608
        assert cursor.rowcount == 1


def remove(model, *pks):
    with connection.cursor() as cursor:
        for pk in pks:
            cursor.execute(f"DELETE FROM {table(model)} WHERE id = %s", [pk])  # noqa: S608


def forge(account):
    """Compute the chain anew over what is stored, so that it hides nothing."""
    previous, seq = "", 0
    for entry in Entry.objects.filter(account=account).order_by("seq"):
        entry.prev_hash = previous
        postings = Posting.objects.filter(entry=entry).select_related("lot").order_by("pk")
        told = entry_hash(entry, [Move(p.debit, p.credit, p.points, p.lot) for p in postings])
        change(Entry, entry.pk, prev_hash=previous, hash=told)
        previous, seq = told, entry.seq
    change(Account, account.pk, head_hash=previous, seq=seq)


@contextmanager
def without_checks(*models):
    """Whoever may write everything may also lift constraints."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("PRAGMA ignore_check_constraints = ON")
        elif connection.vendor == "mysql":
            cursor.execute("SET check_constraint_checks = 0")
        else:
            # A table with checks of foreign keys still to do cannot be altered.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            for model in models:
                for constraint in model._meta.constraints:
                    cursor.execute(f"ALTER TABLE {table(model)} DROP CONSTRAINT IF EXISTS {constraint.name}")
        try:
            yield
        finally:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA ignore_check_constraints = OFF")
            elif connection.vendor == "mysql":
                cursor.execute("SET check_constraint_checks = 1")


def codes(account, **options):
    return [finding.code for finding in audit_account(account.pk, **options)]


def only(account, code, **options):
    """The audit finds this and nothing else; return the first of it."""
    findings = audit_account(account.pk, **options)
    assert {finding.code for finding in findings} == {code}, "\n".join(map(str, findings))
    assert findings[0].account == str(Account.objects.get(pk=account.pk).public_id)
    assert code in CODES
    return findings[0]


def lot_of(account, number=1):
    return Lot.objects.get(account=account, source_ref=f"order:{number}")


def other_account(programme):
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    return services.open_account(member_id=member.pk, programme_id=programme.pk)


@pytest.fixture
def busy(account):
    """An account on which everything has happened that a shop does."""
    lines = [
        LineEarning(ref="1", basis=Decimal(60), points=60),
        LineEarning(ref="2", basis=Decimal(40), points=40),
    ]
    earned = award(account, 100, number=1, lines=lines)
    award(account, 200, number=2, months=24)
    award(account, 50, number=3, active_at=NOW + 14 * DAY)
    spent = spend(account, 150, number=1)
    hold(account, 30, number=2)
    services.return_spend(
        account_id=account.pk, spent=spent, points=40, idempotency_key="return:1", grace_days=30, now=NOW
    )
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="cancel:1", now=NOW)
    spend(account, 60, number=4, now=NOW + DAY)
    services.release_hold(ref="basket:2", now=NOW + DAY)
    hold(account, 5, number=5, now=NOW + 2 * DAY)
    services.settle_account(account_id=account.pk, now=NOW + 800 * DAY)
    return account


def test_an_account_on_which_everything_happened_is_clean(busy):
    assert audit_account(busy.pk) == []
    assert audit_account(busy.pk, announced_since=NOW) == []
    assert Entry.objects.filter(account=busy).count() > 12


def test_an_account_without_entries_is_clean(account):
    assert audit_account(account.pk) == []


def test_the_same_is_found_in_small_pieces(busy, monkeypatch):
    whole = codes(busy)
    monkeypatch.setattr(reading, "PIECE", 3)
    assert codes(busy) == whole == []
    change(Account, busy.pk, seq=2)
    only(busy, "head_seq_differs")
    change(Account, busy.pk, seq=Entry.objects.filter(account=busy).count())
    lot = lot_of(busy, 2)
    change(Lot, lot.pk, spent=lot.spent - 1, expired=lot.expired + 1)
    assert only(busy, "lot_differs").lot_id == lot.pk


# I1


def test_a_posting_with_unknown_codes_is_found(account):
    award(account)
    posting = Posting.objects.get(credit="AVL")
    change(Posting, posting.pk, credit="XYZ")
    forge(account)
    assert "posting_invalid" in codes(account)
    with without_checks(Posting):
        change(Posting, posting.pk, credit="AVL", points=0)
        forge(account)
        assert "posting_invalid" in codes(account)


def test_a_posting_that_does_not_belong_to_its_kind_is_found(account):
    entry = award(account)
    change(Entry, entry.pk, kind="ADJUST_UP")
    forge(account)
    assert only(account, "posting_out_of_place").entry_id == entry.pk


def test_an_entry_without_postings_is_found(account):
    award(account)
    services.hold_points(
        account_id=account.pk, ref="b", requested=5, currency="EUR", expires_at=NOW + DAY, now=NOW
    )
    services.release_hold(ref="b", now=NOW)
    # Both sides of a reservation leave no trace in any counter.
    last_two = list(Entry.objects.filter(account=account).order_by("-seq")[:2])
    remove(Posting, *Posting.objects.filter(entry__in=last_two).values_list("pk", flat=True))
    change(Entry, last_two[1].pk, available_after=100)
    forge(account)
    assert only(account, "entry_without_postings").entry_id in {entry.pk for entry in last_two}


def test_an_entry_that_states_other_points_is_found(account):
    entry = award(account)
    change(Entry, entry.pk, points=99)
    forge(account)
    assert only(account, "entry_points_differ").entry_id == entry.pk


# I2, I5, I6


def test_a_counter_that_was_changed_is_found(account):
    award(account)
    change(Account, account.pk, earned=150, spent=50)
    findings = audit_account(account.pk)
    assert [(f.code, f.expected, f.found) for f in findings] == [
        ("counter_differs", "earned 100", "earned 150"),
        ("counter_differs", "spent 0", "spent 50"),
    ]
    only(account, "counter_differs")


def test_a_counter_below_zero_is_found(account):
    award(account)
    hold(account, 40)
    services.release_hold(ref="basket:1", now=NOW)
    first, second = Entry.objects.filter(kind__in=["HOLD", "RELEASE"]).order_by("seq")
    # Released before it was held.
    change(Entry, first.pk, seq=99)
    change(Entry, second.pk, seq=first.seq, available_after=140)
    change(Entry, first.pk, seq=second.seq, available_after=100)
    forge(account)
    assert only(account, "counter_negative").found == "held -40"


def test_a_deficit_beside_a_balance_is_found(account):
    award(account, 100)
    with without_checks(Account):
        with transaction.atomic():
            book = Book.open(account.pk, now=NOW)
            book.post("CLAWBACK", [Move("DBT", "EXP", 30)], points=30, idempotency_key="x")
            book.flush()
        only(account, "debt_beside_balance")


# I3, I4


def test_a_lot_that_was_changed_is_found(account):
    award(account)
    lot = lot_of(account)
    change(Lot, lot.pk, remaining=60, spent=40)
    found = only(account, "lot_differs")
    assert (found.lot_id, found.expected, found.found) == (lot.pk, "remaining 100", "remaining 60")


def test_a_lot_of_another_amount_is_found(account):
    award(account)
    with without_checks(Lot):
        change(Lot, lot_of(account).pk, amount=120)
        only(account, "lot_amount_differs")


def test_a_closed_lot_with_points_is_found(account):
    award(account)
    with without_checks(Lot):
        change(Lot, lot_of(account).pk, open=False)
        only(account, "lot_open_differs")


def test_points_that_are_in_no_lot_are_found(account):
    award(account)
    lot = lot_of(account)
    for posting in Posting.objects.filter(lot=lot):
        change(Posting, posting.pk, lot=None)
    remove(Lot, lot.pk)
    forge(account)
    found = only(account, "lots_differ_from_account")
    assert (found.expected, found.found) == ("left 100", "left 0")


# I7


def test_a_missing_entry_is_found(account):
    award(account)
    hold(account, 40)
    services.release_hold(ref="basket:1", now=NOW)
    # A reservation and its end, gone together.
    for entry in Entry.objects.filter(kind__in=["HOLD", "RELEASE"]):
        remove(Posting, *Posting.objects.filter(entry=entry).values_list("pk", flat=True))
        remove(Entry, entry.pk)
    award(account, 10, number=2)
    forge(account)
    assert only(account, "seq_gap").expected == "3"


def test_a_head_that_counts_other_entries_is_found(account):
    award(account)
    change(Account, account.pk, seq=7)
    assert only(account, "head_seq_differs").found == "7"


def test_an_entry_that_states_another_balance_is_found(account):
    award(account)
    entry = Entry.objects.get(kind="ACTIVATE")
    change(Entry, entry.pk, available_after=110)
    forge(account)
    assert only(account, "available_after_differs").entry_id == entry.pk


# I8


def test_a_key_with_another_digest_is_found(account):
    entry = award(account)
    change(Entry, entry.pk, key_digest=digest("purchase:2"))
    forge(account)
    assert only(account, "key_digest_differs").entry_id == entry.pk


def test_an_entry_without_fingerprint_is_found(account):
    entry = award(account)
    change(Entry, entry.pk, fingerprint="")
    forge(account)
    assert only(account, "fingerprint_missing").entry_id == entry.pk


# I9


def test_a_reservation_of_other_points_is_found(account):
    award(account)
    held = hold(account, 40)
    change(Hold, held.pk, points=30)
    found = only(account, "hold_differs")
    assert (found.hold_id, found.expected, found.found) == (held.pk, "40", "30")


def test_a_reservation_that_ended_without_giving_back_is_found(account):
    award(account)
    held = hold(account, 40)
    change(Hold, held.pk, state="RELEASED", open_key=None)
    only(account, "hold_differs")


def test_a_captured_reservation_of_other_points_is_found(account):
    award(account)
    spend(account, 40)
    held = Hold.objects.get()
    change(Hold, held.pk, captured=39)
    assert only(account, "hold_not_spent").hold_id == held.pk


def test_a_spending_without_reservation_is_found(account):
    award(account)
    entry = spend(account, 40)
    held = Hold.objects.get()
    remove(Hold, held.pk)
    assert only(account, "spend_without_hold").entry_id == entry.pk


def test_an_order_that_was_paid_with_points_twice_is_found(account):
    award(account)
    spend(account, 40, number=1)
    entry = spend(account, 40, number=2)
    # The second reservation is gone, and its entry names the first order.
    remove(Hold, Hold.objects.get(order_ref="s2").pk)
    change(Entry, entry.pk, order_ref="s1")
    forge(account)
    assert "hold_differs" in codes(account)


# I10


def test_points_taken_from_a_later_lot_are_found(account):
    award(account, 100, number=1, months=12)
    award(account, 100, number=2, months=24)
    entry = spend(account, 40)
    first, second = lot_of(account, 1), lot_of(account, 2)
    change(Posting, Posting.objects.get(entry=entry).pk, lot=second)
    change(Lot, first.pk, remaining=100, spent=0)
    change(Lot, second.pk, remaining=60, spent=40)
    forge(account)
    assert only(account, "fifo_broken").entry_id == entry.pk


def test_what_may_be_taken_out_of_turn_is_no_finding(account):
    award(account, 100, number=1, months=12)
    earned = award(account, 100, number=2, months=24)
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="c", now=NOW)
    assert lot_of(account, 2).remaining == 0
    spend(account, 100)
    award(account, 10, number=4, months=6)
    services.clawback_points(
        account_id=account.pk,
        earned=Entry.objects.get(idempotency_key="purchase:1"),
        idempotency_key="d",
        now=NOW,
    )
    award(account, 300, number=3, months=36)
    assert codes(account) == []


# I11


def test_a_spending_that_was_returned_twice_is_found(account):
    award(account, 100)
    spent = spend(account, 40)
    other = spend(account, 40, number=2)
    for number in (1, 2):
        services.return_spend(
            account_id=account.pk,
            spent=[spent, other][number - 1],
            idempotency_key=f"r{number}",
            grace_days=30,
            now=NOW,
        )
    change(Entry, Entry.objects.get(idempotency_key="r2").pk, reverses=spent.pk)
    forge(account)
    assert set(codes(account)) == {"reversed_too_much", "reversed_too_much_of_lot"}


def test_a_return_to_a_lot_that_gave_less_is_found(account):
    award(account, 30, number=1, months=12)
    award(account, 100, number=2, months=24)
    spent = spend(account, 40)
    spend(account, 40, number=2)
    services.return_spend(
        account_id=account.pk, spent=spent, idempotency_key="r", points=40, grace_days=30, now=NOW
    )
    first, second = lot_of(account, 1), lot_of(account, 2)
    # 10 of 40 were spent of the second lot and 30 of the first; all 40 are said to go to the second.
    _to_second, to_first = Posting.objects.filter(entry__idempotency_key="r").order_by("pk")
    change(Posting, to_first.pk, lot=second)
    change(Lot, first.pk, remaining=0, spent=30, open=False)
    change(Lot, second.pk, remaining=second.remaining + 30, spent=second.spent - 30)
    forge(account)
    found = only(account, "reversed_too_much_of_lot")
    assert (found.entry_id, found.lot_id, found.found) == (spent.pk, second.pk, "40")


def test_a_line_that_was_taken_back_twice_is_found(account):
    lines = [
        LineEarning(ref="1", basis=Decimal(60), points=60),
        LineEarning(ref="2", basis=Decimal(40), points=40),
    ]
    earned = award(account, 100, lines=lines)
    services.clawback_points(account_id=account.pk, earned=earned, idempotency_key="c", now=NOW)
    taken = EarnedLine.objects.filter(entry__kind="CLAWBACK").order_by("line_ref")
    change(EarnedLine, taken[0].pk, points=61)
    found = only(account, "line_taken_back_twice")
    assert (found.entry_id, found.expected, found.found) == (earned.pk, "1 at most 60", "61")


def test_lines_that_do_not_add_up_are_found(account):
    lines = [
        LineEarning(ref="1", basis=Decimal(60), points=60),
        LineEarning(ref="2", basis=Decimal(40), points=40),
    ]
    earned = award(account, 100, lines=lines)
    change(EarnedLine, earned.lines.first().pk, points=70)
    assert only(account, "lines_differ").entry_id == earned.pk


# I13


def test_an_entry_without_message_is_found_unless_it_is_old(account):
    entry = award(account)
    hold(account, 5)
    remove(OutboxMessage, OutboxMessage.objects.get(key=f"points_posted:{entry.public_id}").pk)
    assert only(account, "message_missing", announced_since=NOW).entry_id == entry.pk
    assert codes(account, announced_since=NOW + DAY) == []
    assert codes(account) == []


# I14


@pytest.mark.parametrize(
    "values",
    [
        {"actor_ref": "user:7"},
        {"order_ref": "9"},
        {"reason_code": "GOODWILL"},
        {"explanation": {"rule": "other"}},
        {"effective_at": NOW - DAY},
        {"created_at": NOW - DAY},
        {"fingerprint": "0" * 64},
        {"hash": "0" * 64},
    ],
    ids=lambda values: next(iter(values)),
)
def test_an_altered_entry_is_found(account, values):
    award(account)
    newest = Entry.objects.get(kind="ACTIVATE")
    if "created_at" in values:
        newest = Entry.objects.get(kind="EARN")
    change(Entry, newest.pk, **values)
    found = [finding for finding in audit_account(account.pk) if finding.code == "hash_differs"]
    assert [finding.entry_id for finding in found] == [newest.pk]


def test_altered_postings_are_found(busy):
    posting = Posting.objects.filter(entry__account=busy, entry__kind="SPEND").first()
    change(Posting, posting.pk, points=posting.points + 1)
    assert {"hash_differs", "counter_differs", "lot_differs"} <= set(codes(busy))


def test_an_entry_that_follows_another_one_is_found(account):
    award(account)
    newest = Entry.objects.get(kind="ACTIVATE")
    newest.prev_hash = "1" * 64
    told = entry_hash(newest, [Move(p.debit, p.credit, p.points, p.lot) for p in newest.postings.all()])
    change(Entry, newest.pk, prev_hash="1" * 64, hash=told)
    change(Account, account.pk, head_hash=told)
    assert only(account, "prev_hash_differs").entry_id == newest.pk


def test_another_newest_entry_is_found(account):
    award(account)
    change(Account, account.pk, head_hash="2" * 64)
    only(account, "head_hash_differs")


# I15


def test_points_that_became_spendable_early_are_found(account):
    award(account)
    change(Lot, lot_of(account).pk, active_at=NOW + DAY)
    assert only(account, "activated_early").lot_id == lot_of(account).pk


def test_points_that_expired_early_are_found(account):
    award(account)
    services.settle_account(account_id=account.pk, now=NOW + 400 * DAY)
    change(Lot, lot_of(account).pk, expires_at=NOW + 500 * DAY)
    assert only(account, "expired_early").lot_id == lot_of(account).pk


def test_points_that_were_used_after_they_had_expired_are_found(account):
    award(account)
    hold(account, 40, now=NOW + DAY)
    change(Lot, lot_of(account).pk, expires_at=NOW)
    change(Account, account.pk, due_at=NOW)
    only(account, "used_after_expiry")


def test_an_account_that_nobody_would_settle_is_found(account):
    award(account)
    change(Account, account.pk, due_at=FAR_FUTURE)
    only(account, "due_late")


def test_what_reservations_keep_is_not_due(account):
    award(account, 100)
    hold(account, 100)
    services.settle_account(account_id=account.pk, now=NOW + 800 * DAY)
    account.refresh_from_db()
    assert account.due_at == FAR_FUTURE
    assert codes(account) == []


# Between accounts


def test_points_that_left_and_did_not_arrive_are_found(account):
    award(account)
    lot = lot_of(account)
    with transaction.atomic():
        book = Book.open(account.pk, now=NOW)
        book.post(
            "MOVE_OUT", [Move("AVL", "MOV", 40, Lot.objects.get(pk=lot.pk))], points=40, idempotency_key="m"
        )
        book.flush()
    assert only(account, "group_unbalanced").found == "40"


def test_points_that_left_and_arrived_are_no_finding(account, programme):
    award(account)
    receiver = other_account(programme)
    group = uuid.uuid4()
    lot = lot_of(account)
    with transaction.atomic():
        book = Book.open(account.pk, now=NOW)
        book.post("MOVE_OUT", [Move("AVL", "MOV", 40, lot)], points=40, idempotency_key="m", group_id=group)
        book.flush()
        other = Book.open(receiver.pk, now=NOW)
        child = other.add_lot(
            amount=40,
            parent_lot=lot,
            source_ref="transfer:1",
            active_at=NOW,
            expires_at=lot.expires_at,
            unit_value=lot.unit_value,
            currency=lot.currency,
        )
        other.post("MOVE_IN", [Move("MOV", "AVL", 40, child)], points=40, idempotency_key="m", group_id=group)
        other.flush()
    assert codes(account) == codes(receiver) == []
    change(Lot, child.pk, unit_value=Decimal("0.02"))
    assert only(receiver, "lot_parent_invalid").lot_id == child.pk


def test_a_posting_on_a_lot_of_somebody_else_is_found(account, programme):
    award(account)
    entry = spend(account, 40)
    stranger = other_account(programme)
    award(stranger, 40, number=9)
    change(Posting, Posting.objects.get(entry=entry).pk, lot=lot_of(stranger, 9))
    forge(account)
    assert "lot_of_other_account" in codes(account)


def test_children_that_hold_more_than_was_moved_are_found(account):
    award(account, 100, number=1)
    award(account, 50, number=2)
    change(Lot, lot_of(account, 2).pk, parent_lot=lot_of(account, 1))
    found = only(account, "lot_children_exceed")
    assert (found.expected, found.found) == ("at most 0", "50")


def test_a_lot_older_than_its_parent_is_found(account):
    award(account, 100, number=1)
    lot = lot_of(account)
    change(Lot, lot.pk, parent_lot=lot)
    assert "lot_parent_invalid" in codes(account)


@pytest.mark.parametrize("status", ["CLOSED", "MERGED"])
def test_an_ended_account_with_points_is_found(account, programme, status):
    award(account)
    successor = other_account(programme).pk if status == "MERGED" else None
    change(Account, account.pk, status=status, open_key=None, merged_into=successor)
    only(account, "ended_account_not_empty")


def test_a_merged_account_without_successor_is_found(account, programme):
    change(Account, account.pk, status="MERGED", open_key=None)
    only(account, "redirect_invalid")
    change(Account, account.pk, merged_into=account.pk)
    only(account, "redirect_invalid")
    change(Account, account.pk, merged_into=other_account(programme).pk)
    assert codes(account) == []


def test_an_open_account_without_its_key_is_found(account):
    change(Account, account.pk, open_key=None)
    only(account, "open_key_differs")


@pytest.mark.parametrize("explanation", [{"rate": "0.93"}, {"rate": "often"}, {}])
def test_a_conversion_at_another_rate_is_found(account, explanation):
    pytest.importorskip("oscar_loyalty.points.services.moving")
    award(account, 100)
    entry = services.convert_points(
        account_id=account.pk,
        from_currency="EUR",
        to_currency="CHF",
        rate=Decimal("0.92"),
        unit_value=Decimal("0.01"),
        idempotency_key="convert",
        actor_ref="user:1",
        now=NOW,
    )
    assert codes(account) == []
    change(Entry, entry.pk, explanation=explanation)
    forge(account)
    assert only(account, "conversion_differs").entry_id == entry.pk


def test_every_code_has_a_test_that_makes_it_happen():
    text = Path(__file__).read_text()
    assert [code for code in CODES if f'"{code}"' not in text] == []
