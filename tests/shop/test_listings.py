"""Oscar's own lists of products, and Django's, without what a customer may not buy."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser
from django.urls import reverse
from django.utils import timezone
from django.views.generic import ListView
from haystack.query import SearchQuerySet
from oscar.apps.search.views import base
from oscar.apps.search.views.catalogue import CatalogueView
from oscar.core.loading import get_class, get_model
from oscar.test import factories

from oscar_loyalty.shop import listings
from oscar_loyalty.shop.listings import MembersFirstMixin, hide_closed
from oscar_loyalty.tiers.models import ProductAccess
from tests.tiers.perk_world import make_tiers, put_into_tier

from . import world

Product = get_model("catalogue", "Product")
RangeDetailView = get_class("offer.views", "RangeDetailView")


class Catalogue(MembersFirstMixin, CatalogueView):
    pass


class OneRange(MembersFirstMixin, RangeDetailView):
    pass


class Plain(MembersFirstMixin, ListView):
    queryset = Product.objects.order_by("pk")


@pytest.fixture(autouse=True)
def everything_is_found(monkeypatch):
    """The engine for development takes Oscar's own conditions for words to look for, and finds nothing."""
    monkeypatch.setattr(base, "base_sqs", SearchQuerySet)


@pytest.fixture
def shelf(programme):
    """An open product, one that opens tomorrow and one that is for gold only."""
    make_tiers(programme, gold=[("EARLY_ACCESS", {"hours": 48}), ("EXCLUSIVE_PRODUCTS", {})])
    products = [factories.create_product(title=title) for title in ("Open", "Tomorrow", "Gold only")]
    ProductAccess.objects.create(product_id=products[1].pk, opens_at=timezone.now() + timedelta(days=1))
    rare = factories.RangeFactory(name="rare", slug="rare", is_public=True)
    rare.included_products.add(products[2])
    ProductAccess.objects.create(range=rare)
    return products


@pytest.fixture
def gold(shelf, programme):
    account = world.make_member()
    put_into_tier(account.member, "gold", programme=programme)
    return account.user


def see(view, rf, user, **kwargs):
    request = rf.get("/")
    request.user = user
    context = view.as_view()(request, **kwargs).context_data
    return [getattr(one, "object", one).title for one in context["object_list"]]


def test_oscars_catalogue_leaves_out_what_somebody_may_not_buy(shelf, gold, rf):
    assert see(Catalogue, rf, AnonymousUser()) == ["Open"]
    assert sorted(see(Catalogue, rf, gold)) == ["Gold only", "Open", "Tomorrow"]


def test_without_the_mixin_oscar_shows_everything(shelf, client):
    page = client.get(reverse("catalogue:index")).content.decode()
    assert "Gold only" in page


def test_pages_of_the_list_are_full(shelf, rf, monkeypatch):
    monkeypatch.setattr(Catalogue, "paginate_by", 2)
    for number in range(3):
        factories.create_product(title=f"Also open {number}")
    request = rf.get("/")
    request.user = AnonymousUser()
    context = Catalogue.as_view()(request).context_data
    assert (context["paginator"].count, len(context["object_list"])) == (4, 2)


def test_a_page_of_a_range_and_any_list_of_djangos_too(shelf, gold, rf):
    assert see(OneRange, rf, AnonymousUser(), slug="rare") == []
    assert see(OneRange, rf, gold, slug="rare") == ["Gold only"]
    assert see(Plain, rf, AnonymousUser()) == ["Open"]


def test_a_search_engine_is_told_what_to_leave_out(shelf):
    class Found:
        query = SimpleNamespace()

        def exclude(self, **asked):
            return asked

    left_out = hide_closed(Found(), user_id=None)
    assert sorted(left_out["django_id__in"]) == sorted(one.pk for one in shelf[1:])


def test_switched_off_or_broken_the_shop_shows_everything(shelf, rf, settings, monkeypatch):
    def broken(*_args, **_kwargs):
        raise RuntimeError

    monkeypatch.setattr(listings, "hide_closed", broken)
    assert len(see(Plain, rf, AnonymousUser())) == 3
    monkeypatch.undo()
    settings.OSCAR_LOYALTY_ENABLED = False
    assert len(see(Plain, rf, AnonymousUser())) == 3
