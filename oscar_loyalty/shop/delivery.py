"""
Delivery methods that promise a day, for a shop to add to its own: express, a day of choice, parcel lockers
and pick-up points.

What a customer chooses (the day, the place) is a part of the method's code, so Oscar's checkout session,
django-oscar-api and the order carry it without knowing of it. A day that can no longer be kept is simply
no longer offered: Oscar's checkout then asks for another one.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from oscar.core.loading import get_class
from oscar.core.prices import Price

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.delivery.calendars import Region, find_region
from oscar_loyalty.delivery.lockers import LockerRefused, ParcelLocker, names_locker, read_locker
from oscar_loyalty.delivery.rules import (
    Schedule,
    can_deliver_on,
    delivery_days,
    end_of_day,
    holds_until,
    promised_date,
)
from oscar_loyalty.delivery.texts import name_arrival, name_day, name_moment
from oscar_loyalty.shop.baskets import is_tax_known
from oscar_loyalty.shop.perks import perks_of
from oscar_loyalty.transactions import spare_transaction

Base = get_class("shipping.methods", "Base")

logger = logging.getLogger(__name__)

_CENT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class Promised:
    """A day that a method promises; ``order_by``: until when it holds, ``None`` when it was chosen."""

    method: str
    code: str
    day: date
    due_at: datetime
    schedule: Schedule
    order_by: datetime | None = None


class PromisedMethod(Base):  # type: ignore[misc, valid-type]
    """
    A method with a charge that promises a day.

    ``charge``: what the customer pays, with VAT where prices have it; ``free_from``: value of goods from
    which nothing is charged. ``perk``: kind of the perk that lowers the charge to ``charge_with_perk``;
    with ``only_with_perk`` the method is offered to nobody else. ``may_offer``: a function that takes
    the basket and the address and says whether the method is offered at all. ``countries``: where it goes
    to by ISO code; empty: everywhere.
    """

    code = "promised"
    name: Any = ""
    about: Any = ""
    perk = ""
    goes_to_lockers = False

    def __init__(
        self,
        *,
        schedule: Schedule,
        charge: Decimal = Decimal("0.00"),
        free_from: Decimal | None = None,
        code: str | None = None,
        name: Any = None,
        about: Any = None,
        countries: Iterable[str] = (),
        perk: str | None = None,
        charge_with_perk: Decimal = Decimal("0.00"),
        only_with_perk: bool = False,
        may_offer: Callable[[Any, Any], bool] | None = None,
    ) -> None:
        self.schedule = schedule
        self.charge = charge
        self.free_from = free_from
        self.code = self.method = code or self.code
        self.name = name or self.name
        self.about = about or self.about
        self.countries = frozenset(country.upper() for country in countries)
        self.perk = self.perk if perk is None else perk
        self.charge_with_perk = charge_with_perk
        self.only_with_perk = only_with_perk
        self.may_offer = may_offer
        self.promised: Promised | None = None
        #: Whether the customer pays less than others because of their perk.
        self.has_perk = False

    # What a shop may override

    def offers_for(self, *, address: Any, destination: Region, now: datetime) -> Sequence["PromisedMethod"]:
        """This method as it is offered to an address now; several when there is something to choose."""
        day = promised_date(now, schedule=self.schedule, destination=destination)
        order_by = holds_until(now, schedule=self.schedule)
        return [self._promising(day, code=self.method, order_by=order_by)]

    def promise_for(self, code: str, *, address: Callable[[], Any], placed_at: datetime) -> Promised | None:
        """What an order with ``code`` was promised; ``None`` when the code is not of this method. ``address``
        fetches where it went."""
        if code != self.method:
            return None
        region = self.region_of(address())
        return self._promised(promised_date(placed_at, schedule=self.schedule, destination=region), code=code)

    def orders_with(self) -> Q:
        """Orders that were placed with this method."""
        return Q(shipping_code=self.method)

    # Oscar's interface

    @property
    def description(self) -> str:
        """One line of text; Oscar's pages and django-oscar-api show it as it is."""
        if self.promised is None:
            return str(self.about)
        return render_to_string(
            "oscar_loyalty/partials/delivery_promise.txt",
            {
                "about": self.about,
                "arrival": self.arrival,
                "order_by": self.order_by,
            },
        ).strip()

    @property
    def arrival(self) -> str:
        """The promise in the reader's words; empty while none is made."""
        if self.promised is None:
            return ""
        return name_arrival(
            self.promised.day,
            window_from=self.schedule.delivery_from,
            window_until=self.schedule.delivery_until,
        )

    @property
    def order_by(self) -> str:
        """Until when the promise holds, in the reader's words; empty for a day that was chosen."""
        if self.promised is None or self.promised.order_by is None:
            return ""
        return name_moment(self.promised.order_by, time_zone=self.schedule.time_zone)

    def calculate(self, basket: Any) -> Any:
        """
        The charge, taxed like the goods: in a parcel of several rates it is spread over them, which is the
        ratio of net to gross of all the goods. The value before discounts decides, so that nobody who
        spends points pays more for delivery.
        """
        if not is_tax_known(basket):
            goods = basket.total_excl_tax_excl_discounts
            return Price(currency=basket.currency, excl_tax=self._charge_for(goods))
        goods = basket.total_incl_tax_excl_discounts
        gross = net = self._charge_for(goods)
        if goods:
            net = (gross * basket.total_excl_tax_excl_discounts / goods).quantize(_CENT, ROUND_HALF_UP)
        return Price(currency=basket.currency, excl_tax=net, incl_tax=gross)

    # Ours

    def is_offered(self, *, basket: Any, address: Any, locker: ParcelLocker | None) -> bool:
        if self.countries and address is not None and _country_of(address) not in self.countries:
            return False
        if locker is not None and not self.goes_to_lockers:
            return False
        return self.may_offer is None or self.may_offer(basket, address)

    def region_of(self, address: Any) -> Region:
        if address is None or not _country_of(address):
            return find_region(country=self.schedule.warehouse.country)
        return find_region_of(address)

    def for_holder(self, *, has_perk: bool) -> "PromisedMethod":
        method = copy(self)
        method.has_perk = has_perk
        return method

    def _charge_for(self, goods: Decimal) -> Decimal:
        charge = min(self.charge_with_perk, self.charge) if self.has_perk else self.charge
        return Decimal("0.00") if self.free_from is not None and goods >= self.free_from else charge

    def _promising(self, day: date, *, code: str, order_by: datetime | None) -> "PromisedMethod":
        method = copy(self)
        method.code = code
        method.promised = self._promised(day, code=code, order_by=order_by)
        return method

    def _promised(self, day: date, *, code: str, order_by: datetime | None = None) -> Promised:
        return Promised(
            method=self.method,
            code=code,
            day=day,
            due_at=end_of_day(day, time_zone=self.schedule.time_zone),
            schedule=self.schedule,
            order_by=order_by,
        )


class Express(PromisedMethod):
    """The fast one, usually the next working day."""

    code = "express"
    name = _("Express delivery")


class DeliveryDay(PromisedMethod):
    """
    One of the next ``days`` days on which parcels are delivered, for the customer to choose. The code of
    each ends with its day: ``delivery-day-2026-12-03``.
    """

    code = "delivery-day"
    name = _("Delivery on a day of your choice")
    perk = "DELIVERY_DAY"

    def __init__(self, *, days: int = 6, **values: Any) -> None:
        super().__init__(**values)
        self.days = days

    def offers_for(self, *, address: Any, destination: Region, now: datetime) -> Sequence[PromisedMethod]:
        offered = []
        for day in delivery_days(now, schedule=self.schedule, destination=destination, count=self.days):
            method = self._promising(day, code=f"{self.method}-{day.isoformat()}", order_by=None)
            method.name = gettext("Delivery on %(day)s") % {"day": name_day(day)}
            offered.append(method)
        return offered

    def promise_for(self, code: str, *, address: Callable[[], Any], placed_at: datetime) -> Promised | None:
        day = self.day_of(code)
        return None if day is None else self._promised(day, code=code)

    def can_keep(self, code: str, *, address: Any, now: datetime) -> bool:
        """Whether an order placed now can still arrive on the day in a code."""
        day = self.day_of(code)
        return day is not None and can_deliver_on(
            day, moment=now, schedule=self.schedule, destination=self.region_of(address)
        )

    def orders_with(self) -> Q:
        return Q(shipping_code__startswith=f"{self.method}-")

    def day_of(self, code: str) -> date | None:
        """The chosen day; ``None`` when the code is not of this method."""
        chosen = code.removeprefix(f"{self.method}-")
        if chosen == code:
            return None
        try:
            return date.fromisoformat(chosen)
        except ValueError:
            return None


class ParcelLockerDelivery(PromisedMethod):
    """To a Packstation. Offered when the address of the order is a complete one of a Packstation."""

    code = "parcel-locker"
    name = _("Delivery to a Packstation")
    perk = "PARCEL_LOCKER"
    goes_to_lockers = True

    def is_offered(self, *, basket: Any, address: Any, locker: ParcelLocker | None) -> bool:
        return locker is not None and super().is_offered(basket=basket, address=address, locker=locker)


@dataclass(frozen=True, kw_only=True)
class PickupPlace:
    """Where a parcel waits for its customer. ``code``: lower case, digits and dashes, never changed."""

    code: str
    name: str
    address: str
    region: Region


class PickupPoint(PromisedMethod):
    """One method for each of the shop's ``places``; the code ends with that of the place."""

    code = "pick-up"
    name = _("Pick-up")

    def __init__(self, *, places: Sequence[PickupPlace], **values: Any) -> None:
        super().__init__(**values)
        self.places = {place.code: place for place in places}

    def offers_for(self, *, address: Any, destination: Region, now: datetime) -> Sequence[PromisedMethod]:
        order_by = holds_until(now, schedule=self.schedule)
        offered = []
        for place in self.places.values():
            day = promised_date(now, schedule=self.schedule, destination=place.region)
            method = self._promising(day, code=f"{self.method}-{place.code}", order_by=order_by)
            method.name = gettext("Pick-up: %(place)s") % {"place": place.name}
            method.about = place.address
            offered.append(method)
        return offered

    def promise_for(self, code: str, *, address: Callable[[], Any], placed_at: datetime) -> Promised | None:
        chosen = code.removeprefix(f"{self.method}-")
        place = None if chosen == code else self.places.get(chosen)
        if place is None:
            return None
        day = promised_date(placed_at, schedule=self.schedule, destination=place.region)
        return self._promised(day, code=code)

    def orders_with(self) -> Q:
        return Q(shipping_code__in=[f"{self.method}-{code}" for code in self.places])

    @property
    def arrival(self) -> str:
        if self.promised is None:
            return ""
        return gettext("Ready by %(day)s") % {"day": name_day(self.promised.day)}


class DeliveryMethodsMixin:
    """
    ``class Repository(DeliveryMethodsMixin, repository.Repository)``: the shop's own methods and then those
    of ``OSCAR_LOYALTY_DELIVERY_METHODS``. A mistake of ours is logged and leaves the shop's own ones.

    Where the address is one of a parcel locker, ``methods_to_lockers`` are the codes of the shop's own
    methods that go there; the others are left out as soon as one of ours does.
    """

    methods_to_lockers: frozenset[str] = frozenset()

    def get_available_shipping_methods(
        self, basket: Any, shipping_addr: Any = None, **kwargs: Any
    ) -> list[Any]:
        own = super().get_available_shipping_methods(  # type: ignore[misc]
            basket, shipping_addr=shipping_addr, **kwargs
        )
        own = list(own)
        try:
            # A failed statement must not spoil a transaction of the shop's.
            with spare_transaction():
                ours = list_methods(basket=basket, address=shipping_addr, now=timezone.now())
        except Exception:
            logger.exception("The delivery methods that promise a day could not be offered")
            return own
        if any(isinstance(method, ParcelLockerDelivery) for method in ours):
            own = [method for method in own if method.code in self.methods_to_lockers]
        return [*own, *ours]


def list_methods(*, basket: Any, address: Any, now: datetime) -> list[PromisedMethod]:
    """
    The methods that promise a day, as they are offered to the basket's owner for an address. No statement,
    unless a method depends on a perk: then those that read what the customer is entitled to.
    """
    locker = find_locker(address)
    offered: list[PromisedMethod] = []
    for template in get_methods():
        if not template.is_offered(basket=basket, address=address, locker=locker):
            continue
        has_perk = bool(template.perk) and perks_of(basket, now=now).has(template.perk)
        if template.only_with_perk and not has_perk:
            continue
        method = template.for_holder(has_perk=has_perk)
        offered += method.offers_for(address=address, destination=method.region_of(address), now=now)
    return offered


def get_methods() -> list[PromisedMethod]:
    """The shop's methods that promise a day, not yet made for a customer."""
    path = loyalty_settings.delivery_methods
    return list(import_string(path)()) if path else []


def is_code_of_ours(code: str) -> bool:
    """Whether a code of delivery may name one of the methods that promise a day, today or some time ago."""
    return any(code == method.method or code.startswith(f"{method.method}-") for method in get_methods())


def find_promise(*, code: str, address: Callable[[], Any], placed_at: datetime) -> Promised | None:
    """
    What an order with a code of delivery was promised when it was placed; ``None`` when its method
    promises nothing. No statement but that of ``address``, which is called only if it matters.
    """
    for method in get_methods():
        if (promised := method.promise_for(code, address=address, placed_at=placed_at)) is not None:
            return promised
    return None


def find_region_of(address: Any) -> Region:
    """Where an address is. Without a state the holidays of the whole country count."""
    path = loyalty_settings.delivery_subdivision
    return find_region(
        country=_country_of(address),
        state=getattr(address, "state", "") or "",
        subdivision=str(import_string(path)(address) or "") if path else "",
    )


def find_locker(address: Any) -> ParcelLocker | None:
    """The parcel locker of an address; ``None`` when it is another kind of address, or not complete."""
    if address is None:
        return None
    try:
        return read_address_of_locker(address)
    except LockerRefused:
        return None


def read_address_of_locker(address: Any) -> ParcelLocker:
    """
    The parcel locker of an address of Oscar's.

    :raises LockerRefused: it names none, or is not complete
    """
    return read_locker(_lines_of(address), country=_country_of(address), postcode=address.postcode or "")


def is_meant_for_locker(address: Any) -> bool:
    """Whether an address speaks of a Packstation, complete or not."""
    return names_locker(_lines_of(address))


def tidy_address_of_locker(address: Any) -> None:
    """
    Bring the lines of an address into the order in which DHL wants them: Postnummer, then Packstation.
    Does nothing to other addresses.

    :raises LockerRefused: it speaks of a Packstation, but is not complete
    """
    if is_meant_for_locker(address):
        locker = read_address_of_locker(address)
        address.line1, address.line2 = locker.line1, locker.line2
        if names_locker([address.line3 or ""]) or (address.line3 or "").strip() == locker.post_number:
            address.line3 = ""


class ParcelLockerAddressMixin:
    """
    ``class ShippingAddressForm(ParcelLockerAddressMixin, forms.ShippingAddressForm)``: tells in plain words
    what an address of a Packstation lacks, and brings its lines into order.
    """

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        try:
            tidy_address_of_locker(self.instance)  # type: ignore[attr-defined]
        except LockerRefused as refused:
            for problem in refused.problems:
                self.add_error("line1", problem)  # type: ignore[attr-defined]


def _lines_of(address: Any) -> list[str]:
    # line4 is the town.
    return [address.line1 or "", address.line2 or "", address.line3 or ""]


def _country_of(address: Any) -> str:
    return str(address.country_id or "").upper()
