"""
Money and points of a return: pure functions on facts. No database, no clock.

Everything is counted from the beginning each time and rounded once, so it does not matter in how many steps a
line comes back: what the last piece brings is what is left.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from oscar_loyalty.programmes.rules import Policy, end_of_day

NOTHING = Decimal("0.00")
#: § 355 (2) BGB: the time in which a consumer may withdraw without a reason, from delivery on.
WITHDRAWAL_DAYS = 14
SATURDAY = 5


@dataclass(frozen=True, kw_only=True)
class SoldLine:
    """
    One line of an order. ``amount``: money paid for all its pieces, with VAT, after every discount and after
    points. ``points``: what was spent on it.
    """

    line_id: int
    quantity: int
    amount: Decimal
    points: int = 0

    @property
    def ref(self) -> str:
        """As the ledger calls it."""
        return f"line:{self.line_id}"


@dataclass(frozen=True, kw_only=True)
class Gone:
    """
    What of a line was taken back before: ``pieces``, the ``amount`` of money that they brought, and what was
    ``deducted`` from it.
    """

    pieces: int = 0
    amount: Decimal = NOTHING
    deducted: Decimal = NOTHING


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Pieces of a line that a return takes back, and what is kept of their price for a loss of value."""

    pieces: int
    deduction: Decimal = NOTHING


@dataclass(frozen=True, kw_only=True)
class LineQuote:
    """What a line of a return brings."""

    line_id: int
    pieces: int
    amount: Decimal
    deduction: Decimal
    points_back: int


@dataclass(frozen=True, kw_only=True)
class Quote:
    """
    What a return brings: money for ``goods`` and ``delivery``, ``points_back`` that had been spent.
    ``shares``: what of each line, of the delivery (``shipping``) and of all goods together (the empty name)
    has come back in all, from 0 to 1. ``is_all``: nothing is left with the customer.
    """

    lines: tuple[LineQuote, ...]
    goods: Decimal
    delivery: Decimal
    points_back: int
    shares: Mapping[str, Fraction]
    is_all: bool


class TooMany(ValueError):
    """More pieces of a line than there are."""


def money_so_far(line: SoldLine, *, pieces: int, cent: Decimal) -> Decimal:
    """Money for the first ``pieces`` of a line; all of it for all of them."""
    if pieces >= line.quantity:
        return line.amount
    return (line.amount * pieces / line.quantity).quantize(cent, rounding=ROUND_HALF_UP)


def points_so_far(line: SoldLine, *, pieces: int) -> int:
    """Points spent on the first ``pieces`` of a line, rounded down; all of them for all."""
    return line.points * min(pieces, line.quantity) // line.quantity


def share_of(line: SoldLine, gone: Gone) -> Fraction:
    """
    What part of a line has come back: by pieces, less the money that was kept for a loss of value, because
    what the shop keeps was bought and stays bought.
    """
    part = Fraction(min(gone.pieces, line.quantity), line.quantity)
    if gone.deducted and line.amount:
        part -= Fraction(gone.deducted) / Fraction(line.amount)
    return max(part, Fraction(0))


def quote_return(
    lines: Sequence[SoldLine],
    *,
    taken: Mapping[int, Taken],
    gone: Mapping[int, Gone],
    delivery: Decimal,
    delivery_gone: Decimal,
    refunds_delivery: bool,
    delivery_limit: Decimal | None,
    cent: Decimal,
) -> Quote:
    """
    What taking back ``taken`` brings after ``gone``, by line. ``delivery``: money paid for it, of which
    ``delivery_gone`` was refunded before. The delivery charge comes back with the last piece (§ 357 (2) BGB:
    up to what the standard delivery costs).

    :raises TooMany: more pieces than are left of a line
    """
    quotes, after = [], dict(gone)
    for line in lines:
        before = gone.get(line.line_id, Gone())
        take = taken.get(line.line_id)
        if take is None or not take.pieces:
            continue
        pieces = before.pieces + take.pieces
        if pieces > line.quantity:
            raise TooMany(line.line_id)
        # By what was booked, not by what these pieces would bring: a return that was undone may have left a
        # cent more or less to those after it.
        so_far = money_so_far(line, pieces=pieces, cent=cent)
        amount = max(so_far - before.amount - before.deducted, NOTHING)
        deduction = min(take.deduction, amount)
        quotes.append(
            LineQuote(
                line_id=line.line_id,
                pieces=take.pieces,
                amount=amount - deduction,
                deduction=deduction,
                points_back=points_so_far(line, pieces=pieces) - points_so_far(line, pieces=before.pieces),
            )
        )
        after[line.line_id] = Gone(
            pieces=pieces,
            amount=before.amount + amount - deduction,
            deducted=before.deducted + deduction,
        )
    is_all = bool(lines) and all(after.get(line.line_id, Gone()).pieces >= line.quantity for line in lines)
    back = NOTHING
    if is_all and refunds_delivery:
        most = delivery if delivery_limit is None else min(delivery, delivery_limit)
        back = max(most - delivery_gone, NOTHING)
    return Quote(
        lines=tuple(quotes),
        goods=sum((quote.amount for quote in quotes), NOTHING),
        delivery=back,
        points_back=sum(quote.points_back for quote in quotes),
        shares=shares_of(lines, gone=after, delivery=delivery, delivery_gone=delivery_gone + back),
        is_all=is_all,
    )


def shares_of(
    lines: Iterable[SoldLine], *, gone: Mapping[int, Gone], delivery: Decimal, delivery_gone: Decimal
) -> dict[str, Fraction]:
    """What has come back of each line, of the delivery and, under the empty name, of all goods together."""
    lines = list(lines)
    shares = {line.ref: share_of(line, gone.get(line.line_id, Gone())) for line in lines}
    paid = sum(line.amount for line in lines)
    if paid:
        weights = {line.ref: Fraction(line.amount) / Fraction(paid) for line in lines}
    else:
        # Paid by points alone: every piece weighs the same.
        pieces = sum(line.quantity for line in lines)
        weights = {line.ref: Fraction(line.quantity, pieces) for line in lines}
    whole = sum((shares[ref] * weight for ref, weight in weights.items()), Fraction(0))
    if delivery:
        shares["shipping"] = Fraction(delivery_gone) / Fraction(delivery)
    elif lines and all(share == 1 for share in shares.values()):
        shares["shipping"] = Fraction(1)
    shares[""] = whole
    return shares


def fee_within(fee: Decimal, *, refund: Decimal) -> Decimal:
    """A return never costs more than it brings."""
    return min(fee, refund)


def set_off_for(points: int, *, unit_value: Decimal, refund: Decimal, cent: Decimal) -> tuple[int, Decimal]:
    """
    How many of ``points`` that are missing are paid out of a refund, and how much money that is: rounded
    down, for the customer's good, and never more than there is.
    """
    if not points or not refund or not unit_value:
        return 0, NOTHING
    affordable = min(points, int(refund / unit_value))
    return affordable, (affordable * unit_value).quantize(cent, rounding=ROUND_DOWN)


def credit_for(refund: Decimal, *, unit_value: Decimal, bonus_percent: Decimal) -> int:
    """Points for a refund that a customer takes as points, with the shop's bonus; the last one is whole."""
    worth = refund * (100 + bonus_percent) / 100 / unit_value
    return int(worth.to_integral_value(rounding=ROUND_CEILING))


def unit_value_of(policy: Policy) -> Decimal:
    """Money that a point saves; 0 where points cannot be spent in the currency."""
    return policy.rate.unit_value if policy.rate is not None else Decimal(0)


# Deadlines


def last_moment(
    delivered_at: datetime, *, days: int, is_holiday: Callable[[date], bool], time_zone: str
) -> datetime:
    """
    The first instant after a period of ``days`` that began with the local day of delivery (§ 187 (1), 188
    BGB). One that ends on a Saturday, Sunday or holiday ends with the next working day (§ 193 BGB).
    """
    day = delivered_at.astimezone(ZoneInfo(time_zone)).date() + timedelta(days=days)
    while day.weekday() >= SATURDAY or is_holiday(day):
        day += timedelta(days=1)
    return end_of_day(day, time_zone=time_zone)


def first_of_month(at: datetime, *, time_zone: str) -> date:
    return at.astimezone(ZoneInfo(time_zone)).date().replace(day=1)


def in_working_days(
    start: datetime, *, days: int, is_holiday: Callable[[date], bool], time_zone: str
) -> datetime:
    """The first instant after ``days`` working days that follow the local day of ``start``."""
    day = start.astimezone(ZoneInfo(time_zone)).date()
    while days > 0:
        day += timedelta(days=1)
        if day.weekday() < SATURDAY and not is_holiday(day):
            days -= 1
    return end_of_day(day, time_zone=time_zone)
