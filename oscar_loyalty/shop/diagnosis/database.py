"""Mistakes that only the database, the URLs or a running worker show."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import available_timezones

from celery import current_app
from django.conf import settings
from django.contrib.sites.models import Site
from django.db import connection, connections, router
from django.db.migrations.executor import MigrationExecutor
from django.urls import NoReverseMatch, reverse
from oscar.core.loading import get_class, get_model

from oscar_loyalty.conf import loyalty_settings
from oscar_loyalty.earning.queries import list_unknown_kinds
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points import append_only
from oscar_loyalty.points import queries as points
from oscar_loyalty.points.audit.runs import find_last_run, has_entries_before
from oscar_loyalty.points.models import Entry
from oscar_loyalty.programmes import queries as programmes
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.returns.models import ReturnPolicy
from oscar_loyalty.shop import carriers, mail, offers
from oscar_loyalty.shop.configuration import list_order_statuses, list_shop_currencies
from oscar_loyalty.shop.diagnosis.findings import Examination, Finding
from oscar_loyalty.shop.diagnosis.settings import no_return_address
from oscar_loyalty.shop.shipping_offer import has_mixin
from oscar_loyalty.tiers.entitlements import list_kinds_in_use
from oscar_loyalty.tiers.models import TierPerk
from oscar_loyalty.tiers.perks import perks
from oscar_loyalty.tiers.shipping import SHIPPING_KINDS

#: Background work that is due for longer than this is not being done.
PATIENCE = timedelta(hours=1)
#: A ledger that was not audited for longer than this is trusted without proof.
AUDIT_EVERY = timedelta(days=31)
_SET_UP = "Run `manage.py loyalty_setup`."
_NEW_VERSION = "Publish a new version of the programme in Django's admin"


def find_migrations(now: datetime) -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    targets = [node for node in executor.loader.graph.leaf_nodes() if node[0] == "oscar_loyalty"]
    if executor.migration_plan(targets):
        yield Finding(
            code="E101",
            problem="The tables of oscar_loyalty are not up to date.",
            fix="Run `manage.py migrate`.",
        )


def find_triggers(now: datetime) -> Iterator[Finding]:
    missing = append_only.find_missing(connections[router.db_for_write(Entry)])
    if missing:
        tables = ", ".join(sorted({trigger.table for trigger in missing}))
        yield Finding(
            code="E119",
            problem=f"The database would let anybody change or delete rows of {tables}: "
            f"{len(missing)} triggers are not there.",
            fix="Run `manage.py migrate`, which puts them back. (On MariaDB and MySQL a login without the "
            "privilege TRIGGER does not see them.)",
        )


def find_programme(now: datetime) -> Iterator[Finding]:
    try:
        programme = programmes.get_programme()
    except programmes.ProgrammeMissing:
        yield Finding(
            code="E102", problem=f"There is no programme “{loyalty_settings.programme_code}”.", fix=_SET_UP
        )
        return
    try:
        programmes.get_version(at=now)
    except programmes.ProgrammeMissing:
        yield Finding(
            code="E103",
            problem="No version of the programme is in force, so nobody can join, earn or spend.",
            fix=f"{_NEW_VERSION}, or wait for the one that is planned.",
        )
    if programme.time_zone not in available_timezones():
        yield Finding(
            code="E104",
            problem=f"The programme's time zone “{programme.time_zone}” does not exist.",
            fix="Choose another one in Django's admin.",
        )
    for what, is_paused in (
        ("Earning", programme.earning_paused),
        ("Redeeming", programme.redemption_paused),
    ):
        if is_paused:
            yield Finding(
                code="W105",
                problem=f"{what} is paused by hand.",
                fix="Release the brake on the programme's page in Django's admin when that is over.",
            )


def find_status(now: datetime) -> Iterator[Finding]:
    version = _version_in_force(now)
    statuses = list_order_statuses()
    if version and version.spendable_status and version.spendable_status not in statuses:
        known = ", ".join(f"“{status}”" for status in statuses) or "empty"
        yield Finding(
            code="E106",
            problem=f"Points wait for the order status “{version.spendable_status}”, which no order ever "
            "gets, so they stay pending for ever.",
            fix=f"{_NEW_VERSION} with a status of OSCAR_ORDER_STATUS_PIPELINE ({known}).",
        )


def find_rates(now: datetime) -> Iterator[Finding]:
    rated = programmes.list_currencies(at=now)
    for currency in list_shop_currencies():
        if _version_in_force(now) and currency not in rated:
            yield Finding(
                code="W107",
                problem=f"The shop has prices in {currency}, but the programme has no rate for it: such "
                "orders earn nothing, and points cannot pay for them.",
                fix=f"{_NEW_VERSION} with a rate for {currency}.",
            )


def find_rule_kinds(now: datetime) -> Iterator[Finding]:
    for kind in list_unknown_kinds():
        yield Finding(
            code="E140",
            problem=f"Earning rules are of the kind {kind}, which nobody registered: they give nothing.",
            fix="Register its class with @earning_rules.register in the ready() of one of your apps.",
        )


def find_offer(now: datetime) -> Iterator[Finding]:
    if not loyalty_settings.enabled:
        return
    offer_model = get_model("offer", "ConditionalOffer")
    offer = offers.find_offer()
    if offer is None:
        yield Finding(
            code="E108", problem="The offer with which points are redeemed does not exist.", fix=_SET_UP
        )
        return
    is_over = offer.end_datetime is not None and offer.end_datetime <= now
    if offer.status != offer_model.OPEN or is_over:
        yield Finding(
            code="E109",
            problem=f"The offer “{offer.name}” is suspended, used up or over, so nobody can redeem points.",
            fix="Make it active again in Oscar's dashboard, without limits and end. To stop redeeming on "
            "purpose, use the brake on the programme's page instead.",
        )
    others = offer_model.objects.exclude(pk=offer.pk).filter(offer_type=offer_model.SITE)
    later = others.filter(priority__lte=offer.priority).values_list("name", flat=True).first()
    if offer.exclusive or offer.offer_type != offer_model.SITE or later is not None:
        reason = f" (“{later}” comes later)" if later else ""
        yield Finding(
            code="E110",
            problem=f"The offer “{offer.name}” is not applied last and beside all others{reason}: points "
            "would pay for money that another offer takes off afterwards.",
            fix=f"Give other offers a priority above {offers.LAST}, then run `manage.py loyalty_setup`.",
        )


def find_tax_mode(now: datetime) -> Iterator[Finding]:
    if settings.OSCAR_OFFERS_INCL_TAX:
        return
    product = get_model("catalogue", "Product").objects.filter(stockrecords__price__gt=0).first()
    if product is None:
        return
    strategy = get_class("partner.strategy", "Selector")().strategy()
    price = strategy.fetch_for_product(product).price
    if price.exists and price.is_tax_known and price.incl_tax != price.excl_tax:
        yield Finding(
            code="W111",
            problem=f"“{product}” has a price with tax, but OSCAR_OFFERS_INCL_TAX is False: Oscar takes "
            "discounts that were computed with tax off prices without it (django-oscar #3685).",
            fix="Set OSCAR_OFFERS_INCL_TAX = True.",
        )


def find_urls(now: datetime) -> Iterator[Finding]:
    for name, what in (("loyalty:programme", "pages"), ("loyalty_api:programme", "API")):
        try:
            reverse(name)
        except NoReverseMatch:
            yield Finding(
                code="E112",
                problem=f"The programme's {what} have no address ({name}).",
                fix='Add path("", include("oscar_loyalty.urls")) to the urlpatterns of ROOT_URLCONF, before '
                "Oscar's line.",
            )


def find_return_address(now: datetime) -> Iterator[Finding]:
    """A shop with a policy of returns takes goods back; others need no address for them."""
    if not loyalty_settings.return_address and ReturnPolicy.objects.exists():
        yield no_return_address()


def find_mail(now: datetime) -> Iterator[Finding]:
    for code in mail.MAIL_TYPES:
        if not mail.has_text(code):
            yield Finding(
                code="E113",
                problem=f"The mail {code} has no text, so it is never sent.",
                fix="Restore its templates (oscar/communication/emails/commtype_"
                f"{code.lower()}_subject.txt and _body.txt) or write a text in Oscar's dashboard.",
            )
    if not loyalty_settings.base_url:
        domain = Site.objects.get_current().domain
        if domain == "example.com":
            yield Finding(
                code="W114",
                problem="Mails would link to example.com.",
                fix="Set the domain of the site in Django's admin, or OSCAR_LOYALTY_BASE_URL.",
            )


def find_background_work(now: datetime) -> Iterator[Finding]:
    overdue = now - PATIENCE
    stuck = {
        "points that became due": points.list_due_accounts(now=overdue).exists(),
        "reservations that ended": points.list_expired_holds(now=overdue).exists(),
        "news that should have gone out": OutboxMessage.objects.filter(
            waiting=True, available_at__lte=overdue
        ).exists(),
    }
    if any(stuck.values()):
        yield Finding(
            code="E115",
            problem="Nobody does the work in the background: for more than an hour there have been "
            + ", ".join(what for what, is_stuck in stuck.items() if is_stuck)
            + ".",
            fix="Start Celery's worker and beat with oscar_loyalty.tasks.beat_schedule, or run "
            "`manage.py loyalty_sweep` from cron every five minutes.",
        )


def find_worker(now: datetime) -> Iterator[Finding]:
    if current_app.conf.task_always_eager:
        return
    if not current_app.conf.broker_write_url:
        yield Finding(
            code="W116",
            problem="No Celery broker is configured, so nothing happens in the background by itself.",
            fix="Run `manage.py loyalty_sweep` from cron every five minutes, or set CELERY_BROKER_URL.",
        )
        return
    try:
        answers = current_app.control.ping(timeout=1)
    except Exception as error:  # noqa: BLE001 (each transport has errors of its own)
        yield Finding(
            code="E117",
            problem=f"Celery's broker cannot be reached: {type(error).__name__}: {error}",
            fix="Start the broker or correct CELERY_BROKER_URL. No points are lost meanwhile.",
        )
        return
    if not answers:
        yield Finding(
            code="E118",
            problem="No Celery worker answers.",
            fix="Start one (`celery -A yourshop worker`), and beat beside it.",
        )


def find_audit(now: datetime) -> Iterator[Finding]:
    last = find_last_run()
    if last is not None and last.findings:
        yield Finding(
            code="E130",
            problem=f"The last audit of the ledger ({last.started_at:%Y-%m-%d %H:%M} UTC) found "
            f"{last.findings} broken promises.",
            fix="Run `manage.py loyalty_audit`: it names each account and what is wrong with it.",
        )
    elif has_entries_before(now - AUDIT_EVERY) and (last is None or last.started_at < now - AUDIT_EVERY):
        yield Finding(
            code="W131",
            problem=f"The ledger was not audited for more than {AUDIT_EVERY.days} days.",
            fix="Start Celery's beat with oscar_loyalty.tasks.beat_schedule, or run "
            "`manage.py loyalty_audit` from cron once a week.",
        )


def find_perks(now: datetime) -> Iterator[Finding]:
    used = list_kinds_in_use(now=now)
    for code in sorted(kind for kind in used if kind not in perks):
        yield Finding(
            code="W140",
            problem=f"Tiers or members have a perk of the kind {code}, which nobody registered: it gives "
            "nothing.",
            fix="Register its class in the ready() of the app it belongs to, or take the perk away.",
        )
    if used.isdisjoint(SHIPPING_KINDS) or has_mixin():
        return
    own = carriers.find_offer(carriers.SHIPPING)
    others = get_model("offer", "ConditionalOffer").active.filter(benefit__type__startswith="Shipping")
    if name := others.exclude(pk=own and own.pk).values_list("name", flat=True).first():
        yield Finding(
            code="W141",
            problem=f"The offer “{name}” goes before every perk on delivery, even where the perk is better.",
            fix="Fork Oscar's shipping app and put LoyaltyRepositoryMixin before its Repository "
            "(docs/how-to/perks.md).",
        )
    if any(_names_methods(perk) for perk in TierPerk.objects.filter(kind__in=SHIPPING_KINDS)):
        yield Finding(
            code="W142",
            problem="Perks on delivery name methods or countries, but Oscar's repository tells an offer "
            "neither: they act on other methods too, or not at all.",
            fix="Fork Oscar's shipping app and put LoyaltyRepositoryMixin before its Repository "
            "(docs/how-to/perks.md).",
        )


def _names_methods(perk: TierPerk) -> bool:
    return any(name in perk.parameters for name in ("methods", "countries", "express"))


DATABASE_EXAMINATIONS = (
    Examination("Tables", find_migrations),
    Examination("Ledger refuses changes", find_triggers),
    Examination("Programme", find_programme),
    Examination("Status that makes points spendable", find_status),
    Examination("Rates for the shop's currencies", find_rates),
    Examination("Kinds of earning rules", find_rule_kinds),
    Examination("Offer with which points are redeemed", find_offer),
    Examination("Perks", find_perks),
    Examination("Tax of prices", find_tax_mode),
    Examination("Addresses of pages and API", find_urls),
    Examination("Address for returns", find_return_address),
    Examination("Mail", find_mail),
    Examination("Background work is done", find_background_work),
    Examination("Celery", find_worker),
    Examination("Ledger is audited", find_audit),
)


def _version_in_force(now: datetime) -> ProgrammeVersion | None:
    try:
        return programmes.get_version(at=now)
    except programmes.ProgrammeMissing:
        return None
