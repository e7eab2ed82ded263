"""
A decision on a return → money, points, tier and stock, in one transaction. And the way back, when it is
undone.

The order's row and that of the return are locked by whoever calls, in this order; then the ledger, the
payment source and the stock follow, as everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.earning import services as earning_services
from oscar_loyalty.flows import tiering
from oscar_loyalty.payments import refunds
from oscar_loyalty.payments.queries import find_refundable
from oscar_loyalty.points import queries as points
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Entry
from oscar_loyalty.points.rules import share_out
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.rules import Policy, cent_of
from oscar_loyalty.returns import queries, rules
from oscar_loyalty.returns.models import NOTHING, Return, ReturnPolicy, SpentPoints
from oscar_loyalty.returns.rules import Quote, SoldLine, Taken
from oscar_loyalty.shop import return_orders
from oscar_loyalty.shop.orders import PurchaseFacts
from oscar_loyalty.shop.return_orders import SoldOrder
from oscar_loyalty.tiers.perk_services import restore_uses, undo_uses


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a settlement stands on: the order, the rules of returns and those of points (if there are any)."""

    order: SoldOrder
    terms: ReturnPolicy
    policy: Policy | None

    @property
    def cent(self) -> Decimal:
        return cent_of(self.order.currency)


def find_ground(order: SoldOrder, *, now: datetime, terms: ReturnPolicy | None = None) -> Ground:
    """``terms``: those that a return was opened under, if it was; else those of the time of the order."""
    placed_at = order.purchase.placed_at
    policy = programmes.find_policy(currency=order.currency, at=placed_at)
    policy = policy or programmes.find_policy(currency=order.currency, at=now)
    found = terms or queries.find_policy(
        programme_id=policy.programme_id if policy else None, currency=order.currency, at=placed_at
    )
    return Ground(order=order, terms=found, policy=policy)


def sold_lines(ground: Ground) -> tuple[SoldLine, ...]:
    """The order's lines with the points that were spent on each: all of those that the ledger has."""
    items = ground.order.items
    spent = _find_spent(ground)
    weights = [Fraction(item.paid_by_points) for item in items]
    if not any(weights):
        # The discount is not on record any more: in proportion to what is left to pay.
        weights = [Fraction(item.amount) for item in items]
    shares = share_out(spent.points, weights) if spent else [0] * len(items)
    return tuple(
        SoldLine(line_id=item.line_id, quantity=item.quantity, amount=item.amount, points=share)
        for item, share in zip(items, shares, strict=True)
    )


def quote(
    ground: Ground, *, taken: Mapping[int, Taken], but_not: int | None = None, by_law: bool = False
) -> Quote:
    """
    What taking back these pieces brings, after all returns that are booked. Reads only. ``by_law``: a
    withdrawal or a fault, which bring the delivery charge back whatever the policy says (§§ 357 (2), 346 (1)
    BGB).
    """
    booked = queries.sum_booked(order_ref=ground.order.number, but_not=but_not)
    return rules.quote_return(
        sold_lines(ground),
        taken=taken,
        gone=booked.lines,
        delivery=ground.order.shipping,
        delivery_gone=booked.delivery,
        refunds_delivery=by_law or ground.terms.refunds_delivery,
        delivery_limit=ground.terms.delivery_refund_limit,
        cent=ground.cent,
    )


# Booking


def book_return(of_return: Return, *, ground: Ground, now: datetime, clock: Callable[[], datetime]) -> None:
    """
    Book what the accepted pieces of a return bring: spent points back, earned ones taken, what counted for
    the tier, and the refund as a row that is sent once all this is committed. Once: again it does nothing.
    """
    if of_return.is_booked:
        return
    lines = list(of_return.lines.order_by("id"))
    taken = {
        line.line_id: Taken(pieces=line.accepted or 0, deduction=line.deduction)
        for line in lines
        if line.accepted
    }
    by_law = of_return.kind == Return.Kind.WITHDRAWAL or any(line.is_fault for line in lines)
    quoted = quote(ground, taken=taken, but_not=of_return.pk, by_law=by_law)
    of_return.times_booked += 1
    of_return.booked_at = now
    by_line = {line.line_id: line for line in quoted.lines}
    for line in lines:
        one = by_line.get(line.line_id)
        line.amount = one.amount if one else NOTHING
        line.deduction = one.deduction if one else NOTHING
        line.points_back = one.points_back if one else 0
        line.save(update_fields=["amount", "deduction", "points_back"])
    _add_up(of_return, quoted, ground=ground)
    if ground.policy is not None:
        # Spent points first, so that taking back what was earned finds them and makes no deficit.
        _give_back_spent(of_return, quoted, ground=ground, policy=ground.policy, now=now)
        _take_back_earned(of_return, quoted.shares, ground=ground, policy=ground.policy, now=now)
        tiering.recount_purchase(
            ground.order.purchase,
            policy=ground.policy,
            shares=quoted.shares,
            key=f"return:{_key(of_return)}",
            now=now,
        )
        _credit(of_return, ground=ground, policy=ground.policy, now=now)
    if quoted.is_all:
        # As with a cancelled order: whatever it used may be used again.
        undo_uses(order_ref=of_return.order_ref, now=now)
        earning_services.stop_waiting(order_ref=of_return.order_ref, now=now)
    of_return.save()
    _refund(of_return, now=now, clock=clock)
    if not of_return.keeps_goods and not of_return.is_instant:
        restock_return(of_return, terms=ground.terms)


def restock_return(of_return: Return, *, terms: ReturnPolicy) -> None:
    """Put on sale again what was found good enough for it."""
    lines = {
        line.line_id: line
        for line in of_return.lines.all()
        if line.accepted and line.condition in terms.restock_conditions
    }
    back = return_orders.restock(pieces={pk: line.accepted or 0 for pk, line in lines.items()})
    for line_id, pieces in back.items():
        lines[line_id].restocked = pieces
        lines[line_id].save(update_fields=["restocked"])


def level_share(
    purchase: PurchaseFacts, *, policy: Policy, now: datetime, is_undone: bool = False, event: str = ""
) -> bool:
    """
    Bring what an order earned, spent and counts to what is left of it, where it was booked, or a return
    undone, after a part of it had come back. ``event`` names why, where that is no return. Returns whether
    anything of it is left with the customer.
    """
    order_ref = purchase.number
    booked = queries.sum_booked(order_ref=order_ref)
    lines, shares = _read_shares(purchase, booked, policy=policy, now=now)
    # Names this time and no other: undoing comes before its own event is written.
    event = event or f"{'undo' if is_undone else 'book'}-{queries.count_events(order_ref=order_ref)}"
    _give_back_spent_late(lines, booked, order_ref=order_ref, policy=policy, event=event, now=now)
    for earned in _earnings(order_ref, policy=policy):
        services.clawback_points(
            account_id=earned.account_id,
            earned=earned,
            idempotency_key=f"return-late:{event}:{earned.public_id}",
            shares=shares,
            now=now,
        )
    tiering.recount_purchase(
        purchase,
        policy=policy,
        shares=shares,
        key=f"return-late:{order_ref}:{event}",
        is_undone=is_undone,
        now=now,
    )
    back = {pk: gone.pieces for pk, gone in booked.lines.items()}
    return any(back.get(line.line_id, 0) < line.quantity for line in lines)


def _give_back_spent_late(
    lines: Sequence[SoldLine],
    booked: queries.Booked,
    *,
    order_ref: str,
    policy: Policy,
    event: str,
    now: datetime,
) -> None:
    """A return that was booked while its order was cancelled found nothing spent on its pieces."""
    spent = _find_spent_on(order_ref, policy=policy)
    if spent is None:
        return
    gone = booked.lines
    due = sum(
        rules.points_so_far(line, pieces=gone[line.line_id].pieces) for line in lines if line.line_id in gone
    )
    back = spent.points - points.sum_left_of_spend(spent=spent)
    if due > back:
        services.return_spend(
            account_id=spent.account_id,
            spent=spent,
            idempotency_key=f"return-late-spend:{event}:{spent.public_id}",
            grace_days=policy.return_grace_days,
            points=due - back,
            now=now,
        )


def find_shares(purchase: PurchaseFacts, *, policy: Policy, now: datetime) -> dict[str, Fraction]:
    """What has come back of each line of an order, as the ledger takes it back; empty when nothing has."""
    booked = queries.sum_booked(order_ref=purchase.number)
    return _read_shares(purchase, booked, policy=policy, now=now)[1] if booked.lines else {}


def _read_shares(
    purchase: PurchaseFacts, booked: queries.Booked, *, policy: Policy, now: datetime
) -> tuple[tuple[SoldLine, ...], dict[str, Fraction]]:
    order = return_orders.get_sold_order(order_id=purchase.order_id, now=now)
    lines = sold_lines(Ground(order=order, terms=ReturnPolicy(currency=order.currency), policy=policy))
    shares = rules.shares_of(lines, gone=booked.lines, delivery=order.shipping, delivery_gone=booked.delivery)
    return lines, shares


def _add_up(of_return: Return, quoted: Quote, *, ground: Ground) -> None:
    gross = quoted.goods + quoted.delivery
    of_return.goods_amount, of_return.delivery_amount = quoted.goods, quoted.delivery
    of_return.fee_amount = rules.fee_within(of_return.fee, refund=gross) if quoted.lines else NOTHING
    wanted = gross - of_return.fee_amount
    # Goodwill that was paid out before is part of what was paid for the order.
    left = find_refundable(order_number=ground.order.number).left
    of_return.earlier_amount = max(wanted - left, NOTHING)
    of_return.set_off_amount = NOTHING
    of_return.refund_amount = wanted - of_return.earlier_amount
    of_return.points_back = of_return.points_taken = of_return.points_waived = of_return.credit_points = 0


def _give_back_spent(
    of_return: Return, quoted: Quote, *, ground: Ground, policy: Policy, now: datetime
) -> None:
    spent = _find_spent(ground)
    # A return that was undone may have left a point more or less to those after it: the last one levels that.
    left = points.sum_left_of_spend(spent=spent) if spent else 0
    back = left if quoted.is_all else min(quoted.points_back, left)
    if spent is None or not back:
        return
    entry = services.return_spend(
        account_id=spent.account_id,
        spent=spent,
        idempotency_key=f"return-spend:{_key(of_return)}",
        grace_days=policy.return_grace_days,
        points=back,
        now=now,
    )
    of_return.points_back = entry.points if entry else 0


def _take_back_earned(
    of_return: Return,
    shares: Mapping[str, Fraction],
    *,
    ground: Ground,
    policy: Policy,
    now: datetime,
) -> None:
    taken = []
    for earned in _earnings(of_return.order_ref, policy=policy):
        entry = services.clawback_points(
            account_id=earned.account_id,
            earned=earned,
            idempotency_key=f"return-earn:{_key(of_return)}:{earned.pk}",
            shares=shares,
            now=now,
        )
        if entry is not None:
            taken.append(entry)
    of_return.points_taken = sum(entry.points for entry in taken)
    for account_id, missing in points.sum_debt_made(entries=taken).items():
        _forgive(of_return, account_id=account_id, missing=missing, ground=ground, policy=policy, now=now)


def _forgive(
    of_return: Return, *, account_id: int, missing: int, ground: Ground, policy: Policy, now: datetime
) -> None:
    """What could not be taken back because it is spent: owed, paid out of the refund, or let go."""
    how = ground.terms.spent_points
    forgiven = 0
    if how == SpentPoints.WAIVE:
        forgiven = missing
        of_return.points_waived += missing
    elif how == SpentPoints.SET_OFF and of_return.set_off_agreed:
        forgiven, money = rules.set_off_for(
            missing,
            unit_value=rules.unit_value_of(policy),
            refund=of_return.refund_amount,
            cent=ground.cent,
        )
        of_return.set_off_amount += money
        of_return.refund_amount -= money
    if forgiven:
        services.write_off_debt(
            account_id=account_id,
            points=forgiven,
            reason_code=f"RETURN_{how}",
            idempotency_key=f"return-forgiven:{_key(of_return)}",
            actor_ref="system",
            now=now,
        )


def _credit(of_return: Return, *, ground: Ground, policy: Policy, now: datetime) -> None:
    """Points instead of money, for who asked for them and can have them."""
    if of_return.refund_to != Return.RefundTo.STORE_CREDIT or not of_return.refund_amount:
        return
    account = points.find_account_of_user(
        user_id=ground.order.purchase.user_id, programme_code=loyalty_settings.programme_code
    )
    worth = rules.unit_value_of(policy)
    if account is None or not worth:
        of_return.refund_to = Return.RefundTo.ORIGINAL
        return
    entry = services.award_points(
        account_id=account.pk,
        points=rules.credit_for(
            of_return.refund_amount,
            unit_value=worth,
            bonus_percent=ground.terms.store_credit_bonus_percent,
        ),
        idempotency_key=f"return-credit:{_key(of_return)}",
        # Not under the order's own reference: it was not earned with it.
        source_ref=f"return:{of_return.number}",
        active_at=now,
        expiry_months=policy.expiry_months,
        unit_value=worth,
        currency=of_return.currency,
        explanation={
            "rule": "STORE_CREDIT",
            "version": policy.version,
            "order": of_return.order_ref,
            "return": of_return.number,
            "amount": str(of_return.refund_amount),
            "bonus_percent": str(ground.terms.store_credit_bonus_percent),
        },
        now=now,
    )
    of_return.credit_points = entry.points


def _refund(of_return: Return, *, now: datetime, clock: Callable[[], datetime]) -> None:
    if not of_return.refund_amount or of_return.credit_points:
        return
    refund = refunds.request_refund(
        order_number=of_return.order_ref,
        amount=of_return.refund_amount,
        currency=of_return.currency,
        cause_ref=cause_of(of_return),
        now=now,
    )
    refunds.send_after_commit(refund_id=refund.pk, clock=clock)


# The way back


def unbook_return(of_return: Return, *, ground: Ground, now: datetime) -> None:
    """
    Undo what :func:`book_return` did, all but a refund that has gone out: whoever calls has made sure that
    none has. Booking it again later starts from where it was before.
    """
    if not of_return.is_booked:
        return
    _take_back_credit(of_return, ground=ground, now=now)
    key = _key(of_return)
    grace = ground.policy.return_grace_days if ground.policy else 0
    order_ref = of_return.order_ref
    late = list(points.list_entries_by_key(prefix="return-late:", order_ref=order_ref))
    mine = points.list_entries_by_key(prefix=f"return-earn:{key}:", order_ref=order_ref)
    # What was taken late is taken again below, by the shares that are left. Newest first.
    for entry in [*reversed(late), *mine]:
        _owe_again(of_return, account_id=entry.account_id, now=now)
        services.undo_clawback(
            account_id=entry.account_id,
            clawback=entry,
            idempotency_key=f"undo:{entry.public_id}",
            grace_days=grace,
            now=now,
        )
    late_spends = list(points.list_entries_by_key(prefix="return-late-spend:", order_ref=order_ref))
    my_spends = points.list_entries_by_key(prefix=f"return-spend:{key}", order_ref=order_ref)
    for entry in [*reversed(late_spends), *my_spends]:
        if entry.kind == Entry.Kind.SPEND_RETURN:
            services.undo_spend_return(
                account_id=entry.account_id,
                returned=entry,
                idempotency_key=f"undo:{entry.public_id}",
                now=now,
            )
    pieces = {line.line_id: line.restocked for line in of_return.lines.all() if line.restocked}
    return_orders.take_from_stock(pieces=pieces)
    of_return.lines.update(amount=NOTHING, points_back=0, restocked=0, deduction=NOTHING, accepted=None)
    of_return.booked_at = of_return.refunded_at = of_return.settled_at = None
    # Should its parcel still come, nothing has been paid for it, and it is looked at like any other.
    of_return.is_instant, of_return.decision = False, ""
    for name in ("goods", "delivery", "fee", "earlier", "set_off", "refund"):
        setattr(of_return, f"{name}_amount", NOTHING)
    of_return.points_back = of_return.points_taken = of_return.points_waived = of_return.credit_points = 0
    of_return.save()
    # Something of the order is with the customer again, whatever else has come back.
    restore_uses(order_ref=order_ref)
    earning_services.go_on_waiting(order_ref=order_ref)
    if ground.policy is not None:
        level_share(ground.order.purchase, policy=ground.policy, is_undone=True, now=now)


def _take_back_credit(of_return: Return, *, ground: Ground, now: datetime) -> None:
    """
    Points that were given instead of money, all of them and the bonus with them: there is no return any more
    that they could be for. Those that are spent or have expired are owed, like all that is taken back. First
    of all, as they were given last.
    """
    credit = points.find_entry_of_user(
        user_id=ground.order.purchase.user_id, idempotency_key=f"return-credit:{_key(of_return)}"
    )
    if credit is not None:
        services.clawback_points(
            account_id=credit.account_id,
            earned=credit,
            idempotency_key=f"undo:{credit.public_id}",
            now=now,
        )


def _owe_again(of_return: Return, *, account_id: int, now: datetime) -> None:
    """What was let go, or paid out of the refund, is part of the clawback again before that is undone."""
    forgiven = points.find_entry_by_key(
        account_id=account_id, idempotency_key=f"return-forgiven:{_key(of_return)}"
    )
    if forgiven is not None:
        services.restore_debt(
            account_id=account_id,
            points=forgiven.points,
            reason_code="RETURN_UNDONE",
            idempotency_key=f"return-owed:{_key(of_return)}",
            actor_ref="system",
            now=now,
        )


# Helpers


def cause_of(of_return: Return) -> str:
    """What a refund of a return is asked for: one for each time that it is booked."""
    return f"return:{_key(of_return)}"


def _key(of_return: Return) -> str:
    return f"{of_return.number}:{of_return.times_booked}"


def _find_spent(ground: Ground) -> Entry | None:
    return _find_spent_on(ground.order.number, policy=ground.policy) if ground.policy is not None else None


def _find_spent_on(order_ref: str, *, policy: Policy) -> Entry | None:
    return points.find_entry_of_order(
        programme_id=policy.programme_id, order_ref=order_ref, kind=Entry.Kind.SPEND
    )


def _earnings(order_ref: str, *, policy: Policy) -> list[Entry]:
    return points.list_earnings_of_order(programme_id=policy.programme_id, order_ref=order_ref)
