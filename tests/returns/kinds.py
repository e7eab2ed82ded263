"""
What happens to money, points, tier and stock for each kind of return: played, and written down as it was.

``python -m pytest tests/returns/test_kinds.py`` compares it with ``docs/reference/returns-table.md``; with
``WRITE_DOCS=1`` it writes that page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone
from oscar.core.loading import get_model

from oscar_loyalty.flows import return_steps, returns
from oscar_loyalty.flows.return_terms import Pick
from oscar_loyalty.payments.gateway import RefundStatus
from oscar_loyalty.payments.refunds import look_at_refund, pay_by_hand, send_refund
from oscar_loyalty.returns.models import Condition, Return, ReturnPolicy, SpentPoints
from oscar_loyalty.tiers.models import QualifyingEntry
from oscar_loyalty.tiers.perk_services import grant_perk
from tests.shop import world as shop

from .bank import Bank
from .world import accept, ask, make_order, refunds_of, relay, state_of

D = Decimal
LINES = (("30.00", 2, 19), ("40.00", 1, 7))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """``play`` lets a return happen to an order of the member; ``policy`` are terms unlike the usual ones."""

    name: str
    play: Callable[["Scene"], Return | None]
    points: int = 0
    policy: dict[str, Any] | None = None
    delivered: bool = True


@dataclass(kw_only=True)
class Scene:
    account: Any
    programme: Any
    order: Any

    def lines(self) -> list[Any]:
        return list(self.order.lines.order_by("pk"))

    def one_piece(self, **values: Any) -> list[Pick]:
        return [Pick(line_id=self.lines()[0].pk, quantity=1, **values)]


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    state: str
    money: str
    points_back: int
    points_taken: int
    balance: str
    counts: str
    stock: int


def _all(scene: Scene) -> Return:
    return accept(ask(scene.order))


def _piece(scene: Scene) -> Return:
    return accept(ask(scene.order, scene.one_piece()))


def _in_steps(scene: Scene) -> Return:
    _piece(scene)
    _piece(scene)
    return accept(ask(scene.order, [Pick(line_id=scene.lines()[1].pk, quantity=1)]))


def _spent(scene: Scene, **values: Any) -> Return:
    shop.give_points(scene.account, -1090)
    return accept(ask(scene.order, **values))


def _withdrawn(scene: Scene) -> Return:
    return accept(ask(scene.order, kind="WITHDRAWAL"))


def _faulty(scene: Scene) -> Return:
    return accept(ask(scene.order, scene.one_piece(reason="FAULTY")), condition=Condition.DAMAGED)


def _with_perk(scene: Scene) -> Return:
    _grant(scene, "FREE_RETURNS")
    return _piece(scene)


def _instant(scene: Scene) -> Return:
    _grant(scene, "INSTANT_REFUND")
    made = ask(scene.order, scene.one_piece())
    return return_steps.mark_in_transit(return_id=made.pk, actor_ref="carrier", now=timezone.now())


def _worn(scene: Scene) -> Return:
    return accept(ask(scene.order, scene.one_piece()), condition="USED", deduction=D("12.00"), refusal="worn")


def _half(scene: Scene) -> Return:
    picks = [Pick(line_id=scene.lines()[0].pk, quantity=2)]
    return accept(ask(scene.order, picks), accepted=1, condition="MISSING", refusal="one is missing")


def _refused(scene: Scene) -> Return:
    return accept(ask(scene.order, scene.one_piece()), accepted=0, condition="USED", refusal="not ours")


def _kept(scene: Scene) -> Return:
    return ask(scene.order, scene.one_piece())


def _as_points(scene: Scene) -> Return:
    return accept(ask(scene.order, scene.one_piece(), refund_to="STORE_CREDIT"))


def _bounced(scene: Scene) -> Return:
    Bank.next_status = RefundStatus.FAILED
    return _piece(scene)


def _by_hand(scene: Scene) -> Return:
    done = _bounced(scene)
    _send(scene)
    pay_by_hand(refund_id=refunds_of(scene.order)[0].pk, reference="SEPA", by="user:1", now=timezone.now())
    return done


def _undone(scene: Scene) -> Return:
    done = _bounced(scene)
    _send(scene)
    return _undo(done)


def _as_points_undone(scene: Scene) -> Return:
    return _undo(_as_points(scene))


def _undo(done: Return) -> Return:
    return return_steps.undo_return(
        return_id=done.pk, reason="a mistake", actor_ref="user:1", now=timezone.now()
    )


def _called_off(scene: Scene) -> Return:
    made = ask(scene.order)
    return returns.cancel_return(return_id=made.pk, actor_ref="customer", now=timezone.now())


KINDS = (
    Kind(name="Everything comes back", play=_all, points=1000),
    Kind(name="One piece of two comes back", play=_piece, points=1000),
    Kind(name="Everything comes back, piece by piece", play=_in_steps, points=1000),
    Kind(name="Withdrawal before the delivery", play=_withdrawn, points=1000, delivered=False),
    Kind(name="A return that costs 4.95", play=_piece, policy={"fee": D("4.95")}),
    Kind(name="The same, free by tier or grant", play=_with_perk, policy={"fee": D("4.95")}),
    Kind(name="The same, because of a fault; damaged", play=_faulty, policy={"fee": D("4.95")}),
    Kind(name="Accepted with a deduction of 12.00", play=_worn),
    Kind(name="Accepted in part, a piece is missing", play=_half),
    Kind(name="Nothing accepted", play=_refused, points=1000),
    Kind(name="Called off by the customer", play=_called_off, points=1000),
    Kind(name="The customer keeps it", play=_kept, policy={"keep_item_below": D("50.00")}),
    Kind(name="Refund at once, on its way", play=_instant, points=1000),
    Kind(
        name="Refund as points, with a bonus of 10 %",
        play=_as_points,
        policy={"offers_store_credit": True, "store_credit_bonus_percent": D(10)},
    ),
    Kind(name="Points are spent: deficit", play=_spent),
    Kind(name="Points are spent: waived", play=_spent, policy={"spent_points": SpentPoints.WAIVE}),
    Kind(
        name="Points are spent: set off against the refund",
        play=lambda scene: _spent(scene, set_off_agreed=True),
        policy={"spent_points": SpentPoints.SET_OFF},
    ),
    Kind(name="The refund fails", play=_bounced, points=1000),
    Kind(name="The refund fails and is paid by hand", play=_by_hand, points=1000),
    Kind(name="The decision is undone", play=_undone, points=1000),
    Kind(
        name="Refund as points, and undone",
        play=_as_points_undone,
        policy={"offers_store_credit": True, "store_credit_bonus_percent": D(10)},
    ),
)


def play(kind: Kind, *, programme: Any, account: Any) -> Row:
    """Play one kind and look at what became of everything."""
    ReturnPolicy.objects.update(**(kind.policy or {}))
    order = make_order(account.user, LINES, points=kind.points, delivered=kind.delivered)
    if kind.delivered:
        for line in order.lines.all():
            line.consume_allocation(line.quantity)
    before = _stock(order)
    scene = Scene(account=account, programme=programme, order=order)
    done = kind.play(scene)
    _send(scene)
    assert done is not None
    done.refresh_from_db()
    pending, available, debt = state_of(account)
    counted = QualifyingEntry.objects.filter(order_ref=order.number)
    spend = sum((entry.spend for entry in counted), D(0))
    refund = sum((one.amount for one in refunds_of(order) if one.state == "SUCCEEDED"), D(0))
    all_returns = Return.objects.filter(order_ref=order.number)
    return Row(
        name=kind.name,
        state=str(done.state),
        money=f"{refund:.2f}",
        points_back=sum(one.points_back for one in all_returns),
        points_taken=sum(one.points_taken for one in all_returns),
        balance=f"{pending + available - debt}",
        counts=f"{spend:.2f}",
        stock=_stock(order) - before,
    )


def as_markdown(rows: list[Row]) -> str:
    head = (
        "| What happens | Ends as | Money back | Points spent on it come back |"
        " Points earned are taken back | Points after it | Counts for the tier | Pieces on sale again |"
    )
    lines = [head, "|---|---|---|---|---|---|---|---|"]
    lines += [
        f"| {row.name} | {row.state} | {row.money} | {row.points_back} | {row.points_taken} |"
        f" {row.balance} | {row.counts} | {row.stock} |"
        for row in rows
    ]
    return "\n".join(lines)


def _send(scene: Scene) -> None:
    for refund in refunds_of(scene.order):
        if refund.state == "REQUESTED" and refund.method == "CARD":
            send_refund(refund_id=refund.pk, now=timezone.now())
        look_at_refund(refund_id=refund.pk, now=timezone.now())
    relay()


def _grant(scene: Scene, kind: str) -> None:
    grant_perk(
        programme_id=scene.programme.pk,
        member_id=scene.account.member_id,
        kind=kind,
        parameters={},
        source_ref="test",
        reason="",
        now=timezone.now() - timedelta(days=1),
    )


def _stock(order: Any) -> int:
    """Pieces that can be sold: in stock and not promised to somebody."""
    records = get_model("partner", "StockRecord").objects.filter(line__order=order).distinct()
    return sum((record.num_in_stock or 0) - (record.num_allocated or 0) for record in records)
