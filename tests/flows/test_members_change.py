"""Members merge, leave and come back, give points away; a shop changes its currency."""

from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from oscar.core.loading import get_model
from oscar.test import factories

from oscar_loyalty.flows import conversion, merging, transfers
from oscar_loyalty.flows.conversion import convert_programme
from oscar_loyalty.flows.membership import join_programme, leave_programme
from oscar_loyalty.flows.purchases import reward_purchase
from oscar_loyalty.flows.receipts import find_order_points
from oscar_loyalty.members.models import Member
from oscar_loyalty.members.queries import find_active_member, find_member
from oscar_loyalty.points import services
from oscar_loyalty.points.models import Account, Entry, Hold, Lot
from oscar_loyalty.points.queries import find_account_of_user, find_account_with_hold
from oscar_loyalty.programmes.models import ConversionRate, CurrencyRate, ProgrammeVersion
from oscar_loyalty.programmes.services import publish_version
from oscar_loyalty.shop.orders import list_missed_order_ids
from oscar_loyalty.testing.ledger import assert_ledger_balanced, assert_moves_balanced

from .conftest import LONG_AGO, NOW, place_order


def standing(*accounts):
    assert_moves_balanced(accounts)
    for account in accounts:
        assert_ledger_balanced(account)
    found = [(a.pending, a.available, a.held, a.debt) for a in accounts]
    return found[0] if len(found) == 1 else found


def make_member():
    user = factories.UserFactory()
    return user, join_programme(user_id=user.pk, now=LONG_AGO)


def earn(account, points, *, order="1", currency="EUR"):
    return services.award_points(
        account_id=account.pk,
        points=points,
        idempotency_key=f"purchase:{order}",
        source_ref=f"order:{order}",
        order_ref=order,
        active_at=LONG_AGO,
        expiry_months=None,
        unit_value=Decimal("0.01"),
        currency=currency,
        now=LONG_AGO,
    )


def hold(account, points, ref):
    return services.hold_points(
        account_id=account.pk,
        ref=ref,
        requested=points,
        currency="EUR",
        expires_at=NOW + timedelta(minutes=30),
        now=NOW,
    )


def merge(source, target, *, clerk, boss=None):
    request = merging.request_merge(
        source_member_id=source.member_id, target_member_id=target.member_id, actor_id=clerk.pk, now=NOW
    )
    return merging.book_merge(merge=request, actor_id=(boss or clerk).pk, now=NOW)


@pytest.fixture
def clerk(db):
    return factories.UserFactory(is_staff=True)


@pytest.fixture
def boss(db):
    return factories.UserFactory(is_staff=True)


def find(user):
    return find_account_of_user(user_id=user.pk, programme_code="default")


# Merging


def test_after_a_merge_both_logins_lead_to_one_account(account, customer, clerk):
    user, other = make_member()
    earn(account, 100)
    basket = factories.BasketFactory(owner=customer)
    hold(account, 60, f"basket:{basket.pk}")
    merge(account, other, clerk=clerk)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 100, 0, 0)]
    assert Hold.objects.get().state == "RELEASED"
    assert find(customer) == find(user) == other
    found, held = find_account_with_hold(
        user_id=customer.pk, programme_code="default", ref=f"basket:{basket.pk}"
    )
    assert (found, held) == (other, None)
    assert find_member(user_id=customer.pk) == find_active_member(user_id=user.pk) == other.member
    member = Member.objects.get(pk=account.member_id)
    assert (member.status, member.merged_into, member.user) == ("MERGED", other.member, customer)
    assert join_programme(user_id=customer.pk, now=NOW) == other


def test_a_chain_of_merges_leads_to_who_remained(account, customer, clerk):
    (_, second), (_, third) = make_member(), make_member()
    earn(account, 100)
    merge(account, second, clerk=clerk)
    merge(second, third, clerk=clerk)
    assert find(customer) == third
    assert standing(account, second, third) == [(0, 0, 0, 0), (0, 0, 0, 0), (0, 100, 0, 0)]


def test_looking_an_account_up_still_costs_one_statement(account, customer, clerk, django_assert_num_queries):
    _, other = make_member()
    merge(account, other, clerk=clerk)
    member = other.member
    with django_assert_num_queries(1):
        assert find(customer).member == member
    with django_assert_num_queries(1):
        assert find_active_member(user_id=customer.pk) == member


def test_orders_from_before_and_after_a_merge_are_booked_and_undone_on_the_target(account, customer, clerk):
    _, other = make_member()
    before = place_order(user=customer, number="1")
    reward_purchase(order_id=before.pk, now=NOW)
    merge(account, other, clerk=clerk)
    after = place_order(user=customer, number="2")
    assert list(list_missed_order_ids(placed_after=LONG_AGO)) == [after.pk]
    for _twice in range(2):
        for order in (before, after):
            reward_purchase(order_id=order.pk, now=NOW)
    assert standing(account, other) == [(0, 0, 0, 0), (238, 0, 0, 0)]
    assert find_order_points(order=before).state == "BOOKED"
    get_model("order", "Order").objects.update(status="Complete")
    for order in (before, after):
        reward_purchase(order_id=order.pk, now=NOW)
    moments = Lot.objects.filter(open=True).values_list("active_at", flat=True)
    assert set(moments) == {NOW + timedelta(days=14)}
    get_model("order", "Order").objects.update(status="Cancelled")
    for order in (before, after):
        reward_purchase(order_id=order.pk, now=NOW)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 0, 0, 0)]
    assert not list(list_missed_order_ids(placed_after=LONG_AGO))


def test_a_basket_that_is_being_paid_for_is_waited_for(account, customer, clerk):
    _, other = make_member()
    earn(account, 100)
    basket = factories.BasketFactory(owner=customer)
    hold(account, 60, f"basket:{basket.pk}")
    basket.freeze()
    with pytest.raises(services.HoldsOpen):
        merge(account, other, clerk=clerk)
    assert standing(account, other) == [(0, 40, 60, 0), (0, 0, 0, 0)]
    assert find(customer) == account


def test_a_merge_of_many_points_needs_two_people_and_changes_nothing_before(account, customer, clerk, boss):
    _, other = make_member()
    earn(account, 10_001)
    hold(account, 10, "basket:1")
    with pytest.raises(services.NeedsSecondPerson):
        merge(account, other, clerk=clerk)
    assert standing(account, other) == [(0, 9_991, 10, 0), (0, 0, 0, 0)]
    merge(account, other, clerk=clerk, boss=boss)
    assert standing(account, other) == [(0, 0, 0, 0), (0, 10_001, 0, 0)]


def test_who_has_left_is_not_merged(account, customer, clerk):
    _, other = make_member()
    leave_programme(user_id=customer.pk, now=NOW)
    with pytest.raises(services.AccountNotOpen):
        merge(account, other, clerk=clerk)


# Leaving


def test_what_was_merged_into_an_account_closed_since_is_not_looked_at_for_ever(account, customer, clerk):
    (_, other), (_, last) = make_member(), make_member()
    order = place_order(user=customer, number="1")
    reward_purchase(order_id=order.pk, now=NOW)
    merge(account, other, clerk=clerk)
    merge(other, last, clerk=clerk)
    leave_programme(user_id=last.member.user_id, now=NOW)
    get_model("order", "Order").objects.update(status="Cancelled")
    reward_purchase(order_id=order.pk, now=NOW)
    assert not list(list_missed_order_ids(placed_after=LONG_AGO))


def test_who_leaves_gives_up_their_points_and_begins_anew(account, customer):
    earn(account, 100)
    hold(account, 10, "basket:1")
    member = leave_programme(user_id=customer.pk, now=NOW)
    assert (member.status, member.left_at) == ("LEFT", NOW)
    assert leave_programme(user_id=customer.pk, now=NOW + timedelta(days=1)).left_at == NOW
    assert find(customer) is None
    again = join_programme(user_id=customer.pk, now=NOW + timedelta(days=2))
    assert again != account
    assert find(customer) == again
    assert standing(account, again) == [(0, 0, 0, 0), (0, 0, 0, 0)]
    assert Entry.objects.get(kind="FORFEIT").actor_ref == f"user:{customer.pk}"


def test_strangers_leave_nothing(programme):
    assert leave_programme(user_id=factories.UserFactory().pk, now=NOW) is None


@pytest.mark.parametrize("comes_back", [False, True])
def test_an_order_that_is_cancelled_after_leaving_books_nothing(account, customer, comes_back):
    order = place_order(user=customer)
    reward_purchase(order_id=order.pk, now=NOW)
    leave_programme(user_id=customer.pk, now=NOW)
    accounts = [account]
    if comes_back:
        accounts.append(join_programme(user_id=customer.pk, now=NOW))
    get_model("order", "Order").objects.update(status="Complete")
    reward_purchase(order_id=order.pk, now=NOW)
    get_model("order", "Order").objects.update(status="Cancelled")
    assert not list(list_missed_order_ids(placed_after=LONG_AGO))
    reward_purchase(order_id=order.pk, now=NOW)
    for one in accounts:
        assert standing(one) == (0, 0, 0, 0)
    assert not Entry.objects.filter(kind="CLAWBACK").exists()


# Transfers


def test_transfers_follow_a_merged_recipient(programme, account, clerk):
    ProgrammeVersion.objects.update(transfers_allowed=True)
    (user, first), (_, second) = make_member(), make_member()
    earn(account, 100)
    account.refresh_from_db()
    give = {"account": account, "recipient_email": user.email, "points_given": 30, "now": NOW}
    sent = transfers.transfer_points(idempotency_key="1", **give)
    merge(first, second, clerk=clerk)
    assert transfers.transfer_points(idempotency_key="1", **give) == sent
    account.refresh_from_db()
    transfers.transfer_points(idempotency_key="2", **give)
    assert standing(account, first, second) == [(0, 40, 0, 0), (0, 0, 0, 0), (0, 60, 0, 0)]


def test_nobody_gives_to_the_other_login_of_their_own(programme, account, clerk):
    ProgrammeVersion.objects.update(transfers_allowed=True)
    user, other = make_member()
    merge(other, account, clerk=clerk)
    earn(account, 100)
    account.refresh_from_db()
    with pytest.raises(transfers.RecipientUnavailable):
        transfers.transfer_points(
            account=account, recipient_email=user.email, points_given=1, idempotency_key="1", now=NOW
        )


# Conversion


@pytest.fixture
def francs(programme):
    """From now on a point saves 0.02 francs; each old point is 0.95 new ones."""
    publish_version(
        version=ProgrammeVersion(programme=programme, terms_version="1"),
        rates=[CurrencyRate(currency="CHF", redeem_points=50)],
        active_from=NOW - timedelta(days=1),
        now=NOW - timedelta(days=1),
    )
    return ConversionRate.objects.create(
        programme=programme, from_currency="EUR", to_currency="CHF", rate="0.95", valid_from=LONG_AGO
    )


def convert(**options):
    return convert_programme(from_currency="EUR", to_currency="CHF", now=NOW, **options)


def test_all_members_are_converted_in_batches_and_once(francs, account):
    accounts = [account, *(make_member()[1] for _ in range(4))]
    for number, one in enumerate(accounts):
        earn(one, 101, order=str(number))
    dry = convert(dry_run=True, batch_size=2)
    assert (dry.accounts, dry.points_before, dry.points_after) == (5, 505, 475)
    assert not Entry.objects.filter(kind="CONVERT").exists()
    done = convert(batch_size=2)
    assert (done.accounts, done.points_before, done.points_after, done.failed) == (5, 505, 475, 0)
    assert convert().accounts == 0
    assert standing(*accounts) == [(0, 95, 0, 0)] * 5
    assert set(Lot.objects.filter(open=True).values_list("currency", "unit_value")) == {
        ("CHF", Decimal("0.02"))
    }
    earn(account, 20, order="late")
    assert convert().points_after == 19


def test_one_member_s_error_stops_nobody_and_the_next_run_goes_on(francs, account, monkeypatch):
    accounts = [account, make_member()[1], make_member()[1]]
    for number, one in enumerate(accounts):
        earn(one, 100, order=str(number))
    hold(accounts[1], 10, "basket:1")
    book = services.convert_points

    def fail_for_the_first(*, account_id, **values):
        if account_id == account.pk:
            raise RuntimeError
        return book(account_id=account_id, **values)

    monkeypatch.setattr(conversion.services, "convert_points", fail_for_the_first)
    done = convert()
    assert (done.accounts, done.waiting, done.failed) == (1, 1, 1)
    monkeypatch.undo()
    services.release_hold(ref="basket:1", now=NOW)
    assert convert().accounts == 2
    assert standing(*accounts) == [(0, 95, 0, 0)] * 3


def run(*arguments):
    written = StringIO()
    call_command("loyalty_convert", *arguments, stdout=written)
    return written.getvalue()


def test_the_command_says_what_it_did(francs, account):
    earn(account, 100)
    assert "dry run" in run("--from", "EUR", "--to", "chf", "--dry-run")
    assert standing(account) == (0, 100, 0, 0)
    assert [line.split() for line in run("--from", "EUR", "--to", "CHF").splitlines()] == [
        ["rate", "0.95"],
        ["accounts", "1"],
        ["before", "100"],
        ["after", "95"],
        ["waiting", "0"],
    ]
    assert standing(account) == (0, 95, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from", "EUR", "--to", "EUR"), "same currency"),
        (("--from", "EUR", "--to", "Taler"), "ISO 4217"),
        (("--from", "CHF", "--to", "EUR"), "No rate from CHF to EUR"),
    ],
)
def test_the_command_names_a_mistake_in_one_line(francs, arguments, said):
    with pytest.raises(CommandError, match=said) as error:
        run(*arguments)
    assert "\n" not in str(error.value)


def test_the_command_needs_a_programme_and_a_value_for_the_new_currency(programme):
    ConversionRate.objects.create(
        programme=programme, from_currency="EUR", to_currency="CHF", rate="0.95", valid_from=LONG_AGO
    )
    with pytest.raises(CommandError, match="no rate for CHF"):
        run("--from", "EUR", "--to", "CHF")
    ProgrammeVersion.objects.all().delete()
    with pytest.raises(CommandError, match="loyalty_setup"):
        run("--from", "EUR", "--to", "CHF")


def test_accounts_are_all_in_one_state_or_the_other(francs, account):
    """What stops in the middle leaves whole members: the command is only started again."""
    others = [make_member()[1] for _ in range(2)]
    for number, one in enumerate([account, *others]):
        earn(one, 100, order=str(number))
    first = Account.objects.order_by("pk").first()
    services.convert_points(
        account_id=first.pk,
        from_currency="EUR",
        to_currency="CHF",
        rate=francs.rate if isinstance(francs.rate, Decimal) else Decimal(francs.rate),
        unit_value=Decimal("0.02"),
        idempotency_key="by-hand",
        actor_ref="system",
        now=NOW,
    )
    assert convert().accounts == 2
    assert standing(account, *others) == [(0, 95, 0, 0)] * 3
