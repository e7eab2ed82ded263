"""Promises of delivery: made, kept, broken, apologised for."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core import mail
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.delivery import queries
from oscar_loyalty.delivery.models import DeliveryPromise
from oscar_loyalty.flows import deliveries, sweeping
from oscar_loyalty.flows.deliveries import apologise_for_late, check_deliveries, promise_delivery
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points.models import Entry
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import place_order

#: Tuesday; express arrives on Wednesday 2 December, whose end is 23:00 UTC.
TUESDAY = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
DUE = datetime(2026, 12, 2, 23, 0, tzinfo=UTC)
#: Twelve hours of grace are over.
THURSDAY = datetime(2026, 12, 3, 12, 0, tzinfo=UTC)

pytestmark = pytest.mark.database


@pytest.fixture(autouse=True)
def _shop(settings):
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = "tests.shop.parcels.methods"


def express(user=None, *, number="100042", code="express", state="Berlin", **values):
    country, _ = get_model("address", "Country").objects.get_or_create(
        iso_3166_1_a2="DE", defaults={"iso_3166_1_a3": "DEU", "printable_name": "Germany"}
    )
    address = factories.ShippingAddressFactory(country=country, state=state)
    return place_order(
        user=user, number=number, at=TUESDAY, shipping_code=code, shipping_address=address, **values
    )


def promised(order):
    promise_delivery(order=order, now=TUESDAY)
    return DeliveryPromise.objects.get(order_ref=order.number)


def state_of(order):
    return DeliveryPromise.objects.get(order_ref=order.number).state


def apologies():
    return Entry.objects.filter(idempotency_key="late:100042")


@pytest.fixture
def order(customer):
    order = express(customer)
    promise_delivery(order=order, now=TUESDAY)
    return order


# Made


def test_an_order_stores_what_it_was_promised_once(customer):
    order = express(customer)
    first = promised(order)
    assert (first.promised_date, first.due_at, first.made_at) == (date(2026, 12, 2), DUE, TUESDAY)
    order.shipping_code = "delivery-day-2026-12-24"
    assert promised(order) == first
    assert promised(order).promised_date == date(2026, 12, 2)


def test_methods_that_promise_nothing_store_nothing(customer):
    assert promise_delivery(order=express(customer, code="standard"), now=TUESDAY) is None
    assert not DeliveryPromise.objects.exists()


def test_the_sweep_finds_promises_that_were_lost(customer, settings):
    lost = express(customer)
    express(customer, number="100043", code="standard")
    express(customer, number="100044", code="delivery-day-2026-12-24")
    promised(express(customer, number="100045", code="pick-up-kreuzberg"))
    assert sweeping.check_deliveries(now=TUESDAY) == 2
    assert promised(lost).made_at == TUESDAY
    assert DeliveryPromise.objects.count() == 3
    assert sweeping.check_deliveries(now=TUESDAY) == 0
    settings.OSCAR_LOYALTY_DELIVERY_METHODS = ""
    assert deliveries.promise_missed_deliveries(now=TUESDAY, within_days=30) == 0


def test_one_order_whose_promise_fails_stops_no_other(customer, monkeypatch, caplog):
    first, second = express(customer), express(customer, number="100043")
    find = deliveries.deliveries.find_promise_of

    def fail(order):
        if order.pk == first.pk:
            raise RuntimeError
        return find(order)

    monkeypatch.setattr(deliveries.deliveries, "find_promise_of", fail)
    assert deliveries.promise_missed_deliveries(now=TUESDAY, within_days=30) == 1
    assert DeliveryPromise.objects.get().order_ref == second.number
    assert "100042" in caplog.text


# Arrived


def test_a_status_says_that_an_order_has_arrived(order):
    order.set_status("Being processed")
    check_deliveries(now=TUESDAY)
    assert state_of(order) == "WAITING"
    for status in ("Shipped", "Complete"):
        order.set_status(status)
    get_model("order", "OrderStatusChange").objects.filter(new_status="Complete").update(
        date_created=DUE - timedelta(hours=1)
    )
    assert check_deliveries(now=THURSDAY) == 1
    assert state_of(order) == "ON_TIME"
    assert check_deliveries(now=THURSDAY) == 0


def test_a_status_set_in_the_admin_counts_from_when_it_was_seen(order):
    get_model("order", "Order").objects.filter(pk=order.pk).update(status="Complete")
    check_deliveries(now=THURSDAY)
    assert DeliveryPromise.objects.get().delivered_at == THURSDAY
    assert state_of(order) == "DELIVERED_LATE"


def test_lines_that_all_have_arrived_say_so_too(order):
    lines = list(order.lines.all())
    lines[0].status = "Complete"
    lines[0].save()
    check_deliveries(now=TUESDAY)
    assert state_of(order) == "WAITING"
    lines[1].status = "Cancelled"
    lines[1].save()
    check_deliveries(now=TUESDAY)
    assert state_of(order) == "ON_TIME"


def deliver_by_event(order, quantities, *, at):
    kinds = get_model("order", "ShippingEventType").objects
    kind, _ = kinds.get_or_create(name="Delivered", code="delivered")
    event = order.shipping_events.create(event_type=kind)
    get_model("order", "ShippingEvent").objects.filter(pk=event.pk).update(date_created=at)
    rows = get_model("order", "ShippingEventQuantity").objects
    for line, quantity in quantities:
        rows.create(event=event, line=line, quantity=quantity)


def test_shipping_events_say_so_when_they_cover_every_piece(order):
    get_model("order", "Line").objects.filter(pk=order.lines.order_by("pk")[0].pk).update(quantity=2)
    one, two = order.lines.order_by("pk")
    deliver_by_event(order, [(one, 1), (two, 1)], at=TUESDAY + timedelta(hours=20))
    check_deliveries(now=THURSDAY)
    assert state_of(order) == "LATE"
    deliver_by_event(order, [(one, 1)], at=TUESDAY + timedelta(hours=30))
    check_deliveries(now=THURSDAY)
    assert state_of(order) == "ON_TIME"
    assert DeliveryPromise.objects.get().delivered_at == TUESDAY + timedelta(hours=30)


def test_staff_say_so_and_the_first_report_counts(order):
    assert deliveries.record_delivery(order_ref=order.number, delivered_at=DUE, now=THURSDAY)
    assert state_of(order) == "DELIVERED_LATE", "the day is over with its last instant"
    assert not deliveries.record_delivery(order_ref=order.number, delivered_at=TUESDAY, now=THURSDAY)
    with pytest.raises(ValueError, match="future"):
        deliveries.record_delivery(order_ref=order.number, delivered_at=THURSDAY, now=TUESDAY)
    assert not deliveries.record_delivery(order_ref="unknown", delivered_at=DUE, now=THURSDAY)


def test_a_report_that_comes_late_puts_the_promise_right(order):
    check_deliveries(now=THURSDAY)
    assert state_of(order) == "LATE"
    deliveries.record_delivery(order_ref=order.number, delivered_at=DUE - timedelta(seconds=1), now=THURSDAY)
    assert state_of(order) == "ON_TIME"


def test_nobody_waits_for_a_cancelled_order_or_for_one_that_is_gone(order, customer):
    gone = express(customer, number="100043")
    promised(gone)
    gone.delete()
    order.set_status("Cancelled")
    deliveries.update_delivery_of(order_id=order.pk, now=THURSDAY)
    check_deliveries(now=THURSDAY)
    assert {promise.state for promise in DeliveryPromise.objects.all()} == {"VOID"}
    assert not deliveries.record_delivery(order_ref=order.number, delivered_at=DUE, now=THURSDAY)


# Late


def test_an_order_is_late_when_the_day_and_the_hours_of_grace_are_over(order, settings):
    assert check_deliveries(now=DUE + timedelta(hours=12) - timedelta(seconds=1)) == 0
    assert check_deliveries(now=DUE + timedelta(hours=12)) == 1
    promise = DeliveryPromise.objects.get()
    assert (promise.state, promise.late_since) == ("LATE", DUE)
    assert check_deliveries(now=THURSDAY) == 0


def test_nobody_apologises_unless_the_shop_wants_it(order, account):
    check_deliveries(now=THURSDAY)
    assert apologise_for_late(now=THURSDAY) == 0
    assert DeliveryPromise.objects.get().apologised_at is None


def test_a_member_gets_points_and_a_mail_once(order, account, settings):
    settings.OSCAR_LOYALTY_LATE_POINTS = 200
    settings.OSCAR_LOYALTY_LATE_MAIL = True
    for _ in range(2):
        sweeping.check_deliveries(now=THURSDAY)
        sweeping.relay_outbox(now=THURSDAY)
    entry = apologies().get()
    assert (entry.kind, entry.points, entry.order_ref) == ("EARN", 200, "")
    assert entry.explanation["rule"] == "LATE_DELIVERY"
    account.refresh_from_db()
    assert account.available == 200
    promise = DeliveryPromise.objects.get()
    assert (promise.apologised_at, promise.apology_points) == (THURSDAY, 200)
    [message] = mail.outbox
    assert message.subject == "Your order 100042 is late: we are sorry"
    assert "would arrive by Wednesday 2 December" in message.body
    assert "200 points" in message.body
    assert "/loyalty/" in message.body
    assert message.alternatives[0].mimetype == "text/html"
    assert_ledger_balanced(account)


def test_an_apology_stays_when_the_order_is_cancelled_afterwards(order, account, settings):
    settings.OSCAR_LOYALTY_LATE_POINTS = 200
    sweeping.check_deliveries(now=THURSDAY)
    reward_purchase(order_id=order.pk, now=THURSDAY)
    order.set_status("Cancelled")
    reward_purchase(order_id=order.pk, now=THURSDAY)
    account.refresh_from_db()
    assert (account.available, account.pending) == (200, 0)


def test_guests_get_a_mail_without_points(programme, settings):
    settings.OSCAR_LOYALTY_LATE_POINTS = 200
    guest = express(guest_email="ada@example.com")
    promised(guest)
    sweeping.check_deliveries(now=THURSDAY)
    assert DeliveryPromise.objects.get().apologised_at is None
    settings.OSCAR_LOYALTY_LATE_MAIL = True
    sweeping.check_deliveries(now=THURSDAY)
    sweeping.relay_outbox(now=THURSDAY)
    [message] = mail.outbox
    assert message.to == ["ada@example.com"]
    assert "points" not in message.body
    assert not Entry.objects.exists()


def test_the_mail_is_in_the_language_of_the_customer(order, account, settings):
    settings.OSCAR_LOYALTY_LATE_MAIL = True
    settings.OSCAR_LOYALTY_CUSTOMER_LANGUAGE = "tests.flows.test_deliveries.german"
    sweeping.check_deliveries(now=THURSDAY)
    sweeping.relay_outbox(now=THURSDAY)
    assert "Mittwoch" in mail.outbox[0].body


def german(user):
    return "de"


def test_a_mail_server_that_refuses_is_tried_again_and_the_points_are_given_once(
    order, account, settings, monkeypatch
):
    settings.OSCAR_LOYALTY_LATE_POINTS = 200
    settings.OSCAR_LOYALTY_LATE_MAIL = True
    with monkeypatch.context() as patched:

        def refuse(**values):
            raise ConnectionError

        patched.setattr("oscar_loyalty.flows.deliveries.send_about_order", refuse)
        sweeping.check_deliveries(now=THURSDAY)
        sweeping.relay_outbox(now=THURSDAY)
    assert not mail.outbox
    assert OutboxMessage.objects.get(topic="late_delivery").waiting
    sweeping.relay_outbox(now=THURSDAY + timedelta(hours=1))
    assert len(mail.outbox) == 1
    assert apologies().count() == 1


def test_nobody_apologises_for_what_was_late_long_ago(order, account, settings):
    check_deliveries(now=THURSDAY)
    settings.OSCAR_LOYALTY_LATE_POINTS = 200
    assert apologise_for_late(now=DUE + timedelta(days=15)) == 0
    assert apologise_for_late(now=DUE + timedelta(days=13)) == 1


def test_an_apology_that_fails_writes_nothing(order, account, settings, monkeypatch, caplog):
    settings.OSCAR_LOYALTY_LATE_POINTS = 200
    check_deliveries(now=THURSDAY)

    def fail(**values):
        raise RuntimeError

    with monkeypatch.context() as patched:
        patched.setattr("oscar_loyalty.flows.deliveries.services.record_apology", fail)
        assert apologise_for_late(now=THURSDAY) == 0
    assert "100042" in caplog.text
    assert not apologies().exists()
    assert apologise_for_late(now=THURSDAY) == 1


# Counted


def test_the_on_time_rate_is_told_by_method_and_month(customer):
    def make(number, code, arrived):
        promised(express(customer, number=number, code=code))
        if arrived:
            deliveries.record_delivery(order_ref=number, delivered_at=arrived, now=THURSDAY + timedelta(9))

    make("1", "express", DUE - timedelta(hours=1))
    make("2", "express", DUE + timedelta(hours=1))
    make("3", "express", DUE - timedelta(hours=2))
    make("4", "express", None)
    make("5", "delivery-day-2026-12-03", DUE)
    make("6", "delivery-day-2026-12-04", DUE)
    rates = queries.list_on_time_rates(since=date(2026, 12, 1), until=date(2027, 1, 1))
    assert [(rate.method, rate.delivered, rate.on_time) for rate in rates] == [
        ("delivery-day", 2, 2),
        ("express", 3, 2),
    ]
    assert rates[1].month == date(2026, 12, 1)
    assert round(rates[1].percent) == 67
    assert not queries.list_on_time_rates(since=date(2026, 11, 1), until=date(2026, 12, 1))


@pytest.mark.parametrize("orders", [1, 10])
def test_looking_at_deliveries_costs_the_same_for_one_order_and_for_ten(
    customer, orders, django_assert_num_queries
):
    for number in range(orders):
        promised(express(customer, number=str(number)))
    # Promises, their orders, statuses, lines, events; and once more to see that there are no others.
    with django_assert_num_queries(6):
        check_deliveries(now=TUESDAY)


def test_of_two_who_apologise_at_once_one_finds_nothing_left(order, account, settings, monkeypatch):
    """The second begins after the first has looked; on a server it waits for the lock of the row."""
    settings.OSCAR_LOYALTY_LATE_POINTS = 200
    check_deliveries(now=THURSDAY)
    listed = queries.list_unapologised(due_after=TUESDAY)
    apologise_for_late(now=THURSDAY)
    monkeypatch.setattr(queries, "list_unapologised", lambda **values: listed)
    assert apologise_for_late(now=THURSDAY) == 0
    assert apologies().count() == 1
