"""The pages of § 356a BGB: form → confirmation → receipt, for everybody."""

import re

import pytest
from django.core import mail
from django.core.cache import cache
from django.template import Context, Template
from django.test import Client
from oscar.core.loading import get_model

from oscar_loyalty.returns.models import Return, Withdrawal

from .conftest import text_of

pytestmark = pytest.mark.usefixtures("programme")
FORM, CONFIRM = "/loyalty/withdraw/", "/loyalty/withdraw/confirm/"
ADA = {"name": "Ada Petersen", "order": "100042", "email": "guest@example.com", "goods": ""}


@pytest.fixture(autouse=True)
def fresh_counts():
    cache.clear()


@pytest.fixture(autouse=True)
def commits(django_capture_on_commit_callbacks):
    """As if every request were committed; for the tests that do not look at the moment."""
    return django_capture_on_commit_callbacks


@pytest.fixture
def order(programme, placed):
    order = placed()
    order.guest_email = "guest@example.com"
    order.save()
    return order


def token_of(response):
    return re.search(r'name="token" value="([^"]+)"', response.text)[1]


def hidden_of(response):
    form = response.text.split(f'action="{CONFIRM}"')[1].split("</form>")[0]
    return dict(re.findall(r'name="(?!csrf)([^"]+)" value="([^"]*)"', form))


def fill_in(client, **values):
    token = token_of(client.get(FORM))
    return client.post(FORM, {**ADA, "token": token, **values})


def confirm(client, shown, commits):
    with commits(execute=True):
        return client.post(CONFIRM, hidden_of(shown), follow=True)


def test_two_steps_without_login_and_the_receipt_is_mailed(client, order, commits):
    shown = fill_in(client)
    page = text_of(shown)
    assert "I, Ada Petersen, hereby withdraw from the contract for this order: 100042" in page
    assert "Receipt to: guest@example.com" in page
    assert shown.text.count("Confirm withdrawal</button>") == 1
    assert not Withdrawal.objects.exists()
    done = confirm(client, shown, commits)
    made = Withdrawal.objects.get()
    assert done.redirect_chain == [(f"/loyalty/withdraw/done/{made.public_id}/", 302)]
    page = text_of(done)
    assert made.number in page
    assert re.search(r"We received it on \w+\.? \d+, \d{4}, \d\d:\d\d:\d\d \(CES?T\)", page)
    assert made.state == "MATCHED"
    assert [message.to for message in mail.outbox] == [["guest@example.com"]]


def test_the_pages_say_the_same_whether_an_order_fits_or_not(client, order, commits):
    pages = []
    for number in ("100042", "100043"):
        shown = fill_in(client, order=number)
        done = confirm(client, shown, commits)
        made = Withdrawal.objects.get(order_text=number)
        received = re.search(r"\d\d:\d\d:\d\d", text_of(done))[0]
        words = text_of(done).replace(made.number, "").replace(received, "")
        pages.append((text_of(shown).replace(number, ""), words))
    assert pages[0] == pages[1]
    assert set(Withdrawal.objects.values_list("state", flat=True)) == {"MATCHED", "RECEIVED"}


def test_a_double_click_withdraws_once(client, order, commits):
    shown = fill_in(client)
    first, again = confirm(client, shown, commits), confirm(client, shown, commits)
    assert first.redirect_chain == again.redirect_chain
    assert (Withdrawal.objects.count(), Return.objects.count(), len(mail.outbox)) == (1, 1, 1)


def test_back_and_changed_nothing_is_lost(client, order):
    shown = fill_in(client, name="Zoë 🦉 ß", goods="<b>the lamp</b>\nand the bulb")
    assert "&lt;b&gt;the lamp&lt;/b&gt;" in shown.text
    values = {**hidden_of(shown), "goods": "<b>the lamp</b>\nand the bulb"}
    form = client.post(FORM, {**values, "change": "1"})
    assert 'value="Zoë 🦉 ß"' in form.text
    assert "and the bulb" in form.text
    assert token_of(form) == values["token"]
    assert "Please look at what is marked" not in form.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "ada@"),
        ("email", ""),
        ("email", "a@example.com\nBcc: b@example.com"),
        ("name", " "),
        ("name", "x" * 256),
        ("name", "a\x00b"),
        ("order", ""),
        ("order", "9" * 256),
        ("goods", "x" * 3001),
        ("token", "no uuid"),
    ],
)
def test_what_cannot_be_is_said_at_its_field_in_both_steps(client, order, field, value):
    for url in (FORM, CONFIRM):
        token = token_of(client.get(FORM))
        answer = client.post(url, {**ADA, "token": token, field: value})
        assert answer.status_code == 200
        assert "Please look at what is marked below." in answer.text
        assert 'value="guest@example.com"' in answer.text or field == "email"
    assert not Withdrawal.objects.exists()


def test_whoever_is_logged_in_finds_the_form_filled_in_and_their_lines(client, customer, placed, commits):
    order = placed(customer)
    line = order.lines.get()
    line.pk = None
    line.title = "Lamp"
    line.save()
    client.force_login(customer)
    form = client.get(f"{FORM}?order=100042")
    assert 'value="ada@example.com"' in form.text
    assert 'value="100042"' in form.text
    assert "1 \N{MULTIPLICATION SIGN} Lamp" in form.text
    shown = client.post(
        FORM, {**ADA, "token": token_of(form), "email": "other@example.com", "lines": [str(line.pk)]}
    )
    assert "Only these goods: 1 \N{MULTIPLICATION SIGN} Lamp" in text_of(shown)
    confirm(client, shown, commits)
    made = Withdrawal.objects.get()
    assert made.state == "MATCHED"
    assert dict(made.of_return.lines.values_list("line_id", "quantity")) == {line.pk: 1}


def test_nobody_sees_the_lines_of_somebody_elses_order(client, customer, placed, order):
    get_model("order", "Line").objects.update(title="Secret lamp")
    client.force_login(customer)
    for url in (f"{FORM}?order=100042", f"{FORM}?order=nothing"):
        page = client.get(url)
        assert "Secret" not in page.text
        assert "<fieldset" not in page.text


def test_who_tries_too_often_is_told_so_and_keeps_the_form(client, order, settings):
    settings.OSCAR_LOYALTY_THROTTLE_RATES = {"withdrawal": "1/hour"}
    assert client.post(CONFIRM, hidden_of(fill_in(client))).status_code == 302
    answer = client.post(CONFIRM, hidden_of(fill_in(client, name="Ben")))
    assert answer.status_code == 429
    assert "write to us: that is as good" in answer.text
    assert 'value="Ben"' in answer.text


def test_switched_off_the_law_still_holds(client, order, settings, commits):
    settings.OSCAR_LOYALTY_ENABLED = False
    done = confirm(client, fill_in(client), commits)
    assert "Your withdrawal has arrived" in text_of(done)
    assert len(mail.outbox) == 1


def test_pages_are_kept_nowhere(client, order, commits):
    shown = fill_in(client)
    for response in (client.get(FORM), shown, confirm(client, shown, commits)):
        assert response["Cache-Control"] == "private, no-store"
        assert response["X-Robots-Tag"] == "noindex"


def test_it_needs_no_session(client, order, commits):
    confirm(client, fill_in(client), commits)
    assert "sessionid" not in client.cookies


def test_another_site_cannot_send_the_form(order):
    client = Client(enforce_csrf_checks=True)
    token = token_of(client.get(FORM))
    assert client.post(CONFIRM, {**ADA, "token": token}).status_code == 403


def test_addresses_that_lead_nowhere(client):
    assert client.get(CONFIRM)["Location"] == FORM
    missing = "/loyalty/withdraw/done/7b0c1c70-6d3f-4a55-9f0e-0d6c8c5e2a11/"
    assert client.get(missing).status_code == 404


def test_the_link_for_footers_and_order_pages(order, settings):
    page = Template("{% load loyalty_returns %}{% loyalty_withdraw_link order css_class='x' %}")
    link = page.render(Context({"order": order}))
    assert 'href="/loyalty/withdraw/?order=100042"' in link
    assert 'class="loyalty-withdraw x"' in link
    assert ">Withdraw from contract</a>" in link
    settings.OSCAR_LOYALTY_ENABLED = False
    assert 'href="/loyalty/withdraw/"' in page.render(Context({}))
