"""Orders as facts: the only place that reads Oscar's orders for earning."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import (
    BigIntegerField,
    Count,
    Exists,
    F,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
)
from django.db.models.functions import Cast, Coalesce, Mod
from oscar.core.loading import get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.earning.models import WaitingOrder
from oscar_loyalty.members.models import ClaimedOrder, Member
from oscar_loyalty.points.models import Account, Entry, Lot
from oscar_loyalty.points.queries import list_account_ids_given_up
from oscar_loyalty.points.rules import PurchaseLine
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.rules import FAR_FUTURE
from oscar_loyalty.returns.models import Return
from oscar_loyalty.shop.bonus_models import OrderBonus
from oscar_loyalty.shop.channels import find_channel
from oscar_loyalty.tiers.models import QualifyingEntry

#: How keys of bookings begin that undo an order because it was cancelled.
CANCEL_KEY = "cancel"


@dataclass(frozen=True, kw_only=True)
class PurchaseFacts:
    """
    One order. ``number`` is its reference in the ledger. ``user_id`` is the customer whom its points
    belong to: who placed it or, when a guest did, who claimed it (``is_claimed``).
    """

    order_id: int
    number: str
    user_id: int | None
    is_claimed: bool
    currency: str
    placed_at: datetime
    status: str
    is_cancelled: bool
    lines: tuple[PurchaseLine, ...]
    shipping_method: str = ""
    channel: str = ""
    #: Whether offers of the shop promised points for it, and whether a part of it has come back; known only
    #: where the order is to be booked.
    has_bonus: bool = False
    has_returns: bool = False
    #: Whether points of it are undone because it was cancelled, whatever it is now; known only there, too.
    was_cancelled: bool = False


class _Marks(NamedTuple):
    has_bonus: bool = False
    has_returns: bool = False
    was_cancelled: bool = False


_NO_MARKS = _Marks()


class PurchaseMissing(LookupError):
    """The order does not exist (any more)."""


def lock_purchase_facts(*, order_id: int) -> PurchaseFacts:
    """
    Facts of an order under its row lock, so that an order being cancelled and being rewarded at the
    same time are judged one after the other. Call inside a transaction.

    :raises PurchaseMissing: there is no such order
    """
    order = lock_weakly(get_model("order", "Order").objects).filter(pk=order_id).first()
    if order is None:
        raise PurchaseMissing(order_id)
    return get_purchase_facts(order, marks=_read_marks([order.pk])[order.pk])


def _read_marks(order_ids: Collection[int]) -> dict[int, _Marks]:
    """
    What only an order that is to be booked is asked for. Read once it is locked: the statement that waits for
    a lock has of all other rows what was committed before it began to wait.
    """
    bonuses = OrderBonus.objects.filter(order_ref=OuterRef("number"))
    returned = Return.objects.filter(order_ref=OuterRef("number"), booked_at__isnull=False)
    marked = get_model("order", "Order").objects.filter(pk__in=order_ids)
    rows = marked.annotate(
        loyalty_has_bonus=Exists(bonuses),
        loyalty_has_returns=Exists(returned),
        loyalty_was_cancelled=_has_points_undone(),
    ).values_list("pk", "loyalty_has_bonus", "loyalty_has_returns", "loyalty_was_cancelled")
    return {pk: _Marks(*values) for pk, *values in rows}


def lock_weakly(orders: Any) -> Any:
    """
    Orders under a lock that lets others go on writing rows which only refer to them: payments and their
    events are written by whoever holds the lock of the payment.
    """
    return orders.select_for_update(no_key=connection.features.has_select_for_no_key_update)


def get_purchase_facts(order: Any, *, marks: _Marks = _NO_MARKS) -> PurchaseFacts:
    """Facts of an order at hand, to be read only: nothing is locked."""
    claims = _claimants_of([order.number]) if order.user_id is None else {}
    return _facts(
        order,
        claims=claims,
        lines=tuple(_lines_of(order)),
        cancelled=loyalty_settings.cancelled_statuses,
        channel=find_channel(order),
        marks=marks,
    )


@dataclass(frozen=True, kw_only=True)
class GuestOrder:
    """An order with the address a guest gave; not ``is_guests`` once it belongs to a customer account."""

    purchase: PurchaseFacts
    email: str
    is_guests: bool


def find_guest_order(*, order_id: int | None = None, number: str | None = None) -> GuestOrder | None:
    """An order by its id or its number, read only; ``None`` when it was placed by a customer, or is gone."""
    wanted = {"pk": order_id} if number is None else {"number": number}
    order = get_model("order", "Order").objects.filter(**wanted).first()
    if order is None or not order.guest_email:
        return None
    return GuestOrder(
        purchase=get_purchase_facts(order), email=order.guest_email, is_guests=order.user_id is None
    )


def find_order_id(*, number: str, proof: str) -> int | None:
    """The order of a guest who shows the proof in Oscar's own link to their order."""
    order = get_model("order", "Order").objects.filter(number=number, user=None).first()
    return order.pk if order is not None and order.check_verification_hash(proof) else None


def list_guest_order_ids(*, email: str, placed_after: datetime) -> list[int]:
    """Guests' orders with an address from a moment on that nobody has claimed, oldest first."""
    claims = ClaimedOrder.objects.filter(order_number=OuterRef("number"))
    found = get_model("order", "Order").objects.filter(
        ~Exists(claims), date_placed__gte=placed_after, user=None, guest_email__iexact=email
    )
    return list(found.order_by("date_placed", "pk").values_list("pk", flat=True))


def find_purchase_facts(
    order_ids: Collection[int], *, lock: bool, to_book: bool = False
) -> list[PurchaseFacts]:
    """
    Facts of many orders, in ascending order of their ids, in three statements whatever their number.
    With ``lock`` under their row locks, as :func:`lock_purchase_facts`; what is gone is left out.
    ``to_book``: with what only those are asked for, in a fourth.
    """
    found = get_model("order", "Order").objects.filter(pk__in=order_ids).order_by("pk")
    if lock:
        found = found.select_for_update()
    # The shop's own function, if there is one, may look at whatever an order has.
    orders = list(found if loyalty_settings.channel else found.values_list(*_READ, named=True))
    marks = _read_marks([order.id for order in orders]) if to_book else {}
    claims = _claimants_of([order.number for order in orders if order.user_id is None])
    lines = _find_lines(order_ids)
    cancelled = loyalty_settings.cancelled_statuses
    channel = None if loyalty_settings.channel else find_channel()
    return [
        _facts(
            order,
            claims=claims,
            lines=(*lines.get(order.id, ()), _shipping_of(order)),
            cancelled=cancelled,
            channel=find_channel(order) if channel is None else channel,
            marks=marks.get(order.id, _NO_MARKS),
        )
        for order in orders
    ]


#: What facts need of an order.
_READ = (
    *("id", "number", "user_id", "currency", "date_placed", "status"),
    *("shipping_incl_tax", "shipping_excl_tax", "shipping_code"),
)


def _find_lines(order_ids: Collection[int]) -> dict[int, list[PurchaseLine]]:
    lines: dict[int, list[PurchaseLine]] = defaultdict(list)
    rows = get_model("order", "Line").objects.filter(order_id__in=order_ids).order_by("pk")
    for pk, order_id, product_id, own_class, parent_class, incl_tax, excl_tax, quantity in rows.values_list(
        *("pk", "order_id", "product_id", "product__product_class_id", "product__parent__product_class_id"),
        *("line_price_incl_tax", "line_price_excl_tax", "quantity"),
    ):
        lines[order_id].append(
            PurchaseLine(
                ref=f"line:{pk}",
                product_id=product_id,
                product_class_id=own_class or parent_class,
                incl_tax=incl_tax,
                excl_tax=excl_tax,
                quantity=quantity,
            )
        )
    return lines


def _facts(
    order: Any,
    *,
    claims: dict[str, int | None],
    lines: tuple[PurchaseLine, ...],
    cancelled: Collection[str],
    channel: str,
    marks: _Marks,
) -> PurchaseFacts:
    return PurchaseFacts(
        order_id=order.id,
        number=order.number,
        user_id=claims.get(order.number, order.user_id),
        is_claimed=order.number in claims,
        currency=order.currency,
        placed_at=order.date_placed,
        status=order.status,
        is_cancelled=order.status in cancelled,
        lines=lines,
        shipping_method=order.shipping_code,
        channel=channel,
        **marks._asdict(),
    )


def _claimants_of(numbers: list[str]) -> dict[str, int | None]:
    """Who claimed which of these guests' orders. No statement when there is none to ask for."""
    if not numbers:
        return {}
    claims = ClaimedOrder.objects.filter(order_number__in=numbers)
    return dict(claims.values_list("order_number", "member__user_id"))


def find_status_reached_at(*, purchase: PurchaseFacts, status: str, now: datetime) -> datetime | None:
    """
    When an order first reached ``status``; ``now`` when it has it without a history row (set by an
    import or in the admin); ``None`` while it never had it.
    """
    changes = get_model("order", "OrderStatusChange").objects.filter(
        order_id=purchase.order_id, new_status=status
    )
    first = changes.order_by("date_created").values_list("date_created", flat=True).first()
    if first is not None:
        return first  # type: ignore[no-any-return]
    return now if purchase.status == status else None


def find_statuses_reached_at(
    order_ids: Collection[int], *, statuses: Collection[str]
) -> dict[tuple[int, str], datetime]:
    """When orders first reached statuses, as far as their history says: one statement."""
    if not statuses:
        return {}
    changes = get_model("order", "OrderStatusChange").objects.filter(
        order_id__in=order_ids, new_status__in=statuses
    )
    rows = changes.values_list("order_id", "new_status").annotate(first=Min("date_created")).order_by()
    return {(order_id, status): first for order_id, status, first in rows}


@dataclass(frozen=True, kw_only=True)
class LineTitle:
    """How the order called one of its lines; ``product_id`` only while the product exists."""

    title: str
    product_id: int | None


def find_line_titles(refs: Iterable[str]) -> dict[str, LineTitle]:
    """Titles of order lines by their reference in the ledger; no entry for lines that are gone."""
    ids = [int(ref.removeprefix("line:")) for ref in refs if ref.startswith("line:")]
    if not ids:
        return {}
    rows = get_model("order", "Line").objects.filter(pk__in=ids).values_list("pk", "title", "product_id")
    return {f"line:{pk}": LineTitle(title=title, product_id=product) for pk, title, product in rows}


def find_order_ids(numbers: Iterable[str], *, user_id: int | None = None) -> dict[str, int]:
    """Keys of orders by their numbers, of one customer if ``user_id`` says so; nothing for orders that
    are gone. One statement."""
    wanted = {number for number in numbers if number}
    if not wanted:
        return {}
    orders = get_model("order", "Order").objects.filter(number__in=wanted)
    if user_id is not None:
        orders = orders.filter(user_id=user_id)
    return dict(orders.values_list("number", "pk"))


def list_missed_order_ids(*, placed_after: datetime) -> Iterator[int]:
    """
    Orders whose points are not what their state asks for, because a nudge was lost or the status was
    changed without one: not rewarded yet (only those placed after a moment), cancelled but not undone, opened
    again after that moment and still undone, or waiting for a status that they have reached.
    """
    orders = get_model("order", "Order").objects
    entries = Entry.objects.filter(order_ref=OuterRef("number"))
    cancelled = Q(status__in=loyalty_settings.cancelled_statuses)
    claimed = ClaimedOrder.objects.filter(
        order_number=OuterRef("number"), member__status=Member.Status.ACTIVE, member__user__isnull=False
    )
    unrewarded = (
        orders.filter(~cancelled, date_placed__gte=placed_after)
        .filter(
            Q(user__loyalty_member__status="ACTIVE")
            | Q(user__loyalty_member__merged_into__status="ACTIVE")
            | Q(Exists(claimed), user=None)
        )
        .filter(~Exists(entries.filter(kind=Entry.Kind.EARN)))
    )
    # On a closed account nothing is undone: see points.services.clawback_points.
    not_undone = (
        entries.filter(kind__in=(Entry.Kind.EARN, Entry.Kind.SPEND))
        .exclude(account__status=Account.Status.CLOSED)
        .exclude(account__in=list_account_ids_given_up())
        .filter(points__gt=_points_by("reverses") - _points_by("reverses__reverses"))
    )
    counts = QualifyingEntry.objects.filter(order_ref=OuterRef("number"))
    counted = counts.order_by().values("order_ref").annotate(total=Sum("orders")).values("total")
    still_counted = Exists(counted.filter(total__gt=0))
    still_booked = orders.filter(cancelled).filter(Exists(not_undone) | still_counted)
    opened_again = get_model("order", "OrderStatusChange").objects.filter(
        old_status__in=loyalty_settings.cancelled_statuses, date_created__gte=placed_after
    )
    last = counts.order_by("-pk").values("key")[:1]
    still_undone = (
        orders.filter(~cancelled, pk__in=opened_again.values("order_id"))
        .annotate(loyalty_last_key=Subquery(last))
        .filter(_has_points_undone() | Q(loyalty_last_key__startswith=f"{CANCEL_KEY}:"))
    )
    yield from unrewarded.order_by("pk").values_list("pk", flat=True).iterator()
    yield from still_booked.order_by("pk").values_list("pk", flat=True).iterator()
    yield from still_undone.order_by("pk").values_list("pk", flat=True).iterator()
    yield from _list_waiting_for_status()
    yield from _list_waiting_for_payment()


def _has_points_undone() -> Exists:
    """Whether points of an order were taken or given back because it was cancelled, and not again since."""
    again = Entry.objects.filter(
        reverses=OuterRef("pk"), kind__in=(Entry.Kind.CLAWBACK_UNDONE, Entry.Kind.SPEND_AGAIN)
    )
    undone = Entry.objects.filter(
        ~Exists(again),
        order_ref=OuterRef("number"),
        kind__in=(Entry.Kind.CLAWBACK, Entry.Kind.SPEND_RETURN),
        idempotency_key__startswith=CANCEL_KEY,
    )
    return Exists(undone)


def _points_by(path: str) -> Any:
    """
    Points of the entries that undo an entry (``reverses``), or that undo those again
    (``reverses__reverses``): a part that was returned does not undo the whole order.
    """
    undoing = Entry.objects.filter(**{path: OuterRef("pk")}).order_by().values(path)
    points = undoing.annotate(total=Sum("points")).values("total")
    return Coalesce(Subquery(points, output_field=BigIntegerField()), 0)


def _list_waiting_for_status() -> Iterator[int]:
    waiting = Lot.objects.filter(
        open=True, active_at=FAR_FUTURE, pending__gt=0, source_ref__startswith="order:"
    )
    batch: list[str] = []
    for source_ref in waiting.order_by("id").values_list("source_ref", flat=True).iterator():
        batch.append(source_ref.removeprefix("order:"))
        if len(batch) == 500:
            yield from _ids_of(batch)
            batch = []
    yield from _ids_of(batch)


def _list_waiting_for_payment() -> Iterator[int]:
    """Orders with rules that are judged by how they were paid; the flow knows whether it is time."""
    waiting = WaitingOrder.objects.filter(stopped_at=None)
    numbers = list(waiting.order_by("id").values_list("order_ref", flat=True))
    if not numbers:
        return
    without_status = ProgrammeVersion.objects.filter(spendable_status="").exists()
    orders = get_model("order", "Order").objects
    for start in range(0, len(numbers), 500):
        batch = numbers[start : start + 500]
        if without_status:
            yield from orders.filter(number__in=batch).order_by("pk").values_list("pk", flat=True)
        else:
            yield from _ids_of(batch)


def _ids_of(numbers: list[str]) -> list[int]:
    """Orders among these that have, or once had, a status that makes points spendable."""
    versions = ProgrammeVersion.objects.filter(active_from__isnull=False)
    statuses = set(versions.values_list("spendable_status", flat=True))
    reached = get_model("order", "OrderStatusChange").objects.filter(
        order_id=OuterRef("pk"), new_status__in=statuses
    )
    orders = get_model("order", "Order").objects.filter(number__in=numbers)
    orders = orders.filter(Q(status__in=statuses) | Exists(reached))
    return list(orders.order_by("pk").values_list("pk", flat=True))


def _lines_of(order: Any) -> Iterator[PurchaseLine]:
    for line in order.lines.select_related("product__parent").order_by("pk"):
        product = line.product
        parent = product.parent if product is not None else None
        yield PurchaseLine(
            ref=f"line:{line.pk}",
            product_id=line.product_id,
            product_class_id=product.product_class_id or (parent and parent.product_class_id)
            if product is not None
            else None,
            incl_tax=line.line_price_incl_tax,
            excl_tax=line.line_price_excl_tax,
            quantity=line.quantity,
        )
    yield _shipping_of(order)


def _shipping_of(order: Any) -> PurchaseLine:
    return PurchaseLine(
        ref="shipping",
        product_id=None,
        product_class_id=None,
        incl_tax=order.shipping_incl_tax,
        excl_tax=order.shipping_excl_tax,
        is_shipping=True,
    )


def list_order_ids_of_user(*, user_id: int, placed_after: datetime, placed_until: datetime) -> list[int]:
    """Orders of a customer from one moment to another, both of them included, oldest first."""
    orders = get_model("order", "Order").objects.filter(
        user_id=user_id, date_placed__gte=placed_after, date_placed__lte=placed_until
    )
    return list(orders.order_by("date_placed", "pk").values_list("pk", flat=True))


@dataclass(frozen=True, kw_only=True)
class Period:
    """Orders placed from ``since`` to before ``until``; of these, cut into ``parts``, number ``part``."""

    since: datetime
    until: datetime
    part: int = 0
    parts: int = 1


@dataclass(frozen=True, kw_only=True)
class CustomerTotal:
    """What one customer bought in a period: ``spend`` is money for goods in the currency asked for, net
    of discounts and without shipping; ``orders`` counts those in any currency."""

    user_id: int
    spend: Decimal
    orders: int


def list_customer_totals(period: Period, *, currency: str, with_tax: bool) -> Iterator[CustomerTotal]:
    """
    One row for each customer who ordered in a period, cancelled orders aside, however many they are: one
    statement, read in pieces. Guests are nobody's total.
    """
    total, shipping = (
        ("total_incl_tax", "shipping_incl_tax")
        if with_tax
        else (
            "total_excl_tax",
            "shipping_excl_tax",
        )
    )
    rows = (
        _orders_of(period)
        .filter(user_id__isnull=False)
        .exclude(status__in=loyalty_settings.cancelled_statuses)
        .values("user_id")
        .annotate(spend=Sum(F(total) - F(shipping), filter=Q(currency=currency)), placed=Count("pk"))
        .order_by()
    )
    for row in rows.iterator(chunk_size=5000):
        yield CustomerTotal(user_id=row["user_id"], spend=row["spend"] or Decimal(0), orders=row["placed"])


def count_orders(period: Period) -> int:
    return _orders_of(period).count()


def list_order_ids(period: Period, *, size: int) -> Iterator[list[int]]:
    """
    Ids of the orders of a period in the order in which they were placed, ``size`` at a time. Each page
    starts after the last row of the one before it, so that memory and time stay the same for each.
    """
    after: tuple[datetime, int] | None = None
    while True:
        orders = _orders_of(period).order_by("date_placed", "pk")
        if after is not None:
            moment, pk = after
            orders = orders.filter(date_placed__gte=moment).exclude(date_placed=moment, pk__lte=pk)
        rows = list(orders.values_list("date_placed", "pk")[:size])
        if not rows:
            return
        after = rows[-1]
        yield [pk for _moment, pk in rows]


def _orders_of(period: Period) -> QuerySet[Any]:
    orders: QuerySet[Any] = get_model("order", "Order").objects.filter(
        date_placed__gte=period.since, date_placed__lt=period.until
    )
    if period.parts > 1:
        # One customer's orders stay in one part, so that no two parts want the same account.
        whose = Mod(Coalesce("user_id", "pk"), period.parts)
        orders = orders.annotate(part=Cast(whose, IntegerField())).filter(part=period.part)
    return orders


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """Orders of a customer before a moment: how many, and when the last of them was placed."""

    count: int
    last_at: datetime | None


def find_earlier_orders(
    asked: Collection[tuple[int, datetime, int | None]],
) -> dict[tuple[int, datetime, int | None], Earlier]:
    """
    For each ``(user_id, moment, order_id)``: the customer's orders placed before the moment, cancelled ones
    and the order itself aside; of two placed in the same instant the one with the lower id is earlier.
    One statement, however many are asked for.
    """
    if not asked:
        return {}
    orders = get_model("order", "Order").objects.filter(
        ~Q(status__in=loyalty_settings.cancelled_statuses),
        user_id__in={user_id for user_id, _at, _order_id in asked},
        date_placed__lte=max(at for _user_id, at, _order_id in asked),
    )
    if len(set(asked)) == 1:
        ((user_id, at, order_id),) = set(asked)
        if order_id is not None:
            orders = orders.exclude(Q(pk=order_id) | Q(date_placed=at, pk__gt=order_id))
        found = orders.aggregate(count=Count("pk"), last_at=Max("date_placed"))
        return {(user_id, at, order_id): Earlier(**found)}
    moments: dict[int, list[tuple[datetime, int]]] = defaultdict(list)
    for user_id, placed_at, pk in orders.order_by("date_placed", "pk").values_list(
        "user_id", "date_placed", "pk"
    ):
        moments[user_id].append((placed_at, pk))
    earlier = {}
    for key in asked:
        user_id, at, order_id = key
        count = bisect_left(moments[user_id], (at, order_id if order_id is not None else 2**63))
        last_at = moments[user_id][count - 1][0] if count else None
        earlier[key] = Earlier(count=count, last_at=last_at)
    return earlier


def find_payment_methods(order_ids: Collection[int]) -> dict[int, frozenset[str]]:
    """Codes of the kinds of payment with which orders were paid, nothing for free ones: one statement."""
    rows = get_model("payment", "Source").objects.filter(order_id__in=order_ids)
    methods: dict[int, set[str]] = defaultdict(set)
    for order_id, code in rows.values_list("order_id", "source_type__code"):
        methods[order_id].add(code)
    return {order_id: frozenset(methods[order_id]) for order_id in order_ids}
