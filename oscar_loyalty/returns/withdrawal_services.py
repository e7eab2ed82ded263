"""
Declarations of withdrawal: written down word for word, and what became of them.

A declaration is valid the moment it arrives (§ 130 BGB). Nothing here refuses one.
"""

import uuid
from collections.abc import Mapping
from datetime import datetime

from django.db import IntegrityError, transaction

from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.returns.models import Return, Withdrawal
from oscar_loyalty.returns.services import make_number

#: Of the outbox: the receipt is to be mailed, and the order to be found.
RECEIPT_TOPIC = "withdrawal_receipt"
MATCH_TOPIC = "withdrawal_match"
TOPICS = (RECEIPT_TOPIC, MATCH_TOPIC)

_NAMESPACE = uuid.UUID("6f0f3f0e-9a52-4f0b-8a2e-9f7d5f6e1c55")


class WithdrawalDone(ValueError):
    """It has become a return, or was closed, already."""


def record_withdrawal(
    *,
    key: str,
    name: str,
    email: str,
    order_text: str,
    content: str,
    lines: Mapping[int, int],
    names_goods: bool,
    user_id: int | None,
    language: str,
    receipt_at: datetime,
    now: datetime,
) -> tuple[Withdrawal, bool]:
    """
    Write down a declaration and order its receipt, in one transaction; return it and whether it is new. The
    same words with the same ``key`` are the same declaration; other words are another one, whatever the key.
    """
    public_id = _identify(key, name, email, order_text, content, str(sorted(lines.items())))
    if earlier := Withdrawal.objects.filter(public_id=public_id).first():
        return earlier, False
    try:
        with transaction.atomic():
            withdrawal = Withdrawal.objects.create(
                public_id=public_id,
                number=make_number("W"),
                name=name,
                email=email,
                order_text=order_text,
                content=content,
                lines={str(line_id): pieces for line_id, pieces in lines.items()},
                finding=Withdrawal.Finding.PART if names_goods else "",
                user_id=user_id,
                language=language,
                received_at=now,
            )
            write_messages(
                [
                    _message(RECEIPT_TOPIC, withdrawal, now=now, at=receipt_at),
                    _message(MATCH_TOPIC, withdrawal, now=now, at=now),
                ]
            )
    except IntegrityError:
        # A second click at the same moment.
        return Withdrawal.objects.get(public_id=public_id), False
    return withdrawal, True


def lock_withdrawal(*, withdrawal_id: int) -> Withdrawal:
    """Under its row lock. :raises Withdrawal.DoesNotExist"""
    return Withdrawal.objects.select_for_update().get(pk=withdrawal_id)


def match_withdrawal(*, withdrawal: Withdrawal, of_return: Return, handled_by: str, now: datetime) -> None:
    """A declaration, locked by the caller, has become a return. :raises WithdrawalDone"""
    _refuse_done(withdrawal)
    withdrawal.state = Withdrawal.State.MATCHED
    withdrawal.of_return = of_return
    withdrawal.handled_by = handled_by
    withdrawal.closed_at = now
    withdrawal.save()


def close_withdrawal(*, withdrawal: Withdrawal, note: str, handled_by: str, now: datetime) -> None:
    """Staff have dealt with a declaration, locked by the caller, in another way. :raises WithdrawalDone"""
    _refuse_done(withdrawal)
    withdrawal.state = Withdrawal.State.CLOSED
    withdrawal.closing_note = note.strip()[:255]
    withdrawal.handled_by = handled_by
    withdrawal.closed_at = now
    withdrawal.save()


def note_finding(*, withdrawal: Withdrawal, finding: str) -> None:
    """Why a declaration waits for staff."""
    withdrawal.finding = finding
    withdrawal.save(update_fields=["finding"])


def note_receipt(*, withdrawal: Withdrawal, now: datetime) -> None:
    withdrawal.receipt_sent_at = now
    withdrawal.save(update_fields=["receipt_sent_at"])


def name_messages(withdrawal: Withdrawal) -> list[str]:
    """Keys in the outbox of what a declaration has ordered, the receipt first."""
    return [f"{topic}:{withdrawal.pk}" for topic in TOPICS]


def _message(topic: str, withdrawal: Withdrawal, *, now: datetime, at: datetime) -> OutboxMessage:
    return OutboxMessage(
        topic=topic,
        key=f"{topic}:{withdrawal.pk}",
        payload={"withdrawal": withdrawal.pk},
        created_at=now,
        available_at=at,
    )


def _identify(*parts: str) -> uuid.UUID:
    return uuid.uuid5(_NAMESPACE, "\x1f".join(parts))


def _refuse_done(withdrawal: Withdrawal) -> None:
    if withdrawal.state != Withdrawal.State.RECEIVED:
        raise WithdrawalDone(withdrawal.state)
