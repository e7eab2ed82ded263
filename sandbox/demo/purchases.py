"""
Invented purchases: who buys what, when, and how it is delivered.

Everything here is a plan made from a `random.Random`; nothing touches the database. People have tastes
and habits: they come back for what they use up, try something new now and then, buy what goes with
it, and buy more before Christmas.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from random import Random
from zoneinfo import ZoneInfo

from sandbox.apps.partner.vat import get_rate, get_tax_code, net_of
from sandbox.apps.shipping.methods import Delivery, Express, PickUp, Standard, split_charge

from .goods import GOODS, Good

HERE = ZoneInfo("Europe/Berlin")
DAYS = 548  # 18 months

_SEASON = {
    1: 0.85,
    2: 0.85,
    3: 0.95,
    4: 0.95,
    5: 0.9,
    6: 0.8,
    7: 0.7,
    8: 0.7,
    9: 0.95,
    10: 1.1,
    11: 1.5,
    12: 1.6,
}
_HOURS = (1, 0, 0, 0, 0, 1, 3, 5, 6, 6, 6, 6, 7, 6, 5, 5, 5, 6, 8, 10, 11, 10, 7, 3)


@dataclass(frozen=True, eq=False)
class Item:
    """Something with a price that can be put in a basket: a variant, or a good without variants."""

    sku: str
    good: Good
    price: Decimal

    @property
    def tax_code(self) -> str:
        return get_tax_code(get_rate(self.good.kind))


def list_items() -> list[Item]:
    items = []
    for good in GOODS:
        if good.variants:
            items += [Item(f"{good.key}-{n}", good, v.price) for n, v in enumerate(good.variants, start=1)]
        else:
            items.append(Item(good.key, good, good.price))
    return items


@dataclass(frozen=True)
class Purchase:
    """
    One order to be written.

    `buyer` is a position in the list of customers; `None` is a guest. `moments` holds each status with
    the time at which the order reached it, oldest first.
    """

    buyer: int | None
    placed_at: datetime
    lines: tuple[tuple[Item, int], ...]
    delivery: Delivery
    moments: tuple[tuple[str, datetime], ...]

    @property
    def status(self) -> str:
        return self.moments[-1][0]

    @property
    def goods_gross(self) -> Decimal:
        return sum((item.price * quantity for item, quantity in self.lines), Decimal("0.00"))

    @property
    def goods_net(self) -> Decimal:
        return sum((net_price(item) * quantity for item, quantity in self.lines), Decimal("0.00"))

    @property
    def shipping_gross(self) -> Decimal:
        return self.delivery.get_charge(self.goods_gross)

    @property
    def shipping_net(self) -> Decimal:
        return split_charge(self.shipping_gross, self.goods_net, self.goods_gross)


def net_price(item: Item) -> Decimal:
    return net_of(item.price, get_rate(item.good.kind))


@dataclass(frozen=True)
class Taste:
    """What one person likes; the same from order to order."""

    drinks: tuple[str, ...]
    favourites: tuple[Item, ...]
    adventurous: float
    handy: float


class Calendar:
    """The days of the plan, busy ones weighing more."""

    def __init__(self, first_day: date, last_day: date):
        self.first_day = first_day
        days = (first_day + timedelta(days=n) for n in range((last_day - first_day).days + 1))
        self._until = list(accumulate(_SEASON[day.month] for day in days))

    def pick(self, random: Random) -> date:
        return self._at(random.random() * self._until[-1])

    def spread(self, random: Random, start: date, count: int) -> list[date]:
        """`start` and `count` - 1 later days at habitual distances, closer together in busy months."""
        begin = self._until[(start - self.first_day).days]
        step = (self._until[-1] - begin) / count
        return [start, *(self._at(begin + step * (n + random.uniform(-0.4, 0.9))) for n in range(1, count))]

    def _at(self, business: float) -> date:
        return self.first_day + timedelta(days=min(bisect_left(self._until, business), len(self._until) - 1))


class Shelf:
    """The items of the shop, with some goods more popular than others."""

    def __init__(self, random: Random):
        self.items = list_items()
        ranks = list(range(len(GOODS)))
        random.shuffle(ranks)
        popular = {good.key: 1 / (rank + 4) ** 0.7 for good, rank in zip(GOODS, ranks, strict=True)}
        self._weights = [
            popular[item.good.key] * (0.55 if item.price > 60 else 1) / max(len(item.good.variants), 1)
            for item in self.items
        ]

    def pick(self, random: Random, *, kind: str = "", category: str = "") -> Item:
        """A popular item of a product class or of a category, or of the whole shop."""
        chosen = [
            (item, weight)
            for item, weight in zip(self.items, self._weights, strict=True)
            if (not kind or item.good.kind == kind) and (not category or item.good.category == category)
        ]
        return random.choices([item for item, _ in chosen], [weight for _, weight in chosen])[0]

    def pick_companion(self, random: Random, item: Item) -> Item:
        return self.pick(random, category=random.choice(item.good.goes_with))


def develop_taste(random: Random, shelf: Shelf) -> Taste:
    drinks = random.choices([("coffee",), ("tea",), ("coffee", "tea")], [50, 28, 22])[0]
    favourites = [shelf.pick(random, kind=random.choice(drinks)) for _ in range(random.randint(1, 3))]
    if random.random() < 0.3:
        favourites.append(shelf.pick(random, kind="pantry"))
    if "coffee" in drinks and random.random() < 0.35:
        favourites.append(next(item for item in shelf.items if item.sku in {"papier-2", "papier-4"}))
    return Taste(drinks, tuple(favourites), random.uniform(0.1, 0.5), random.uniform(0.05, 0.3))


def fill_basket(random: Random, shelf: Shelf, taste: Taste, *, first: bool, festive: bool) -> tuple:
    """Items and quantities of one purchase; at least one."""
    wanted: dict[Item, int] = {}

    def take(item: Item, quantity: int = 1) -> None:
        wanted[item] = wanted.get(item, 0) + quantity

    for item in taste.favourites:
        if random.random() < (0.5 if item.good.kind in ("coffee", "tea") else 0.25):
            take(item, random.choices([1, 2, 3, 4], [68, 23, 6, 3])[0])
    if not wanted or random.random() < taste.adventurous:
        take(shelf.pick(random, kind=random.choice(taste.drinks)))
    if random.random() < taste.handy + 0.2 * first + 0.15 * festive:
        take(shelf.pick(random, kind="kitchenware"))
    if random.random() < 0.15 + 0.15 * festive:
        take(shelf.pick(random, kind="pantry"), random.choice((1, 1, 2)))
    if random.random() < 0.3:
        take(shelf.pick_companion(random, next(iter(wanted))))
    return tuple(wanted.items())


def choose_delivery(random: Random, *, at_home: bool) -> Delivery:
    kind = random.choices([Standard, Express, PickUp], [82, 9, 9 if at_home else 0])[0]
    return kind()


def choose_moment(random: Random, day: date) -> datetime:
    hour = random.choices(range(24), _HOURS)[0]
    return datetime(
        day.year, day.month, day.day, hour, random.randint(0, 59), random.randint(0, 59), tzinfo=HERE
    )


def follow_up(random: Random, placed_at: datetime, until: datetime, *, cancelled: bool) -> tuple:
    """The statuses an order has been through by `until`."""
    moments = [("Pending", placed_at)]
    if cancelled:
        moments.append(("Cancelled", placed_at + timedelta(hours=random.uniform(1, 30))))
    else:
        processed_at = placed_at + timedelta(hours=random.uniform(3, 20))
        shipped_at = processed_at + timedelta(hours=random.uniform(4, 30))
        completed_at = shipped_at + timedelta(days=random.uniform(5, 9))
        moments += [("Being processed", processed_at), ("Shipped", shipped_at), ("Complete", completed_at)]
    return tuple((status, moment) for status, moment in moments if moment <= until)


def plan_purchases(
    random: Random,
    *,
    homes: Sequence[str],
    fixed_counts: dict[int, int],
    orders: int,
    until: date,
) -> list[Purchase]:
    """
    About 18 months of purchases, oldest first, all before midnight of `until`.

    `homes` is the country of each customer; `fixed_counts` says for some of them how many orders they
    have; the rest of `orders` is spread unevenly over the others and over guests.
    """
    shelf = Shelf(random)
    first_day, last_day = until - timedelta(days=DAYS), until - timedelta(days=1)
    end = datetime(until.year, until.month, until.day, tzinfo=HERE)

    calendar = Calendar(first_day, last_day)
    starts = {
        buyer: first_day + timedelta(days=random.randrange(30))
        if buyer in fixed_counts or random.random() < 0.25
        else calendar.pick(random)
        for buyer in range(len(homes))
    }
    others = [buyer for buyer in range(len(homes)) if buyer not in fixed_counts]
    # A few regulars order every other week, many people once or twice.
    weights = [
        min(random.paretovariate(1.15), 18) * (0.15 + (until - starts[buyer]).days / DAYS) for buyer in others
    ]
    guests = orders // 16
    rest = max(orders - guests - sum(fixed_counts.values()), 0) if others else 0
    counts = dict(fixed_counts)
    for buyer in random.choices(others, weights, k=rest) if others else ():
        counts[buyer] = counts.get(buyer, 0) + 1

    plans: list[tuple[int | None, date, Taste, bool]] = []
    for buyer in sorted(counts):
        if counts[buyer] == 0:
            continue
        taste = develop_taste(random, shelf)
        days = calendar.spread(random, starts[buyer], counts[buyer])
        plans += [(buyer, day, taste, turn == 0) for turn, day in enumerate(days)]
    plans += [(None, calendar.pick(random), develop_taste(random, shelf), True) for _guest in range(guests)]

    purchases = []
    for buyer, day, taste, first in plans:
        placed_at = choose_moment(random, day)
        purchases.append(
            Purchase(
                buyer=buyer,
                placed_at=placed_at,
                lines=fill_basket(random, shelf, taste, first=first, festive=day.month in (11, 12)),
                delivery=choose_delivery(random, at_home=buyer is None or homes[buyer] == "DE"),
                moments=follow_up(random, placed_at, end, cancelled=random.random() < 0.04),
            )
        )
    return sorted(purchases, key=lambda purchase: purchase.placed_at)
