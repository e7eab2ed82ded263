"""What the pages of the desk show, and what they cost."""

from datetime import timedelta

import pytest
from django.utils import timezone
from oscar.test import factories

from oscar_loyalty.dashboard.base import ROWS_PER_PAGE
from oscar_loyalty.outbox.models import OutboxMessage
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Adjustment, Entry, Hold

from .conftest import award, hold, make_user, url

pytestmark = pytest.mark.host


def text_of(response):
    assert response.status_code == 200
    return response.content.decode()


def found(desk, term):
    response = desk.get(url("members"), {"q": term})
    assert response.status_code == 200
    return {row["email"].partition("@")[0] for row in response.context["rows"]}


def number_of_statements(django_assert_max_num_queries, client, address):
    with django_assert_max_num_queries(60) as captured:
        assert client.get(address).status_code == 200
    return len(captured.captured_queries)


@pytest.mark.parametrize("term", ["anna", "BERG", "Anna Berg", "berg anna", "anna@example.com", "anna-1"])
def test_a_member_is_found_by_name_address_and_order_number(desk, make_member, term):
    make_member("anna", points=100)
    make_member("otto", points=100, first_name="Otto", last_name="Tal")
    assert found(desk, term) == {"anna"}


def test_a_member_is_found_by_both_public_ids_and_by_an_order_that_earned_nothing(desk, make_member):
    account = make_member("anna")
    make_member("otto", first_name="Otto", last_name="Tal")
    factories.create_order(number="4711", user=account.member.user)
    assert found(desk, str(account.member.public_id)) == {"anna"}
    assert found(desk, str(account.public_id)) == {"anna"}
    assert found(desk, "4711") == {"anna"}
    assert found(desk, "471") == set()


@pytest.mark.parametrize("term", ["%", "_", "'", "a\0b", "x" * 5000, "🙂", "-1", "a b c d e f g h i j"])
def test_strange_searches_find_nothing_and_break_nothing(desk, make_member, term):
    make_member("anna")
    assert found(desk, term) == set()


def test_an_empty_shop_has_pages_that_say_so(desk, programme):
    assert "Nobody has joined" in text_of(desk.get(url("members")))
    assert "Nobody was found" in text_of(desk.get(url("members"), {"q": "nobody"}))
    assert "Nothing has been booked yet" in text_of(desk.get(url("ledger")))
    assert "No booking matches" in text_of(desk.get(url("ledger"), {"kind": "SPEND"}))
    for show in ("open", "overdue", "ended"):
        assert "desk-empty" in text_of(desk.get(url("holds"), {"show": show}))
    for show in ("waiting", "booked", "rejected", "nonsense"):
        assert "desk-empty" in text_of(desk.get(url("adjustments"), {"show": show}))
    assert "None is overdue" in text_of(desk.get(url("overview")))


def test_a_shop_without_a_programme_is_told_how_to_make_one(desk):
    assert "loyalty_setup" in text_of(desk.get(url("overview")))


def test_a_new_member_has_a_page(desk, make_member):
    text = text_of(desk.get(url("member", make_member("anna").member.public_id)))
    assert "Nothing has been booked yet" in text
    assert "No points left in any lot" in text


def test_a_deleted_person_has_a_page(desk, make_member):
    account = make_member("anna", points=100)
    account.member.user.delete()
    text = text_of(desk.get(url("member", account.member.public_id)))
    assert "The person was deleted" in text
    assert "anna@example.com" not in text
    assert str(account.member.public_id) in text_of(desk.get(url("members")))


def test_unknown_ids_are_not_found(desk, programme):
    unknown = "00000000-0000-0000-0000-000000000000"
    for name in ("member", "adjust", "freeze", "entry", "hold-release", "adjustment"):
        assert desk.get(url(name, unknown)).status_code == 404


def test_the_page_of_a_member_says_why_and_which_lots(desk, make_member):
    account = make_member("anna", points=119)
    factories.create_order(number="anna-1", user=account.member.user)
    text = text_of(desk.get(url("member", account.member.public_id)))
    assert "1 point for every €1.00, on €119.40 with VAT, without shipping" in text
    assert "version 1 of the programme" in text
    assert "rounded down once" in text
    assert "+119 · Order anna-1" in text
    # Whoever may not see orders gets no link to one.
    assert "/dashboard/orders/anna-1/" not in text


def test_the_order_is_linked_for_whoever_may_see_orders(admin_client, make_member):
    account = make_member("anna", points=119)
    factories.create_order(number="anna-1", user=account.member.user)
    assert "/dashboard/orders/anna-1/" in text_of(admin_client.get(url("member", account.member.public_id)))


def test_merges_and_transfers_are_told_in_words(desk, make_member):
    anna, otto = make_member("anna", points=100), make_member("otto", points=100)
    moment = {"actor_ref": "system", "now": timezone.now()}
    services.transfer_points(
        from_account_id=anna.pk, to_account_id=otto.pk, points=30, idempotency_key="t", **moment
    )
    services.merge_accounts(source_id=anna.pk, target_id=otto.pk, idempotency_key="m", **moment)
    page = text_of(desk.get(url("member", otto.member.public_id)))
    assert "transfer between members" in page
    assert "merge of members" in page
    assert "transfer:" not in page
    assert "MERGE" not in page
    members = text_of(desk.get(url("members")))
    assert ">merged<" in members
    assert ">closed<" not in members


def test_an_entry_is_linked_with_what_it_undoes(desk, make_member):
    account = make_member("anna", points=100)
    earned = Entry.objects.get(kind="EARN")
    services.clawback_points(
        account_id=account.pk,
        earned=earned,
        points=40,
        idempotency_key="return:1",
        now=timezone.now(),
    )
    taken = Entry.objects.get(kind="CLAWBACK")
    assert url("entry", earned.public_id) in text_of(desk.get(url("entry", taken.public_id)))
    text = text_of(desk.get(url("entry", earned.public_id)))
    assert url("entry", taken.public_id) in text
    assert "programme expense" in text


def test_the_ledger_of_a_member_is_paged_by_its_number(desk, make_member):
    account = make_member("anna")
    for number in range(20):
        award(account, 10, order=f"anna-{number}")
    address = url("member", account.member.public_id)
    first = desk.get(address)
    seqs = [row.entry.seq for row in first.context["rows"]]
    assert seqs == list(range(40, 40 - ROWS_PER_PAGE, -1))
    assert f"before={seqs[-1]}" in first.content.decode()
    second = desk.get(address, {"before": seqs[-1]})
    assert [row.entry.seq for row in second.context["rows"]] == list(range(15, 0, -1))
    assert "Newest" in second.content.decode()
    assert desk.get(address, {"before": "9" * 400}).status_code == 200
    assert desk.get(address, {"before": "1.5; drop"}).status_code == 200


def test_the_ledger_is_filtered_by_kind_order_reason_and_day(desk, make_member):
    account = make_member("anna", points=100)
    otto = make_member("otto", points=70, first_name="Otto", last_name="Tal")
    wish = services.request_adjustment(
        account_id=otto.pk, points=5, reason_code="GOODWILL", actor_id=desk.user.pk, now=timezone.now()
    )
    from oscar_loyalty.flows.adjustments import book_adjustment

    book_adjustment(adjustment=wish, actor_id=desk.user.pk, now=timezone.now())

    def kinds(**wanted):
        rows = desk.get(url("ledger"), wanted).context["rows"]
        return [(row.entry.kind, row.entry.account_id) for row in rows]

    assert kinds(kind="EARN") == [("EARN", otto.pk), ("EARN", account.pk)]
    assert {row[1] for row in kinds(order="anna-1")} == {account.pk}
    assert kinds(reason="GOODWILL") == [("ADJUST_UP", otto.pk)]
    today = timezone.localdate().isoformat()
    assert kinds(since=today) == [("ADJUST_UP", otto.pk)]
    assert len(kinds(until="2026-01-03")) == 4
    assert kinds(since="2026-01-04", until="2026-01-05") == []
    text = text_of(desk.get(url("ledger"), {"since": today, "until": "2000-01-01"}))
    assert "before the first day" in text
    assert "valid date" in text_of(desk.get(url("ledger"), {"since": "soon"})).lower()


def test_reservations_are_listed_and_one_is_ended_once(desk, make_member):
    account = make_member("anna", points=100)
    held = hold(account, 60)
    Hold.objects.update(expires_at=timezone.now() - timedelta(minutes=1))
    assert "Basket 1" in text_of(desk.get(url("holds")))
    assert "Basket 1" in text_of(desk.get(url("holds"), {"show": "overdue"}))
    end = url("hold-release", held.public_id)
    assert "End the reservation" in text_of(desk.get(end))
    assert "60 points are available again" in text_of(desk.post(end, follow=True))
    assert "Nothing was ended" in text_of(desk.post(end, follow=True))
    account.refresh_from_db()
    assert (account.available, account.held) == (100, 0)
    assert Entry.objects.get(kind="RELEASE").actor_ref == f"user:{desk.user.pk}"
    assert "has ended already" in text_of(desk.get(end))


def test_the_overview_counts_what_waits(desk, make_member):
    account = make_member("anna", points=100)
    services.request_adjustment(
        account_id=account.pk, points=5, reason_code="GOODWILL", actor_id=desk.user.pk, now=timezone.now()
    )
    OutboxMessage.objects.create(
        topic="points_posted",
        key="k",
        attempts=3,
        last_error="ConnectionError: <b>down</b>",
        created_at=timezone.now(),
        available_at=timezone.now(),
    )
    text = text_of(desk.get(url("overview")))
    assert "1 adjustment" in text
    assert "ConnectionError: &lt;b&gt;down&lt;/b&gt;" in text


def test_pages_take_as_many_statements_for_many_rows_as_for_one(
    desk, make_member, django_assert_max_num_queries
):
    account = make_member("anna", points=100)
    hold(account, 1, ref="basket:0")

    def ask(points):
        services.request_adjustment(
            account_id=account.pk,
            points=points,
            reason_code="GOODWILL",
            actor_id=desk.user.pk,
            now=timezone.now(),
        )

    ask(1)
    addresses = [
        url("overview"),
        url("members"),
        url("members") + "?q=e",
        url("member", account.member.public_id),
        url("ledger"),
        url("holds"),
        url("adjustments"),
    ]
    for address in addresses:
        desk.get(address)  # what is cached once per process is cached now
    one = [number_of_statements(django_assert_max_num_queries, desk, address) for address in addresses]
    for number in range(12):
        make_member(f"member{number}", points=100)
        award(account, 10, order=f"more-{number}")
        hold(account, 1, ref=f"basket:{number + 1}")
        ask(number + 2)
    many = [number_of_statements(django_assert_max_num_queries, desk, address) for address in addresses]
    assert many == one
    assert max(many) <= 22


def test_what_people_wrote_is_shown_as_text(desk, make_member):
    attack = "<script>alert(1)</script>"
    account = make_member("anna", points=100, first_name=attack, last_name="Berg")
    wish = services.request_adjustment(
        account_id=account.pk,
        points=5,
        reason_code="GOODWILL",
        customer_text_de=attack,
        customer_text_en=attack,
        internal_note=attack,
        actor_id=desk.user.pk,
        now=timezone.now(),
    )
    services.freeze_account(account_id=account.pk, actor_id=desk.user.pk, note=attack, now=timezone.now())
    hold_ref = Adjustment.objects.get().public_id
    assert hold_ref == wish.public_id
    for address in (
        url("members") + "?q=%3Cscript%3Ealert(1)%3C/script%3E",
        url("member", account.member.public_id),
        url("adjustments"),
        url("adjustment", wish.public_id),
        url("freeze", account.member.public_id),
        url("ledger") + "?order=%3Cscript%3Ealert(1)%3C/script%3E",
    ):
        text = text_of(desk.get(address))
        assert attack not in text
        assert "&lt;script&gt;alert(1)" in text


def test_a_page_of_someone_who_booked_and_was_deleted_still_opens(desk, make_member):
    account = make_member("anna", points=100)
    gone = make_user("gone", is_staff=True)
    services.request_adjustment(
        account_id=account.pk, points=5, reason_code="GOODWILL", actor_id=gone.pk, now=timezone.now()
    )
    gone.delete()
    assert desk.get(url("member", account.member.public_id)).status_code == 200
    assert desk.get(url("adjustments")).status_code == 200
