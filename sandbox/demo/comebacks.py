"""Goods that come back: a policy, and returns in every state, so that the desk has something to do."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

from django.contrib.auth import get_user_model
from oscar.core.loading import get_model

from oscar_loyalty.flows import return_desk, return_steps, returns
from oscar_loyalty.flows.goodwill import give_goodwill
from oscar_loyalty.flows.return_terms import Pick, ReturnRefused
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.programmes.queries import get_programme
from oscar_loyalty.returns.models import Condition, Reason, Return, ReturnPolicy, Withdrawal
from oscar_loyalty.returns.services import Decision, move_return
from oscar_loyalty.returns.states import State

User = get_user_model()
Order = get_model("order", "Order")

DAY = timedelta(days=1)
#: Who works at the desk.
CLERK = "service"

#: Days ago on which the return was requested, why, and what was done since then.
STORIES: tuple[tuple[int, Reason, tuple[str, ...]], ...] = (
    (1, Reason.DOES_NOT_FIT, ()),
    (1, Reason.CHANGED_MIND, ("label",)),
    (3, Reason.NOT_AS_EXPECTED, ("transit",)),
    (4, Reason.FAULTY, ("transit", "receive")),
    (5, Reason.DAMAGED_IN_TRANSIT, ("transit", "receive")),
    (14, Reason.WITHDRAWAL, ("transit", "receive")),
    (6, Reason.WRONG_ITEM, ("receive", "accept")),
    (7, Reason.WITHDRAWAL, ("receive", "part")),
    (8, Reason.CHANGED_MIND, ("receive", "accept", "pay")),
    (9, Reason.NOT_AS_EXPECTED, ("transit", "receive", "accept", "pay")),
    (10, Reason.ARRIVED_LATE, ("transit", "receive", "accept", "pay")),
    (6, Reason.OTHER, ("receive", "reject")),
    (5, Reason.CHANGED_MIND, ("cancel",)),
)


def write_returns(
    random: Random, *, opened_at: datetime, until: datetime, report: Callable[[str], None]
) -> None:
    report("Returns in every state")
    ReturnPolicy.objects.create(
        programme=get_programme(),
        currency="EUR",
        active_from=opened_at,
        note="30 days, free of charge",
        window_days=30,
        goodwill_points=1000,
        goodwill_amount=Decimal("50.00"),
        keep_item_below=Decimal("3.00"),
    )
    clerk = User.objects.get(username=CLERK)
    orders = list(
        Order.objects.filter(
            status="Complete",
            user__loyalty_member__isnull=False,
            date_placed__gte=until - 35 * DAY,
            date_placed__lt=until - 12 * DAY,
        ).order_by("pk")
    )
    random.shuffle(orders)
    for days, reason, steps in STORIES:
        _tell(orders, reason=reason, steps=steps, asked_at=until - days * DAY, clerk_id=clerk.pk)
    if orders:
        _write_goodwill(orders.pop(), clerk_id=clerk.pk, now=until)
    _write_withdrawal(now=until)
    # It is the past: nobody gets a mail about it today.
    OutboxMessage.objects.filter(topic__in=("return_changed", "refund_changed")).delete()


def _tell(orders: list, *, reason: Reason, steps: tuple[str, ...], asked_at: datetime, clerk_id: int) -> None:
    """Of the first order that has goods to return at that moment."""
    while orders:
        order = orders.pop()
        picks = [
            Pick(line_id=line.pk, quantity=line.quantity, reason=reason)
            for line in order.lines.order_by("-line_price_incl_tax")[:2]
        ]
        try:
            made = returns.request_return(
                order_id=order.pk, picks=picks, actor_ref="customer", now=asked_at, language="de"
            )
        except ReturnRefused:
            continue
        if made.is_booked:
            # So little that the customer keeps it.
            continue
        for number, step in enumerate(steps, start=1):
            _STEPS[step](made, clerk_id=clerk_id, now=asked_at + number * timedelta(hours=19))
            made.refresh_from_db()
        return


def _pay(made: Return, *, clerk_id: int, now: datetime) -> None:
    for refund in return_desk.list_refunds(made):
        return_desk.pay_by_hand(
            return_id=made.pk,
            refund_id=refund.pk,
            reference=f"SEPA {refund.pk:06d}",
            actor_ref=f"user:{clerk_id}",
            now=now,
        )


def _part(made: Return, *, clerk_id: int, now: datetime) -> None:
    lines = list(made.lines.order_by("pk"))
    decisions = [
        Decision(line_id=line.line_id, accepted=line.quantity, condition=Condition.AS_NEW)
        for line in lines[1:]
    ]
    first = lines[0]
    decisions.append(
        Decision(
            line_id=first.line_id,
            accepted=first.quantity,
            condition=Condition.USED,
            deduction=Decimal("1.50"),
            refusal="Deutliche Gebrauchsspuren",
        )
    )
    return_steps.inspect_return(return_id=made.pk, decisions=decisions, actor_ref=f"user:{clerk_id}", now=now)


def _label(made: Return, *, clerk_id: int, now: datetime) -> None:
    move_return(of_return=made, state=State.LABEL_SENT, now=now, actor_ref="system")


_STEPS: dict[str, Callable[..., object]] = {
    "label": _label,
    "transit": lambda made, clerk_id, now: return_steps.mark_in_transit(
        return_id=made.pk, actor_ref="carrier", now=now
    ),
    "receive": lambda made, clerk_id, now: return_steps.receive_return(
        return_id=made.pk, actor_ref=f"user:{clerk_id}", now=now
    ),
    "accept": lambda made, clerk_id, now: return_desk.accept_everything(
        return_id=made.pk, actor_ref=f"user:{clerk_id}", now=now
    ),
    "part": _part,
    "pay": _pay,
    "reject": lambda made, clerk_id, now: return_steps.reject_return(
        return_id=made.pk, reason="Nicht bei uns gekauft", actor_ref=f"user:{clerk_id}", now=now
    ),
    "cancel": lambda made, clerk_id, now: returns.cancel_return(
        return_id=made.pk, actor_ref="customer", now=now
    ),
}


def _write_goodwill(order, *, clerk_id: int, now: datetime) -> None:
    """A part refund within the clerk's budget, and points above it that wait for the manager."""
    for number, gift in enumerate(({"amount": Decimal("2.00")}, {"points": 1500})):
        give_goodwill(
            order_id=order.pk,
            reason="Tasse kam zerbrochen an",
            customer_text_de="Entschuldigung für die zerbrochene Tasse",
            customer_text_en="Sorry for the broken cup",
            clerk_id=clerk_id,
            public_id=UUID(int=0x6F0F3F0E << 96 | number),
            now=now,
            **gift,
        )


def _write_withdrawal(*, now: datetime) -> None:
    Withdrawal.objects.create(
        number="W7K3MQ2X9D",
        name="Anke Lorenz",
        email="anke.lorenz@example.org",
        order_text="die Teekanne von letzter Woche",
        content="Hiermit widerrufe ich den Vertrag über die Teekanne.",
        language="de",
        finding=Withdrawal.Finding.NO_ORDER,
        received_at=now - DAY,
        receipt_sent_at=now - DAY,
    )
