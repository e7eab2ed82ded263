from decimal import Decimal

import pytest
from oscar.core.loading import get_model

from oscar_loyalty.points import queries
from oscar_loyalty.points.models import Hold
from oscar_loyalty.programmes.models import Programme, ProgrammeVersion

from .conftest import make_product, prepare_checkout, put_in_basket, text_of

pytestmark = pytest.mark.usefixtures("offer")


@pytest.fixture
def shopper(member_client, member, product):
    """A member with 5,000 points and a kettle for 119.40 in the basket."""
    member.earn(5000)
    put_in_basket(member_client, product)
    return member_client


def redeem(client, points, *, next_url="/basket/", **values):
    return client.post("/loyalty/basket/redeem/", {"points": points, "next": next_url, **values})


def basket_page(client, **kwargs):
    return text_of(client.get("/basket/", **kwargs))


def test_a_member_sees_what_points_could_do(shopper):
    page = basket_page(shopper)
    assert "Pay with points" in page
    assert "You have 5,000 points." in page
    assert "For this order you can use up to 5,000 points and save 50.00 €: that is all you have." in page
    assert "Left to pay" not in page


def test_points_are_applied_by_a_plain_form(shopper):
    response = redeem(shopper, 500)
    assert (response.status_code, response.url) == (302, "/basket/#loyalty-redemption")
    page = basket_page(shopper)
    assert page.count("500 points save you 5.00 €.") == 2  # the message, and the box
    assert "Left to pay for the goods: 114.40 €." in page
    assert "4,500 points stay in your account." in page
    assert "-5.00 €" in page
    assert "This order earns you 114 points." in page


def test_the_box_works_without_a_script_and_its_extras_are_hidden(shopper):
    box = shopper.get("/basket/").text.partition('id="loyalty-redemption"')[2].partition("</section>")[0]
    assert 'type="number"' in box
    assert "<script" not in box
    assert "style=" not in box
    assert 'class="loyalty-enhanced loyalty-range"' in box
    assert 'aria-live="polite"' in box
    assert 'data-text="{points} points save {amount}"' in box


def test_german_numbers_do_not_confuse_the_form(shopper):
    redeem(shopper, 1250)
    response = shopper.get("/basket/", headers={"accept-language": "de"})
    page = text_of(response)
    assert "Sie haben 5.000 Punkte." in page
    assert "1.250 Punkte sparen Ihnen 12,50 €." in page
    assert 'value="1250"' in response.text
    assert 'data-rate-amount="1.00"' in response.text


def test_all_points_with_one_button(shopper):
    redeem(shopper, "", all="1")
    assert "5,000 points save you 50.00 €." in basket_page(shopper)


def test_a_second_click_changes_nothing(shopper, member):
    redeem(shopper, 500)
    redeem(shopper, 500)
    assert Hold.objects.get(state="OPEN").points == 500
    member.account.refresh_from_db()
    assert (member.account.available, member.account.held) == (4500, 500)


def test_another_number_replaces_the_first(shopper):
    redeem(shopper, 500)
    redeem(shopper, 300)
    assert Hold.objects.get(state="OPEN").points == 300


def test_undo_gives_the_points_back_and_may_be_repeated(shopper, member):
    redeem(shopper, 500)
    for _ in range(2):
        response = shopper.post("/loyalty/basket/undo/", {"next": "/basket/"})
        assert response.status_code == 302
    page = basket_page(shopper)
    assert "No points are used for this order." in page
    assert "Left to pay" not in page
    member.account.refresh_from_db()
    assert (member.account.available, member.account.held) == (5000, 0)


def test_zero_points_is_an_undo(shopper):
    redeem(shopper, 500)
    redeem(shopper, 0)
    assert not Hold.objects.filter(state="OPEN").exists()


def test_more_than_there_is_is_cut_and_the_reason_said(shopper, product):
    redeem(shopper, 9999)
    page = basket_page(shopper)
    assert (
        "You asked for 9,999 points. 5,000 points are used and save you 50.00 €: that is all you have."
        in page
    )
    assert "You asked for 9,999 points, but that is all you have." in page


def test_a_share_of_the_goods_is_the_limit(shopper):
    ProgrammeVersion.objects.update(maximum_share_percent=Decimal("25.00"))
    assert "up to 2,985 points and save 29.85 €: points can pay at most 25% of the goods." in basket_page(
        shopper
    )
    redeem(shopper, 4000)
    assert (
        "2,985 points are used and save you 29.85 €: points can pay at most 25% of the goods."
        in basket_page(shopper)
    )


@pytest.mark.parametrize("nonsense", ["", "12,5", "-5", "abc", "1" * 40, "\N{SUPERSCRIPT TWO}"])
def test_what_is_no_number_is_a_message(shopper, nonsense):
    redeem(shopper, nonsense)
    assert "Please enter a whole number of points." in basket_page(shopper)
    assert not Hold.objects.exists()


def test_too_few_points_are_refused_with_the_reason(shopper):
    ProgrammeVersion.objects.update(minimum_points=500)
    redeem(shopper, 100)
    page = basket_page(shopper)
    assert "These points were not used: at least 500 points must be spent." in page
    assert not Hold.objects.filter(state="OPEN").exists()


def test_too_small_a_balance_says_how_many_are_needed(member_client, member, product):
    ProgrammeVersion.objects.update(minimum_points=500)
    member.earn(20)
    put_in_basket(member_client, product)
    page = basket_page(member_client)
    assert "You do not have enough points yet: at least 500 points must be spent." in page
    assert "You have 20 points." in page
    redeem(member_client, 600)
    assert "You do not have enough points yet" in basket_page(member_client)


def test_no_points_at_all(member_client, member, product):
    put_in_basket(member_client, product)
    assert "You have no points to spend yet." in basket_page(member_client)


def test_a_pause_is_said(shopper):
    Programme.objects.update(redemption_paused=True)
    assert "Points cannot be spent at the moment." in basket_page(shopper)
    redeem(shopper, 500)
    assert not Hold.objects.filter(state="OPEN").exists()


def test_guests_are_led_to_the_login_and_back(client, programme, product):
    put_in_basket(client, product)
    page = client.get("/basket/")
    assert "Log in to see and spend your points." in text_of(page)
    assert "/accounts/login/?next=/basket/" in page.text
    assert redeem(client, 500).status_code == 302
    assert "Please log in to spend points." in basket_page(client)


def test_customers_outside_are_led_to_joining(client, programme, product, customer):
    client.force_login(customer)
    put_in_basket(client, product)
    assert "Join the programme to collect and spend points." in basket_page(client)
    redeem(client, 500)
    assert not Hold.objects.exists()


def test_an_empty_basket_has_no_box(member_client, member):
    member.earn(100)
    response = member_client.get("/basket/")
    assert "loyalty-redemption" not in response.text
    redeem(member_client, 50)
    assert basket_page(member_client).count("is empty.") == 2  # the message, and the page


@pytest.mark.parametrize(
    "next_url", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "", "nothing"]
)
def test_the_way_back_stays_in_the_shop(shopper, next_url):
    assert redeem(shopper, 10, next_url=next_url).url == "/basket/#loyalty-redemption"
    undone = shopper.post("/loyalty/basket/undo/", {"next": next_url})
    assert undone.url == "/basket/#loyalty-redemption"


@pytest.mark.parametrize("url", ["/loyalty/basket/redeem/", "/loyalty/basket/undo/"])
def test_nothing_happens_on_get(shopper, url):
    assert shopper.get(url).status_code == 405


def test_the_payment_page_has_the_box_too(shopper, member):
    redeem(shopper, 500)
    prepare_checkout(shopper)
    page = shopper.get("/checkout/payment-details/")
    assert "500 points save you 5.00 €." in text_of(page)
    assert 'name="next" value="/checkout/payment-details/"' in page.text
    response = redeem(shopper, 700, next_url="/checkout/payment-details/")
    assert response.url == "/checkout/payment-details/#loyalty-redemption"
    assert "This order earns you 112 points." in text_of(shopper.get("/checkout/preview/"))


def test_a_smaller_basket_says_what_changed(member_client, member):
    member.earn(5000)
    dear, cheap = make_product("100.00", title="Kettle"), make_product("10.00", title="Cup")
    put_in_basket(member_client, dear)
    put_in_basket(member_client, cheap)
    redeem(member_client, 5000)
    line = get_model("basket", "Line").objects.get(product=dear)
    line.delete()
    page = basket_page(member_client)
    assert "1,000 points save you 10.00 €." in page
    assert "You asked for 5,000 points, but that pays for all the goods." in page


def test_statements_on_the_basket_page(shopper, settings, django_assert_max_num_queries):
    redeem(shopper, 500)
    shopper.get("/basket/")
    with_points = count_statements(lambda: shopper.get("/basket/"))
    assert sum("oscar_loyalty" in sql for sql in with_points) <= 4, with_points


def count_statements(act):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as captured:
        act()
    return [query["sql"] for query in captured]


def test_left_members_are_treated_as_outside(shopper, member):
    member.account.member.status = "LEFT"
    member.account.member.left_at = member.now
    member.account.member.save()
    assert queries.find_account_of_user(user_id=member.user.pk, programme_code="default") is None
    assert "Join the programme" in basket_page(shopper)
