from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.core.cache import cache
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows import claims
from oscar_loyalty.flows.claims import ClaimRefused
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.members.models import ClaimedOrder
from oscar_loyalty.points.models import Account, Entry
from oscar_loyalty.shop.orders import find_guest_order, list_missed_order_ids
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .conftest import LONG_AGO, NOW, place_order, publish

DAY = timedelta(days=1)
#: 30 days later, at the end of the day in Berlin.
UNTIL = datetime(2026, 4, 9, 22, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture
def order(programme):
    return place_order(user=None, guest_email="Gast@example.com")


@pytest.fixture
def token(order):
    return claims.make_token(guest_order=find_guest_order(order_id=order.pk))


def refusal(call, *args, **kwargs):
    with pytest.raises(ClaimRefused) as caught:
        call(*args, **kwargs)
    return caught.value.code


def claim(token, account, at=NOW):
    return claims.claim_by_token(token=token, user_id=account.member.user_id, now=at)


def test_what_waits_is_what_is_booked_and_the_order_stays_a_guests(order, token, account):
    waiting = claims.read_claim(token=token, now=NOW)
    assert (waiting.points, waiting.value, waiting.currency) == (119, Decimal("1.19"), "EUR")
    assert (waiting.days, waiting.claim_until) == (30, UNTIL)
    claimed = claim(token, account)
    assert (claimed.points, claimed.is_new) == (119, True)
    account.refresh_from_db()
    assert account.pending == 119
    order.refresh_from_db()
    assert order.user is None
    assert ClaimedOrder.objects.get().member == account.member
    assert_ledger_balanced(account)


def test_claiming_again_answers_the_same_and_books_nothing(token, account):
    claim(token, account)
    again = claim(token, account, at=NOW + 300 * DAY)
    assert (again.points, again.is_new) == (119, False)
    assert Entry.objects.count() == 1


def test_nobody_else_gets_what_was_claimed(token, account):
    claim(token, account)
    other = join_programme(user_id=factories.UserFactory().pk, now=LONG_AGO)
    assert refusal(claim, token, other) == "order_already_claimed"
    assert refusal(claims.read_claim, token=token, now=NOW) == "order_already_claimed"
    assert Entry.objects.count() == 1


def test_the_last_moment_is_the_last(order, token, account):
    assert refusal(claim, token, account, at=UNTIL) == "claim_link_expired"
    assert claim(token, account, at=UNTIL - timedelta(seconds=1)).is_new


@pytest.mark.parametrize("days", [0, 7])
def test_the_days_are_those_of_the_version_in_force_at_the_order(programme, account, days):
    publish(programme, at=NOW - DAY, now=NOW - DAY, claim_days=days)
    order = place_order(user=None, guest_email="g@example.com")
    publish(programme, at=NOW + DAY, now=NOW + DAY, claim_days=90)
    token = claims.make_token(guest_order=find_guest_order(order_id=order.pk))
    late = refusal(claim, token, account, at=NOW + 8 * DAY)
    assert late == ("claim_link_expired" if days else "nothing_to_claim")


def test_a_cancelled_order_brings_nothing_before_and_after(order, token, account):
    claim(token, account)
    order.set_status("Cancelled")
    # The sweep knows whose points the order's are.
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == [order.pk]
    reward_purchase(order_id=order.pk, now=NOW + DAY)
    account.refresh_from_db()
    assert (account.pending, account.available, account.debt) == (0, 0, 0)
    other = place_order(user=None, number="7", guest_email="g@example.com")
    other.set_status("Cancelled")
    token = claims.make_token(guest_order=find_guest_order(order_id=other.pk))
    assert refusal(claim, token, account) == "order_cancelled"


def test_a_claimed_order_becomes_spendable_like_any_other(order, token, account):
    claim(token, account)
    get_model("order", "Order").objects.filter(pk=order.pk).update(status="Complete")
    reward_purchase(order_id=order.pk, now=NOW + 5 * DAY)
    reward_purchase(order_id=order.pk, now=NOW + 5 * DAY)
    from oscar_loyalty.points.services import settle_account

    settle_account(account_id=account.pk, now=NOW + 19 * DAY)
    account.refresh_from_db()
    assert account.available == 119


def test_an_order_that_got_an_owner_is_nobodys_to_claim(order, token, account):
    order.user = factories.UserFactory()
    order.save()
    assert refusal(claim, token, account) == "order_already_claimed"


def test_only_members_claim_and_nothing_is_left_behind(token, customer):
    assert refusal(claims.claim_by_token, token=token, user_id=customer.pk, now=NOW) == "not_member"
    assert not ClaimedOrder.objects.exists()


def test_a_frozen_account_goes_on_earning_by_claims_too(token, account):
    Account.objects.update(status="FROZEN")
    assert claim(token, account).points == 119


def test_an_account_closed_meanwhile_claims_nothing_and_nothing_is_left_behind(token, account, monkeypatch):
    def close_first(**kwargs):
        Account.objects.update(status="CLOSED")
        return reward_purchase(**kwargs)

    monkeypatch.setattr(claims, "reward_purchase", close_first)
    assert refusal(claim, token, account) == "not_member"
    assert not ClaimedOrder.objects.exists()


def test_while_earning_is_paused_the_link_stays_good(programme, token, account):
    programme.earning_paused = True
    programme.save()
    assert refusal(claim, token, account) == "earning_paused"
    programme.earning_paused = False
    programme.save()
    assert claim(token, account).is_new


@pytest.mark.parametrize(
    "spoil", [lambda t: t[:-1], lambda t: "x" + t, lambda t: "", lambda t: "a:b:c", str.upper]
)
def test_a_token_that_was_touched_is_good_for_nothing(token, account, spoil):
    assert refusal(claim, spoil(token), account) == "claim_link_invalid"


def test_a_token_of_another_purpose_is_good_for_nothing(order, account):
    from django.core import signing

    content = {"order": order.number, "mail": "x"}
    assert refusal(claim, signing.dumps(content), account) == "claim_link_invalid"
    assert refusal(claim, order.verification_hash(), account) == "claim_link_invalid"


def test_a_corrected_address_makes_the_old_link_worthless(order, token, account):
    get_model("order", "Order").objects.filter(pk=order.pk).update(guest_email="right@example.com")
    assert refusal(claim, token, account) == "claim_link_invalid"
    order.delete()
    assert refusal(claim, token, account) == "claim_link_invalid"


def test_the_session_that_placed_it_claims_for_the_same_address_for_two_hours(order, account, customer):
    customer.email = "gast@EXAMPLE.com"
    customer.save()
    late = NOW + timedelta(hours=2, seconds=1)
    assert (
        refusal(claims.claim_from_checkout, order_id=order.pk, user=customer, now=late) == "claim_not_proved"
    )
    other = factories.UserFactory(email="other@example.com")
    join_programme(user_id=other.pk, now=LONG_AGO)
    assert refusal(claims.claim_from_checkout, order_id=order.pk, user=other, now=NOW) == "claim_not_proved"
    nameless = factories.UserFactory(email="")
    assert (
        refusal(claims.claim_from_checkout, order_id=order.pk, user=nameless, now=NOW) == "claim_not_proved"
    )
    assert claims.claim_from_checkout(order_id=order.pk, user=customer, now=NOW).points == 119
    assert ClaimedOrder.objects.get().proof == "CHECKOUT"


def is_verified(user):
    return user.first_name == "Verified"


def test_a_shop_that_verifies_addresses_needs_no_link(order, settings):
    settings.OSCAR_LOYALTY_EMAIL_IS_VERIFIED = "tests.flows.test_claims.is_verified"
    other = factories.UserFactory(email="gast@example.com", first_name="Somebody")
    assert join_programme(user_id=other.pk, now=NOW).earned == 0
    user = factories.UserFactory(email="gast@example.com", first_name="Verified")
    account = join_programme(user_id=user.pk, now=NOW + DAY)
    account.refresh_from_db()
    assert account.pending == 119
    assert ClaimedOrder.objects.get().proof == "SHOP"


# The mail


def send(order, language="en"):
    return claims.send_claim_link(order_id=order.pk, language=language, now=NOW)


@pytest.mark.parametrize(("language", "until"), [("en", "April 9, 2026"), ("de", "9. April 2026")])
def test_the_mail_says_what_it_is_worth_until_when_and_why(order, language, until):
    assert send(order, language)
    (message,) = mail.outbox
    assert message.to == ["Gast@example.com"]
    assert "119" in message.subject
    html = message.alternatives[0][0]
    for text in (message.body, html):
        assert until in text
        assert "https://example.com/loyalty/claim/" in text
        assert "100042" in text
    token = message.body.partition("/loyalty/claim/")[2].partition("/")[0]
    assert claims.read_claim(token=token, now=NOW).points == 119


def test_a_headless_shop_has_a_page_of_its_own(order, settings):
    settings.OSCAR_LOYALTY_CLAIM_URL = "https://app.example/points?claim={token}"
    send(order)
    assert "https://app.example/points?claim=ey" in mail.outbox[0].body


def test_three_mails_a_day_are_enough(order):
    assert [send(order) for _ in range(5)] == [True, True, True, False, False]
    assert len(mail.outbox) == 3


def test_nothing_is_mailed_where_nothing_waits(order, programme, account, token):
    claim(token, account)
    assert not send(order)
    of_customer = place_order(user=account.member.user, number="8", guest_email="")
    assert not send(of_customer)
    assert not claims.send_claim_link(order_id=10**9, language="en", now=NOW)
    assert mail.outbox == []


def test_the_shop_may_mail_every_guest_once(order, settings, django_capture_on_commit_callbacks):
    from django.utils import timezone

    from oscar_loyalty.outbox.services import relay_messages
    from oscar_loyalty.receivers import order_placed

    get_model("order", "Order").objects.update(date_placed=timezone.now())
    order_placed.send(sender=None, order=order, user=None)
    settings.OSCAR_LOYALTY_CLAIM_MAIL = True
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            order_placed.send(sender=None, order=order, user=None)
    assert mail.outbox == []
    relay_messages(now=timezone.now() + DAY)
    relay_messages(now=timezone.now() + DAY)
    assert len(mail.outbox) == 1


# Joining late


def test_orders_from_shortly_before_joining_count(programme, customer):
    place_order(user=customer, number="1", at=NOW - 31 * DAY)
    place_order(user=customer, number="2", at=NOW - 29 * DAY)
    place_order(user=None, number="3", guest_email=customer.email, at=NOW - DAY)
    account = join_programme(user_id=customer.pk, now=NOW)
    account.refresh_from_db()
    assert account.pending == 119
    assert Entry.objects.get().order_ref == "2"
    join_programme(user_id=customer.pk, now=NOW + DAY)
    assert Entry.objects.count() == 1


def test_joining_books_no_order_that_is_placed_afterwards(programme, customer):
    """As where a past is told: every order is there before anybody joins."""
    place_order(user=customer, number="1", at=NOW)
    place_order(user=customer, number="2", at=NOW + timedelta(minutes=30))
    join_programme(user_id=customer.pk, now=NOW)
    assert [entry.order_ref for entry in Entry.objects.all()] == ["1"]


def test_a_programme_may_count_from_joining_only(programme, customer):
    publish(programme, at=NOW - 50 * DAY, now=NOW - 50 * DAY, claim_days=0)
    place_order(user=customer, at=NOW - timedelta(minutes=1))
    join_programme(user_id=customer.pk, now=NOW)
    assert not Entry.objects.exists()


def test_an_old_order_that_cannot_be_booked_does_not_keep_anybody_from_joining(
    programme, customer, monkeypatch
):
    place_order(user=customer, at=NOW - DAY)

    def fail(**kwargs):
        raise RuntimeError("broken order")

    monkeypatch.setattr("oscar_loyalty.flows.purchases.reward_purchase", fail)
    assert join_programme(user_id=customer.pk, now=NOW).pk
    assert len(list(list_missed_order_ids(placed_after=LONG_AGO))) == 1
