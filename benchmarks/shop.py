"""One case of the benchmark: a shop, a customer, pages and orders through Oscar's own checkout."""

import argparse
import json
import time
from collections import defaultdict
from decimal import Decimal

import django

#: The saving of every order, by an offer of Oscar's own or by points.
SAVING = Decimal("5.00")
LINES = (1, 3, 10)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--orders", type=int, required=True)
    orders = parser.parse_args().orders
    django.setup()
    from django.conf import settings
    from django.test.utils import get_runner, setup_test_environment

    setup_test_environment()
    runner = get_runner(settings)(verbosity=0, interactive=False)
    databases = runner.setup_databases()
    try:
        print(json.dumps(measure(settings.CASE, orders)))
    finally:
        runner.teardown_databases(databases)


def measure(case: str, orders: int) -> dict[str, dict[str, list[float]]]:
    from django.test import Client

    customer = make_customer(case)
    products = make_products(max(LINES))
    if case == "core_discount":
        make_core_discount()
    client = Client()
    client.force_login(customer)
    measured: dict[str, dict[str, list[float]]] = defaultdict(lambda: {"seconds": [], "statements": []})

    def timed(page, send):
        seconds, statements, response = watch(send)
        measured[page]["seconds"].append(seconds)
        measured[page]["statements"].append(statements)
        return response

    url = products[0].get_absolute_url()
    client.get(url)
    for _ in range(orders):
        timed("product page", lambda: client.get(url))
    for lines in LINES:
        if case == "core_discount":
            limit_core_discount(lines)
        for number in range(orders + 1):
            fill_basket(client, customer, products[:lines])
            if case == "redeeming":
                redeem(customer)
            prepare_checkout(client, customer)
            if number == 0:  # warm caches
                place(client)
                continue
            timed(f"basket page, {lines} line(s)", lambda: client.get("/basket/"))
            response = timed(f"placing, {lines} line(s)", lambda: place(client))
            assert response.status_code == 302, response.content
            assert "thank-you" in response["Location"], response["Location"]
            check_total(case, lines, customer)
    return measured


def watch(send):
    from django.db import connection

    count = 0

    def counter(execute, sql, params, many, context):
        nonlocal count
        count += not sql.startswith(("SAVEPOINT", "RELEASE SAVEPOINT", "ROLLBACK", "BEGIN", "COMMIT"))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(counter):
        started = time.perf_counter()
        response = send()
        return time.perf_counter() - started, count, response


def make_customer(case, name="ada"):
    from oscar.core.compat import get_user_model
    from oscar.test import factories

    customer = get_user_model().objects.create_user(name, f"{name}@example.com", "x")
    country = find_country()
    factories.UserAddressFactory(user=customer, country=country, is_default_for_shipping=True)
    if case in ("installed", "redeeming"):
        from django.core.management import call_command
        from django.utils import timezone

        call_command("loyalty_setup", verbosity=0)
        from oscar_loyalty.flows.membership import join_programme
        from oscar_loyalty.points.services import adjust_points

        account = join_programme(user_id=customer.pk, now=timezone.now())
        adjust_points(
            account_id=account.pk,
            points=10_000_000,
            reason_code="GOODWILL",
            idempotency_key="benchmark",
            expiry_months=None,
            unit_value=Decimal("0.01"),
            currency="EUR",
            actor_ref="benchmark",
            now=timezone.now(),
        )
    return customer


def find_country():
    from oscar.core.loading import get_model
    from oscar.test import factories

    found = get_model("address", "Country").objects.filter(iso_3166_1_a2="DE").first()
    return found or factories.CountryFactory(iso_3166_1_a2="DE", printable_name="Germany")


def make_products(count):
    from oscar.test import factories

    return [
        factories.create_product(title=f"Product {number}", price=Decimal("19.90"), num_in_stock=10**6)
        for number in range(count)
    ]


def make_core_discount():
    """Oscar's own offer with the same saving on every basket."""
    from oscar.test import factories

    everything = factories.RangeFactory(includes_all_products=True)
    condition = factories.ConditionFactory(range=everything, type="Count", value=1)
    benefit = factories.BenefitFactory(range=everything, type="Absolute", value=SAVING)
    factories.ConditionalOfferFactory(condition=condition, benefit=benefit)


def limit_core_discount(lines):
    """The offer takes all lines, so that it is applied once, as points are."""
    from oscar.core.loading import get_model

    get_model("offer", "Condition").objects.filter(type="Count").update(value=lines)


def fill_basket(client, customer, products):
    for product in products:
        client.post(f"/basket/add/{product.pk}/", {"quantity": 1})


def redeem(customer):
    from django.utils import timezone
    from oscar.core.loading import get_class, get_model

    from oscar_loyalty.flows.redemption import redeem as redeem_points

    basket = get_model("basket", "Basket").open.get(owner=customer)
    basket.strategy = get_class("partner.strategy", "Selector")().strategy(user=customer)
    redeem_points(basket=basket, points=int(SAVING * 100), now=timezone.now())


def prepare_checkout(client, customer):
    from oscar.core.loading import get_model

    address = get_model("address", "UserAddress").objects.get(user=customer)
    client.post("/checkout/shipping-address/", {"action": "ship_to", "address_id": address.pk})
    client.get("/checkout/shipping-method/")


def place(client):
    return client.post("/checkout/preview/", {"action": "place_order"})


def check_total(case, lines, customer):
    from oscar.core.loading import get_model

    order = get_model("order", "Order").objects.filter(user=customer).latest("pk")
    saving = Decimal(0) if case in ("without", "installed") else SAVING
    assert order.total_incl_tax == Decimal("19.90") * lines - saving, order.total_incl_tax


if __name__ == "__main__":
    main()
