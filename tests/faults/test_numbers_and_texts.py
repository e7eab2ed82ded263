"""Numbers and texts that are none: refused on every engine with a clear error, and nothing is written."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Adjustment, Entry, Hold, Lot
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from tests.faults.requests import NOW, award, make_accounts, redeem

pytestmark = [pytest.mark.database, pytest.mark.django_db]

LATER = NOW + timedelta(minutes=30)
NO_POINTS = [
    2**63 - 1,
    2**63,
    10**12 + 1,
    float("nan"),
    float("inf"),
    float("-inf"),
    1.5,
    1.0,
    True,
    -0.0,
    0,
    -1,
    "12",
    "\uff11\uff12",
    "",
    None,
    Decimal(12),
]
NO_TEXTS = ["a\0b", "\0", "\ud800", "x" * 129, None, 7, b"basket:1"]
TEXTS = [
    "\u202eabc",
    "abc ",
    " abc",
    "ABC",
    "abc",
    "café",
    "cafe\u0301",
    "cafe",
    "🎁",
    "👩‍👩‍👧",
    "\uff11\uff12",
    "'; --",
    "%s {}",
]


def everything():
    return [list(model.objects.order_by("pk").values()) for model in (Account, Lot, Entry, Hold, Adjustment)]


@pytest.fixture
def account(db) -> Account:
    return make_accounts(1)[0]


@pytest.fixture
def nothing_written(account):
    """What is stored before the test is stored after it."""
    account.refresh_from_db()
    before = [
        list(model.objects.order_by("pk").values()) for model in (Account, Lot, Entry, Hold, Adjustment)
    ]
    yield
    after = [list(model.objects.order_by("pk").values()) for model in (Account, Lot, Entry, Hold, Adjustment)]
    assert before == after
    assert_ledger_balanced(account)


def hold(account, *, ref="basket:1", points=10):
    return services.hold_points(
        account_id=account.pk, ref=ref, requested=points, currency="EUR", expires_at=LATER, now=NOW
    )


def ways_to_ask_for(account, points):
    user = get_user_model().objects.create(username="staff")
    yield lambda: award(account.pk, points, key="odd") if type(points) is int else _award(account, points)
    yield lambda: hold(account, points=points)
    yield lambda: services.capture_hold(
        ref="basket:1", points=points, amount=Decimal(1), order_ref="1", now=NOW
    )
    yield lambda: services.clawback_points(
        account_id=account.pk,
        earned=Entry.objects.get(account=account, kind="EARN"),
        idempotency_key="odd",
        now=NOW,
        points=points,
    )
    if points != -1:
        yield lambda: services.request_adjustment(
            account_id=account.pk, points=points, reason_code="GOODWILL", actor_id=user.pk, now=NOW
        )


def _award(account, points, **changes):
    values = {
        "account_id": account.pk,
        "points": points,
        "idempotency_key": "odd",
        "source_ref": "order:odd",
        "active_at": NOW + timedelta(days=1),
        "expiry_months": 36,
        "unit_value": Decimal("0.01"),
        "currency": "EUR",
        "now": NOW,
        "explanation": {"rule": "PURCHASE"},
    }
    return services.award_points(**values | changes)


@pytest.mark.parametrize("points", NO_POINTS, ids=repr)
def test_what_is_no_number_of_points_is_refused(account, nothing_written, points):
    for ask in ways_to_ask_for(account, points):
        if points is None and "clawback_points" in ask.__code__.co_names:
            continue  # There it means all of it.
        with pytest.raises((services.InvalidPoints, services.InsufficientPoints)):
            ask()


@pytest.mark.parametrize("text", NO_TEXTS, ids=repr)
def test_what_is_no_text_is_refused(account, nothing_written, text):
    refused = pytest.raises((services.InvalidText, TypeError))
    for name in ("idempotency_key", "source_ref", "order_ref"):
        with refused:
            _award(account, 10, **{name: text})
        with refused:
            _award(account, 10, **{name: text}, active_at=NOW)
    with refused:
        hold(account, ref=text)
    with refused:
        services.release_hold(ref=text, now=NOW)
    with refused:
        services.capture_hold(ref=text, points=1, amount=Decimal(1), order_ref="1", now=NOW)
    if isinstance(text, str):
        with refused:
            services.capture_hold(ref="basket:1", points=1, amount=Decimal(1), order_ref=text, now=NOW)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"], ids=repr)
def test_what_is_no_text_is_refused_within_explanations_and_notes(account, nothing_written, text):
    for explanation in ({"rule": text}, {text: 1}, {"lines": [{"name": text}]}):
        with pytest.raises(services.InvalidText):
            _award(account, 10, explanation=explanation)
    with pytest.raises(services.InvalidText):
        services.request_adjustment(
            account_id=account.pk,
            points=5,
            reason_code="GOODWILL",
            actor_id=1,
            now=NOW,
            internal_note=text,
        )


def test_every_other_text_is_a_key_of_its_own_and_is_stored_as_it_is(account):
    entries = {text: award(account.pk, 10, key=text) for text in TEXTS}
    assert len({entry.pk for entry in entries.values()}) == len(TEXTS)
    for text, entry in entries.items():
        assert award(account.pk, 10, key=text).pk == entry.pk
        stored = Entry.objects.get(pk=entry.pk)
        assert (stored.idempotency_key, stored.order_ref) == (text, text)
    assert_ledger_balanced(account)


def test_baskets_and_orders_with_odd_names_are_booked(account):
    for text in ("\u202ebasket", "🎁", "\uff11\uff12", "'; --"):
        assert redeem(account.pk, 10, key=text).order_ref == text
    assert_ledger_balanced(account)


# Through the API


@pytest.fixture
def shopper(client, db):
    """A member with points and goods in the basket, logged in."""
    from django.core.cache import cache

    from oscar_loyalty.flows.membership import join_programme
    from oscar_loyalty.programmes.services import set_up_programme
    from oscar_loyalty.shop.offers import ensure_offer
    from tests.rest_api.conftest import earn, make_customer, make_product, put_in_basket

    cache.clear()
    now = datetime.now(UTC) - timedelta(days=1)
    set_up_programme(
        code="default", name="Club", time_zone="Europe/Berlin", currencies=["EUR"], terms_version="1", now=now
    )
    ensure_offer()
    customer = make_customer("anna")
    account = join_programme(user_id=customer.pk, now=now)
    earn(account, 1000, order="1")
    put_in_basket(customer, make_product("19.90"), 2)
    client.force_login(customer)
    client.account = account
    return client


BODIES = [
    *(f'{{"points": {number}}}' for number in ("9223372036854775807", "9223372036854775808", "1e400")),
    *(f'{{"points": {number}}}' for number in ("NaN", "Infinity", "-Infinity", "1.5", "1.0", "true", "-0")),
    *(
        f'{{"points": {number}}}'
        for number in ("0", "-1", '"12"', '"\uff11\uff12"', "null", "[1]", "{}", "0x10", "\uff11\uff12")
    ),
    *('{"points": "1\\u0000"}', "{}", "[]", "", "\x00", '{"points": 1'),
]


@pytest.mark.parametrize("body", BODIES)
def test_the_api_refuses_what_is_no_number_of_points(shopper, body):
    before = Entry.objects.count(), Hold.objects.count()
    answer = shopper.put("/api/loyalty/v1/basket/redemption", body, content_type="application/json")
    assert answer.status_code == 400, answer.content
    assert json.loads(answer.content)["status"] == 400
    assert (Entry.objects.count(), Hold.objects.count()) == before
    assert_ledger_balanced(shopper.account)


@pytest.mark.parametrize("text", ["a\\u0000b", "\\ud800", "x" * 400, "\\u202e1", "\uff11", "", "🎁"])
def test_the_api_refuses_terms_that_are_none(shopper, text):
    from tests.rest_api.conftest import make_customer

    shopper.force_login(make_customer("ben"))
    body = f'{{"accept_terms": "{text}"}}'
    for method in (shopper.post, shopper.put):
        answer = method("/api/loyalty/v1/me/membership", body, content_type="application/json")
        assert 400 <= answer.status_code < 500, answer.content
    assert Account.objects.count() == 1


ODD_PAGES = ["cursor=%00", "cursor=%ED%A0%80", "page_size=%EF%BC%91", "page_size=1e3", "page_size=-0"]


@pytest.mark.parametrize("query", ODD_PAGES)
def test_the_api_survives_odd_pages(shopper, query):
    answer = shopper.get(f"/api/loyalty/v1/me/ledger?{query}")
    assert answer.status_code in (200, 400, 404), answer.content
