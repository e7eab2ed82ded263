"""The past of the loyalty programme: who joined, and what their orders earned, booked by the app itself."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from django.contrib.auth import get_user_model
from oscar.core.loading import get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.flows.backfill import Terms, backfill
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.flows.tiering import recompute_due_tiers
from oscar_loyalty.points.models import Account, Adjustment
from oscar_loyalty.points.services import book_adjustment, settle_account
from oscar_loyalty.programmes.models import CurrencyRate, ProgrammeVersion
from oscar_loyalty.programmes.services import publish_version, set_up_programme
from oscar_loyalty.shop.orders import Period

from .levels import write_rules, write_tiers
from .people import PEOPLE

User = get_user_model()

#: Of the customers who are not demo logins, how many take part.
SHARE_OF_MEMBERS = 0.7
CONFIRMED_IN = "Complete"


def write_membership(
    random: Random, *, opened_at: datetime, until: datetime, report: Callable[[str], None]
) -> None:
    """Two versions of the programme, members since their first visit, and the points of their orders."""
    report("The loyalty programme and its members")
    _write_programme(opened_at=opened_at, until=until)
    people = {person.email: person.member for person in PEOPLE}
    for user in User.objects.order_by("pk"):
        if people.get(user.email, random.random() < SHARE_OF_MEMBERS) and not user.is_staff:
            join_programme(user_id=user.pk, now=user.date_joined, marketing=random.random() < 0.4)
    orders = get_model("order", "Order").objects.filter(user__loyalty_member__isnull=False)
    report(f"The points of {orders.count()} orders")
    _book_purchases(since=opened_at, until=until)
    for account_id in list(Account.objects.values_list("pk", flat=True)):
        settle_account(account_id=account_id, now=until)
    recompute_due_tiers(now=until, limit=None)
    _write_goodwill(now=until)


def _book_purchases(*, since: datetime, until: datetime) -> None:
    """As a shop books its past: many orders at once, a week after the other, so that each order is judged by
    the tier that its customer held in the week before."""
    while since < until:
        end = min(since + timedelta(days=7), until)
        for _outcomes in backfill(period=Period(since=since, until=end), terms=Terms(), now=end):
            pass
        recompute_due_tiers(now=end, limit=None)
        since = end


def _write_programme(*, opened_at: datetime, until: datetime) -> None:
    """In its first year points lived for twelve months; since then for three years."""
    programme = set_up_programme(
        code=loyalty_settings.programme_code,
        name="Morgenrot-Punkte",
        time_zone="Europe/Berlin",
        currencies=["EUR"],
        terms_version="2025-1",
        promises={"spendable_status": CONFIRMED_IN, "expiry_months": 12},
        now=opened_at,
    )
    if programme.versions.count() == 1:
        first = programme.versions.get()
        write_tiers(first)
        write_rules(first)
        now = until - timedelta(days=240)
        publish_version(
            version=ProgrammeVersion(
                programme=programme,
                terms_version="2026-1",
                note="Points live for three years instead of one",
                spendable_status=CONFIRMED_IN,
                minimum_points=50,
            ),
            rates=[CurrencyRate(currency="EUR")],
            active_from=now,
            now=now,
            based_on=first,
        )


def _write_goodwill(*, now: datetime) -> None:
    """Something that staff credited, with a text for the customer."""
    hanna = next(person for person in PEOPLE if person.member)
    manager = User.objects.filter(is_superuser=True).order_by("pk").first()
    account = Account.objects.filter(member__user__email=hanna.email).first()
    if account is None or manager is None:
        return
    adjustment = Adjustment.objects.create(
        account=account,
        points=250,
        reason_code=Adjustment.Reason.GOODWILL,
        customer_text_de="Entschuldigung für die zerbrochene Tasse",
        customer_text_en="Sorry for the broken cup",
        requested_by=manager,
        requested_at=now,
    )
    book_adjustment(
        adjustment=adjustment,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        actor_id=manager.pk,
        now=now,
    )
