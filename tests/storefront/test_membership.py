from types import SimpleNamespace

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from oscar_loyalty.members.models import Consent, Member
from oscar_loyalty.points.models import Account

from .conftest import text_of

REGISTRATION = {"email": "new@example.com", "password1": "a-long-password", "password2": "a-long-password"}


def post_join(client, **values):
    return client.post("/loyalty/join/", {"terms_version": "2026-1", **values})


def test_one_click_makes_a_customer_a_member(client, programme, customer):
    client.force_login(customer)
    response = post_join(client)
    assert response.url == "/loyalty/my-points/"
    member = Member.objects.get(user=customer)
    assert (member.status, member.terms_version) == ("ACTIVE", "2026-1")
    assert Account.objects.filter(member=member).count() == 1
    page = text_of(client.get(response.url))
    assert "Welcome! You collect points from now on." in page
    assert "0 points" in page
    assert "Three ways to start" in page


def test_a_double_click_joins_once(client, programme, customer):
    client.force_login(customer)
    assert post_join(client).status_code == post_join(client).status_code == 302
    assert Member.objects.count() == Account.objects.count() == Consent.objects.count() == 1


@pytest.mark.parametrize(("box", "granted"), [({}, False), ({"marketing": "1"}, True)])
def test_marketing_is_a_question_of_its_own(client, programme, customer, box, granted):
    client.force_login(customer)
    post_join(client, **box)
    assert Consent.objects.get().granted is granted


def test_terms_that_changed_meanwhile_are_shown_first(client, programme, customer):
    client.force_login(customer)
    response = post_join(client, terms_version="2025-9")
    assert response.url == "/loyalty/"
    assert not Member.objects.exists()
    assert "The terms have just changed." in text_of(client.get("/loyalty/"))


def test_whoever_is_not_signed_in_logs_in_first(client, programme):
    response = post_join(client)
    assert response.status_code == 302
    assert response.url.endswith("?next=/loyalty/")
    assert not Member.objects.exists()


def test_joining_takes_a_post(client, programme, customer):
    client.force_login(customer)
    assert client.get("/loyalty/join/").status_code == 405
    assert not Member.objects.exists()


@pytest.mark.parametrize(
    ("next_url", "expected"),
    [
        ("/basket/", "/basket/"),
        ("https://evil.example/", "/loyalty/my-points/"),
        ("//evil.example", "/loyalty/my-points/"),
        ("neither-path-nor-name", "/loyalty/my-points/"),
    ],
)
def test_the_way_back_stays_in_the_shop(client, programme, customer, next_url, expected):
    client.force_login(customer)
    assert post_join(client, next=next_url).url == expected


def test_consent_can_be_withdrawn_and_given_again(client, programme, customer):
    client.force_login(customer)
    post_join(client, marketing="1")
    client.post("/loyalty/my-points/news/", {"granted": "0"})
    assert "Yes, send me these mails" in text_of(client.get("/loyalty/my-points/"))
    client.post("/loyalty/my-points/news/", {"granted": "1"})
    assert list(Consent.objects.order_by("pk").values_list("granted", flat=True)) == [True, False, True]


def test_only_members_are_asked_about_marketing(client, programme, customer):
    client.force_login(customer)
    assert client.post("/loyalty/my-points/news/", {"granted": "1"}).status_code == 404
    assert not Consent.objects.exists()


@pytest.mark.parametrize(
    ("url", "prefix"), [("/accounts/register/", ""), ("/accounts/login/", "registration-")]
)
class TestRegistration:
    def register(self, client, url, prefix, **boxes):
        values = {prefix + name: value for name, value in {**REGISTRATION, **boxes}.items()}
        return client.post(url, {**values, "registration_submit": "Register"})

    def test_the_boxes_are_offered_unticked(self, client, programme, url, prefix):
        response = client.get(url)
        assert f'name="{prefix}loyalty_join"' in response.text
        assert f'name="{prefix}loyalty_marketing"' in response.text
        assert "checked" not in response.text
        assert "/loyalty/#terms" in response.text

    def test_a_ticked_box_joins(self, client, programme, url, prefix):
        response = self.register(client, url, prefix, loyalty_join="2026-1")
        assert response.status_code == 302
        member = Member.objects.get(user__email="new@example.com")
        assert member.terms_version == "2026-1"
        assert Consent.objects.get(member=member).granted is False
        assert Consent.objects.get(member=member).source == "REGISTRATION"

    def test_a_tick_beside_older_terms_joins_nobody(self, client, programme, url, prefix):
        response = self.register(client, url, prefix, loyalty_join="2025-1")
        assert get_user_model().objects.filter(email="new@example.com").exists()
        assert not Member.objects.exists()
        assert "The terms have just changed" in text_of(client.get(response.url))

    def test_without_the_tick_nobody_joins(self, client, programme, url, prefix):
        self.register(client, url, prefix, loyalty_marketing="on")
        assert get_user_model().objects.filter(email="new@example.com").exists()
        assert not Member.objects.exists()

    def test_a_mistake_elsewhere_keeps_the_tick(self, client, programme, url, prefix):
        response = self.register(client, url, prefix, loyalty_join="2026-1", password2="another")
        assert response.status_code == 200
        assert response.context["form" if not prefix else "registration_form"]["loyalty_join"].value() is True
        assert not Member.objects.exists()

    @pytest.mark.database
    def test_a_mistake_of_ours_does_not_stand_in_the_way(
        self, client, programme, monkeypatch, caplog, url, prefix
    ):
        def fail(**kwargs):
            with connection.cursor() as cursor:
                cursor.execute("SELECT nothing FROM nowhere")

        # Not the flow itself: whatever is first imported by this request would keep it for good.
        broken = SimpleNamespace(join_programme=fail)
        monkeypatch.setattr("oscar_loyalty.storefront.registration.membership", broken)
        response = self.register(client, url, prefix, loyalty_join="2026-1")
        assert response.status_code == 302
        assert get_user_model().objects.filter(email="new@example.com").exists()
        assert "could not join" in caplog.text

    def test_a_shop_without_a_programme_registers_as_before(self, client, db, url, prefix):
        assert "loyalty_join" not in client.get(url).text
        self.register(client, url, prefix, loyalty_join="2026-1")
        assert get_user_model().objects.filter(email="new@example.com").exists()
        assert not Member.objects.exists()
