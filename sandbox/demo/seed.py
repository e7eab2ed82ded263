"""The whole shop from one number: the same seed, sizes and day give the same data."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Permission
from django.contrib.sites.models import Site
from django.db import transaction
from oscar.core.loading import get_model

from .books import BATCH, own_dates, write_purchases, write_reviews
from .customers import COUNTRIES, Customer, invent_customer
from .people import PASSWORD, PEOPLE, Person
from .purchases import DAYS, HERE, plan_purchases
from .shelves import set_allocations, write_catalogue

User = get_user_model()
Country = get_model("address", "Country")
UserAddress = get_model("address", "UserAddress")
Partner = get_model("partner", "Partner")
PaymentEventType = get_model("order", "PaymentEventType")
ShippingEventType = get_model("order", "ShippingEventType")
SourceType = get_model("payment", "SourceType")

PARTNER_CODE = "morgenrot"


@dataclass(frozen=True)
class Sizes:
    """How big the shop's past is."""

    customers: int = 300
    orders: int = 1500


def is_seeded() -> bool:
    """Whether the demo data is there: it is written in one transaction, so whole or not at all."""
    return Partner.objects.filter(code=PARTNER_CODE).exists()


def seed_shop(
    *, seed: int, until: date, sizes: Sizes | None = None, report: Callable[[str], None] = lambda line: None
) -> None:
    """
    Fill an empty shop with goods, people, 18 months of orders and their reviews.

    :param seed: the number that everything random is drawn from
    :param until: the day after the last day of the shop's past
    :param report: told in a few words what is done next
    """
    sizes = sizes or Sizes()
    random = Random(seed)
    opened_at = datetime.combine(until - timedelta(days=DAYS), datetime.min.time(), HERE)
    with transaction.atomic():
        report("Countries, event types and the shop itself")
        partner = _write_basics()
        report("Catalogue, stock, pictures and offers")
        records = write_catalogue(random, partner=partner, opened_at=opened_at)
        report(f"{sizes.customers} customers and the demo logins")
        buyers = [_customer_from(person, random) for person in PEOPLE]
        buyers += [invent_customer(random, number) for number in range(1, sizes.customers + 1)]
        purchases = plan_purchases(
            random,
            homes=[buyer.country for buyer in buyers],
            fixed_counts={n: min(p.orders, sizes.orders // 4) for n, p in enumerate(PEOPLE)},
            orders=sizes.orders,
            until=until,
        )
        users = _write_people(random, buyers, _find_joining_days(buyers, purchases, opened_at, until))
        report(f"{sizes.orders} orders in 18 months")
        guests = [
            invent_customer(random, 5000 + n, country="DE")
            for n in range(sum(purchase.buyer is None for purchase in purchases))
        ]
        promised = write_purchases(purchases, users=users, buyers=buyers, guests=guests, records=records)
        set_allocations(records, promised)
        report("Reviews")
        end = datetime.combine(until, datetime.min.time(), HERE)
        write_reviews(random, purchases, users=users, records=records, until=end)
        if apps.is_installed("oscar_loyalty"):
            from .comebacks import write_returns
            from .membership import write_membership

            write_membership(random, opened_at=opened_at, until=end, report=report)
            write_returns(random, opened_at=opened_at, until=end, report=report)


def _write_basics() -> Partner:
    Site.objects.update_or_create(pk=1, defaults={"domain": "127.0.0.1:8000", "name": "Morgenrot"})
    Country.objects.bulk_create(
        (
            Country(
                iso_3166_1_a2=code,
                iso_3166_1_a3=three,
                iso_3166_1_numeric=number,
                printable_name=name,
                name=official,
                display_order=1 if code == "DE" else 0,
                is_shipping_country=True,
            )
            for code, three, number, name, official in COUNTRIES
        ),
        ignore_conflicts=True,
    )
    for code, name in (("shipped", "Shipped"), ("returned", "Returned")):
        ShippingEventType.objects.get_or_create(code=code, defaults={"name": name})
    for code, name in (("paid", "Paid"), ("refunded", "Refunded")):
        PaymentEventType.objects.get_or_create(code=code, defaults={"name": name})
    SourceType.objects.get_or_create(code="invoice", defaults={"name": "Invoice"})
    return Partner.objects.create(code=PARTNER_CODE, name="Morgenrot")


def _find_joining_days(buyers, purchases, opened_at: datetime, until: date) -> list[datetime]:
    """People open an account shortly before their first order; staff were there from the start."""
    joined = {}
    for purchase in reversed(purchases):
        joined[purchase.buyer] = purchase.placed_at - timedelta(minutes=30)
    lately = datetime.combine(until - timedelta(days=1), datetime.min.time(), HERE)
    staff = {n for n, person in enumerate(PEOPLE) if person.is_staff}
    return [opened_at if n in staff else joined.get(n, lately) for n in range(len(buyers))]


def _write_people(random: Random, buyers: list[Customer], joined: list[datetime]) -> list:
    """A user and an address book for each buyer; only the demo logins at their head have a password."""
    password = make_password(PASSWORD, salt=f"{random.getrandbits(64):016x}")
    users = [
        User(
            username=PEOPLE[n].key if n < len(PEOPLE) else f"kunde-{n:04d}",
            email=buyer.email,
            password=password if n < len(PEOPLE) else "!",
            first_name=buyer.first_name,
            last_name=buyer.last_name,
            date_joined=joined[n],
        )
        for n, buyer in enumerate(buyers)
    ]
    for person, user in zip(PEOPLE, users, strict=False):
        user.is_staff, user.is_superuser = person.is_staff, person.is_superuser
    User.objects.bulk_create(users, batch_size=BATCH)
    for person, user in zip(PEOPLE, users, strict=False):
        for name in person.permissions:
            app_label, codename = name.split(".")
            # The loyalty app's are missing where the shop runs without it.
            user.user_permissions.add(
                *Permission.objects.filter(content_type__app_label=app_label, codename=codename)
            )
    _write_address_books(buyers, users)
    return users


def _customer_from(person: Person, random: Random) -> Customer:
    home = invent_customer(random, 0, country="DE")
    return Customer(
        first_name=person.first_name,
        last_name=person.last_name,
        email=person.email,
        country=home.country,
        street=home.street,
        postcode=home.postcode,
        town=home.town,
    )


def _write_address_books(buyers, users) -> None:
    countries = {country.pk: country for country in Country.objects.all()}
    rows = []
    for buyer, user in zip(buyers, users, strict=True):
        row = UserAddress(
            user=user,
            first_name=buyer.first_name,
            last_name=buyer.last_name,
            line1=buyer.street,
            line4=buyer.town,
            postcode=buyer.postcode,
            country=countries[buyer.country],
            is_default_for_shipping=True,
            is_default_for_billing=True,
            date_created=user.date_joined,
        )
        row.hash = row.generate_hash()
        row._update_search_text()
        rows.append(row)
    with own_dates(UserAddress):
        UserAddress.objects.bulk_create(rows, batch_size=BATCH)
