"""Writes about returns: opening one, moving it on, and what happened to it. Callers hold the order's lock."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.returns.models import NOTHING, Condition, Return, ReturnEvent, ReturnLine, ReturnPolicy
from oscar_loyalty.returns.states import State, may_follow

#: Of the outbox: something happened to a return that its customer may want to know.
CHANGED_TOPIC = "return_changed"
#: Crockford's base 32: no I, L, O, U, so that nobody misreads a number.
_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: What German law asks for, written down: 14 days to withdraw, two years of liability for faults.
FIRST_POLICY = {"window_days": 14, "fault_days": 730, "refund_days": 5, "country": "DE"}
_MOMENTS = {
    State.IN_TRANSIT: "shipped_at",
    State.RECEIVED: "received_at",
    State.REFUNDED: "refunded_at",
    State.SETTLED: "settled_at",
    State.REJECTED: "closed_at",
    State.CANCELLED: "closed_at",
}


class WrongState(Exception):
    """A return cannot go where somebody wants it to go; ``code`` is the state it is in."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class WantedLine:
    line_id: int
    title: str
    sku: str
    upc: str
    quantity: int
    reason: str
    comment: str = ""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """
    What the desk says of a line: pieces that are ``accepted``, in which ``condition``, less a ``deduction``.
    """

    line_id: int
    accepted: int
    condition: str = Condition.AS_NEW
    deduction: Decimal = NOTHING
    refusal: str = ""


class DecisionInvalid(ValueError):
    """
    ``code``: ``unknown_line``, ``too_many``, ``deduction_too_high``, ``reason_missing``, ``line_missing``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def make_number(prefix: str = "R") -> str:
    """A number that cannot be guessed and is easy to read aloud: ``R`` and nine letters of 32."""
    return prefix + "".join(secrets.choice(_LETTERS) for _ in range(9))


def open_return(
    *,
    order_ref: str,
    order_id: int,
    member_id: int | None,
    user_id: int | None,
    email: str,
    language: str,
    kind: str,
    policy_id: int | None,
    currency: str,
    lines: Iterable[WantedLine],
    fee: Decimal,
    free_because: str,
    refund_to: str,
    set_off_agreed: bool,
    keeps_goods: bool,
    send_until: datetime | None,
    refund_due_at: datetime | None,
    idempotency_key: str | None,
    actor_ref: str,
    now: datetime,
) -> Return:
    """Write down a return with its lines. Whether it may be is decided by who calls."""
    made = Return.objects.create(
        number=make_number(),
        order_ref=order_ref,
        order_id=order_id,
        member_id=member_id,
        user_id=user_id,
        email=email,
        language=language,
        kind=kind,
        policy_id=policy_id,
        currency=currency,
        fee=fee,
        free_because=free_because,
        refund_to=refund_to,
        set_off_agreed=set_off_agreed,
        keeps_goods=keeps_goods,
        send_until=send_until,
        refund_due_at=refund_due_at,
        idempotency_key=idempotency_key,
        requested_at=now,
    )
    ReturnLine.objects.bulk_create(
        ReturnLine(
            of_return=made,
            line_id=line.line_id,
            title=line.title[:255],
            sku=line.sku[:128],
            upc=line.upc[:128],
            quantity=line.quantity,
            reason=line.reason,
            comment=line.comment[:2000],
        )
        for line in lines
    )
    note_event(of_return=made, code=State.REQUESTED, now=now, actor_ref=actor_ref)
    return made


def lock_return(*, return_id: int) -> Return:
    """Under its row lock, after that of the order. :raises Return.DoesNotExist"""
    return Return.objects.select_for_update().get(pk=return_id)


def move_return(
    *, of_return: Return, state: str, now: datetime, actor_ref: str, reason: str = "", **details: Any
) -> ReturnEvent:
    """
    Take a return, locked by the caller, to another state and write down who did so when and why.

    :raises WrongState: that does not follow where it is
    """
    if not may_follow(of_return.state, state):
        raise WrongState(of_return.state)
    of_return.state = state
    if moment := _MOMENTS.get(State(state)):
        setattr(of_return, moment, now)
    of_return.save()
    return note_event(of_return=of_return, code=state, now=now, actor_ref=actor_ref, reason=reason, **details)


def note_event(
    *, of_return: Return, code: str, now: datetime, actor_ref: str, reason: str = "", **details: Any
) -> ReturnEvent:
    """Write down what happened without a change of state, and have it told."""
    event = ReturnEvent.objects.create(
        of_return=of_return,
        at=now,
        code=code,
        state=of_return.state,
        actor_ref=actor_ref,
        reason=reason[:255],
        details=details,
    )
    message = OutboxMessage(
        topic=CHANGED_TOPIC,
        key=f"{CHANGED_TOPIC}:{event.pk}",
        payload={"return": str(of_return.public_id), "event": event.pk, "code": code},
        created_at=now,
        available_at=now,
    )
    write_messages([message])
    return event


def decide_lines(*, of_return: Return, decisions: Mapping[int, Decision], cent: Decimal) -> list[ReturnLine]:
    """
    Write down what the desk found, for every line of a return.

    :raises DecisionInvalid: a line is missing or unknown, more than was sent, no reason for what is refused,
        a deduction that is no amount in whole coins (``cent``)
    """
    lines = list(of_return.lines.order_by("id"))
    if decisions.keys() - {line.line_id for line in lines}:
        raise DecisionInvalid("unknown_line")
    for line in lines:
        decision = decisions.get(line.line_id)
        if decision is None:
            raise DecisionInvalid("line_missing")
        if not 0 <= decision.accepted <= line.quantity:
            raise DecisionInvalid("too_many")
        if decision.deduction < 0 or decision.deduction % cent:
            raise DecisionInvalid("deduction_too_high")
        if (decision.accepted < line.quantity or decision.deduction) and not decision.refusal.strip():
            raise DecisionInvalid("reason_missing")
        line.accepted = decision.accepted
        line.condition = Condition(decision.condition)
        line.deduction = decision.deduction
        line.refusal = decision.refusal.strip()[:255]
        line.save()
    return lines


def accept_all(*, of_return: Return) -> list[ReturnLine]:
    """As if everything came back as it was sent: what a preview shows, and what a refund in advance pays."""
    lines = list(of_return.lines.order_by("id"))
    for line in lines:
        line.accepted = line.quantity
        line.save(update_fields=["accepted"])
    return lines


def make_first_policies(
    *, programme_id: int, currencies: Iterable[str], terms: Mapping[str, Any], now: datetime
) -> int:
    """A policy for each currency that has none; return how many were made."""
    made = 0
    for currency in currencies:
        mine = ReturnPolicy.objects.filter(programme_id=programme_id, currency=currency)
        if not mine.exists():
            ReturnPolicy.objects.create(
                programme_id=programme_id, currency=currency, active_from=now, **terms
            )
            made += 1
    return made
