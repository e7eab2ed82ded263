"""
The hash that chains each entry of an account to the one before it.

Text of one line per field, made so that SQL can write the same: whoever changes it here changes the
functions in ``oscar_loyalty/migrations/sql`` too, and every chain that is already stored.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from oscar_loyalty.points.rules import LineEarning

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Made once: json.dumps would make one for each call.
_to_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str).encode


def digest(value: object) -> str:
    """SHA-256 of a value's canonical JSON, in hex."""
    return hashlib.sha256(_to_json(value).encode("ascii")).hexdigest()


def award_fingerprint(*, points: int, source_ref: str, lines: Sequence[LineEarning]) -> str:
    """What makes two awards the same request. A line of the base rate is spelt as it was before there
    were other rules: stored fingerprints stay what they are."""
    facts = [
        {"ref": line.ref, "basis": line.basis, "points": line.points}
        | ({} if line.rule_code == "PURCHASE" else {"rule": line.rule_code})
        for line in lines
    ]
    return digest(["AWARD", points, source_ref, facts])


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970 in UTC: one spelling of a moment on every engine."""
    return (moment - _EPOCH) // _MICROSECOND


def chain_hash(
    *,
    prev_hash: str,
    account: str,
    seq: int,
    kind: str,
    key_digest: str,
    fingerprint: str,
    points: int,
    available_after: int,
    effective_at: datetime,
    created_at: datetime,
    actor_ref: str,
    order_ref: str,
    reason_code: str,
    explanation_digest: str,
    reverses: str,
    moves: Iterable[tuple[str, str, int, str]],
) -> str:
    """
    SHA-256 in hex. ``account`` is the account's public id, ``reverses`` the hash of the entry that is
    undone or empty, ``moves`` are ``(debit, credit, points, public id of the lot or empty)``.
    """
    return link_hash(
        *(prev_hash, account, seq, kind, key_digest, fingerprint, points, available_after),
        *(microseconds(effective_at), microseconds(created_at), actor_ref, order_ref, reason_code),
        *(explanation_digest, reverses),
        ";".join(f"{debit}>{credit}:{share}:{lot}" for debit, credit, share, lot in moves),
    )


def link_hash(
    prev_hash: str,
    account: str,
    seq: int,
    kind: str,
    key_digest: str,
    fingerprint: str,
    points: int,
    available_after: int,
    effective_us: int,
    created_us: int,
    actor_ref: str,
    order_ref: str,
    reason_code: str,
    explanation_digest: str,
    reverses: str,
    moves: str,
) -> str:
    """The same for who has millions of them: moments in microseconds, moves as the text that they are."""
    # Free text comes with its length, so that no two entries spell the same.
    return hashlib.sha256(
        (
            f"{prev_hash}\n{account}\n{seq}\n{kind}\n{key_digest}\n{fingerprint}\n{points}\n{available_after}\n"
            f"{effective_us}\n{created_us}\n{len(actor_ref)}:{actor_ref}\n{len(order_ref)}:{order_ref}\n"
            f"{len(reason_code)}:{reason_code}\n{explanation_digest}\n{reverses}\n{moves}"
        ).encode()
    ).hexdigest()
