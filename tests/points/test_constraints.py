"""
The database itself refuses a row that breaks a promise, and says which one.

Each row here breaks exactly one constraint: without that one it would be written, and the test would
fail. A constraint that nobody tries to break fails the last test.
"""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import services
from oscar_loyalty.points.models import (
    COUNTERS,
    Account,
    Adjustment,
    EarnedLine,
    Entry,
    ExpiryWarning,
    Hold,
    Lot,
    MemberMerge,
    Posting,
)
from oscar_loyalty.points.rules import LineEarning

from .conftest import NOW

pytestmark = pytest.mark.database


@pytest.fixture
def other(account: Account) -> Account:
    member = Member.objects.create(joined_at=NOW, terms_version="1", terms_accepted_at=NOW)
    return services.open_account(member_id=member.pk, programme_id=account.programme_id)


@pytest.fixture
def rows(account: Account, other: Account) -> dict[type[models.Model], models.Model]:
    """One true row of each table."""
    earned = services.award_points(
        account_id=account.pk,
        points=100,
        idempotency_key="purchase:1",
        source_ref="order:1",
        active_at=NOW,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        now=NOW,
        lines=[LineEarning(ref="1", basis=Decimal(100), points=100)],
    )
    hold = services.hold_points(
        account_id=account.pk,
        ref="basket:1",
        requested=50,
        currency="EUR",
        expires_at=NOW + timedelta(hours=1),
        now=NOW,
    )
    merge = MemberMerge.objects.create(
        source=account, target=other, open_key=str(account.pk), requested_at=NOW
    )
    return {
        Account: other,
        Lot: Lot.objects.get(),
        Entry: earned,
        Posting: Posting.objects.filter(entry=earned).get(),
        EarnedLine: EarnedLine.objects.get(),
        Hold: hold,
        Adjustment: Adjustment.objects.create(
            account=account, points=5, reason_code="GOODWILL", requested_at=NOW
        ),
        MemberMerge: merge,
        ExpiryWarning: ExpiryWarning.objects.create(
            account=account, expires_before=NOW, points=1, sent_at=NOW
        ),
    }


def copy_of(row: models.Model, **values: object) -> models.Model:
    """Another row with the same values, but for its identities."""
    fields = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    fields |= {"id": None} | ({"public_id": uuid.uuid4()} if "public_id" in fields else {}) | values
    return type(row)(**fields)


#: Counters in pairs that keep an account conserved while one of them is below zero.
LEFT = ("earned", "moved_in", "debt")


def below_zero(counter: str) -> dict[str, int]:
    partners = LEFT if counter in LEFT else [name for name in COUNTERS if name not in (*LEFT, "available")]
    partner = next(name for name in partners if name != counter)
    return {counter: -1, partner: 1}


CHANGES = {
    **{f"loyalty_account_{name}_range": (Account, below_zero(name)) for name in COUNTERS},
    "loyalty_account_debt_before_balance": (Account, {"debt": 1, "available": 1}),
    "loyalty_account_conserved": (Account, {"earned": 1}),
    "loyalty_lot_not_negative": (Lot, {"remaining": 101, "spent": -1}),
    "loyalty_lot_conserved": (Lot, {"remaining": 99}),
    "loyalty_lot_open_has_points": (Lot, {"open": False}),
    "loyalty_hold_within_request": (Hold, {"points": 51}),
    "loyalty_hold_resolved_once": (Hold, {"open_key": None}),
    "loyalty_adjustment_not_zero": (Adjustment, {"points": 0}),
    "loyalty_adjustment_booked_has_entry": (Adjustment, {"state": "BOOKED"}),
    "loyalty_merge_of_two": (MemberMerge, {"target_id": models.F("source_id")}),
    "loyalty_merge_decided_once": (MemberMerge, {"state": "BOOKED"}),
}
FRESH = {"seq": 900, "key_digest": "another"}
COPIES = {
    "loyalty_entry_key_once": (Entry, {"seq": 900}),
    "loyalty_entry_seq_once": (Entry, {"key_digest": "another"}),
    "loyalty_entry_points_range": (Entry, {**FRESH, "points": 0}),
    "loyalty_entry_seq_positive": (Entry, {**FRESH, "seq": 0}),
    "loyalty_posting_balanced": (Posting, {"debit": "PND", "credit": "PND"}),
    "loyalty_earned_line_once": (EarnedLine, {}),
    "loyalty_earned_line_not_negative": (EarnedLine, {"line_ref": "2", "points": -1}),
    "loyalty_expiry_warning_once": (ExpiryWarning, {}),
}
#: Unique constraints of one column that have a name, by column.
ONCE = {"open_key": "loyalty_hold_open_once", "order_ref": "loyalty_hold_order_once"}


def assert_says(error: IntegrityError, model: type[models.Model], name: str) -> None:
    """SQLite names the columns of a unique constraint instead of the constraint."""
    [constraint] = [constraint for constraint in model._meta.constraints if constraint.name == name]
    if connection.vendor == "sqlite" and isinstance(constraint, models.UniqueConstraint):
        columns = [model._meta.get_field(field).column for field in constraint.fields]
        name = ", ".join(f"{model._meta.db_table}.{column}" for column in columns)
    assert name in str(error)


@pytest.mark.parametrize("name", CHANGES)
def test_a_row_is_not_changed_into_one_that_breaks_a_promise(rows, name):
    model, values = CHANGES[name]
    with pytest.raises(IntegrityError) as raised, transaction.atomic():
        model.objects.filter(pk=rows[model].pk).update(**values)
    assert_says(raised.value, model, name)


@pytest.mark.parametrize("name", COPIES)
def test_a_row_that_breaks_a_promise_is_not_added(rows, name):
    model, values = COPIES[name]
    with pytest.raises(IntegrityError) as raised, transaction.atomic():
        model.objects.bulk_create([copy_of(rows[model], **values)])
    assert_says(raised.value, model, name)


@pytest.mark.parametrize(
    ("model", "column"),
    [
        (Account, "open_key"),
        (Hold, "open_key"),
        (Hold, "order_ref"),
        (MemberMerge, "open_key"),
        (Adjustment, "undoes_id"),
        (Adjustment, "entry_id"),
    ],
)
def test_what_may_exist_once_exists_once(rows, model, column):
    row = rows[model]
    ended = {"state": "CAPTURED", "captured": 1, "closed_at": NOW, "open_key": None}
    values = {
        "order_ref": {**ended, "order_ref": "1"},
        "undoes_id": {"undoes_id": row.pk},
        "entry_id": {"state": "BOOKED", "entry_id": rows[Entry].pk},
    }.get(column, {})
    with pytest.raises(IntegrityError) as raised, transaction.atomic():
        model.objects.bulk_create([copy_of(row, **values), copy_of(row, **values)])
    # SQLite names the column, MariaDB the constraint, PostgreSQL both.
    assert any(name in str(raised.value) for name in (column.removesuffix("_id"), ONCE.get(column, column)))


def test_every_constraint_of_the_ledger_is_tried():
    declared = {
        constraint.name
        for model in apps.get_app_config("oscar_loyalty").get_models()
        if model.__module__.startswith("oscar_loyalty.points")
        for constraint in model._meta.constraints
    }
    assert declared == {*CHANGES, *COPIES, *ONCE.values()}
