"""The customer's returns in the API: what may come back, what it brings, what became of it."""

from base64 import b64encode
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.flows import return_labels, return_terms
from oscar_loyalty.returns.models import Return
from tests.rest_api.test_contract import assert_as_documented
from tests.shop import world as shop

from .doors import ROOT, api_of, make_guests, make_picture, wanted
from .world import accept, ask, make_order, make_policy, relay, state_of

pytestmark = pytest.mark.django_db
KEY = {"Idempotency-Key": "k1"}


@pytest.fixture(autouse=True)
def fresh(settings):
    cache.clear()
    settings.OSCAR_LOYALTY_RETURN_ADDRESS = ("Shop", "Kai 1", "20457 Hamburg")


@pytest.fixture
def order(account):
    return make_order(account.user, (("30.00", 3, 19), ("20.00", 1, 7)), points=500)


@pytest.fixture
def api(account):
    return api_of(account.user)


def url(order, what):
    return f"{ROOT}orders/{order.number}/{what}"


def post(api, path, body=None, **headers):
    return api.post(path, body, format="json", headers=headers)


def test_lines_that_may_come_back_until_when_and_at_what_price(api, order):
    told = api.get(url(order, "returnable-lines")).json()
    assert (told["order"], told["currency"], told["fee"], told["free_because"]) == (
        order.number,
        "EUR",
        "0.00",
        "policy",
    )
    first = told["lines"][0]
    assert (first["ordered"], first["returned"], first["left"], first["why_none"]) == (3, 0, 3, None)
    assert first["text"] == "3 pieces can be returned."
    assert told["return_until"] > timezone.now().isoformat()
    assert told["sentences"][0].startswith("You can return until ")
    assert told["sentences"][1] == "Returning is free."
    assert {"code": "FAULTY", "text": "faulty", "is_free": True} in told["reasons"]


def test_a_preview_says_exactly_what_will_be_booked_and_keeps_nothing(api, order, account):
    before = state_of(account)
    told = post(api, url(order, "return-previews"), wanted(order)).json()
    assert state_of(account) == before
    assert not Return.objects.exists()
    made = post(api, url(order, "returns"), wanted(order), **KEY).json()
    done = accept(Return.objects.get(number=made["number"]))
    assert told["money"]["refund"] == f"{done.refund_amount:.2f}" != "0.00"
    assert told["points"]["back"] == done.points_back > 0
    assert told["points"]["taken"] == done.points_taken > 0
    assert (told["before"]["available"], told["after"]["available"]) == (before[1], account_after(account))
    said = told["sentences"]
    assert said["money"].startswith("We refund €")
    assert any("come back" in one for one in said["points"])
    assert any("taken back" in one for one in said["points"])
    assert said["next"][0].startswith("Send the goods by ")


def account_after(account):
    return state_of(account)[1]


def test_the_same_key_opens_one_return_and_another_content_is_refused(api, order):
    first = post(api, url(order, "returns"), wanted(order), **KEY)
    assert first.status_code == 201
    again = post(api, url(order, "returns"), wanted(order), **KEY)
    assert (again.status_code, again.json()["number"]) == (201, first.json()["number"])
    assert Return.objects.count() == 1
    other = post(api, url(order, "returns"), wanted(order, 1), **KEY)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    for change in ({"set_off_agreed": True}, {"kind": "withdrawal"}):
        other = post(api, url(order, "returns"), {**wanted(order), **change}, **KEY)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    Return.objects.update(refund_to="STORE_CREDIT")
    other = post(api, url(order, "returns"), wanted(order), **KEY)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    missing = post(api, url(order, "returns"), wanted(order))
    assert (missing.status_code, missing.json()["code"]) == (400, "idempotency_key_missing")


@pytest.mark.parametrize(
    ("body", "status", "code", "names_line"),
    [
        ({"lines": []}, 400, "nothing_chosen", False),
        ({"quantity": 4}, 409, "too_many", True),
        ({"line": 999_999}, 400, "unknown_line", True),
        ({"refund_to": "store_credit"}, 409, "store_credit_not_offered", False),
        ({"reason": "BORED"}, 400, "invalid_input", False),
        ({"quantity": "2"}, 400, "invalid_input", False),
    ],
)
def test_what_is_refused_says_why_and_which_line(api, order, body, status, code, names_line):
    asked = wanted(order)
    line = asked["lines"][0]
    line.update({name: value for name, value in body.items() if name in ("quantity", "line", "reason")})
    asked.update({name: value for name, value in body.items() if name in ("lines", "refund_to")})
    refused = post(api, url(order, "return-previews"), asked)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json().get("line") == (line["line"] if names_line else None)
    assert not Return.objects.exists()


def test_what_is_too_late_or_not_there_yet_is_told(api, account):
    on_its_way = make_order(account.user, delivered=False)
    told = api.get(url(on_its_way, "returnable-lines")).json()
    assert (told["has_anything"], told["lines"][0]["why_none"]) == (False, "not_delivered")
    refused = post(api, url(on_its_way, "return-previews"), wanted(on_its_way, 1))
    assert (refused.status_code, refused.json()["code"]) == (409, "not_delivered")
    withdrawn = post(api, url(on_its_way, "return-previews"), wanted(on_its_way, 1) | {"kind": "withdrawal"})
    assert withdrawn.status_code == 200


def test_a_return_is_followed_from_the_request_to_the_end(
    api, order, account, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        made = post(api, url(order, "returns"), wanted(order, comment="Too small"), **KEY).json()
    one = f"{ROOT}returns/{made['number']}"
    of_return = Return.objects.get(number=made["number"])
    assert (of_return.user_id, of_return.language) == (account.user.pk, "en")
    return_labels.make_label(of_return.pk, timezone.now())
    told = api.get(one).json()
    assert (told["state"], told["label"]["state"], told["may_cancel"]) == ("label_sent", "ready", True)
    assert told["money"]["refund"] == "0.00"
    assert told["lines"][0]["comment"] == "Too small"
    pdf = api.get(told["label"]["pdf_url"], headers={"accept": "application/pdf"})
    assert (pdf["Content-Type"], pdf.content[:5]) == ("application/pdf", b"%PDF-")
    svg = api.get(told["label"]["qr_url"], headers={"accept": "image/svg+xml"})
    assert (svg["Content-Type"], svg.content[:4]) == ("image/svg+xml", b"<svg")
    with django_capture_on_commit_callbacks(execute=True):
        accept(of_return)
    relay()
    told = api.get(one).json()
    assert told["state"] == "settled"
    assert [(one["code"], one["actor"]) for one in told["timeline"]] == [
        ("REQUESTED", "customer"),
        ("LABEL_SENT", "shop"),
        ("RECEIVED", "shop"),
        ("INSPECTED", "shop"),
        ("REFUNDED", "shop"),
        ("SETTLED", "shop"),
    ]
    assert "user:1" not in str(told)
    refund = told["refund_status"]
    assert (refund["state"], refund["method"], refund["amount"]) == (
        "succeeded",
        "card",
        told["money"]["refund"],
    )
    assert timedelta(days=10) < _moment(refund["expected_by"]) - timezone.now() < timedelta(days=25)
    assert "Your bank should show" in refund["text"]
    assert told["sentences"][0] == refund["text"]
    german = api.get(one, headers={"accept-language": "de"}).json()
    assert german["number"] == told["number"]


def _moment(text):
    return timezone.datetime.fromisoformat(text)


def test_a_customer_keeps_the_goods_after_all(api, order):
    made = post(api, url(order, "returns"), wanted(order), **KEY).json()
    path = f"{ROOT}returns/{made['number']}/cancellation"
    cancelled = post(api, path)
    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert post(api, path).json()["state"] == "cancelled"
    assert api.get(url(order, "returnable-lines")).json()["lines"][0]["left"] == 3
    second = post(api, url(order, "returns"), wanted(order), **{"Idempotency-Key": "k2"}).json()
    accept(Return.objects.get(number=second["number"]))
    refused = post(api, f"{ROOT}returns/{second['number']}/cancellation")
    assert (refused.status_code, refused.json()["code"]) == (409, "wrong_state")


def test_pictures_come_as_a_file_or_as_text(api, order):
    made = post(api, url(order, "returns"), wanted(order, reason="FAULTY"), **KEY).json()
    path, line = f"{ROOT}returns/{made['number']}/photos", made["lines"][0]["line"]
    picture = make_picture(size=(40, 20))
    sent = api.post(path, {"line": line, "content": SimpleUploadedFile("a.jpg", picture)}, format="multipart")
    assert sent.status_code == 201, sent.content
    text = post(api, path, {"line": line, "content": b64encode(picture).decode()})
    assert text.status_code == 201
    kept = api.get(text.json()["url"], headers={"accept": "image/*"})
    assert (kept["Content-Type"], kept["X-Content-Type-Options"]) == ("image/jpeg", "nosniff")
    assert kept.content.startswith(b"\xff\xd8")
    assert len(api.get(f"{ROOT}returns/{made['number']}").json()["lines"][0]["photos"]) == 2
    for content in ("no base64!", b64encode(b"hello").decode()):
        refused = post(api, path, {"line": line, "content": content})
        assert (refused.status_code, refused.json()["code"]) == (400, "photo_not_an_image")
    other = post(api, path, {"line": line + 99, "content": b64encode(picture).decode()})
    assert (other.status_code, other.json()["code"]) == (400, "unknown_line")


def test_a_body_that_is_too_big_is_not_even_read(api, order, monkeypatch):
    made = post(api, url(order, "returns"), wanted(order), **KEY).json()
    monkeypatch.setattr("oscar_loyalty.rest_api.v1.returns._MOST_BODY", 100)
    refused = post(api, f"{ROOT}returns/{made['number']}/photos", {"line": 1, "content": "a" * 200})
    assert (refused.status_code, refused.json()["code"]) == (413, "photo_too_big")


def test_my_returns_newest_first_in_as_many_statements_however_many(
    api, account, django_assert_max_num_queries
):
    numbers = [ask(make_order(account.user)).number for _ in range(3)]
    ask(make_order(shop.make_member(points=0).user))
    page = api.get(f"{ROOT}returns?page_size=2").json()
    assert [one["number"] for one in page["results"]] == numbers[:0:-1]
    assert [one["number"] for one in api.get(page["next"]).json()["results"]] == numbers[:1]
    with django_assert_max_num_queries(8):
        assert len(api.get(f"{ROOT}returns").json()["results"]) == 3


def test_full_answers_are_as_documented(api, order, django_capture_on_commit_callbacks):
    def check(answer, method, path):
        assert_as_documented(answer, method, path)
        return answer.json()

    check(api.get(url(order, "returnable-lines")), "get", "orders/{number}/returnable-lines")
    previews = "orders/{number}/return-previews"
    check(post(api, url(order, "return-previews"), wanted(order)), "post", previews)
    check(post(api, url(order, "return-previews"), wanted(order, 4)), "post", previews)
    made = check(post(api, url(order, "returns"), wanted(order), **KEY), "post", "orders/{number}/returns")
    of_return = Return.objects.get(number=made["number"])
    return_labels.make_label(of_return.pk, timezone.now())
    path, line = f"{ROOT}returns/{of_return.number}", made["lines"][0]["line"]
    picture = {"line": line, "content": b64encode(make_picture(size=(9, 9))).decode()}
    check(post(api, f"{path}/photos", picture), "post", "returns/{number}/photos")
    with django_capture_on_commit_callbacks(execute=True):
        accept(of_return, accepted=1, refusal="One was used")
    relay()
    told = check(api.get(path), "get", "returns/{number}")
    assert told["refund_status"]
    assert told["lines"][0]["photos"]
    check(post(api, f"{path}/cancellation"), "post", "returns/{number}/cancellation")
    check(api.get(f"{ROOT}returns"), "get", "returns")


# Who sees what


def routes(order, of_return, photo):
    number = of_return.number
    return [
        ("get", url(order, "returnable-lines"), None),
        ("post", url(order, "return-previews"), wanted(order, 1)),
        ("post", url(order, "returns"), wanted(order, 1)),
        ("get", f"{ROOT}returns/{number}", None),
        ("get", f"{ROOT}returns/{number}/label.pdf", None),
        ("get", f"{ROOT}returns/{number}/label.svg", None),
        ("post", f"{ROOT}returns/{number}/photos", {"line": photo.line.line_id, "content": "AAAA"}),
        ("get", f"{ROOT}returns/{number}/photos/{photo.public_id}", None),
        ("post", f"{ROOT}returns/{number}/cancellation", None),
    ]


@pytest.fixture
def theirs(policy):
    """An order of somebody else with a return, its label and a picture."""
    from oscar_loyalty.returns import photos

    order = make_order(shop.make_member(points=0).user, (("30.00", 3, 19),))
    of_return = ask(order, [return_terms.Pick(line_id=order.lines.get().pk, quantity=1)])
    return_labels.make_label(of_return.pk, timezone.now())
    photo = photos.add_photo(
        return_id=of_return.pk,
        line_id=order.lines.get().pk,
        content=make_picture(size=(9, 9)),
        now=timezone.now(),
    )
    return order, of_return, photo


@pytest.mark.parametrize("who", ["stranger", "nobody", "guest of another order", "customer of none"])
def test_other_peoples_orders_and_returns_are_not_there(account, theirs, who):
    order, of_return, photo = theirs
    if who == "guest of another order":
        client = api_of(token=make_guests(make_order(factories.UserFactory())))
    elif who == "nobody":
        client = api_of()
    else:
        client = api_of(account.user if who == "stranger" else factories.UserFactory())
    for method, path, body in routes(order, of_return, photo):
        answer = getattr(client, method)(path, body, format="json", headers=KEY)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    of_return.refresh_from_db()
    assert of_return.state == "LABEL_SENT"
    assert Return.objects.count() == 1


def test_its_customer_and_a_guest_with_the_link_may_do_all_of_it(theirs):
    order, of_return, photo = theirs
    expected = [200, 200, 201, 200, 200, 200, 400, 200, 200]
    owner = api_of(order.user)
    assert [
        getattr(owner, method)(path, body, format="json", headers=KEY).status_code
        for method, path, body in routes(order, of_return, photo)
    ] == expected
    guests = make_order(order.user, (("30.00", 3, 19),))
    token = make_guests(guests)
    client = api_of(token=token)
    made = post(client, url(guests, "returns"), wanted(guests, 1), **KEY)
    assert made.status_code == 201
    assert Return.objects.get(number=made.json()["number"]).events.get().actor_ref == "guest"
    assert client.get(f"{ROOT}returns/{made.json()['number']}").status_code == 200
    assert client.get(f"{ROOT}returns").status_code == 403


def test_a_policy_with_a_price_says_so_and_why_it_is_free_for_a_fault(account, programme):
    make_policy(programme, fee="4.95", active_from=timezone.now() - timedelta(days=1))
    order = make_order(account.user)
    api = api_of(account.user)
    paid = post(api, url(order, "return-previews"), wanted(order, 1)).json()
    assert (paid["money"]["fee"], paid["sentences"]["cost"]) == (
        "4.95",
        "Returning costs €4.95, taken off the refund.",
    )
    free = post(api, url(order, "return-previews"), wanted(order, 1, reason="FAULTY")).json()
    assert (free["money"]["fee"], free["money"]["free_because"]) == ("0.00", "fault")
    assert "something was wrong" in free["sentences"]["cost"]
