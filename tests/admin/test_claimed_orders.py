import pytest
from django.urls import reverse
from oscar.core.loading import get_model

from oscar_loyalty.members.models import ClaimedOrder

from .conftest import START

pytestmark = pytest.mark.host
LIST = "admin:oscar_loyalty_claimedorder_changelist"


@pytest.fixture
def claimed(make_member):
    account = make_member("anna")
    return ClaimedOrder.objects.create(
        order_number="4711", member=account.member, proof="MAIL", claimed_at=START
    )


def test_staff_find_who_claimed_an_order_and_on_what_proof(admin_client, claimed):
    for term in ("4711", str(claimed.member.public_id)):
        response = admin_client.get(reverse(LIST), {"q": term})
        assert "link in a mail to the guest" in response.content.decode()
        assert list(response.context["cl"].result_list) == [claimed]
    assert not admin_client.get(reverse(LIST), {"q": "471"}).context["cl"].result_list


def test_a_claim_leads_to_its_member_and_its_order_while_there_is_one(admin_client, claimed):
    page = reverse("admin:oscar_loyalty_claimedorder_change", args=[claimed.pk])
    member = reverse("admin:oscar_loyalty_member_change", args=[claimed.member_id])
    assert f'href="{member}"' in admin_client.get(page).content.decode()
    order = get_model("order", "Order").objects.create(number="4711", total_incl_tax=1, total_excl_tax=1)
    url = reverse("admin:order_order_change", args=[order.pk])
    assert f'href="{url}"' in admin_client.get(page).content.decode()


def test_nobody_adds_changes_or_deletes_a_claim_by_hand(admin_client, claimed):
    args = [claimed.pk]
    assert admin_client.get(reverse("admin:oscar_loyalty_claimedorder_add")).status_code == 403
    for action in ("change", "delete"):
        url = reverse(f"admin:oscar_loyalty_claimedorder_{action}", args=args)
        assert admin_client.post(url, {"order_number": "1", "post": "yes"}).status_code == 403
    assert ClaimedOrder.objects.get().order_number == "4711"


def test_the_list_takes_as_many_statements_for_ten_claims_as_for_one(
    admin_client, claimed, make_member, django_assert_num_queries, django_assert_max_num_queries
):
    with django_assert_max_num_queries(8) as one:
        admin_client.get(reverse(LIST))
    for number in range(9):
        member = make_member(f"member{number}").member
        ClaimedOrder.objects.create(order_number=str(number), member=member, proof="SHOP", claimed_at=START)
    with django_assert_num_queries(len(one.captured_queries)):
        admin_client.get(reverse(LIST))
