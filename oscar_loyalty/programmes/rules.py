"""What a programme version says, as frozen facts. No database, no clock."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel.numbers import get_currency_precision

#: Stands for "never" and "not known yet": NULL sorts differently on each engine.
FAR_FUTURE = datetime(9000, 1, 1, tzinfo=UTC)


def cent_of(currency: str) -> Decimal:
    """The smallest coin of a currency: 0.01 for EUR, 1 for JPY (ISO 4217, as Babel knows it)."""
    return Decimal(1).scaleb(-get_currency_precision(currency))


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Points and money of one currency. ``earn_points`` for every ``earn_amount`` of it paid;
    ``redeem_points`` save ``redeem_amount`` of it; a card takes ``card_minimum`` or more."""

    currency: str
    earn_points: int
    earn_amount: Decimal
    redeem_points: int
    redeem_amount: Decimal
    card_minimum: Decimal

    @property
    def cent(self) -> Decimal:
        """The smallest coin of the currency."""
        return cent_of(self.currency)

    @property
    def unit_value(self) -> Decimal:
        """Money that one point saves, to nine places, as lots freeze it."""
        return (self.redeem_amount / self.redeem_points).quantize(Decimal("1E-9"))


@dataclass(frozen=True, kw_only=True)
class Policy:
    """One programme version, read with the rate of one currency."""

    programme_id: int
    programme_code: str
    programme_name: str
    time_zone: str
    earning_paused: bool
    redemption_paused: bool
    version: int
    terms_version: str
    includes_tax: bool
    includes_shipping: bool
    excluded_category_ids: frozenset[int]
    excluded_product_class_ids: frozenset[int]
    spendable_status: str
    waiting_days: int
    expiry_months: int | None
    return_grace_days: int
    minimum_points: int
    step_points: int
    maximum_share_percent: Decimal
    #: More points than this need a second person; ``None``: nothing does.
    four_eyes_points: int | None
    transfers_allowed: bool
    #: 0: guest orders cannot be claimed.
    claim_days: int
    #: ``None`` when the programme neither earns nor spends in that currency.
    rate: Rate | None
    #: Whether any version of the programme has tiers; where none has, orders need not be counted for them.
    has_tiers: bool = False
    #: Whether there is more than the base rate to ask for; else nobody does.
    has_rules: bool = False
    has_multipliers: bool = False

    def can_earn(self) -> bool:
        return not self.earning_paused and self.rate is not None and self.rate.earn_points > 0

    def can_redeem(self) -> bool:
        return not self.redemption_paused and self.rate is not None


def expiry_after(active_at: datetime, *, months: int | None, time_zone: str) -> datetime:
    """
    The moment at which points that became spendable at ``active_at`` expire: the end of the local day
    ``months`` later, so the first instant at which they are gone. 31 January plus one month is the end
    of February. ``None`` months: never.
    """
    if months is None:
        return FAR_FUTURE
    zone = ZoneInfo(time_zone)
    start = active_at.astimezone(zone).date()
    month_index = start.year * 12 + start.month - 1 + months
    year, month = divmod(month_index, 12)
    first_of_next = (start.replace(year=year, month=month + 1, day=1) + timedelta(days=32)).replace(day=1)
    last_day = (first_of_next - timedelta(days=1)).day
    day = start.replace(year=year, month=month + 1, day=min(start.day, last_day))
    return end_of_day(day, time_zone=time_zone)


def end_of_day(day: date, *, time_zone: str) -> datetime:
    """The first instant after a local calendar day, in UTC, right on days with a clock change too."""
    midnight = datetime.combine(day + timedelta(days=1), time.min, tzinfo=ZoneInfo(time_zone))
    return midnight.astimezone(UTC)
