"""Who may see and do what: every address, every kind of person."""

from datetime import timedelta

import pytest
from django.apps import apps
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from oscar.core.loading import get_class
from oscar.test.factories import OrderFactory

from oscar_loyalty.delivery.services import make_promise
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Adjustment, Entry, Hold, Posting
from oscar_loyalty.returns.models import Goodwill, Return, ReturnPhoto, Withdrawal
from oscar_loyalty.testing.ledger import assert_ledger_balanced
from oscar_loyalty.tiers.services import give_tier
from tests.tiers.world import publish_tiers

from .conftest import EVERYTHING, hold, make_user, url

pytestmark = pytest.mark.host

#: Address: what it takes beside being on the staff.
NEEDS = {
    "overview": [{"view_member"}],
    "tiers": [{"view_member", "view_tier"}],
    "tier-preview": [{"view_member", "view_tier"}],
    "members": [{"view_member"}],
    "member": [{"view_member"}],
    "ledger": [{"view_member", "view_entry"}],
    "entry": [{"view_member", "view_entry"}],
    "holds": [{"view_member", "view_hold"}],
    "hold-release": [{"view_member", "view_hold", "change_hold"}],
    "adjustments": [{"view_member", "view_adjustment"}],
    "adjustment": [{"view_member", "view_adjustment"}],
    "adjust": [{"view_member", "add_adjustment"}],
    "adjustment-decide": [{"view_member", "add_adjustment"}, {"view_member", "approve_adjustment"}],
    "adjustment-undo": [{"view_member", "add_adjustment"}],
    "freeze": [{"view_member", "freeze_account"}],
    "close": [{"view_member", "close_account"}],
    "transfer": [{"view_member", "transfer_points"}],
    "audit": [{"view_member", "view_entry"}],
    "tier-give": [{"view_member", "override_tier"}],
    "tier-end": [{"view_member", "override_tier"}],
    "birthday": [{"view_member", "change_birthday"}],
    "merges": [{"view_member", "view_membermerge"}],
    "deliveries": [{"view_member", "view_deliverypromise"}],
    "delivery-arrived": [{"view_member", "view_deliverypromise", "change_deliverypromise"}],
    "returns": [{"view_return"}],
    "returns-batch": [{"view_return", "handle_returns"}],
    "return": [{"view_return"}],
    "return-act": [{"view_return", "handle_returns"}],
    "return-undo": [{"view_return", "handle_returns"}],
    "return-refund": [{"view_return", "handle_refund"}],
    "return-photos": [{"view_return", "handle_returns"}],
    "return-photo": [{"view_return"}],
    "return-figures": [{"view_return"}],
    "withdrawals": [{"view_return", "view_withdrawal"}],
    "withdrawal": [{"view_return", "view_withdrawal"}],
    "withdrawal-handle": [{"view_return", "view_withdrawal", "handle_returns"}],
    "goodwill-list": [{"view_goodwill"}],
    "goodwill": [{"view_goodwill"}],
    "goodwill-give": [{"view_goodwill", "add_goodwill"}],
    "goodwill-decide": [{"view_goodwill", "add_goodwill"}, {"view_goodwill", "approve_goodwill"}],
    "merge": [{"view_member", "view_membermerge"}],
    "merge-request": [{"view_member", "view_membermerge", "add_membermerge"}],
    "merge-decide": [
        {"view_member", "view_membermerge", "add_membermerge"},
        {"view_member", "view_membermerge", "approve_membermerge"},
    ],
}
#: Where either of two permissions is enough, both have to be missing.
EITHER = {
    "adjustment-decide": {"add_adjustment", "approve_adjustment"},
    "merge-decide": {"add_membermerge", "approve_membermerge"},
    "goodwill-decide": {"add_goodwill", "approve_goodwill"},
}
OPEN = {200, 302, 405}


@pytest.fixture
def addresses(make_member):
    account = make_member("anna", points=100)
    held = hold(account, 10)
    asker = make_user("asker", is_staff=True)
    wish = services.request_adjustment(
        account_id=account.pk, points=5, reason_code="GOODWILL", actor_id=asker.pk, now=timezone.now()
    )
    other = make_member("otto", first_name="Otto", last_name="Tal")
    merge = services.request_merge(
        source_id=account.pk, target_id=other.pk, actor_id=asker.pk, now=timezone.now()
    )
    promised = make_promise(
        order_ref="100042",
        method="express",
        method_code="express",
        promised_date=timezone.localdate(),
        due_at=timezone.now(),
        now=timezone.now(),
    )
    member = account.member.public_id
    publish_tiers(account.programme, at=timezone.now())
    override = give_tier(
        programme_id=account.programme_id,
        member_id=account.member_id,
        tier_code="gold",
        active_to=timezone.now() + timedelta(days=30),
        reason="Waited long",
        given_by_ref="user:1",
        now=timezone.now(),
    )
    order = OrderFactory(number="100043", user=account.member.user)
    one = Return.objects.create(
        number="R123456789",
        order_ref=order.number,
        order_id=order.pk,
        currency="EUR",
        requested_at=timezone.now(),
    )
    photo = ReturnPhoto.objects.create(of_return=one, content=b"x", added_at=timezone.now())
    declared = Withdrawal.objects.create(
        number="W123456789",
        name="Anna",
        email="a@example.com",
        order_text="100043",
        received_at=timezone.now(),
    )
    gift = Goodwill.objects.create(
        programme=account.programme,
        order_ref=order.number,
        points=5,
        currency="EUR",
        reason="Cup broken",
        clerk_id=asker.pk,
        month=timezone.localdate().replace(day=1),
        requested_at=timezone.now(),
    )
    arguments = {
        "returns": (),
        "returns-batch": (),
        "return": (one.number,),
        "return-act": (one.number,),
        "return-undo": (one.number,),
        "return-refund": (one.number, 1),
        "return-photos": (one.number,),
        "return-photo": (photo.public_id,),
        "return-figures": (),
        "withdrawals": (),
        "withdrawal": (declared.public_id,),
        "withdrawal-handle": (declared.public_id,),
        "goodwill-list": (),
        "goodwill": (gift.public_id,),
        "goodwill-give": (order.number,),
        "goodwill-decide": (gift.public_id,),
        "overview": (),
        "members": (),
        "ledger": (),
        "holds": (),
        "adjustments": (),
        "entry": (Entry.objects.first().public_id,),
        "hold-release": (held.public_id,),
        "adjustment": (wish.public_id,),
        "adjustment-decide": (wish.public_id,),
        "adjustment-undo": (wish.public_id,),
        "tier-end": (member, override.pk),
        "merges": (),
        "deliveries": (),
        "tiers": (),
        "tier-preview": (),
        "delivery-arrived": (promised.pk,),
        "merge": (merge.pk,),
        "merge-decide": (merge.pk,),
    }
    return {name: url(name, *arguments.get(name, (member,))) for name in NEEDS}


def test_the_table_knows_every_address():
    config = apps.get_app_config("oscar_loyalty_dashboard")
    assert {pattern.name for pattern in config.get_urls()} == {f"loyalty-{name}" for name in NEEDS}
    assert set(config.permissions_map) == {f"loyalty-{name}" for name in NEEDS}


def test_strangers_are_asked_to_log_in(client, addresses):
    for address in addresses.values():
        for response in (client.get(address), client.post(address)):
            assert response.status_code == 302
            assert reverse("dashboard:login") in response["Location"]


def test_customers_are_refused_whatever_permissions_they_have(log_in, addresses):
    client = log_in(*EVERYTHING)
    type(client.user).objects.update(is_staff=False)
    for address in addresses.values():
        assert client.get(address).status_code == 403
        assert client.post(address).status_code == 403


@pytest.mark.parametrize("name", NEEDS)
def test_an_address_opens_for_its_permissions_and_for_no_fewer(log_in, addresses, name):
    for number, wanted in enumerate(NEEDS[name]):
        assert log_in(*wanted, name=f"right{number}").get(addresses[name]).status_code in OPEN
        for missing in wanted:
            client = log_in(*(set(EVERYTHING) - _also(name, missing)), name=f"lacks{number}{missing}")
            assert client.get(addresses[name]).status_code == 403
            assert client.post(addresses[name]).status_code == 403


def _also(name, missing):
    either = EITHER.get(name, set())
    return either if missing in either else {missing}


def test_inactive_staff_see_nothing(log_in, addresses):
    client = log_in(*EVERYTHING)
    type(client.user).objects.update(is_active=False)
    for address in addresses.values():
        assert client.get(address).status_code in (302, 403)


def labels(user):
    nodes = get_class("dashboard.menu", "get_nodes")(user)
    return {str(child.label) for node in nodes if str(node.label) == "Loyalty" for child in node.children}


def test_the_menu_shows_what_somebody_may_open(log_in):
    everything = {
        *("Overview", "Members", "Tiers and perks", "Ledger", "Reservations", "Adjustments", "Merges"),
        *("Deliveries", "Returns", "Goodwill"),
    }
    assert labels(log_in(*EVERYTHING, name="all").user) == everything
    assert labels(log_in("view_member", "view_hold", name="some").user) == {
        "Overview",
        "Members",
        "Reservations",
    }
    assert labels(log_in(name="none").user) == set()


def test_pages_link_only_to_what_somebody_may_open(log_in, addresses):
    text = log_in("view_member").get(addresses["member"]).content.decode()
    for name in set(NEEDS) - {"overview", "members", "member"}:
        assert f'"{addresses[name]}"' not in text


def test_a_form_from_another_site_changes_nothing(desk, addresses):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(desk.user)
    changing = ("adjust", "adjustment-decide", "adjustment-undo", "hold-release", "freeze", "close")
    changing += ("returns-batch", "return-act", "return-undo", "return-refund", "return-photos")
    changing += ("withdrawal-handle", "goodwill-give", "goodwill-decide")
    for name in (*changing, "transfer", "merge-request", "merge-decide", "delivery-arrived"):
        assert strict.post(addresses[name], {"book": "1"}).status_code == 403
    assert Adjustment.objects.get().state == "REQUESTED"
    assert Hold.objects.get().state == "OPEN"


def test_posting_at_random_changes_no_row_of_the_ledger(desk, addresses):
    before = list(Entry.objects.values()), list(Posting.objects.values())
    rubbish = {
        "points": "999",
        "available": "999",
        "state": "BOOKED",
        "status": "CLOSED",
        "_save": "1",
        "_method": "DELETE",
        "seen": "OPEN.1.1.1.1",
        "book": "1",
    }
    for name, address in addresses.items():
        if name == "hold-release":
            continue
        desk.post(address, rubbish)
        for method in (desk.put, desk.patch, desk.delete):
            assert method(address).status_code == 405
    assert (list(Entry.objects.values()), list(Posting.objects.values())) == before
    assert_ledger_balanced(Entry.objects.first().account)


def test_freezing_and_unfreezing_leaves_a_trail(desk, make_member):
    account = make_member("otto", points=100)
    address = url("freeze", account.member.public_id)
    assert "required" in desk.post(address, {"note": " "}).content.decode()
    key = str(desk.get(address).context["form"]["key"].value())
    for _click in range(2):
        text = desk.post(address, {"note": "Looks odd", "key": key}, follow=True).content.decode()
    assert "Looks odd" in text
    account.refresh_from_db()
    assert account.status == "FROZEN"
    assert account.freezes.count() == 1
    with pytest.raises(services.AccountNotOpen):
        hold(account, 10)
    desk.post(address, {"lift": "1"})
    desk.post(address, {"lift": "1"})
    account.refresh_from_db()
    assert account.status == "OPEN"
    trail = account.freezes.get()
    assert (trail.frozen_by, trail.lifted_by) == (desk.user, desk.user)
    assert "Looks odd" in desk.get(address).content.decode()
