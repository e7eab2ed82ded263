from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from oscar.core.loading import get_model

from oscar_loyalty.flows.expiry import warn_expiring_points
from oscar_loyalty.flows.membership import join_programme
from oscar_loyalty.points import services
from oscar_loyalty.points.models import ExpiryWarning
from oscar_loyalty.programmes.services import set_up_programme

JOINED = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
EARNED = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
#: One month later, at the end of the day in Berlin.
GONE = datetime(2026, 4, 10, 22, 0, tzinfo=UTC)
NOW = datetime(2026, 3, 20, 6, 0, tzinfo=UTC)


@pytest.fixture
def account(customer):
    set_up_programme(
        code="default",
        name="Morning points",
        time_zone="Europe/Berlin",
        currencies=["EUR"],
        terms_version="1",
        now=JOINED,
    )
    return join_programme(user_id=customer.pk, now=JOINED)


def earn(account, points, *, key="1", at=EARNED, months=1):
    return services.award_points(
        account_id=account.pk,
        points=points,
        idempotency_key=f"purchase:{key}",
        source_ref=f"order:{key}",
        order_ref=key,
        active_at=at,
        expiry_months=months,
        unit_value=Decimal("0.01"),
        currency="EUR",
        now=at,
    )


def test_a_member_is_told_how_much_until_when_and_where(account, customer):
    earn(account, 1250)
    assert warn_expiring_points(now=NOW) == 1
    (message,) = mail.outbox
    assert message.to == ["ada@example.com"]
    assert message.subject == "1,250 points expire soon, the first after April 10, 2026"
    assert "Hello Ada," in message.body
    assert "you can spend the first of them until April 10, 2026" in message.body
    assert "They are worth 12.50\xa0€" in message.body
    assert "https://example.com/loyalty/my-points/" in message.body
    html = message.alternatives[0][0]
    assert "https://example.com/loyalty/my-points/" in html
    assert "April 10, 2026" in html
    warning = ExpiryWarning.objects.get()
    assert (warning.points, warning.sent_at) == (1250, NOW)
    assert get_model("communication", "Email").objects.filter(user=customer).exists()


def test_one_mail_for_all_lots_and_none_on_the_next_run(account):
    earn(account, 100, key="1")
    earn(account, 50, key="2", at=EARNED + timedelta(days=1))
    assert warn_expiring_points(now=NOW) == 1
    assert warn_expiring_points(now=NOW + timedelta(hours=1)) == 0
    assert warn_expiring_points(now=NOW + timedelta(days=1)) == 0
    assert len(mail.outbox) == 1
    assert ExpiryWarning.objects.get().points == 150


def test_what_comes_into_sight_later_is_another_mail_about_that_alone(account):
    earn(account, 100, key="1")
    earn(account, 50, key="2", at=EARNED + timedelta(days=20))
    warn_expiring_points(now=NOW)
    assert warn_expiring_points(now=NOW + timedelta(days=15)) == 1
    assert list(ExpiryWarning.objects.order_by("pk").values_list("points", flat=True)) == [100, 50]


@pytest.mark.parametrize(
    ("language", "subject"),
    [
        ("de", "1.250 Punkte verfallen bald, die ersten nach dem 10. April 2026"),
        (None, "1,250 points expire soon, the first after April 10, 2026"),
    ],
)
def test_the_mail_speaks_the_customers_language_when_it_is_known(account, settings, language, subject):
    language_of.answer = language
    settings.OSCAR_LOYALTY_CUSTOMER_LANGUAGE = f"{__name__}.language_of"
    earn(account, 1250)
    warn_expiring_points(now=NOW)
    assert mail.outbox[0].subject == subject
    if language == "de":
        assert "Guten Tag Ada," in mail.outbox[0].body
        assert "12,50\xa0€ wert" in mail.outbox[0].body


def language_of(user):
    return language_of.answer


def test_one_point_is_one_point(account):
    earn(account, 1)
    warn_expiring_points(now=NOW)
    assert mail.outbox[0].subject == "1 point expires after April 10, 2026"


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (datetime(2026, 3, 1, 6, 0, tzinfo=UTC), "it is too early"),
        (GONE, "they are gone"),
    ],
)
def test_no_mail_when(account, now, reason):
    earn(account, 100)
    assert warn_expiring_points(now=now) == 0, reason


def test_nobody_is_warned_of_points_that_are_pending_or_spent_or_last_for_ever(account):
    earn(account, 100, key="1", months=None)
    earn(account, 40, key="2")
    services.hold_points(
        account_id=account.pk, ref="basket:1", requested=40, currency="EUR", expires_at=GONE, now=EARNED
    )
    services.capture_hold(ref="basket:1", points=40, amount=Decimal("0.40"), order_ref="9", now=EARNED)
    assert warn_expiring_points(now=NOW) == 0


def test_members_who_left_get_no_mail(account):
    earn(account, 100)
    account.member.status, account.member.left_at = "LEFT", NOW
    account.member.save()
    assert warn_expiring_points(now=NOW) == 0


class Broken(EmailBackend):
    broken = True

    def send_messages(self, messages):
        if self.broken and "ada@example.com" in messages[0].to:
            raise OSError("the mail server is down")
        return super().send_messages(messages)


def test_a_mail_that_fails_stops_nobody_and_is_tried_again(
    account, settings, django_user_model, monkeypatch, caplog
):
    other = django_user_model.objects.create_user(username="bo", email="bo@example.com")
    earn(account, 100)
    earn(join_programme(user_id=other.pk, now=JOINED), 70, key="2")
    settings.EMAIL_BACKEND = f"{__name__}.Broken"
    assert warn_expiring_points(now=NOW) == 1
    assert "could not be warned" in caplog.text
    assert [message.to for message in mail.outbox] == [["bo@example.com"]]
    monkeypatch.setattr(Broken, "broken", False)
    assert warn_expiring_points(now=NOW + timedelta(days=1)) == 1
    assert mail.outbox[1].to == ["ada@example.com"]


def test_a_member_without_an_address_is_skipped(account, customer):
    customer.email = ""
    customer.save()
    earn(account, 100)
    assert warn_expiring_points(now=NOW) == 0
    assert not ExpiryWarning.objects.exists()


def test_a_run_that_another_one_overtakes_sends_nothing(account):
    earn(account, 100)
    ExpiryWarning.objects.create(
        account=account, expires_before=datetime(2026, 4, 19, 22, 0, tzinfo=UTC), points=100, sent_at=NOW
    )
    assert warn_expiring_points(now=NOW) == 0
    assert not mail.outbox


def test_links_begin_as_the_shop_says(account, settings):
    settings.OSCAR_LOYALTY_BASE_URL = "http://127.0.0.1:8000/"
    earn(account, 100)
    warn_expiring_points(now=NOW)
    assert "http://127.0.0.1:8000/loyalty/my-points/" in mail.outbox[0].body


def test_a_shop_without_a_programme_warns_nobody(db):
    assert warn_expiring_points(now=NOW) == 0
