import sys
from decimal import Decimal
from gettext import GNUTranslations
from shutil import which
from subprocess import run

import pytest
from django.conf import settings
from django.urls import reverse
from django.utils import translation
from oscar.core.loading import get_class, get_model

from oscar_loyalty.tiers.models import ProductAccess
from sandbox.apps.shipping.methods import split_charge
from sandbox.demo.people import PASSWORD, PEOPLE, describe_logins

pytestmark = pytest.mark.django_db

Basket = get_model("basket", "Basket")
Category = get_model("catalogue", "Category")
Order = get_model("order", "Order")
Product = get_model("catalogue", "Product")
StockRecord = get_model("partner", "StockRecord")
Repository = get_class("shipping.repository", "Repository")
Selector = get_class("partner.strategy", "Selector")


@pytest.fixture
def in_stock():
    StockRecord.objects.update(num_in_stock=500, num_allocated=0)


def product_of(sku: str):
    return StockRecord.objects.get(partner_sku=f"MR-{sku}").product


def basket_of(*skus: str):
    basket = Basket.objects.create()
    basket.strategy = Selector().strategy()
    for sku in skus:
        basket.add_product(product_of(sku))
    get_class("offer.applicator", "Applicator")().apply(basket)
    return basket


def text_of(response) -> str:
    assert response.status_code == 200, (response.status_code, response.headers.get("Location"))
    return response.content.decode()


PAGES = (
    "shop-home",
    "catalogue:index",
    "search:search",
    "offer:list",
    "basket:summary",
    "customer:login",
    "customer:register",
    "password-reset",
)


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize("name", PAGES)
def test_public_pages_answer_in_both_languages(client, name, language):
    with translation.override(language):
        page = text_of(client.get(reverse(name)))
    assert f'<html lang="{language}"' in page
    assert ("Tisch und Küche" if language == "de" else "Table and kitchen") in page


@pytest.mark.parametrize("language", ["de", "en"])
def test_every_category_and_every_kind_of_product_answers_in_both_languages(client, language):
    with translation.override(language):
        for category in Category.objects.all():
            assert category.name in text_of(client.get(category.get_absolute_url()))
        for sku in ("yirga-1", "sencha-2", "becher-elbe-3", "papier-2", "honig-linde"):
            product = product_of(sku)
            assert product.get_title() in text_of(client.get(product.get_absolute_url()))
            if product.is_child:
                page = text_of(client.get(product.parent.get_absolute_url()))
                assert product.get_title().removeprefix(product.parent.title).lstrip(", ") in page


@pytest.mark.parametrize("language", ["de", "en"])
def test_contracts_can_be_withdrawn_from_on_every_page_and_from_every_order(
    client, django_user_model, language
):
    withdraw = f'href="/{language}/loyalty/withdraw/'
    assert f'{withdraw}"' in client.get(f"/{language}/").text
    order = Order.objects.exclude(user=None).first()
    client.force_login(order.user, backend=settings.AUTHENTICATION_BACKENDS[0])
    page = client.get(f"/{language}/accounts/orders/{order.number}/").text
    assert f'{withdraw}?order={order.number}"' in page
    assert f'{withdraw}"' in page


def test_a_visitor_is_led_to_their_language(client):
    assert client.get("/", headers={"accept-language": "en"}).headers["Location"] == "/en/"
    assert client.get("/", headers={"accept-language": "fr"}).headers["Location"] == "/de/"


def test_the_language_switch_stays_on_the_page(client):
    answer = client.post(reverse("set_language"), {"language": "en", "next": "/de/catalogue/?sort_by=title"})
    assert answer.headers["Location"] == "/en/catalogue/?sort_by=title"


def test_the_catalogue_can_be_sorted_and_paged(client):
    page = text_of(client.get("/de/catalogue/?sort_by=price-asc"))
    cheapest = StockRecord.objects.order_by("price").first().product
    assert (cheapest.parent or cheapest).title in page
    assert "page=2" in page
    text_of(client.get("/de/catalogue/?sort_by=no-such-order"))
    assert client.get("/de/catalogue/?page=999").status_code == 404


def test_search_finds_words_in_either_language_and_says_when_there_is_nothing(client):
    assert "Teekanne Havel" in text_of(client.get("/de/search/", {"q": "teapot havel"}))
    assert "Teapot Havel" in text_of(client.get("/en/search/", {"q": "Teekanne"}))
    assert "Nichts gefunden" in text_of(client.get("/de/search/", {"q": "Schraubenzieher"}))
    assert "Nothing found" in text_of(client.get("/en/search/", {"q": "x" * 400}))


def test_lists_leave_out_what_is_for_some_members_only(client):
    teapot = Product.objects.get(title_de="Teekanne Havel")
    lists = [
        ("/de/catalogue/", {"sort_by": "price-desc", "q": "Havel"}),
        (teapot.categories.get().get_absolute_url(), {}),
        ("/de/search/", {"q": "Havel"}),
    ]
    assert ["Teekanne Havel" in text_of(client.get(*one)) for one in lists] == [True, True, True]
    access = ProductAccess.objects.create(product_id=teapot.pk)
    assert ["Teekanne Havel" in text_of(client.get(*one)) for one in lists] == [False, False, False]
    access.delete()
    assert "Teekanne Havel" in text_of(client.get(*lists[2]))


def test_the_demo_logins_work_and_are_shown_only_where_they_should(client, settings):
    settings.SANDBOX_SHOW_LOGINS = True
    page = text_of(client.get("/de/accounts/login/"))
    assert all(person.email in page for person in PEOPLE)
    assert all(person.email in describe_logins() for person in PEOPLE)
    for person in PEOPLE:
        form = {"login-username": person.email, "login-password": PASSWORD, "login_submit": "Log In"}
        answer = client.post("/de/accounts/login/", form)
        assert answer.status_code == 302, person.email
        assert person.email in text_of(client.get("/de/accounts/profile/"))
        client.logout()
    settings.SANDBOX_SHOW_LOGINS = False
    page = text_of(client.get("/de/accounts/login/"))
    assert PASSWORD not in page
    assert not any(person.email in page for person in PEOPLE)


def test_the_clerk_sees_orders_but_not_offers_and_the_manager_sees_both(client, django_user_model):
    client.force_login(
        django_user_model.objects.get(email="service@morgenrot.example"), settings.AUTHENTICATION_BACKENDS[0]
    )
    assert client.get("/de/dashboard/orders/").status_code == 200
    assert client.get("/de/dashboard/reviews/").status_code == 200
    assert client.get("/de/dashboard/offers/").status_code == 403
    client.force_login(
        django_user_model.objects.get(email="leitung@morgenrot.example"), settings.AUTHENTICATION_BACKENDS[0]
    )
    assert client.get("/de/dashboard/offers/").status_code == 200
    assert client.get("/de/admin/").status_code == 200


def test_a_member_reads_the_status_of_an_order_in_german_and_in_english(client, django_user_model):
    hanna = django_user_model.objects.get(email="hanna@morgenrot.example")
    client.force_login(hanna, settings.AUTHENTICATION_BACKENDS[0])
    order = hanna.orders.filter(status="Complete").first()
    assert "Abgeschlossen" in text_of(client.get(f"/de/accounts/orders/{order.number}/"))
    assert "Complete" in text_of(client.get(f"/en/accounts/orders/{order.number}/"))
    order.refresh_from_db()
    assert order.status == "Complete"


@pytest.mark.usefixtures("in_stock")
def test_a_guest_gets_from_the_shelf_to_the_payment_page(client):
    product = product_of("yirga-1")
    client.post(f"/de/basket/add/{product.pk}/", {"quantity": 2})
    assert "21,80" in text_of(client.get("/de/basket/"))
    client.post("/de/checkout/", {"username": "gast@example.org", "options": "anonymous"})
    address = {
        "first_name": "Grete",
        "last_name": "Gast",
        "line1": "Lindenstraße 1",
        "line4": "Leipzig",
        "postcode": "04229",
        "country": "DE",
    }
    answer = client.post("/de/checkout/shipping-address/", address)
    assert answer.headers["Location"] == "/de/checkout/shipping-method/"
    page = text_of(client.get("/de/checkout/shipping-method/"))
    assert all(name in page for name in ("Standardversand", "Expressversand", "Abholung im Laden"))
    client.post("/de/checkout/shipping-method/", {"method_code": "express"})
    answer = client.get("/de/checkout/payment-method/", follow=True)
    assert "9,90" in text_of(answer) or "/payment-details/" in answer.redirect_chain[-1][0]


@pytest.mark.usefixtures("in_stock")
def test_delivery_is_free_from_59_euros_of_goods_before_discounts():
    def charge_of(*skus):
        return Repository().get_shipping_methods(basket_of(*skus))[0].calculate(basket_of(*skus)).incl_tax

    assert charge_of("yirga-1") == Decimal("4.90")
    assert charge_of("wasserkessel") == Decimal("0.00")
    # 62.80 € of espresso is 56.52 € after the offer; the goods still count at their price.
    discounted = basket_of("hafenkante-4", "hafenkante-4")
    assert discounted.total_incl_tax < Decimal(59) <= discounted.total_incl_tax_excl_discounts
    assert Repository().get_shipping_methods(discounted)[0].calculate(discounted).incl_tax == 0


def test_the_vat_of_a_delivery_follows_the_goods():
    food, tools = (Decimal("10.70"), Decimal("10.00")), (Decimal("11.90"), Decimal("10.00"))
    assert split_charge(Decimal("4.90"), food[1], food[0]) == Decimal("4.58")
    assert split_charge(Decimal("4.90"), tools[1], tools[0]) == Decimal("4.12")
    mixed = split_charge(Decimal("4.90"), food[1] + tools[1], food[0] + tools[0])
    assert Decimal("4.12") < mixed < Decimal("4.58")
    assert split_charge(Decimal("4.90"), Decimal(0), Decimal(0)) == Decimal("4.90")


def test_pick_up_is_offered_only_at_home():
    basket = basket_of("papier-2")
    address = get_model("order", "ShippingAddress")

    def codes(country):
        return [m.code for m in Repository().get_shipping_methods(basket, address(country_id=country))]

    days = ["delivery-day"] * 4
    assert [code.partition("-20")[0] for code in codes("DE")] == ["standard", "pick-up", "express", *days]
    assert codes("NL") == ["standard", "express"]


@pytest.mark.usefixtures("in_stock")
def test_a_packstation_gets_the_method_that_goes_there_and_an_incomplete_one_is_explained(client):
    client.post(f"/de/basket/add/{product_of('yirga-1').pk}/", {"quantity": 1})
    client.post("/de/checkout/", {"username": "gast@example.org", "options": "anonymous"})
    address = {
        "first_name": "Grete",
        "last_name": "Gast",
        "line1": "Packstation 123",
        "line4": "Leipzig",
        "postcode": "04229",
        "country": "DE",
    }
    page = text_of(client.post("/de/checkout/shipping-address/", address))
    assert "Postnummer" in page
    answer = client.post("/de/checkout/shipping-address/", {**address, "line2": "1234567"}, follow=True)
    # The only method that is left is chosen by itself.
    assert answer.redirect_chain[0][0] == "/de/checkout/shipping-method/"
    assert client.session["checkout_data"]["shipping"]["method_code"] == "parcel-locker"


@pytest.mark.usefixtures("in_stock")
def test_the_offer_takes_ten_percent_off_the_price_with_vat():
    basket = basket_of("hafenkante-1", "papier-2")
    line = next(line for line in basket.all_lines() if line.product == product_of("hafenkante-1"))
    assert line.line_price_incl_tax == Decimal("8.90")
    assert line.line_price_incl_tax_incl_discounts == Decimal("8.01")
    assert line.line_price_excl_tax_incl_discounts == Decimal("7.49")
    assert basket.total_incl_tax == Decimal("11.91")


@pytest.mark.usefixtures("in_stock")
def test_the_voucher_takes_five_euros_off_from_forty(client):
    client.post(f"/de/basket/add/{product_of('tamper').pk}/", {"quantity": 2})
    client.post("/de/basket/vouchers/add/", {"code": "morgenrot5"})
    assert "63,00" in text_of(client.get("/de/basket/"))


@pytest.mark.usefixtures("in_stock")
def test_the_api_sells_the_same_goods_at_the_same_prices(client):
    product = product_of("yirga-1")
    price = client.get(f"/api/products/{product.pk}/price/").json()
    assert (price["incl_tax"], price["excl_tax"], price["currency"]) == ("10.90", "10.19", "EUR")
    answer = client.post("/api/basket/add-product/", {"url": f"/api/products/{product.pk}/", "quantity": 1})
    assert answer.json()["total_incl_tax"] == "10.90"


def test_no_migration_is_missing(monkeypatch):
    # Tests run without migrations; a process of its own sees them.
    monkeypatch.setenv("DATABASE_URL", "sqlite://:memory:")
    manage = [sys.executable, settings.SANDBOX_DIR / "manage.py"]
    checked = run(
        [*manage, "makemigrations", "catalogue", "partner", "shipping", "--check", "--dry-run"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(which("msgfmt") is None, reason="needs gettext's msgfmt")
def test_the_german_wording_is_complete_and_compiled(tmp_path):
    folder = settings.SANDBOX_DIR / "locale/de/LC_MESSAGES"
    compiled = tmp_path / "django.mo"
    counted = run(
        ["msgfmt", "--check", "--statistics", "-o", compiled, folder / "django.po"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "untranslated" not in counted.stderr
    assert "fuzzy" not in counted.stderr
    with compiled.open("rb") as fresh, (folder / "django.mo").open("rb") as committed:
        assert GNUTranslations(fresh)._catalog == GNUTranslations(committed)._catalog
