"""Every trap of redeeming points as an offer of Oscar's, one test each."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone, translation
from oscar.core.loading import get_class, get_model

from oscar_loyalty.flows.redemption import get_redemption, redeem, undo_redemption
from oscar_loyalty.points import queries, services
from oscar_loyalty.points.models import Entry, Hold
from oscar_loyalty.shop.offers import LAST, PointsDiscount, PointsUnavailable, ensure_offer
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from . import world
from .world import make_basket, make_discount, make_member, place

ConditionalOffer = get_model("offer", "ConditionalOffer")
OrderDiscount = get_model("order", "OrderDiscount")


def spend(basket, points):
    return redeem(basket=basket, points=points, now=timezone.now())


def spent(order):
    return Entry.objects.filter(order_ref=order.number, kind=Entry.Kind.SPEND)


# The saved offer


def test_the_offer_is_saved_once_and_repaired_when_staff_changed_what_it_needs(offer):
    ConditionalOffer.objects.filter(pk=offer.pk).update(exclusive=True, priority=5, name="Our points")
    again = ensure_offer()
    assert (again.pk, again.exclusive, again.priority) == (offer.pk, False, LAST)
    assert (again.max_basket_applications, again.offer_type) == (1, ConditionalOffer.SITE)
    assert again.name == "Our points"


def test_what_staff_suspended_stays_suspended(offer):
    offer.suspend()
    assert ensure_offer().is_suspended


def test_the_offer_ends_while_the_app_is_switched_off(offer, settings):
    settings.OSCAR_LOYALTY_ENABLED = False
    assert ensure_offer() not in ConditionalOffer.active.all()
    settings.OSCAR_LOYALTY_ENABLED = True
    assert ensure_offer() in ConditionalOffer.active.all()


def test_an_offer_that_staff_ended_stays_ended(offer):
    yesterday = timezone.now() - timedelta(days=1)
    ConditionalOffer.objects.filter(pk=offer.pk).update(end_datetime=yesterday)
    assert ensure_offer().end_datetime == yesterday


def test_the_public_offers_pages_describe_it_decently(client, programme):
    page = client.get("/offers/").content.decode()
    assert "Members of our loyalty programme pay with the points they have collected" in page
    assert client.get(ensure_offer().get_absolute_url()).status_code == 200


def test_migrating_makes_the_offer_by_itself(db):
    from django.apps import apps
    from django.db.models.signals import post_migrate

    ConditionalOffer.objects.all().delete()
    config = apps.get_app_config("oscar_loyalty")
    for _ in range(2):
        post_migrate.send(
            sender=config,
            app_config=config,
            verbosity=0,
            interactive=False,
            using="default",
            apps=apps,
            plan=[],
        )
    assert ConditionalOffer.objects.filter(benefit__proxy_class__endswith="PointsBenefit").count() == 1


def test_migrating_before_oscar_has_its_tables_is_no_error(db, monkeypatch):
    from django.db.backends.base.introspection import BaseDatabaseIntrospection

    from oscar_loyalty.receivers import on_migrated

    ConditionalOffer.objects.all().delete()
    monkeypatch.setattr(BaseDatabaseIntrospection, "table_names", lambda self, cursor: [])
    on_migrated(using="default")
    assert not ConditionalOffer.objects.exists()


# Money and VAT


def test_points_reduce_total_and_vat_and_the_books_agree(member):
    basket = make_basket(member.user, [("20.00", 1, 19), ("10.00", 1, 0)])
    spend(basket, 1000)
    order = place(basket, shipping="6.00")
    assert (order.total_incl_tax, order.shipping_incl_tax) == (Decimal("26.00"), Decimal("6.00"))
    assert order.total_tax == Decimal("2.13")
    assert sum(line.line_price_incl_tax for line in order.lines.all()) == Decimal("20.00")
    discount = order.discounts.get()
    assert (discount.amount, discount.frequency, discount.message) == (Decimal("10.00"), 1, "1,000 points")
    assert sum(row.amount for line in order.lines.all() for row in line.discounts.all()) == Decimal("10.00")
    assert spent(order).get().points == 1000
    hold = Hold.objects.get()
    assert (hold.state, hold.captured, hold.amount) == ("CAPTURED", 1000, Decimal("10.00"))
    assert_ledger_balanced(member)


def test_mixed_vat_is_shared_pro_rata(member):
    basket = make_basket(member.user, [("30.00", 1, 19), ("10.00", 1, 7)])
    spend(basket, 1000)
    assert [line.line_price_incl_tax_incl_discounts for line in basket.all_lines()] == [
        Decimal("22.50"),
        Decimal("7.50"),
    ]
    assert [line.line_price_excl_tax_incl_discounts for line in basket.all_lines()] == [
        Decimal("18.91"),
        Decimal("7.01"),
    ]


@pytest.mark.parametrize("strategy", [world.PricesWithTax, world.PricesWithoutTax, world.TaxUnknown])
@pytest.mark.parametrize("offers_incl_tax", [True, False])
def test_ten_euros_of_points_save_ten_euros_in_every_shop(member, settings, strategy, offers_incl_tax):
    settings.OSCAR_OFFERS_INCL_TAX = offers_incl_tax
    basket = make_basket(member.user, [("19.99", 3, 19), ("7.45", 2, 7)], strategy=strategy())
    taxed = strategy is not world.TaxUnknown
    before = basket.total_incl_tax if taxed else basket.total_excl_tax
    result = spend(basket, 1000)
    after = basket.total_incl_tax if taxed else basket.total_excl_tax
    assert (before - after, result.amount, result.total) == (Decimal("10.00"), Decimal("10.00"), after)


@pytest.mark.parametrize(("offers_incl_tax", "incl_tax"), [(True, False), (False, True)])
def test_a_line_that_carries_a_discount_of_the_other_kind_is_no_obstacle(
    member, settings, offers_incl_tax, incl_tax
):
    """Oscar raises an error when net and gross discounts meet on one line."""
    settings.OSCAR_OFFERS_INCL_TAX = offers_incl_tax
    basket = make_basket(member.user, [("30.00", 1, 19), ("20.00", 1, 7)])
    spend(basket, 1000)
    basket.reset_offer_applications()
    basket.all_lines()[0].discount(Decimal("5.00"), 1, incl_tax=incl_tax)
    before = basket.total_incl_tax
    world.apply_offers(basket)
    assert before - basket.total_incl_tax == Decimal("10.00")


def test_points_come_after_an_exclusive_offer_on_what_is_left(member):
    make_discount(10, exclusive=True)
    basket = make_basket(member.user, [("30.00", 1, 19)])
    spend(basket, 1000)
    assert basket.total_incl_tax == Decimal("17.00")
    order = place(basket)
    assert sorted(order.discounts.values_list("amount", flat=True)) == [Decimal("3.00"), Decimal("10.00")]


def test_full_payment_leaves_no_cent_and_no_tax(member):
    basket = make_basket(member.user, [("9.99", 3, 19), ("0.05", 1, 7), ("3.33", 2, 19)])
    result = spend(basket, 10_000)
    assert (result.applied, result.total, result.reasons) == (3668, Decimal("0.00"), ("goods",))
    order = place(basket)
    assert (order.total_incl_tax, order.total_excl_tax) == (Decimal("0.00"), Decimal("0.00"))
    assert {line.line_price_incl_tax for line in order.lines.all()} == {Decimal("0.00")}
    member.refresh_from_db()
    assert (member.available, member.held, member.spent) == (10_000 - 3668, 0, 3668)


def test_goods_that_may_not_be_discounted_are_not_paid_with_points(member):
    basket = make_basket(member.user, [("20.00", 1, 19)])
    basket.add_product(world.make_product("12.00", rate=7, discountable=False))
    world.apply_offers(basket)
    result = spend(basket, 10_000)
    assert (result.goods, result.amount, result.total) == (
        Decimal("32.00"),
        Decimal("20.00"),
        Decimal("12.00"),
    )
    assert basket.total_incl_tax == Decimal("12.00")


def test_goods_without_a_price_are_left_alone(member):
    basket = make_basket(member.user, [("20.00", 1, 19), ("10.00", 1, 19)])
    get_model("partner", "StockRecord").objects.filter(price=Decimal("10.00")).update(price=None)
    basket = world.load(basket)
    assert spend(basket, 1000).total == Decimal("10.00")


def test_free_goods_beside_others_are_left_alone(member, settings):
    settings.OSCAR_OFFERS_INCL_TAX = False
    basket = make_basket(member.user, [("0.00", 1, 19), ("10.00", 1, 19)], strategy=world.PricesWithoutTax())
    assert spend(basket, 5000).total == Decimal("0.00")
    assert place(basket).total_incl_tax == Decimal("0.00")


def test_a_shop_that_rounds_discounts_charges_the_points_of_the_rounded_amount(member, settings):
    settings.OSCAR_OFFER_ROUNDING_FUNCTION = "tests.shop.test_offers.to_five_cents"
    basket = make_basket(member.user)
    result = spend(basket, 1009)
    assert (result.amount, result.applied) == (Decimal("10.05"), 1005)


def to_five_cents(amount, currency=None):
    return amount - amount % Decimal("0.05")


def test_what_core_offers_are_given_for_is_never_given_twice(member):
    """Points take part in Oscar's own bookkeeping of affected items."""
    basket = make_basket(member.user, [("10.00", 3, 19)])
    spend(basket, 700)
    line = basket.all_lines()[0]
    assert line.quantity_with_discount == 3
    assert [str(price) for price, _net, _quantity in line.get_price_breakdown()] == [
        "7.666666666666666666666666667"
    ]


# Currencies


def test_points_of_one_currency_are_not_spent_in_another(offer):
    world.make_programme(currencies=("EUR", "GBP"))
    member = make_member()
    basket = make_basket(member.user)
    spend(basket, 1000)
    for line in basket.lines.all():
        line.price_currency = "GBP"
        line.save()
    get_model("partner", "StockRecord").objects.update(price_currency="GBP")
    basket = world.load(basket)
    assert basket.total_incl_tax == Decimal("30.00")
    assert get_redemption(basket=basket, now=timezone.now()).applied == 0
    result = spend(basket, 500)
    assert (result.currency, result.amount) == ("GBP", Decimal("5.00"))
    assert Hold.objects.get().currency == "GBP"


def test_a_currency_without_a_rate_takes_no_points(member):
    basket = make_basket(member.user, currency="CHF")
    state = get_redemption(basket=basket, now=timezone.now())
    assert (state.state, state.maximum) == ("currency_not_supported", 0)


def test_a_currency_without_small_coins_is_shared_in_whole_ones(offer):
    world.make_programme(currencies=("JPY",), rate={"redeem_points": 1, "card_minimum": 50})
    member = make_member()
    basket = make_basket(member.user, [("1000", 1, 10), ("777", 1, 8), ("3", 1, 8)], currency="JPY")
    spend(basket, 501)
    discounts = [line.discount_value for line in basket.all_lines()]
    assert sum(discounts) == 501
    assert all(value == int(value) for value in discounts)


# The offer is applied again and again


def test_offers_applied_twice_without_a_reset_take_the_points_once(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    world.apply_offers(basket)
    world.apply_offers(basket)
    assert basket.total_incl_tax == Decimal("20.00")
    assert [a["discount"] for a in basket.offer_applications] == [Decimal("10.00")]
    order = place(basket)
    assert order.discounts.get().amount == Decimal("10.00")


def test_a_reset_basket_is_computed_anew(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    basket.reset_offer_applications()
    assert basket.total_incl_tax == Decimal("30.00")
    world.apply_offers(basket)
    assert basket.total_incl_tax == Decimal("20.00")


def test_an_exclusive_voucher_added_after_points_finds_the_lines_free(client, member):
    """Oscar would say that the basket does not qualify, and take the voucher off again."""
    make_discount(50, exclusive=True, voucher_code="HALF")
    client.force_login(member.user)
    product = world.make_product("30.00", rate=0)
    client.post(f"/basket/add/{product.pk}/", {"quantity": 1})
    basket = get_model("basket", "Basket").open.get(owner=member.user)
    basket.strategy = world.PricesWithTax()
    spend(basket, 1000)
    client.post("/basket/vouchers/add/", {"code": "HALF"})
    assert basket.vouchers.get().code == "HALF"
    basket = world.load(basket)
    assert basket.total_incl_tax == Decimal("5.00")


def test_a_voucher_on_a_basket_without_points_is_oscars_own_affair(member):
    voucher = make_discount(50, voucher_code="HALF")
    basket = make_basket(member.user)
    lines = basket._lines
    signal = get_class("basket.signals", "voucher_addition")
    signal.send(sender=None, basket=basket, voucher=voucher)
    assert basket._lines is lines


def test_a_frozen_basket_keeps_its_points(member):
    """Payment providers send customers back to a frozen basket, to which offers are applied again."""
    basket = make_basket(member.user)
    spend(basket, 1000)
    basket.freeze()
    returned = world.load(basket)
    assert returned.total_incl_tax == Decimal("20.00")
    assert place(returned).total_incl_tax == Decimal("20.00")


def test_the_application_tells_headless_clients_what_it_is(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    [application] = basket.offer_discounts
    assert (application["name"], application["description"]) == ("Loyalty points", "1,000 points")
    assert application["result"].is_final
    with translation.override("de"):
        assert application["result"].description.startswith("1.000 ")


# Placing


def test_the_same_order_spends_once_however_often_oscar_asks(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    order = place(basket)
    [application] = list(basket.offer_applications)
    for _ in range(2):
        application["offer"].apply_deferred_benefit(basket, order, application)
    member.refresh_from_db()
    assert (member.spent, spent(order).count()) == (1000, 1)


def test_a_basket_placed_again_under_another_number_is_refused(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    place(basket, number="1")
    with pytest.raises(PointsUnavailable):
        place(basket, number="2")
    assert get_model("order", "Order").objects.count() == 1
    member.refresh_from_db()
    assert member.spent == 1000


def test_only_what_is_applied_is_spent_and_the_rest_comes_back(member):
    basket = make_basket(member.user)
    spend(basket, 10_000)
    order = place(basket)
    member.refresh_from_db()
    assert (spent(order).get().points, member.available, member.held) == (3000, 7000, 0)


@pytest.mark.parametrize("what", ["released", "lowered", "expired", "frozen account"])
def test_points_lost_between_page_and_order_stop_the_order_and_show_the_new_total(member, what):
    basket = make_basket(member.user)
    spend(basket, 1000)
    now, ref = timezone.now(), f"basket:{basket.pk}"
    if what == "released":
        services.release_hold(ref=ref, now=now)
        left = Decimal("30.00")
    elif what == "lowered":
        spend(world.load(basket), 400)
        left = Decimal("26.00")
    elif what == "expired":
        later = now + timedelta(hours=2)
        services.release_hold(ref=ref, now=later, state=Hold.State.EXPIRED)
        world.give_points(member, -10_000)
        left = Decimal("30.00")
    else:
        type(member).objects.filter(pk=member.pk).update(status="FROZEN")
        left = Decimal("30.00")
    with pytest.raises(PointsUnavailable, match="please check the total"):
        place(basket)
    assert not get_model("order", "Order").objects.exists()
    assert not OrderDiscount.objects.exists()
    assert basket.total_incl_tax == left
    member.refresh_from_db()
    assert member.spent == 0


def test_an_expired_reservation_is_made_again_in_full_without_a_word(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    expire(basket)
    member.refresh_from_db()
    assert (member.available, member.held) == (10_000, 0)
    returned = world.load(basket)
    assert returned.total_incl_tax == Decimal("20.00")
    assert spent(place(returned)).get().points == 1000


def test_what_can_no_longer_be_reserved_stops_the_first_order_only(member):
    """The customer comes back to an old page; in the meantime the points went elsewhere."""
    basket = make_basket(member.user)
    spend(basket, 1000)
    expire(basket)
    world.give_points(member, -10_000)
    returned = world.load(basket)
    state = get_redemption(basket=returned, now=timezone.now())
    assert (state.requested, state.applied, state.reasons) == (1000, 0, ("balance",))
    assert returned.total_incl_tax == Decimal("30.00")
    assert returned.offer_discounts == []
    with pytest.raises(PointsUnavailable):
        place(returned)
    assert place(world.load(basket)).total_incl_tax == Decimal("30.00")


@pytest.mark.parametrize("meanwhile", ["undone", "ordered"])
@pytest.mark.parametrize("seconds_left", [-1, 60])
def test_a_slow_page_does_not_reserve_again_what_another_one_ended(
    member, monkeypatch, meanwhile, seconds_left
):
    basket = make_basket(member.user)
    spend(basket, 1000)
    fast = world.load(basket)
    Hold.objects.update(expires_at=timezone.now() + timedelta(seconds=seconds_left))
    read = queries.find_account_with_hold

    def read_slowly(**asked):
        found = read(**asked)
        if meanwhile == "undone":
            services.release_hold(ref=asked["ref"], now=timezone.now())
        else:
            place(fast)
        return found

    monkeypatch.setattr(queries, "find_account_with_hold", read_slowly)
    slow = world.load(basket)
    monkeypatch.undo()
    assert slow.total_incl_tax == Decimal("30.00")
    member.refresh_from_db()
    assert (member.held, member.spent) == (0, 0 if meanwhile == "undone" else 1000)
    with pytest.raises(PointsUnavailable):
        place(slow, number="2")


def test_a_slow_page_renews_what_is_wished_for_now(member, monkeypatch):
    basket = make_basket(member.user)
    spend(basket, 1000)
    Hold.objects.update(expires_at=timezone.now() + timedelta(seconds=60))
    read = queries.find_account_with_hold

    def read_slowly(**asked):
        found = read(**asked)
        Hold.objects.update(requested=1200)
        return found

    monkeypatch.setattr(queries, "find_account_with_hold", read_slowly)
    world.load(basket)
    hold = Hold.objects.get()
    assert (hold.requested, hold.points) == (1200, 1200)


@pytest.mark.parametrize("left", [0, 400])
def test_what_was_lost_is_not_forgotten_when_offers_are_applied_twice(member, left):
    basket = make_basket(member.user)
    spend(basket, 1000)
    expire(basket)
    world.give_points(member, left - 10_000)
    returned = world.load(basket)
    returned.reset_offer_applications()
    world.apply_offers(returned)
    with pytest.raises(PointsUnavailable):
        place(returned)
    assert place(world.load(basket)).total_incl_tax == Decimal("30.00") - Decimal(left) / 100


def test_an_offer_that_combines_with_few_others_still_leaves_room_for_points(member):
    discount, other = make_discount(10), make_discount(5)
    discount.combinations.add(other)
    basket = make_basket(member.user, [("30.00", 2, 19), ("20.00", 1, 7)])
    before = basket.total_incl_tax
    spend(basket, 1000)
    assert before - basket.total_incl_tax == Decimal("10.00")
    assert place(basket).total_incl_tax == before - Decimal("10.00")


def test_fewer_points_than_before_stop_the_first_order_only(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    expire(basket)
    world.give_points(member, -9_600)
    returned = world.load(basket)
    assert returned.total_incl_tax == Decimal("26.00")
    with pytest.raises(PointsUnavailable):
        place(returned)
    assert returned.total_incl_tax == Decimal("26.00")
    order = place(world.load(basket))
    assert (order.total_incl_tax, spent(order).get().points) == (Decimal("26.00"), 400)


def test_fewer_points_that_change_no_total_stop_nothing(member):
    basket = make_basket(member.user)
    spend(basket, 8000)
    expire(basket)
    world.give_points(member, -6_000)
    assert place(world.load(basket)).total_incl_tax == Decimal("0.00")


def expire(basket):
    later = timezone.now() + timedelta(hours=1)
    services.release_hold(ref=f"basket:{basket.pk}", now=later, state=Hold.State.EXPIRED)


def test_saving_a_stale_offer_does_not_bring_back_a_paused_redemption(member, programme):
    """Oscar saves the whole offer after an order, and with it an old status: the switch is ours."""
    basket = make_basket(member.user)
    spend(basket, 1000)
    ConditionalOffer.objects.update(status=ConditionalOffer.SUSPENDED)
    programme.redemption_paused = True
    programme.save()
    place(basket)
    assert ConditionalOffer.objects.get().is_open
    other = make_basket(member.user)
    assert get_redemption(basket=other, now=timezone.now()).state == "paused"
    services.hold_points(
        account_id=member.pk,
        ref=f"basket:{other.pk}",
        requested=500,
        currency="EUR",
        expires_at=timezone.now() + timedelta(hours=1),
        now=timezone.now(),
    )
    assert world.load(other).total_incl_tax == Decimal("30.00")


# Who it is not for


def test_a_guest_and_an_empty_shop_cost_no_statement(programme, django_assert_num_queries):
    basket = make_basket(None)
    [application_offer] = ConditionalOffer.objects.select_related("condition", "benefit")
    with django_assert_num_queries(0):
        assert application_offer.apply_benefit(basket).discount == 0


def test_switched_off_it_leaves_no_trace_and_costs_no_statement(member, settings, django_assert_num_queries):
    basket = make_basket(member.user)
    spend(basket, 1000)
    settings.OSCAR_LOYALTY_ENABLED = False
    basket = world.load(basket)
    assert basket.total_incl_tax == Decimal("30.00")
    assert list(basket.offer_applications) == []
    [application_offer] = ConditionalOffer.objects.select_related("condition", "benefit")
    with django_assert_num_queries(0):
        application_offer.apply_benefit(basket)
        assert get_redemption(basket=basket, now=timezone.now()).state == "disabled"
        assert undo_redemption(basket=basket, now=timezone.now()).state == "disabled"


def test_another_customers_points_do_not_pay(member):
    basket = make_basket(member.user)
    spend(basket, 1000)
    basket.owner = make_member().user
    basket.save()
    assert world.load(basket).total_incl_tax == Decimal("30.00")


# Our mistakes


def test_an_error_of_ours_leaves_the_basket_page_standing_without_points(member, monkeypatch, caplog, client):
    basket = make_basket(member.user)
    spend(basket, 1000)
    monkeypatch.setattr("oscar_loyalty.shop.redemption.points.find_account_with_hold", fail)
    assert world.load(basket).total_incl_tax == Decimal("30.00")
    assert "could not be read" in caplog.text
    client.force_login(member.user)
    assert client.get("/basket/").status_code == 200


@pytest.mark.database
def test_a_statement_that_fails_does_not_spoil_the_shops_transaction(member, monkeypatch, caplog):
    """A shop with ``ATOMIC_REQUESTS`` goes on in the transaction in which our statement failed."""
    basket = make_basket(member.user)
    spend(basket, 1000)
    monkeypatch.setattr("oscar_loyalty.shop.redemption.points.find_account_with_hold", fail_in_the_database)
    assert world.load(basket).total_incl_tax == Decimal("30.00")
    assert "could not be read" in caplog.text


def test_an_error_while_quoting_applies_nothing(member, monkeypatch, caplog):
    basket = make_basket(member.user)
    spend(basket, 1000)
    monkeypatch.setattr("oscar_loyalty.shop.offers.share_out", fail)
    basket = world.load(basket)
    assert basket.total_incl_tax == Decimal("30.00")
    assert all(line.discount_value == 0 for line in basket.all_lines())
    assert "could not be applied" in caplog.text


def test_receivers_never_raise(member, monkeypatch, caplog):
    basket = make_basket(member.user)
    spend(basket, 1000)
    monkeypatch.setattr("oscar_loyalty.receivers.redemption.end_redemption", fail)
    monkeypatch.setattr("oscar_loyalty.receivers.redemption.move_redemption", fail)
    monkeypatch.setattr("oscar_loyalty.receivers.offers.make_room_for_voucher", fail)
    voucher = make_discount(50, voucher_code="HALF")
    get_class("basket.signals", "voucher_addition").send(sender=None, basket=basket, voucher=voucher)
    basket.status = "Merged"
    basket.save()
    basket.delete()
    assert [record.message for record in caplog.records] == [
        "on_voucher_added failed",
        "on_basket_saved failed",
        "on_basket_deleted failed",
    ]


def fail(*args, **kwargs):
    raise RuntimeError("a mistake")


def fail_in_the_database(*args, **kwargs):
    with connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")


def test_results_of_other_benefits_are_not_ours(member):
    assert not issubclass(get_class("offer.results", "BasketDiscount"), PointsDiscount)
    basket = make_basket(member.user)
    spend(basket, 1000)
    [application] = list(basket.offer_applications)
    foreign = {**application, "result": get_class("offer.results", "BasketDiscount")(Decimal(1))}
    assert application["offer"].apply_deferred_benefit(basket, None, foreign) is None
