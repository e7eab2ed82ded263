"""The pages on which customers and guests send goods back, without JavaScript."""

import re
from datetime import timedelta

import pytest
import time_machine
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.flows import return_labels
from oscar_loyalty.returns.models import Return, ReturnPhoto, SpentPoints
from tests.shop import world as shop
from tests.storefront.conftest import text_of

from .doors import browser_of, make_guests, make_picture
from .world import accept, arrive, ask, make_order, make_policy, relay, state_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def fresh(settings):
    cache.clear()
    settings.OSCAR_LOYALTY_RETURN_ADDRESS = ("Shop", "Kai 1", "20457 Hamburg")


@pytest.fixture
def order(account):
    return make_order(account.user, (("30.00", 3, 19), ("20.00", 1, 7)), points=500)


@pytest.fixture
def browser(account):
    return browser_of(account.user)


def choose_url(order):
    return f"/loyalty/returns/order/{order.number}/"


def choose(browser, order, quantity=2, *, url=None, **more):
    line = order.lines.order_by("pk").first()
    form = {f"quantity-{line.pk}": quantity, f"reason-{line.pk}": "DOES_NOT_FIT", **more}
    return browser.post(url or choose_url(order), form)


def button_of(page):
    """What the form with the one button sends."""
    return {name: re.search(rf'name="{name}" value="(\w+)"', page.text)[1] for name in ("key", "shown")}


def send(browser, order, url=None, **more):
    """Choose, look, press; return the page that it leads to."""
    answer = choose(browser, order, url=url, **more)
    assert answer.status_code == 302, answer.text
    page = browser.get(answer.url)
    return browser.post(answer.url, button_of(page))


def test_choose_look_press_and_read_the_receipt(browser, order, account):
    first = text_of(browser.get(choose_url(order)))
    assert "You can return until" in first
    assert "Returning is free." in first
    assert "3 pieces can be returned." in first
    answer = choose(browser, order)
    assert answer.url == choose_url(order) + "preview/"
    before = state_of(account)
    page = browser.get(answer.url)
    words = text_of(page)
    assert "Nothing has been booked yet" in words
    assert re.search(r"2 × .+? \d+\.\d\d", words)
    assert "We refund €" in words
    assert re.search(r"\d+ points that you had spent come back\.", words)
    assert re.search(r"\d+ points that these goods had earned are taken back\.", words)
    assert re.search(r"Spendable: [\d,]+ points now, [\d,]+ points afterwards\.", words)
    assert "Send the goods by" in words
    assert state_of(account) == before
    assert not Return.objects.exists()
    answer = browser.post(answer.url, button_of(page))
    of_return = Return.objects.get()
    assert answer.url == f"/loyalty/returns/{of_return.number}/receipt/"
    receipt = text_of(browser.get(answer.url))
    assert of_return.number in receipt
    assert "Your label is being made" in receipt
    assert "20457 Hamburg" in receipt
    assert of_return.events.get().actor_ref == "customer"
    assert of_return.lines.get().reason == "DOES_NOT_FIT"


def test_pressing_twice_and_going_back_open_one_return(browser, order):
    answer = choose(browser, order)
    page = browser.get(answer.url)
    button = button_of(page)
    first, second = (browser.post(answer.url, button) for _ in range(2))
    assert first.url == second.url
    assert browser.get(answer.url).url == first.url
    assert Return.objects.count() == 1
    # The first page starts anew, and knows what is gone.
    assert "1 piece can be returned." in text_of(browser.get(choose_url(order)))


def test_what_has_changed_since_the_preview_is_shown_before_it_is_sent(browser, order):
    answer = choose(browser, order)
    stale = button_of(browser.get(answer.url))
    line = order.lines.order_by("pk").last()
    accept(ask(order, _picks(line)))
    type(order.lines.first()).objects.filter(pk=order.lines.first().pk).update(line_price_incl_tax="60.00")
    page = browser.post(answer.url, stale)
    assert "Something has changed since you looked" in text_of(page)
    assert Return.objects.count() == 1
    assert browser.post(answer.url, button_of(page)).status_code == 302
    assert Return.objects.count() == 2


def _picks(line):
    from oscar_loyalty.flows.return_terms import Pick

    return [Pick(line_id=line.pk, quantity=1)]


def test_a_preview_that_the_session_has_forgotten_begins_again(browser, order):
    answer = choose(browser, order)
    button = button_of(browser.get(answer.url))
    browser.session.flush()
    fresh = browser_of(order.user)
    again = fresh.post(answer.url, button, follow=True)
    assert "Please choose again" in text_of(again)
    assert fresh.get(answer.url).url == choose_url(order)
    assert not Return.objects.exists()


@pytest.mark.parametrize(
    ("quantity", "said"),
    [
        ("0", "Choose at least one piece."),
        ("4", "So many pieces are not left"),
        ("-1", "Enter a whole number."),
        ("9" * 40, "Enter a whole number."),
    ],
)
def test_mistakes_are_told_and_nothing_is_lost(browser, order, quantity, said):
    line = order.lines.order_by("pk").first()
    answer = choose(browser, order, quantity, **{f"comment-{line.pk}": "it is <b>torn</b>"})
    words = text_of(answer)
    assert said in words
    assert "it is &lt;b&gt;torn&lt;/b&gt;" in answer.text
    assert re.search(r'value="DOES_NOT_FIT" selected', answer.text)


def test_where_nothing_can_be_returned_the_page_says_why_and_until_when_it_could(account, programme):
    order = make_order(account.user)
    with time_machine.travel(timezone.now() + timedelta(days=800)):
        browser = browser_of(account.user)
        words = text_of(browser.get(choose_url(order)))
        assert "Nothing can be returned at the moment" in words
        assert "could be returned until" in words
        assert "The time to return this is over." in words
    waiting = make_order(account.user, delivered=False)
    words = text_of(browser_of(account.user).get(choose_url(waiting)))
    assert "as soon as they have arrived, and for 30 days after that" in words
    assert "This has not arrived yet." in words


def test_several_returns_of_an_order_are_listed(browser, order):
    one = ask(order, _picks(order.lines.last()))
    send(browser, order)
    two = Return.objects.order_by("pk").last()
    words = text_of(browser.get(choose_url(order)))
    assert one.number in words
    assert two.number in words
    listed = text_of(browser.get("/loyalty/returns/"))
    assert listed.index(two.number) < listed.index(one.number)


def test_a_return_is_followed_with_its_pictures_and_can_be_cancelled(
    browser, order, django_capture_on_commit_callbacks
):
    send(browser, order)
    of_return = Return.objects.get()
    page = f"/loyalty/returns/{of_return.number}/"
    return_labels.make_label(of_return.pk, timezone.now())
    words = text_of(browser.get(page))
    assert "Return requested by you" in words
    assert "Label sent by the shop" in words
    assert "<svg" in browser.get(page).text
    label = browser.get(page + "label/")
    assert (label["Content-Type"], label.content[:5]) == ("application/pdf", b"%PDF-")
    line = of_return.lines.get().line_id

    def upload(content):
        file = SimpleUploadedFile("a.jpg", content)
        return browser.post(page + "photos/", {"line": line, "photo": file}, follow=True)

    assert "We have your picture." in text_of(upload(make_picture(size=(30, 30))))
    assert "not a picture that we can read" in text_of(upload(b"hello"))
    photo = ReturnPhoto.objects.get()
    assert browser.get(f"{page}photos/{photo.public_id}/")["Content-Type"] == "image/jpeg"
    assert "cancelled" in text_of(browser.post(page + "cancel/", follow=True))
    assert "you keep the goods" in text_of(browser.get(page))
    again = browser.post(page + "cancel/", follow=True)
    assert again.status_code == 200


def test_the_end_says_what_was_paid_and_booked(browser, order, django_capture_on_commit_callbacks):
    send(browser, order)
    of_return = Return.objects.get()
    with django_capture_on_commit_callbacks(execute=True):
        accept(of_return, accepted=1, refusal="One was used")
    relay()
    of_return.refresh_from_db()
    words = text_of(browser.get(f"/loyalty/returns/{of_return.number}/"))
    assert "State: completed" in words
    assert "1 of 2 accepted" in words
    assert "One was used" in words
    assert "were sent to:" in words
    assert "Your bank should show them by" in words
    assert "Money refunded" in words
    assert "Cancel this return" not in words


def test_points_instead_of_money_and_the_set_off_are_asked_for_where_they_are_offered(account, programme):
    make_policy(
        programme,
        active_from=timezone.now() - timedelta(days=1),
        offers_store_credit=True,
        store_credit_bonus_percent=10,
        spent_points=SpentPoints.SET_OFF,
    )
    order = make_order(account.user, (("30.00", 2, 19),))
    browser = browser_of(account.user)
    words = text_of(browser.get(choose_url(order)))
    assert "As points for my next order" in words
    assert "keep their worth from the refund" in words
    answer = choose(browser, order, 1, refund_to="STORE_CREDIT")
    assert "You get 3,300 points instead of €30.00." in text_of(browser.get(answer.url))
    # Everything that the goods earned is spent.
    shop.give_points(account, -state_of(account)[1])
    answer = choose(browser, order, 1, set_off="1")
    assert "is kept from the refund for it, as agreed" in text_of(browser.get(answer.url))
    answer = choose(browser, order, 1)
    assert "set off against your next points" in text_of(browser.get(answer.url))


# Who sees what


@pytest.mark.parametrize("page", ["", "receipt/", "label/"])
def test_other_peoples_pages_are_not_there(account, order, page):
    of_return = ask(order, _picks(order.lines.last()))
    stranger = browser_of(factories.UserFactory())
    assert stranger.get(f"/loyalty/returns/{of_return.number}/{page}").status_code == 404
    assert stranger.get(choose_url(order)).status_code == 404
    assert stranger.post(f"/loyalty/returns/{of_return.number}/cancel/").status_code == 404
    assert choose(stranger, order).status_code == 404
    nobody = browser_of()
    assert "/login/" in nobody.get(choose_url(order)).url
    of_return.refresh_from_db()
    assert of_return.state == "REQUESTED"


def test_guests_use_the_same_pages_with_their_link(account, order):
    other = ask(order, _picks(order.lines.last()))
    guests = make_order(factories.UserFactory(), (("30.00", 3, 19),))
    root = f"/loyalty/returns/guest/{make_guests(guests)}/"
    browser = browser_of()
    first = browser.get(root)
    assert "Send back" in text_of(first)
    assert "no-store" in first["Cache-Control"]
    answer = choose(browser, guests, url=root)
    assert answer.url == root + "preview/"
    page = browser.get(answer.url)
    assert "Points" not in text_of(page).split("What happens next")[0].split("Money")[1]
    answer = browser.post(answer.url, button_of(page))
    of_return = Return.objects.exclude(pk=other.pk).get()
    assert answer.url == f"{root}{of_return.number}/receipt/"
    assert of_return.number in text_of(browser.get(answer.url))
    assert (of_return.email, of_return.events.get().actor_ref) == ("guest@example.com", "guest")
    assert browser.get(f"{root}{of_return.number}/").status_code == 200
    # The link opens one order, and nothing of others.
    assert browser.get(f"{root}{other.number}/").status_code == 404
    assert browser.get("/loyalty/returns/guest/nonsense/").status_code == 404
    assert "/login/" in browser.get(f"/loyalty/returns/{of_return.number}/").url


def test_the_ways_in(browser, order):
    listed = browser.get("/accounts/orders/").text
    assert choose_url(order) in listed
    assert "/loyalty/returns/" in listed
    of_return = ask(order, _picks(order.lines.last()))
    page = browser.get(f"/accounts/orders/{order.number}/").text
    assert choose_url(order) in page
    assert of_return.number in page
    type(order).objects.filter(pk=order.pk).update(status="Cancelled")
    assert choose_url(order) not in browser.get(f"/accounts/orders/{order.number}/").text


def test_nothing_of_it_is_there_while_the_app_is_off(browser, order):
    with override_settings(OSCAR_LOYALTY_ENABLED=False):
        assert browser.get("/loyalty/returns/").status_code == 404
        assert browser.get(choose_url(order)).status_code == 404
        assert "loyalty/returns" not in browser.get(f"/accounts/orders/{order.number}/").text


def test_whoever_has_returned_nothing_is_told_how(browser, policy):
    assert "You have not returned anything." in text_of(browser.get("/loyalty/returns/"))


def test_a_guest_order_that_has_arrived_late_is_refused_in_words(account):
    guests = make_order(factories.UserFactory(), delivered=False)
    root = f"/loyalty/returns/guest/{make_guests(guests)}/"
    assert "This has not arrived yet." in text_of(browser_of().get(root))
    arrive(guests)
    assert "Send back" in text_of(browser_of().get(root))
