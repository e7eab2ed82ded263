import uuid
from datetime import timedelta
from decimal import Decimal

import pytest

from oscar_loyalty.points import services
from oscar_loyalty.points.models import Adjustment, Entry, Lot
from tests.rest_api.conftest import LONG_AGO, NOW, ROOT, earn

LEDGER = ROOT + "me/ledger"
LOTS = ROOT + "me/lots"


def spend(account, points: int, *, order: str) -> Entry:
    services.hold_points(
        account_id=account.pk,
        ref=f"basket:{order}",
        requested=points,
        currency="EUR",
        expires_at=NOW + timedelta(hours=1),
        now=NOW,
    )
    return services.capture_hold(
        ref=f"basket:{order}", points=points, amount=Decimal("0.50"), order_ref=order, now=NOW
    )


def read(client, query: str = "") -> list[dict]:
    return client.get(LEDGER + query).json()["results"]


def test_a_member_reads_what_happened_newest_first_with_signs_and_balance(client, member):
    earn(member, 120, order="100001")
    spend(member, 50, order="100002")
    rows = read(client)
    assert [(row["kind"], row["points"], row["direction"], row["available_after"]) for row in rows] == [
        ("SPEND", -50, "out", 70),
        ("ACTIVATE", 120, "none", 120),
        ("EARN", 120, "in", 0),
    ]
    assert [row["text"] for row in rows] == [
        "Spent on order 100002",
        "Points of order 100001 can be spent now",
        "Earned with order 100001",
    ]
    assert all(uuid.UUID(row["id"]) for row in rows)


def test_every_line_says_why(client, member):
    earn(member, 120, order="100001")
    spend(member, 50, order="100002")
    spent, activated, earned = (row["explanation"] for row in read(client))
    assert spent["text"] == "Saved 0.50\xa0€"
    assert activated is None
    assert earned == {
        "text": "1 point for every 1.00\xa0€, on 120.00\xa0€ (with VAT)",
        "rule": "PURCHASE",
        "programme_version": 1,
        "amount": "120.00",
        "currency": "EUR",
        "rounding": "FLOOR_ONCE",
        "lines": [
            {"title": "Shipping", "product": None, "basis": "120.00", "points": 120, "rule": "PURCHASE"}
        ],
        "parts": [],
    }


def test_every_line_names_the_lots_it_touched(client, member):
    earn(member, 120, order="100001")
    spend(member, 50, order="100002")
    spent, activated, earned = (row["lots"] for row in read(client))
    assert [(lot["order"], lot["points"], lot["change"]) for lot in spent] == [("100001", 50, -50)]
    assert [(lot["order"], lot["points"], lot["change"]) for lot in activated] == [("100001", 120, 0)]
    assert [(lot["order"], lot["points"], lot["change"]) for lot in earned] == [("100001", 120, 120)]
    assert spent[0]["id"] == earned[0]["id"]


def test_a_line_of_an_order_that_is_gone_still_has_a_name(client, member):
    earn(member, 10, order="1", line="line:4711")
    assert read(client, "?kind=EARN")[0]["explanation"]["lines"][0]["title"] == (
        "An item that is no longer known"
    )


def test_what_is_taken_back_names_what_it_reverses(client, member):
    earned = earn(member, 120, order="100001")
    services.clawback_points(
        account_id=member.pk, earned=earned, idempotency_key="cancel-earn:100001", now=NOW
    )
    row = read(client)[0]
    assert (row["kind"], row["points"], row["text"]) == (
        "CLAWBACK",
        -120,
        "Taken back: earned with order 100001",
    )
    assert row["reverses"] == str(earned.public_id)


def test_a_return_that_was_withdrawn_says_so(client, member):
    earned = earn(member, 120, order="100001")
    spent = spend(member, 50, order="100002")
    taken = services.clawback_points(account_id=member.pk, earned=earned, idempotency_key="r1", now=NOW)
    back = services.return_spend(
        account_id=member.pk, spent=spent, idempotency_key="r2", grace_days=30, now=NOW
    )
    services.undo_clawback(account_id=member.pk, clawback=taken, idempotency_key="w1", grace_days=30, now=NOW)
    services.undo_spend_return(account_id=member.pk, returned=back, idempotency_key="w2", now=NOW)
    again, given = read(client)[:2]
    assert (again["kind"], again["points"], again["text"]) == (
        "SPEND_AGAIN",
        -50,
        "Spent again on order 100002",
    )
    assert (given["kind"], given["points"], given["text"]) == (
        "CLAWBACK_UNDONE",
        120,
        "Given again: earned with order 100001",
    )
    assert {row["explanation"]["text"] for row in (again, given)} == {
        "A cancellation or return was withdrawn"
    }
    assert [row["reverses"] for row in (again, given)] == [str(back.public_id), str(taken.public_id)]


@pytest.mark.parametrize(
    ("language", "text"), [("en", "Sorry for the wait"), ("de", "Entschuldigung für das Warten")]
)
def test_what_staff_wrote_for_the_customer_is_the_text(client, member, customer, language, text):
    adjustment = Adjustment.objects.create(
        account=member,
        points=25,
        reason_code="GOODWILL",
        customer_text_en="Sorry for the wait",
        customer_text_de="Entschuldigung für das Warten",
        internal_note="never shown",
        requested_at=NOW,
    )
    services.book_adjustment(
        adjustment=adjustment,
        expiry_months=36,
        unit_value=Decimal("0.01"),
        currency="EUR",
        actor_id=customer.pk,
        now=NOW,
    )
    answer = client.get(LEDGER, headers={"accept-language": language})
    assert answer.json()["results"][0]["text"] == text
    assert "never shown" not in answer.content.decode()


def test_reservations_do_not_clutter_the_statement(client, member):
    earn(member, 120, order="1")
    services.hold_points(
        account_id=member.pk,
        ref="basket:9",
        requested=100,
        currency="EUR",
        expires_at=NOW + timedelta(hours=1),
        now=NOW,
    )
    assert "HOLD" not in {row["kind"] for row in read(client)}


def test_a_new_member_reads_an_empty_statement(client, member):
    assert client.get(LEDGER).json() == {"next": None, "previous": None, "results": []}
    assert client.get(LOTS).json() == {"next": None, "previous": None, "results": []}


def test_pages_follow_one_another_while_new_movements_come_in(client, member):
    for number in range(5):
        earn(member, 10 + number, order=str(number))
    first = client.get(LEDGER + "?kind=EARN&page_size=2").json()
    earn(member, 99, order="late")
    second = client.get(first["next"]).json()
    third = client.get(second["next"]).json()
    seen = [row["points"] for page in (first, second, third) for row in page["results"]]
    assert seen == [14, 13, 12, 11, 10]
    assert third["next"] is None
    assert [row["points"] for row in client.get(third["previous"]).json()["results"]] == [12, 11]


def test_the_statement_can_be_narrowed_to_kinds_and_to_an_order(client, member):
    earn(member, 10, order="A1")
    earn(member, 20, order="B2")
    assert {row["kind"] for row in read(client, "?kind=EARN&kind=SPEND")} == {"EARN"}
    assert {row["order"] for row in read(client, "?order=B2")} == {"B2"}
    assert read(client, "?order=unknown") == []


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("?kind=FOO", "kind"),
        ("?kind=HOLD", "kind"),
        ("?page_size=0", "page_size"),
        ("?page_size=1000", "page_size"),
        ("?page_size=many", "page_size"),
        ("?order=" + "9" * 200, "order"),
    ],
)
def test_a_wrong_question_is_refused_by_name(client, member, query, parameter):
    answer = client.get(LEDGER + query)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_input")
    assert [error["parameter"] for error in answer.json()["errors"]] == [parameter]


def test_a_cursor_of_somebody_elses_making_is_a_problem(client, member):
    answer = client.get(LEDGER + "?cursor=nonsense")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_nobody_reads_another_members_statement(client, member, other_member):
    earn(other_member, 500, order="77")
    assert read(client) == []
    assert read(client, "?order=77") == []
    assert client.get(LOTS).json()["results"] == []


@pytest.mark.parametrize("url", [LEDGER, LOTS])
def test_a_customer_who_has_not_joined_has_no_statement(client, programme, url):
    answer = client.get(url)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_member")


@pytest.mark.parametrize(("url", "most"), [(LEDGER, 7), (LOTS, 4)])
def test_a_page_costs_the_same_with_one_and_with_ten_rows(client, member, url, most, count_statements):
    earn(member, 10, order="0", line="line:1")
    assert count_statements(lambda: client.get(url)) == most  # two of them: session and user
    for number in range(1, 10):
        earn(member, 10, order=str(number), line=f"line:{number}")
    assert count_statements(lambda: client.get(url)) == most


def test_lots_say_what_is_left_from_when_and_until_when(client, member):
    earn(member, 120, order="1")
    earn(member, 30, order="2", active_at=NOW + timedelta(days=3))
    spend(member, 50, order="3")
    first, second = client.get(LOTS).json()["results"]
    lot = Lot.objects.get(source_ref="order:1")
    assert (first["points"], first["state"], first["order"]) == (70, "spendable", "1")
    assert first["id"] == str(lot.public_id)
    assert first["expires_at"] is not None
    assert (second["points"], second["state"]) == (30, "pending")
    assert second["spendable_from"] is not None
    assert second["expires_at"] > first["expires_at"]


def test_a_lot_that_waits_for_its_order_has_no_day_yet(client, member):
    from oscar_loyalty.programmes.rules import FAR_FUTURE

    earn(member, 30, order="2", active_at=FAR_FUTURE)
    assert client.get(LOTS).json()["results"][0]["spendable_from"] is None


def test_a_lot_that_has_expired_is_gone_before_a_late_job_has_booked_it(client, member):
    earn(member, 120, order="1")
    Lot.objects.update(expires_at=LONG_AGO)
    assert client.get(LOTS).json()["results"] == []
