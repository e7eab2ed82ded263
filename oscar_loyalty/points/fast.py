"""
One booking in one statement, on PostgreSQL: the fast path behind the services of the same names.

Each function here takes what its service takes. It returns what the service returns, or ``None``: the
engine has no such functions, they are switched off, or this booking is not a plain one (see
``postgresql_functions.sql`` and ``award_function.sql`` in ``migrations/sql``). Then nothing was written, and
the portable path books or raises. Outside a transaction the statement is one of its own and needs no round
trip to begin or commit.

Internal to the room.
"""

import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from django.conf import settings
from django.db import OperationalError, connection

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.points.book import check_points
from oscar_loyalty.points.hashing import award_fingerprint, digest
from oscar_loyalty.points.models import Entry, Hold
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.points.texts import check_json, check_references, check_text
from oscar_loyalty.programmes.rules import FAR_FUTURE, expiry_after

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

_ENTRY_COLUMNS = [field.attname for field in Entry._meta.concrete_fields]
_HOLD_COLUMNS = [field.attname for field in Hold._meta.concrete_fields]

#: Seconds after which a process looks again for functions that were not there: it may have started
#: before the migration ran.
LOOK_AGAIN = 60
#: By database: whether the functions are there, and until when to believe it.
_known: dict[str, tuple[bool, float]] = {}
#: By database: the time zone of the programme that the last award was for, so very likely of the next.
_time_zones: dict[str, str] = {}

_AWARD = (
    "SELECT * FROM oscar_loyalty_award_2(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
    " %s::text[], %s::text[], %s::numeric[], %s::bigint[], %s, %s, %s)"
)
#: The last one of each migration.
_ARE_THERE = (
    "SELECT to_regproc('oscar_loyalty_release_1') IS NOT NULL"
    " AND to_regproc('oscar_loyalty_award_2') IS NOT NULL"
)
_HOLD = "SELECT * FROM oscar_loyalty_hold_1(%s, %s, %s, %s, %s, %s, %s)"
_CAPTURE = "SELECT * FROM oscar_loyalty_capture_1(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_RELEASE = "SELECT * FROM oscar_loyalty_release_1(%s, %s, %s)"


def with_fast_path(fast: Callable[..., R | None]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A service that asks ``fast`` first and books itself when that answers ``None``."""

    def decorate(portable: Callable[P, R]) -> Callable[P, R]:
        @wraps(portable)
        def service(*args: P.args, **kwargs: P.kwargs) -> R:
            if is_available():
                booked = fast(*args, **kwargs)
                if booked is not None:
                    return booked
            return portable(*args, **kwargs)

        return service

    return decorate


def is_available() -> bool:
    """Whether the database has the functions and the shop wants them."""
    if connection.vendor != "postgresql" or not loyalty_settings.fast_path:
        return False
    name = str(connection.settings_dict["NAME"])
    found, until = _known.get(name, (False, 0.0))
    if not found and time.monotonic() > until:
        with connection.cursor() as cursor:
            cursor.execute(_ARE_THERE)
            found = bool(cursor.fetchone()[0])
        _known[name] = found, time.monotonic() + LOOK_AGAIN
    return found


def forget() -> None:
    """Look for the functions again: somebody has just installed or removed them."""
    _known.clear()


def award_points(
    *,
    account_id: int,
    points: int,
    idempotency_key: str,
    source_ref: str,
    active_at: datetime,
    expiry_months: int | None,
    unit_value: Decimal,
    currency: str,
    now: datetime,
    order_ref: str = "",
    lines: Sequence[LineEarning] = (),
    explanation: dict[str, Any] | None = None,
    effective_at: datetime | None = None,
) -> Entry | None:
    check_points(points)
    if active_at <= now or not isinstance(order_ref, str):
        return None
    explanation = explanation or {}
    check_references(idempotency_key, source_ref, order_ref, *(line.ref for line in lines))
    check_references(*(line.rule_code for line in lines))
    check_text(currency, most=3)
    check_json(explanation)
    key_digest = digest(idempotency_key)
    fingerprint = award_fingerprint(points=points, source_ref=source_ref, lines=lines)
    database = str(connection.settings_dict["NAME"])
    while True:
        # When a day ends is the programme's to say. The function says so if this was a wrong guess.
        time_zone, expires_at = None, FAR_FUTURE
        if active_at != FAR_FUTURE and expiry_months is not None:
            time_zone = _time_zones.setdefault(database, settings.TIME_ZONE)
            expires_at = expiry_after(active_at, months=expiry_months, time_zone=time_zone)
        public_id, group_id = uuid.uuid4(), uuid.uuid4()
        row = _ask(
            _AWARD,
            (
                *(account_id, points, idempotency_key, key_digest, fingerprint, source_ref, active_at),
                *(expires_at, time_zone, expiry_months, unit_value, currency, order_ref),
                *(json.dumps(explanation), digest(explanation), effective_at or now, now),
                [line.rule_code for line in lines],
                [line.ref for line in lines],
                [line.basis for line in lines],
                [line.points for line in lines],
                *(uuid.uuid4(), public_id, group_id),
            ),
        )
        if row is None:
            return None
        if row[0] != "zone":
            break
        _time_zones[database] = row[1]
    _, _, entry_id, seq, available_after, prev_hash, hash_ = row
    return _entry(
        id=entry_id,
        public_id=public_id,
        account_id=account_id,
        group_id=group_id,
        kind=Entry.Kind.EARN,
        idempotency_key=idempotency_key,
        key_digest=key_digest,
        fingerprint=fingerprint,
        points=points,
        seq=seq,
        available_after=available_after,
        effective_at=effective_at or now,
        created_at=now,
        order_ref=order_ref,
        explanation=explanation,
        prev_hash=prev_hash,
        hash=hash_,
    )


def hold_points(
    *, account_id: int, ref: str, requested: int, currency: str, expires_at: datetime, now: datetime
) -> Hold | None:
    check_points(requested)
    check_references(ref)
    check_text(currency, most=3)
    row = _ask(_HOLD, (account_id, ref, requested, currency, expires_at, now, uuid.uuid4()))
    if row is None:
        return None
    _, _, hold_id, public_id, points, created_at = row
    values = {
        "id": hold_id,
        "public_id": public_id,
        "account_id": account_id,
        "ref": ref,
        "open_key": ref,
        "requested": requested,
        "points": points,
        "captured": 0,
        "amount": Decimal(0),
        "currency": currency,
        "state": Hold.State.OPEN,
        "created_at": created_at,
        "expires_at": expires_at,
        "closed_at": None,
        "order_ref": None,
    }
    return Hold.from_db(connection.alias, _HOLD_COLUMNS, [values[name] for name in _HOLD_COLUMNS])


def capture_hold(*, ref: str, points: int, amount: Decimal, order_ref: str, now: datetime) -> Entry | None:
    check_points(points)
    if not isinstance(order_ref, str) or not isinstance(amount, Decimal) or not amount.is_finite():
        return None
    key = f"spend:{order_ref}"
    check_references(ref, key)
    key_digest, fingerprint = digest(key), digest([Entry.Kind.SPEND, points])
    public_id, group_id = uuid.uuid4(), uuid.uuid4()
    row = _ask(
        _CAPTURE,
        (
            *(ref, points, amount, str(amount), order_ref, key, key_digest, fingerprint, now),
            *(public_id, group_id),
        ),
    )
    if row is None:
        return None
    _, _, entry_id, account_id, currency, seq, available_after, prev_hash, hash_ = row
    return _entry(
        id=entry_id,
        public_id=public_id,
        account_id=account_id,
        group_id=group_id,
        kind=Entry.Kind.SPEND,
        idempotency_key=key,
        key_digest=key_digest,
        fingerprint=fingerprint,
        points=points,
        seq=seq,
        available_after=available_after,
        effective_at=now,
        created_at=now,
        order_ref=order_ref,
        explanation={"amount": str(amount), "currency": currency},
        prev_hash=prev_hash,
        hash=hash_,
    )


def release_hold(
    *, ref: str, now: datetime, state: str = Hold.State.RELEASED, actor_ref: str = "system"
) -> int | None:
    check_references(ref)
    if actor_ref != "system":
        return None  # rare: a reservation that staff end
    row = _ask(_RELEASE, (ref, str(state), now))
    return None if row is None else int(row[2])


def _ask(statement: str, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The row of a function that has booked, or ``None`` for the portable path."""
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        row: tuple[Any, ...] = cursor.fetchone()
    outcome, detail = row[:2]
    if outcome == "locked":
        # Not raised by PostgreSQL, so that a transaction around this one can go on.
        raise OperationalError(detail)
    if outcome == "portable":
        if detail:
            logger.warning("The fast path left a booking to the portable one: %s", detail)
        return None
    return row


def _entry(**values: Any) -> Entry:
    values |= {"actor_ref": "system", "reason_code": "", "reverses_id": None}
    return Entry.from_db(connection.alias, _ENTRY_COLUMNS, [values[name] for name in _ENTRY_COLUMNS])
