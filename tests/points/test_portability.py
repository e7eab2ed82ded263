"""What differs between PostgreSQL, MariaDB and SQLite, and how the ledger stays the same on all three."""

import re
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from django.core.checks import ERROR, run_checks
from django.db import IntegrityError, connection, models, transaction
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext

from oscar_loyalty.members.models import Member
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points import services
from oscar_loyalty.points.models import COUNTERS, LOT_COLUMNS, MOST_POINTS, Account, Entry, Hold, Lot, Posting
from oscar_loyalty.programmes.rules import FAR_FUTURE

from .test_append_only import earn

pytestmark = [pytest.mark.database, pytest.mark.django_db]

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@contextmanager
def refused(constraint=""):
    """By the database, not by Python; MariaDB and SQLite say its name as PostgreSQL does."""
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        yield


@pytest.fixture
def rows(account):
    """One row of each table."""
    entry = earn(account)
    hold = services.hold_points(
        account_id=account.pk,
        ref="basket:1",
        requested=10,
        currency="EUR",
        expires_at=NOW + timedelta(minutes=30),
        now=NOW,
    )
    return {
        Account: Account.objects.get(),
        Lot: Lot.objects.get(),
        Hold: hold,
        Entry: entry,
        Posting: Posting.objects.filter(entry=entry).get(),
    }


def change(row, **values):
    """By SQL, past every check of Python's."""
    sets = ", ".join(f"{connection.ops.quote_name(name)} = %s" for name in values)
    table = connection.ops.quote_name(row._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {sets} WHERE id = %s", [*values.values(), row.pk])  # noqa: S608


def copy(row, **values):
    """Append-only rows are added instead."""
    copied = type(row)(
        **{
            field.attname: getattr(row, field.attname)
            for field in row._meta.concrete_fields
            if not field.primary_key
        }
    )
    if hasattr(copied, "public_id"):
        copied.public_id = uuid.uuid4()
    for name, value in values.items():
        setattr(copied, name, value)
    QuerySet(type(row)).bulk_create([copied])


VIOLATIONS = [
    *((Account, f"loyalty_account_{counter}_range", {counter: -1}) for counter in COUNTERS),
    *((Account, f"loyalty_account_{counter}_range", {counter: MOST_POINTS + 1}) for counter in COUNTERS),
    (Account, "loyalty_account_debt_before_balance", {"debt": 5, "earned": 95}),
    (Account, "loyalty_account_conserved", {"earned": 99}),
    *((Lot, "loyalty_lot_not_negative", {column: -1, "amount": 99}) for column in LOT_COLUMNS),
    (Lot, "loyalty_lot_not_negative", {"amount": 0}),
    (Lot, "loyalty_lot_conserved", {"amount": 101}),
    (Lot, "loyalty_lot_open_has_points", {"open": False}),
    (Lot, "loyalty_lot_open_has_points", {"remaining": 0, "spent": 100}),
    (Hold, "loyalty_hold_within_request", {"requested": 9}),
    (Hold, "loyalty_hold_within_request", {"points": 0}),
    (Hold, "loyalty_hold_within_request", {"captured": 11}),
    (Hold, "loyalty_hold_resolved_once", {"open_key": None}),
    (Hold, "loyalty_hold_resolved_once", {"state": "CAPTURED", "open_key": None, "captured": 5}),
    (Hold, "loyalty_hold_resolved_once", {"state": "RELEASED"}),
    (Hold, "loyalty_hold_resolved_once", {"state": "EXPIRED", "open_key": None, "captured": 5}),
    (Entry, "loyalty_entry_points_range", {"seq": 9, "key_digest": "x", "points": 0}),
    (Entry, "loyalty_entry_points_range", {"seq": 9, "key_digest": "x", "points": 10**12 + 1}),
    (Entry, "loyalty_entry_seq_positive", {"seq": 0, "key_digest": "x"}),
    (Posting, "loyalty_posting_balanced", {"points": 0}),
    (Posting, "loyalty_posting_balanced", {"points": -5}),
    (Posting, "loyalty_posting_balanced", {"credit": "EXP", "debit": "EXP"}),
]


@pytest.mark.parametrize(
    ("model", "constraint", "values"), VIOLATIONS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_the_database_refuses_a_row_that_breaks_a_promise(rows, model, constraint, values):
    row = rows[model]
    # Which of two broken promises is named is the engine's choice.
    with refused("loyalty_"):
        (copy if model in (Entry, Posting) else change)(row, **values)


def test_every_check_of_these_tables_is_broken_once():
    tested = {constraint for _model, constraint, _values in VIOLATIONS}
    for model in (Account, Lot, Hold, Entry, Posting):
        for constraint in model._meta.constraints:
            if isinstance(constraint, models.CheckConstraint):
                assert constraint.name in tested, constraint.name


def test_the_database_really_holds_the_checks(db):
    with connection.cursor() as cursor:
        for model in (Account, Lot, Hold, Entry, Posting):
            there = connection.introspection.get_constraints(cursor, model._meta.db_table)
            wanted = {c.name for c in model._meta.constraints if isinstance(c, models.CheckConstraint)}
            assert wanted <= {name for name, found in there.items() if found["check"]}


def test_one_open_account_each_and_any_number_of_closed_ones(rows):
    account = rows[Account]
    with refused():
        copy(account)
    for _ in range(3):
        copy(account, open_key=None)
    assert Account.objects.filter(member=account.member, open_key=None).count() == 3


def test_one_open_hold_for_a_basket_and_any_number_of_ended_ones(rows):
    with refused():
        copy(rows[Hold])
    for _ in range(3):
        copy(rows[Hold], open_key=None, state="RELEASED")
    assert Hold.objects.filter(ref="basket:1", open_key=None).count() == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("k1", "k1 "),
        ("k1", "K1"),
        ("cafe", "café"),
        ("cafe\u0301", "caf\u00e9"),
        ("ss", "\u00df"),
        ("k1", "k1\u200b"),
    ],
)
def test_keys_that_a_collation_takes_for_the_same_are_two(account, one, other):
    """MariaDB's default compares without case, accents and trailing blanks; digests know better."""
    first, second = earn(account, key=one), earn(account, key=other)
    assert first.pk != second.pk
    assert earn(account, key=one).pk == first.pk
    assert earn(account, key=other).pk == second.pk
    assert Entry.objects.get(pk=second.pk).idempotency_key == other


def test_a_big_integer_would_take_one_and_a_half_for_one(rows):
    """So the services look at the type before Django does."""
    account = rows[Account]
    account.seq = 1.5
    account.save(update_fields=["seq"])
    account.refresh_from_db()
    assert account.seq == 1
    with pytest.raises(services.InvalidPoints):
        services.hold_points(
            account_id=account.pk, ref="basket:2", requested=1.5, currency="EUR", expires_at=NOW, now=NOW
        )


def test_the_account_is_locked_in_the_way_that_its_engine_knows(rows, settings):
    settings.OSCAR_LOYALTY_FAST_PATH = False
    with CaptureQueriesContext(
        connection,
    ) as statements:
        services.settle_account(account_id=rows[Account].pk, now=NOW)
    (lock, *_) = [one["sql"] for one in statements if re.search(r"SELECT.*oscar_loyalty_account", one["sql"])]
    expected = {"postgresql": "FOR NO KEY UPDATE", "mysql": "FOR UPDATE", "sqlite": ""}[connection.vendor]
    found = re.search(r"FOR (NO KEY )?UPDATE", lock)
    assert (found[0] if found else "") == expected
    assert connection.features.has_select_for_no_key_update == (connection.vendor == "postgresql")


def test_what_never_expires_comes_last(account):
    """NULL comes first on two engines and last on the third; a moment in the far future has one place."""
    lots = {}
    for name, months in (("never", None), ("late", 60), ("soon", 1)):
        entry = services.award_points(
            account_id=account.pk,
            points=10,
            idempotency_key=name,
            source_ref=f"order:{name}",
            active_at=NOW,
            expiry_months=months,
            unit_value=Decimal("0.01"),
            currency="EUR",
            now=NOW,
        )
        lots[name] = Lot.objects.filter(postings__entry=entry).get().pk
    assert Lot.objects.get(pk=lots["never"]).expires_at == FAR_FUTURE
    found = list(Lot.objects.order_by("expires_at", "id").values_list("pk", flat=True))
    assert found == [lots["soon"], lots["late"], lots["never"]]
    assert not Lot._meta.get_field("expires_at").null


def test_no_constraint_or_index_of_ours_depends_on_a_condition():
    """MariaDB skips such a constraint (models.W036) and makes such an index in full (models.W037)."""
    for model in apps.get_app_config("oscar_loyalty").get_models():
        for constraint in model._meta.constraints:
            assert getattr(constraint, "condition", None) is None or isinstance(
                constraint, models.CheckConstraint
            ), constraint.name
        for index in model._meta.indexes:
            assert index.condition is None, index.name
            assert not index.include, index.name
            assert not index.expressions, index.name
        for field in model._meta.concrete_fields:
            assert not isinstance(field, models.GeneratedField)


def test_no_check_of_django_complains_about_this_engine():
    found = run_checks(app_configs=[apps.get_app_config("oscar_loyalty")], databases=["default"])
    assert [message for message in found if message.id.startswith(("models.W", "fields.W", "mysql."))] == []


def test_sqlite_without_its_write_lock_is_an_error_for_each_database(settings):
    sqlite = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
    immediate = {"OPTIONS": {"transaction_mode": "IMMEDIATE"}}
    settings.DATABASES = {
        "default": sqlite | immediate,
        "archive": sqlite,
        "deferred": sqlite | {"OPTIONS": {"transaction_mode": "DEFERRED"}},
        "server": {"ENGINE": "django.db.backends.postgresql", "NAME": "x"},
    }
    found = [m for m in run_checks(tags=["oscar_loyalty"]) if m.id == "oscar_loyalty.E006"]
    assert [message.level for message in found] == [ERROR, ERROR]
    assert ["'archive'" in found[0].msg, "'deferred'" in found[1].msg] == [True, True]


def test_transactions_read_what_is_committed_and_no_old_picture(db):
    """Django's default on MariaDB; under REPEATABLE READ a lock would come with old rows beside it."""
    if connection.vendor == "sqlite":
        assert connection.transaction_mode == "IMMEDIATE"
        return
    query = {"mysql": "SELECT @@tx_isolation", "postgresql": "SHOW transaction_isolation"}[connection.vendor]
    with connection.cursor() as cursor:
        cursor.execute(query)
        assert cursor.fetchone()[0].upper().replace("-", " ") == "READ COMMITTED"


def test_a_message_can_wait_or_be_sent_but_not_both(db):
    values = {"topic": "t", "created_at": NOW, "available_at": NOW}
    with refused("loyalty_outbox_sent_or_waiting"):
        OutboxMessage.objects.create(key="a", waiting=True, sent_at=NOW, **values)
    with refused("loyalty_outbox_sent_or_waiting"):
        OutboxMessage.objects.create(key="b", waiting=False, sent_at=None, **values)


def test_ids_are_of_64_bits_and_points_fit(rows):
    for model in (Account, Lot, Hold, Entry, Posting):
        assert isinstance(model._meta.pk, models.BigAutoField)
    assert MOST_POINTS < 2**63
    assert Member._meta.pk.get_internal_type() == "BigAutoField"
