"""
A contract is withdrawn from (§ 356a BGB): declaration → receipt → return.

The declaration counts from the moment it is written down. Its receipt goes out in the same breath, without a
worker or a broker; whether it fits an order is found out afterwards and changes nothing that the caller sees.
What no order fits, or what is late, waits for staff.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext

from oscar_loyalty.flows.mailed_links import A_DAY, fold_email, is_rare
from oscar_loyalty.flows.return_terms import (
    Pick,
    ReturnableLine,
    ReturnableOrder,
    ReturnRefused,
    find_returnable,
)
from oscar_loyalty.flows.returns import request_return
from oscar_loyalty.outbox.services import relay_messages
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.returns import withdrawal_services as services
from oscar_loyalty.returns.models import Return, Withdrawal
from oscar_loyalty.shop.mail import send_to_address
from oscar_loyalty.shop.order_owners import OwnedOrder, find_owned_orders

logger = logging.getLogger(__name__)

#: Receipts to one address within a day: nobody's inbox is filled by a stranger.
MOST_RECEIPTS_A_DAY = 10
#: Words of "which order" that are tried as numbers.
_MOST_NUMBERS = 10
_SYSTEM = "system"


class AssignmentRefused(ValueError):
    """
    Staff's choice cannot be; ``code``: ``order_missing``, ``already_done``, ``note_missing``, or one of
    ``ReturnRefused``.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def declare_withdrawal(
    *,
    key: str,
    name: str,
    email: str,
    order_text: str,
    goods: str = "",
    lines: Mapping[int, int] | None = None,
    user_id: int | None,
    language: str,
    now: datetime,
) -> Withdrawal:
    """
    Write down a declaration, and send its receipt as soon as it is committed. ``goods`` names in words what
    is withdrawn from, ``lines`` says it by pieces of the order's lines; without both it is everything.
    ``key`` is the caller's for this declaration: with it the same words again change nothing.

    Nothing is refused. Where an address had its fill of receipts today, this one follows tomorrow.
    """
    is_usual = is_rare(f"withdrawal-mail:{fold_email(email)}", most=MOST_RECEIPTS_A_DAY, seconds=A_DAY)
    withdrawal, is_new = services.record_withdrawal(
        key=key,
        name=name,
        email=email,
        order_text=order_text,
        content=write_declaration(
            name=name, order_text=order_text, goods=goods, lines=lines or {}, language=language
        ),
        lines=lines or {},
        names_goods=bool(goods) and not lines,
        user_id=user_id,
        language=language,
        receipt_at=now if is_usual else now + timedelta(days=1),
        now=now,
    )
    if is_new:
        _send_at_once(services.name_messages(withdrawal), now=now)
    return withdrawal


def write_declaration(
    *, name: str, order_text: str, goods: str = "", lines: Mapping[int, int] | None = None, language: str = ""
) -> str:
    """The declaration in full, as it is shown before it is confirmed, kept, and repeated in the receipt."""
    with translation.override(language or translation.get_language()):
        words = gettext("I, %(name)s, hereby withdraw from the contract for this order: %(order)s")
        parts = [words % {"name": name, "order": order_text}]
        if lines and not goods:
            named = ", ".join(name_pieces(pieces, f"#{line_id}") for line_id, pieces in sorted(lines.items()))
            parts.append(gettext("Only these lines of the order: %(lines)s") % {"lines": named})
        if goods:
            parts.append(gettext("Only these goods: %(goods)s") % {"goods": goods})
        return "\n".join(parts)


def name_pieces(pieces: int, title: str) -> str:
    return f"{pieces} \N{MULTIPLICATION SIGN} {title}"


def send_receipt(*, withdrawal_id: int, now: datetime) -> None:
    """Mail the receipt, once. What the mail server raises is passed on: the outbox tries again."""
    with transaction.atomic():
        withdrawal = services.lock_withdrawal(withdrawal_id=withdrawal_id)
        if withdrawal.receipt_sent_at is not None:
            return
        send_to_address(
            address=withdrawal.email,
            language=withdrawal.language,
            code="LOYALTY_WITHDRAWAL_RECEIPT",
            context={
                "number": withdrawal.number,
                "declaration": withdrawal.content,
                "received_at": withdrawal.received_at,
                "time_zone": programmes.find_time_zone(),
            },
        )
        services.note_receipt(withdrawal=withdrawal, now=now)


def find_order_of_withdrawal(*, withdrawal_id: int, now: datetime) -> None:
    """
    Make a declaration a return of the order that it names, if that is clear; else note why it waits for
    staff. It is judged by the moment at which it was received, however late this runs. Safe to repeat.
    """
    with transaction.atomic():
        withdrawal = services.lock_withdrawal(withdrawal_id=withdrawal_id)
        if withdrawal.state != Withdrawal.State.RECEIVED or withdrawal.finding:
            return
        fitting = _list_fitting(withdrawal)
        if len(fitting) != 1:
            finding = Withdrawal.Finding.SEVERAL if fitting else Withdrawal.Finding.NO_ORDER
            services.note_finding(withdrawal=withdrawal, finding=finding)
            return
        if why_not := _turn_into_return(withdrawal, order=fitting[0], now=now):
            services.note_finding(withdrawal=withdrawal, finding=why_not)


def assign_withdrawal(
    *,
    withdrawal_id: int,
    order_number: str,
    actor_ref: str,
    now: datetime,
    picks: Sequence[Pick] | None = None,
    kind: str = Return.Kind.WITHDRAWAL,
) -> Return:
    """
    Staff say which order a declaration is about, and which goods (``None``: all that may come back). A late
    one may be taken as an ordinary return (``kind``).

    :raises AssignmentRefused: nothing was changed
    """
    with transaction.atomic():
        withdrawal = services.lock_withdrawal(withdrawal_id=withdrawal_id)
        if withdrawal.state != Withdrawal.State.RECEIVED:
            raise AssignmentRefused("already_done")
        found = find_owned_orders([order_number.strip().removeprefix("#")])
        if not found:
            raise AssignmentRefused("order_missing")
        try:
            return _open_return(
                withdrawal, order=found[0], picks=picks, kind=kind, handled_by=actor_ref, now=now
            )
        except ReturnRefused as refused:
            raise AssignmentRefused(refused.code) from refused


def close_withdrawal(*, withdrawal_id: int, note: str, actor_ref: str, now: datetime) -> Withdrawal:
    """
    Staff have dealt with a declaration in another way, and say how.

    :raises AssignmentRefused: ``already_done``, ``note_missing``
    """
    if not note.strip():
        raise AssignmentRefused("note_missing")
    with transaction.atomic():
        withdrawal = services.lock_withdrawal(withdrawal_id=withdrawal_id)
        try:
            services.close_withdrawal(withdrawal=withdrawal, note=note, handled_by=actor_ref, now=now)
        except services.WithdrawalDone as error:
            raise AssignmentRefused("already_done") from error
        return withdrawal


def _send_at_once(keys: Sequence[str], *, now: datetime) -> None:
    def send() -> None:
        # One after the other: an order that cannot be looked at keeps no receipt back.
        for key in keys:
            try:
                relay_messages(now=now, keys=[key])
            except Exception:
                logger.exception("%s waits for the relay of the outbox", key)

    transaction.on_commit(send, robust=True)


def _list_fitting(withdrawal: Withdrawal) -> list[OwnedOrder]:
    """Orders that the declaration names and that are the declarant's: by login, or by address."""
    return [
        order
        for order in find_owned_orders(_list_numbers(withdrawal.order_text))
        if (order.user_id is not None and order.user_id == withdrawal.user_id)
        or (order.email and fold_email(order.email) == fold_email(withdrawal.email))
    ]


def _list_numbers(text: str) -> list[str]:
    """What may be the number of an order in "order #100042 of 3 May"."""
    words = [word.strip("-") for word in re.findall(r"[\w/-]{3,}", text)]
    return list(dict.fromkeys([text.strip().removeprefix("#"), *words[:_MOST_NUMBERS]]))


def _turn_into_return(withdrawal: Withdrawal, *, order: OwnedOrder, now: datetime) -> str:
    """:return: why it could not be, empty when it was"""
    returnable = find_returnable(order_id=order.order_id, now=withdrawal.received_at)
    until = returnable.withdraw_until
    if until is not None and withdrawal.received_at >= until:
        return Withdrawal.Finding.LATE
    lines = {int(line_id): pieces for line_id, pieces in withdrawal.lines.items()}
    picks = [Pick(line_id=line_id, quantity=pieces) for line_id, pieces in lines.items()]
    try:
        with transaction.atomic():
            _open_return(
                withdrawal,
                order=order,
                picks=picks or list_withdrawable(returnable),
                kind=Return.Kind.WITHDRAWAL,
                handled_by=_SYSTEM,
                now=now,
            )
    except ReturnRefused as refused:
        logger.info("Withdrawal %s waits for staff: %s", withdrawal.number, refused.code)
        return Withdrawal.Finding.REFUSED
    return ""


def count_withdrawable(line: ReturnableLine) -> int:
    """Pieces of a line, whether they have arrived or not."""
    return 0 if line.why_none == "too_late" else line.ordered - line.returned


def list_withdrawable(returnable: ReturnableOrder) -> list[Pick]:
    """All that an order leaves to withdraw from; also goods that have not arrived yet (§ 355 BGB)."""
    picks = []
    for line in returnable.lines:
        pieces = count_withdrawable(line)
        if pieces and not line.only_faults:
            picks.append(Pick(line_id=line.line_id, quantity=pieces))
    return picks


def _open_return(
    withdrawal: Withdrawal,
    *,
    order: OwnedOrder,
    picks: Sequence[Pick] | None,
    kind: str,
    handled_by: str,
    now: datetime,
) -> Return:
    """:raises ReturnRefused: it cannot become a return"""
    at = withdrawal.received_at
    if picks is None:
        picks = list_withdrawable(find_returnable(order_id=order.order_id, now=at))
    made = request_return(
        order_id=order.order_id,
        picks=picks,
        kind=kind,
        actor_ref="customer" if order.user_id is not None else "guest",
        # It was asked for when it was declared: that is what every period is counted from.
        now=at,
        language=withdrawal.language,
        idempotency_key=f"withdrawal:{withdrawal.pk}",
    )
    services.match_withdrawal(withdrawal=withdrawal, of_return=made, handled_by=handled_by, now=now)
    return made
