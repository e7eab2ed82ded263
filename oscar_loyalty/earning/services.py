"""Budgets move here, under the lock of their rows; rules themselves are written with their version."""

from collections.abc import Collection, Mapping
from datetime import datetime

from django.db import transaction

from oscar_loyalty.earning.models import RuleBudget, WaitingOrder
from oscar_loyalty.earning.rules import Rule
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.outbox.services import write_messages
from oscar_loyalty.transactions import make_unless_there

#: Of the outbox: a rule has paused itself, and staff are told.
PAUSED_TOPIC = "rule_paused"


def lock_budgets(*, programme_id: int, codes: Collection[str]) -> dict[str, RuleBudget]:
    """
    The budgets of rules under their row locks, made where there are none yet; in the order of their codes,
    so that two orders never wait for each other. After the accounts, inside the transaction of the booking.
    """
    if not codes:
        return {}
    rows = RuleBudget.objects.filter(programme_id=programme_id, rule_code__in=codes)
    missing = set(codes) - set(rows.values_list("rule_code", flat=True))
    if missing:
        new = [RuleBudget(programme_id=programme_id, rule_code=code) for code in sorted(missing)]
        make_unless_there(new, key="rule_code")
    return {row.rule_code: row for row in rows.select_for_update().order_by("rule_code")}


def grant_points(
    *, budgets: Mapping[str, RuleBudget], granted: Mapping[str, int], rules: Mapping[str, Rule], now: datetime
) -> None:
    """
    Count what rules have given against their locked budgets. One that is used up pauses itself, and the
    news goes out with the transaction.
    """
    for code, points in sorted(granted.items()):
        budget, most = budgets[code], rules[code].budget_points
        if not points:
            continue
        budget.granted += points
        if most is not None and budget.granted >= most and budget.paused_at is None:
            budget.paused_at, budget.paused_reason = now, RuleBudget.Reason.BUDGET
            _announce(budget, now=now)
        budget.save(update_fields=["granted", "paused_at", "paused_reason"])


def pause_rule(*, programme_id: int, code: str, now: datetime) -> RuleBudget:
    """Staff stop a rule, whatever its budget; safe to repeat."""
    with transaction.atomic():
        budget = lock_budgets(programme_id=programme_id, codes=[code])[code]
        if budget.paused_at is None:
            budget.paused_at, budget.paused_reason = now, RuleBudget.Reason.STAFF
            budget.save(update_fields=["paused_at", "paused_reason"])
    return budget


def resume_rule(*, programme_id: int, code: str) -> RuleBudget:
    """Staff let a rule go on. Where its budget is used up it pauses itself again with the next order."""
    with transaction.atomic():
        budget = lock_budgets(programme_id=programme_id, codes=[code])[code]
        budget.paused_at, budget.paused_reason = None, ""
        budget.save(update_fields=["paused_at", "paused_reason"])
    return budget


def wait_for_payment(*, programme_id: int, order_ref: str, now: datetime) -> None:
    """Remember that rules of an order are judged when it is confirmed; safe to repeat."""
    WaitingOrder.objects.get_or_create(
        order_ref=order_ref, defaults={"programme_id": programme_id, "created_at": now}
    )


def end_waiting(*, order_ref: str) -> None:
    """The rules of an order have been judged."""
    WaitingOrder.objects.filter(order_ref=order_ref).delete()


def stop_waiting(*, order_ref: str, now: datetime) -> None:
    """Nothing of an order is left to be judged, unless what it is undone by is undone itself."""
    WaitingOrder.objects.filter(order_ref=order_ref, stopped_at=None).update(stopped_at=now)


def go_on_waiting(*, order_ref: str) -> None:
    """Undo :func:`stop_waiting`; nothing where rules did not wait any more."""
    WaitingOrder.objects.filter(order_ref=order_ref).update(stopped_at=None)


def _announce(budget: RuleBudget, *, now: datetime) -> None:
    write_messages(
        [
            OutboxMessage(
                topic=PAUSED_TOPIC,
                key=f"rule_paused:{budget.pk}:{now.isoformat()}",
                payload={"budget_id": budget.pk},
                created_at=now,
                available_at=now,
            )
        ]
    )
