"""Rules of a version, from the preview to the booking and back."""

from datetime import timedelta
from fractions import Fraction
from itertools import count

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test.utils import CaptureQueriesContext
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.earning import services as earning_services
from oscar_loyalty.earning.models import EarningRule, RuleBudget, WaitingOrder
from oscar_loyalty.earning.queries import list_paused_rules, list_unknown_kinds
from oscar_loyalty.flows.backfill import Terms, backfill
from oscar_loyalty.flows.earning import (
    Situation,
    earnings_under_policy,
    preview_purchase,
    preview_under_policy,
)
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.receipts import find_order_points
from oscar_loyalty.members.models import Member
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points import services
from oscar_loyalty.points.models import EarnedLine, Entry, Lot
from oscar_loyalty.programmes.models import ProgrammeVersion
from oscar_loyalty.programmes.queries import find_policy
from oscar_loyalty.shop.orders import Period, find_purchase_facts, get_purchase_facts, list_missed_order_ids
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from oscar_loyalty.tiers.models import Tier, TierChange, TierPerk

from .conftest import LONG_AGO, NOW, place_order

_numbers = count(1)


def add_rule(kind="MULTIPLIER", code="", *, conditions=None, **values):
    columns = {field.name for field in EarningRule._meta.fields}
    parameters = {name: values.pop(name) for name in list(values) if name not in columns}
    rule = EarningRule(
        version=ProgrammeVersion.objects.latest("number"),
        code=code or f"rule-{next(_numbers)}",
        name="Rule",
        kind=kind,
        parameters=parameters or {"factor": "2"},
        conditions=conditions or {},
        **values,
    )
    rule.full_clean()
    rule.save()
    return rule


def add_tier(code="gold", *, factor=None):
    version = ProgrammeVersion.objects.latest("number")
    names = {"name_de": "Gold", "name_en": "Gold"}
    Tier.objects.create(version=version, code=code, rank=1, entry_threshold=1, keep_threshold=0, **names)
    if factor:
        TierPerk.objects.create(
            version=version, tier_code=code, kind="EARNING_MULTIPLIER", parameters={"factor": factor}
        )


def lift(account, to="gold", *, at=LONG_AGO, order=""):
    TierChange.objects.create(
        programme_id=account.programme_id,
        member_id=account.member_id,
        to_code=to,
        reason="REACHED",
        order_ref=order,
        changed_at=at,
        booked_at=at,
    )


def reward(order, *, now=NOW):
    """The parts of what the order earned, after its preview said the same."""
    policy = find_policy(currency="EUR", at=order.date_placed)
    expected = preview_purchase(get_purchase_facts(order), policy=policy)
    reward_purchase(order_id=order.pk, now=now)
    entry = Entry.objects.filter(order_ref=order.number, kind="EARN").first()
    assert (entry.points if entry else 0) == expected.points
    return parts_of(entry)


def parts_of(entry):
    if entry is None:
        return {}
    lines = list(entry.lines.all())
    assert sum(line.points for line in lines) == entry.points
    if "rules" not in entry.explanation:
        return {"PURCHASE": entry.points}
    parts = {one["code"]: one["points"] for one in entry.explanation["rules"]}
    for code, points in parts.items():
        assert points == sum(line.points for line in lines if line.rule_code == code)
    return parts


def product_of(order, index=0):
    return order.lines.order_by("pk")[index].product


def test_a_booking_says_what_each_rule_brought(account, customer):
    add_tier(factor="1.12")
    lift(account)
    add_rule("BONUS", "weekend", points=50, text_de="Doppeltes Wochenende", text_en="Double weekend")
    parts = reward(place_order(user=customer, prices=("107.00",)))
    assert parts == {"PURCHASE": 107, "TIER": 12, "weekend": 50}
    rules = Entry.objects.get().explanation["rules"]
    assert rules[1] == {
        "code": "TIER",
        "points": 12,
        "kind": "MULTIPLIER",
        "text_de": "Gold",
        "text_en": "Gold",
        "parameters": {"factor": "1.12"},
        "qualifies": True,
    }
    assert (rules[2]["text_de"], rules[2]["qualifies"]) == ("Doppeltes Wochenende", False)
    assert_ledger_balanced(account)


def test_the_order_that_lifts_a_member_is_judged_by_the_tier_before_it(account, customer):
    add_tier(factor="2")
    order = place_order(user=customer, prices=("100.00",))
    lift(account, at=NOW, order=order.number)
    assert reward(order) == {"PURCHASE": 100}
    later = place_order(user=customer, prices=("100.00",), number="100043", at=NOW + timedelta(minutes=1))
    assert reward(later) == {"PURCHASE": 100, "TIER": 100}


def test_lines_are_picked_by_what_the_shop_knows_of_their_products(account, customer):
    order = place_order(user=customer, prices=("10.00", "20.00", "40.00"))
    first, second, third = (product_of(order, index) for index in range(3))
    above = factories.CategoryFactory()
    below = above.add_child(name="Below", slug="below")
    get_model("catalogue", "ProductCategory").objects.create(product=first, category=below)
    in_range = factories.RangeFactory(products=[second])
    brand = factories.ProductAttributeFactory(
        product_class=third.product_class, code="brand", name="Brand", type="text"
    )
    get_model("catalogue", "ProductAttributeValue").objects.create(
        product=third, attribute=brand, value_text="Acme"
    )
    add_rule(code="category", conditions={"category_ids": [above.pk]})
    add_rule(code="range", conditions={"range_ids": [in_range.pk]})
    add_rule(code="brand", conditions={"attributes": {"brand": ["Acme"]}})
    add_rule(code="product", conditions={"product_ids": [first.pk]})
    assert reward(order) == {"PURCHASE": 70, "category": 10, "range": 20, "brand": 40, "product": 10}


def test_the_first_and_every_nth_order_are_counted_without_cancelled_ones(account, customer):
    add_rule("BONUS", "first", points=100, conditions={"nth_order": 1})
    add_rule("BONUS", "third", points=30, conditions={"every_nth_order": 3})
    cancelled = place_order(user=customer, prices=("10.00",), number="1", at=NOW - timedelta(days=9))
    cancelled.set_status("Cancelled")
    got = [
        reward(place_order(user=customer, prices=("10.00",), number=f"10{number}", at=NOW + number * DAY))
        for number in range(3)
    ]
    assert got == [{"PURCHASE": 10, "first": 100}, {"PURCHASE": 10}, {"PURCHASE": 10, "third": 30}]


DAY = timedelta(days=1)


def test_groups_and_segments_are_asked_of_the_customer(account, customer):
    staff = Group.objects.create(name="Staff")
    add_rule(code="staff", conditions={"group_ids": [staff.pk]})
    add_rule(code="lapsed", conditions={"segments": ["LAPSED"]})
    place_order(user=customer, number="1", at=NOW - 500 * DAY)
    assert reward(place_order(user=customer, prices=("10.00",))) == {"PURCHASE": 10, "lapsed": 10}
    customer.groups.add(staff)
    assert reward(place_order(user=customer, prices=("10.00",), number="3", at=NOW + DAY)) == {
        "PURCHASE": 10,
        "staff": 10,
    }


def test_shipping_and_channel_are_facts_of_the_order(account, customer, settings):
    settings.OSCAR_LOYALTY_CHANNEL = "tests.flows.test_earning_rules.channel_of"
    add_rule(code="slow", conditions={"shipping_methods": ["no-rush"]})
    add_rule(code="app", conditions={"channels": ["APP"]})
    order = place_order(user=customer, prices=("10.00",), shipping_code="no-rush")
    assert reward(order) == {"PURCHASE": 10, "slow": 10, "app": 10}


def channel_of(thing):
    return "APP" if thing is not None else ""


# Limits


def test_a_members_limit_holds_over_orders_and_counts_what_was_returned_as_not_given(account, customer):
    add_rule(code="double", cap_member_points=50, cap_member_period="MONTH")
    first = place_order(user=customer, prices=("30.00",), number="1")
    assert reward(first)["double"] == 30
    assert reward(place_order(user=customer, prices=("30.00",), number="2"))["double"] == 20
    assert reward(place_order(user=customer, prices=("30.00",), number="3")) == {"PURCHASE": 30}
    first.set_status("Cancelled")
    reward_purchase(order_id=first.pk, now=NOW)
    assert reward(place_order(user=customer, prices=("40.00",), number="4"))["double"] == 30
    april = place_order(user=customer, prices=("40.00",), number="5", at=NOW + 30 * DAY)
    assert reward(april)["double"] == 40
    assert_ledger_balanced(account)


def test_a_limit_of_everything_in_a_day(account, customer):
    add_rule("CAP", "cap", points=100, per="DAY")
    assert reward(place_order(user=customer, prices=("80.00",), number="1")) == {"PURCHASE": 80}
    assert reward(place_order(user=customer, prices=("80.00",), number="2")) == {"PURCHASE": 20}
    assert reward(place_order(user=customer, prices=("80.00",), number="3")) == {}


def test_a_budget_gives_the_rest_pauses_itself_and_tells_staff_once(account, customer):
    add_rule(code="campaign", budget_points=50)
    got = [reward(place_order(user=customer, prices=("30.00",), number=str(number))) for number in range(3)]
    assert got == [{"PURCHASE": 30, "campaign": 30}, {"PURCHASE": 30, "campaign": 20}, {"PURCHASE": 30}]
    budget = RuleBudget.objects.get()
    assert (budget.granted, budget.paused_at, budget.paused_reason) == (50, NOW, "BUDGET")
    assert list(list_paused_rules()) == [budget]
    assert OutboxMessage.objects.filter(topic="rule_paused").count() == 1


def test_staff_pause_a_rule_and_let_it_go_on(account, customer):
    add_rule(code="double")
    earning_services.pause_rule(programme_id=account.programme_id, code="double", now=NOW)
    assert reward(place_order(user=customer, prices=("30.00",), number="1")) == {"PURCHASE": 30}
    earning_services.resume_rule(programme_id=account.programme_id, code="double")
    assert reward(place_order(user=customer, prices=("30.00",), number="2"))["double"] == 30


def test_rewarding_again_neither_books_nor_counts_again(account, customer):
    add_rule(code="campaign", budget_points=500)
    order = place_order(user=customer, prices=("30.00",))
    for _ in range(3):
        reward_purchase(order_id=order.pk, now=NOW)
    assert (Entry.objects.count(), RuleBudget.objects.get().granted) == (1, 30)


# Confirmation


def pay(order, code="invoice"):
    source_type, _created = get_model("payment", "SourceType").objects.get_or_create(
        code=code, defaults={"name": code}
    )
    get_model("payment", "Source").objects.create(order=order, source_type=source_type, currency="EUR")


@pytest.fixture
def invoice_rule(account):
    return add_rule("BONUS", "invoice", points=15, conditions={"payment_methods": ["invoice"]})


def test_what_depends_on_the_payment_is_booked_when_the_order_is_confirmed(account, customer, invoice_rule):
    order = place_order(user=customer, prices=("30.00",))
    assert reward(order) == {"PURCHASE": 30}
    pay(order)
    reward_purchase(order_id=order.pk, now=NOW + DAY)
    assert (Entry.objects.count(), WaitingOrder.objects.count()) == (1, 1)
    order.set_status("Being processed")
    get_model("order", "Order").objects.filter(pk=order.pk).update(status="Complete")
    # Nobody was told of that: the sweep finds it, once.
    assert order.pk in list(list_missed_order_ids(placed_after=LONG_AGO))
    for _ in range(2):
        reward_purchase(order_id=order.pk, now=NOW + DAY)
    entry = Entry.objects.get(idempotency_key=f"purchase-confirmed:{order.number}")
    assert (entry.points, entry.order_ref, parts_of(entry)) == (15, order.number, {"invoice": 15})
    assert not WaitingOrder.objects.exists()
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == []
    assert {lot.source_ref for lot in Lot.objects.all()} == {f"order:{order.number}"}
    assert {lot.active_at for lot in Lot.objects.all()} == {NOW + 15 * DAY}
    assert find_order_points(order=order).points == 45
    order.refresh_from_db()
    order.status = "Cancelled"
    order.save()
    for _ in range(2):
        reward_purchase(order_id=order.pk, now=NOW + 2 * DAY)
    account.refresh_from_db()
    assert (account.pending, account.available, account.debt, account.reversed) == (0, 0, 0, 45)
    assert_ledger_balanced(account)


def test_paid_otherwise_it_brings_nothing_and_is_not_asked_again(account, customer, invoice_rule):
    order = place_order(user=customer, prices=("30.00",))
    reward_purchase(order_id=order.pk, now=NOW)
    pay(order, "card")
    order.set_status("Being processed")
    get_model("order", "Order").objects.filter(pk=order.pk).update(status="Complete")
    reward_purchase(order_id=order.pk, now=NOW + DAY)
    assert (Entry.objects.count(), WaitingOrder.objects.count()) == (1, 0)


def test_without_a_status_the_sweep_judges_it_a_little_later(account, customer, invoice_rule):
    ProgrammeVersion.objects.update(spendable_status="")
    order = place_order(user=customer, prices=("30.00",))
    pay(order)
    reward_purchase(order_id=order.pk, now=NOW)
    assert Entry.objects.count() == 1
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == [order.pk]
    reward_purchase(order_id=order.pk, now=NOW + timedelta(minutes=15))
    assert [entry.points for entry in Entry.objects.order_by("id")] == [30, 15]


def test_of_a_group_the_confirmed_rule_adds_only_what_it_brings_more(account, customer):
    add_rule("BONUS", "any", points=10, exclusion_group="one")
    add_rule(
        "BONUS", "invoice", points=15, exclusion_group="one", conditions={"payment_methods": ["invoice"]}
    )
    order = place_order(user=customer, prices=("30.00",))
    assert reward(order) == {"PURCHASE": 30, "any": 10}
    pay(order)
    get_model("order", "Order").objects.filter(pk=order.pk).update(status="Complete")
    reward_purchase(order_id=order.pk, now=NOW + DAY)
    assert [entry.points for entry in Entry.objects.filter(kind="EARN").order_by("id")] == [40, 5]


def test_an_order_cancelled_before_it_is_confirmed_waits_for_nothing(account, customer, invoice_rule):
    order = place_order(user=customer, prices=("30.00",))
    reward_purchase(order_id=order.pk, now=NOW)
    order.set_status("Cancelled")
    reward_purchase(order_id=order.pk, now=NOW)
    assert not WaitingOrder.objects.filter(stopped_at=None).exists()
    ProgrammeVersion.objects.update(spendable_status="")
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == []
    reward_purchase(order_id=order.pk, now=NOW + DAY)
    assert not Entry.objects.filter(points=15).exists()


# Back again


def test_a_line_that_comes_back_takes_its_share_of_every_rule_with_it(account, customer):
    add_rule(code="double")
    add_rule("BONUS", "bonus", points=9)
    order = place_order(user=customer, prices=("20.00", "10.00"))
    assert reward(order) == {"PURCHASE": 30, "double": 30, "bonus": 9}
    earned = Entry.objects.get()
    first, second = (f"line:{line.pk}" for line in order.lines.order_by("pk"))

    def take_back(key, **shares):
        services.clawback_points(
            account_id=account.pk,
            earned=earned,
            idempotency_key=key,
            shares={ref: Fraction(share) for ref, share in shares.items()},
            now=NOW,
        )

    take_back("r1", **{first: "1/2"})
    assert taken() == {"PURCHASE": 10, "double": 10, "bonus": 3}
    take_back("r2", **{first: 1})
    assert taken() == {"PURCHASE": 20, "double": 20, "bonus": 6}
    take_back("r3", **{first: 1, second: 1})
    assert taken() == {"PURCHASE": 30, "double": 30, "bonus": 9}
    account.refresh_from_db()
    assert (account.pending, account.debt) == (0, 0)
    assert_ledger_balanced(account)


def taken():
    sums: dict[str, int] = {}
    for line in EarnedLine.objects.filter(entry__kind="CLAWBACK"):
        sums[line.rule_code] = sums.get(line.rule_code, 0) + line.points
    return sums


# Many at once, and what it costs


def make_orders(customers, *, each=4):
    return [
        place_order(user=user, prices=("20.00", "15.50"), number=f"{user.pk}-{n}", at=NOW + n * DAY)
        for n in range(each)
        for user in customers
    ]


def add_rules_of_all_sorts():
    add_tier(factor="1.5")
    add_rule(code="double", cap_member_points=60, cap_member_period="MONTH", budget_points=150)
    add_rule("BONUS", "second", points=25, conditions={"nth_order": 2})
    add_rule("BONUS", "new", points=5, conditions={"segments": ["ACTIVE"]})
    add_rule("BONUS", "gold", points=7, conditions={"tiers": ["gold"]})
    add_rule("BONUS", "invoice", points=3, conditions={"payment_methods": ["invoice"]})


def test_a_backfill_books_what_one_by_one_would_have_been_booked(account, customer):
    others = [factories.UserFactory() for _ in range(2)]
    for user in others:
        join_programme(user_id=user.pk, now=LONG_AGO)
    add_rules_of_all_sorts()
    lift(account)
    orders = make_orders([customer, *others])
    for order in orders:
        pay(order)
    policy = find_policy(currency="EUR", at=NOW)
    facts = find_purchase_facts([order.pk for order in orders], lock=False)
    one_by_one = {}
    allowances = None
    for purchase in facts:
        earned = earnings_under_policy([purchase], policy=policy, allowances=allowances, payment_known=True)
        allowances = earned.allowances
        one_by_one[purchase.number] = earned.of(purchase).points
    period = Period(since=LONG_AGO, until=NOW + 99 * DAY)
    list(backfill(period=period, terms=Terms(), now=NOW + 99 * DAY, batch_size=5))
    booked = dict(Entry.objects.filter(kind="EARN").values_list("order_ref", "points"))
    assert booked == one_by_one
    assert RuleBudget.objects.get().granted == 150
    assert sum(line.points for line in EarnedLine.objects.filter(rule_code="double")) == 150


def test_many_orders_take_as_many_statements_as_one(account, customer):
    add_rules_of_all_sorts()
    lift(account)
    others = [factories.UserFactory() for _ in range(3)]
    for user in others:
        join_programme(user_id=user.pk, now=LONG_AGO)
    orders = make_orders([customer, *others])
    policy = find_policy(currency="EUR", at=NOW)
    facts = find_purchase_facts([order.pk for order in orders], lock=False)

    def count_statements(purchases):
        with CaptureQueriesContext(connection) as statements:
            earnings_under_policy(purchases, policy=policy, payment_known=True)
        return len(statements)

    assert count_statements(facts) == count_statements(facts[:5]) <= 12


def test_without_rules_and_perks_nothing_more_is_asked(account, customer, django_assert_num_queries):
    order = place_order(user=customer)
    purchase = get_purchase_facts(order)
    with django_assert_num_queries(1):
        policy = find_policy(currency="EUR", at=NOW)
    assert (policy.has_rules, policy.has_multipliers) == (False, False)
    with django_assert_num_queries(0):
        earnings_under_policy([purchase], policy=policy)
        preview_under_policy(
            lines=purchase.lines, policy=policy, situation=Situation(at=NOW, user_id=customer.pk)
        )


def test_rules_cost_one_statement_more_and_facts_only_when_a_rule_asks_for_them(
    account, customer, django_assert_num_queries
):
    add_rule(code="double", conditions={"weekdays": [1]})
    order = place_order(user=customer)
    policy = find_policy(currency="EUR", at=NOW)
    situation = Situation(at=NOW, user_id=customer.pk)
    lines = get_purchase_facts(order).lines
    with django_assert_num_queries(1):
        assert preview_under_policy(lines=lines, policy=policy, situation=situation).points == 238
    add_rule("BONUS", "gold", points=1, conditions={"tiers": ["gold"]})
    with django_assert_num_queries(3):  # rules, account, tier
        preview_under_policy(lines=lines, policy=policy, situation=situation)


def test_guests_see_what_rules_for_everybody_bring(account, customer):
    add_rule(code="double")
    add_rule("BONUS", "first", points=100, conditions={"nth_order": 1})
    add_rule("BONUS", "gold", points=100, conditions={"tiers": ["gold"]})
    lines = get_purchase_facts(place_order(user=None, prices=("10.00",), guest_email="g@example.com")).lines
    policy = find_policy(currency="EUR", at=NOW)
    assert preview_under_policy(lines=lines, policy=policy, situation=Situation(at=NOW)).points == 20


def test_a_kind_that_nobody_registered_is_left_out_and_named(account, customer):
    rule = add_rule(code="double")
    EarningRule.objects.filter(pk=rule.pk).update(kind="GONE")
    assert reward(place_order(user=customer, prices=("10.00",))) == {"PURCHASE": 10}
    assert list_unknown_kinds() == ["GONE"]


def test_a_merged_member_has_used_what_both_have_used(account, customer):
    other = factories.UserFactory()
    source = join_programme(user_id=other.pk, now=LONG_AGO)
    add_rule(code="double", cap_member_points=50, cap_member_period="EVER")
    assert reward(place_order(user=other, prices=("30.00",), number="1"))["double"] == 30
    Member.objects.filter(pk=source.member_id).update(
        status="MERGED", left_at=NOW, merged_into_id=account.member_id
    )
    assert reward(place_order(user=customer, prices=("30.00",), number="2"))["double"] == 20
