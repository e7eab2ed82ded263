"""
Any sequence of movements of several members, compared after each step with an oracle in plain Python.

Quick by default, 2,000 histories of 50 steps by ``HYPOTHESIS_PROFILE=nightly`` (``make nightly``).
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
from django.db import transaction
from django.db.models import Count
from hypothesis import settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from oscar_loyalty.members.models import Member
from oscar_loyalty.points import services
from oscar_loyalty.points.models import COUNTERS, Account, Hold, Lot
from oscar_loyalty.points.rules import LineEarning
from oscar_loyalty.programmes.models import Programme
from oscar_loyalty.testing.ledger import assert_ledger_balanced

from .oracle import NEVER, Paper

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
ZONE = "Europe/Berlin"
NAMES = ("Ada", "Ben", "Cleo")
BASKETS = ("basket:1", "basket:2")
CURRENCIES = (("EUR", Decimal("0.01")), ("USD", Decimal("0.012")))
SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
GRACE_DAYS = 30


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


#: The clocks of Berlin change at 01:00 UTC; a local day ends at 22:00 or 23:00 UTC.
EDGES = (
    utc(2027, 3, 28, 0, 59, 59),
    utc(2027, 3, 28, 1),
    utc(2027, 3, 28, 22),
    utc(2027, 10, 30, 22),
    utc(2027, 10, 31, 0, 59, 59),
    utc(2027, 10, 31, 1),
    utc(2027, 10, 31, 23),
    utc(2028, 2, 28, 23),
    utc(2028, 2, 29, 12),
    utc(2028, 2, 29, 22, 59, 59),
    utc(2028, 2, 29, 23),
)
ENDED = ("CLOSED", "MERGED")
START = utc(2027, 3, 27, 12)

RATES = [Decimal("0.01"), Decimal("0.9"), Decimal("1.1"), Decimal(3)]

#: What an order's points are recorded for, line and rule: all of them, or nothing of an offer's bonus.
LINES = (
    (("line:1", "PURCHASE"),),
    (("line:1", "PURCHASE"), ("line:2", "PURCHASE"), ("line:2", "BONUS")),
    (("line:1", "PURCHASE"), ("", "WELCOME")),
    (),
)

parts = st.fractions(0, 1, max_denominator=12)
baskets = st.sampled_from(BASKETS)
picks = st.integers(0, 11)
months = st.sampled_from([1, 6, 12, 23, 24, None])
currencies = st.sampled_from(CURRENCIES)


class LedgerMachine(RuleBasedStateMachine):
    histories = steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.rollback = transaction.atomic()
        self.rollback.__enter__()
        self.programme = Programme.objects.create(code="default", name="Points", time_zone=ZONE)
        self.paper = Paper(time_zone=ZONE)
        self.ids: dict[str, int] = {}
        for name in NAMES:
            self.join(name)
        self.now = START
        self.number = 0
        self.replayed: dict[int, Any] = {}
        self.entries: dict[str, Any] = {}
        self.done: list[tuple[list[str], Callable[[], Any], Any, Callable[[], Any] | None, bool]] = []

    def teardown(self) -> None:
        try:
            for account in Account.objects.filter(pk__in=self.ids.values()):
                assert_ledger_balanced(account)
        finally:
            transaction.set_rollback(True)
            self.rollback.__exit__(None, None, None)
            self.tell_progress()

    @classmethod
    def tell_progress(cls) -> None:
        cls.histories += 1
        if NIGHTLY and cls.histories % 50 == 0:
            print(f"{cls.histories} histories, {cls.steps} steps", flush=True)

    def join(self, name: str) -> None:
        member = Member.objects.create(joined_at=START, terms_version="1", terms_accepted_at=START)
        account = services.open_account(member_id=member.pk, programme_id=self.programme.pk)
        self.ids[name] = account.pk
        self.paper.open_account(account=name)

    def name_of(self, who: int) -> str:
        names = list(self.ids)
        return names[who % len(names)]

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def same(self, service: Callable[[], Any], movement: str, **facts: Any) -> Any:
        """Book and write on paper. Either both happen or both are refused for the same reason."""
        try:
            # A savepoint: the refusal of one booking leaves the others of this history alone.
            with transaction.atomic():
                result = service()
            refused = None
        except ValueError as error:
            result, refused = None, type(error).__name__
        assert refused == self.paper.attempt(movement, **facts, now=self.now)
        return result

    def remember(
        self,
        names: list[str],
        service: Callable[[], Any],
        result: Any,
        other: Callable[[], Any] | None = None,
        *,
        follows: bool = False,
    ) -> None:
        """
        ``names``: whose accounts a repetition brings up to date, and with ``follows`` those that they were
        merged into by then; ``other`` asks for something else.
        """
        if result is not None:
            self.done.append((names, service, result, other, follows))

    # Time

    @rule(step=st.sampled_from([SECOND, HOUR, DAY, 7 * DAY, 30 * DAY, 200 * DAY, 365 * DAY]))
    def time_passes(self, step: timedelta) -> None:
        self.now += step

    @rule(edge=st.sampled_from(EDGES))
    def the_clock_is_set(self, edge: datetime) -> None:
        """Forwards or backwards, as a wrong clock is."""
        self.now = edge

    @rule(step=st.sampled_from([SECOND, HOUR, DAY, 40 * DAY]))
    def the_clock_jumps_back(self, step: timedelta) -> None:
        self.now -= step

    @rule(pick=picks, seconds=st.sampled_from([-1, 0, 1]))
    def a_lot_is_about_to_change(self, pick: int, seconds: int) -> None:
        moments = sorted(
            moment
            for account in self.paper.accounts.values()
            for lot in account.lots
            for moment, matters in ((lot.active_at, lot.pending), (lot.expires_at, lot.left))
            if matters and moment != NEVER
        )
        if moments:
            self.now = moments[pick % len(moments)] + seconds * SECOND

    @rule(who=picks)
    def settle(self, who: int) -> None:
        name = self.name_of(who)
        service = partial(services.settle_account, account_id=self.ids[name], now=self.now)
        self.same(service, "settle_account", account=name)

    # Earning

    @rule(
        who=picks,
        points=st.integers(1, 300),
        wait=st.sampled_from([timedelta(0), HOUR, 14 * DAY, None]),
        months=months,
        money=currencies,
        rows=st.sampled_from(LINES),
    )
    def earn(
        self,
        who: int,
        points: int,
        wait: timedelta | None,
        months: int | None,
        money: tuple[str, Decimal],
        rows: tuple[tuple[str, str], ...],
    ) -> None:
        name = self.name_of(who)
        by_line = {row: points // len(rows) + (points % len(rows) > n) for n, row in enumerate(rows)}
        lines = [
            LineEarning(ref=ref, rule_code=code, basis=Decimal(share), points=share)
            for (ref, code), share in by_line.items()
        ]
        number = self.next_number()
        key, source = f"purchase:{number}", f"order:{number}"
        facts = {
            "points": points,
            "active_at": NEVER if wait is None else self.now + wait,
            "unit_value": money[1],
            "currency": money[0],
        }
        service = partial(
            services.award_points,
            account_id=self.ids[name],
            idempotency_key=key,
            source_ref=source,
            expiry_months=months,
            lines=lines,
            now=self.now,
            **facts,
        )
        entry = self.same(
            service, "award", account=name, key=key, source=source, months=months, lines=by_line, **facts
        )
        self.entries[key] = entry
        self.remember([name], service, entry, partial(service, points=points + 1))

    @rule(pick=picks, wait=st.sampled_from([-DAY, timedelta(0), HOUR, 14 * DAY]))
    def activate_later(self, pick: int, wait: timedelta) -> None:
        waiting = [
            (name, lot.source)
            for name, account in self.paper.accounts.items()
            for lot in account.lots
            if lot.pending and lot.source.startswith("order:")
        ]
        if not waiting:
            return
        name, source = waiting[pick % len(waiting)]
        moment = self.now + wait
        service = partial(
            services.schedule_activation,
            account_id=self.ids[name],
            source_ref=source,
            active_at=moment,
            now=self.now,
        )
        self.same(service, "schedule_activation", account=name, source=source, active_at=moment)

    @precondition(lambda self: self.paper.earnings)
    @rule(pick=picks, share=st.sampled_from([None, Decimal("0.3"), Decimal("0.5"), Decimal(2)]))
    def claw_back(self, pick: int, share: Decimal | None) -> None:
        key = sorted(self.paper.earnings)[pick % len(self.paper.earnings)]
        earning = self.paper.earnings[key]
        points = None if share is None else max(1, int(earning.points * share))
        service = partial(
            services.clawback_points,
            account_id=self.ids[earning.account],
            earned=self.entries[key],
            idempotency_key=f"cancel:{self.next_number()}",
            points=points,
            now=self.now,
        )
        entry = self.same(service, "claw_back", key=key, points=points)
        self.note_clawback(entry)
        other = partial(service, points=(points or 0) + 1)
        self.remember([earning.account], service, entry, other, follows=True)

    @precondition(lambda self: self.paper.earnings)
    @rule(pick=picks, shares=st.dictionaries(st.sampled_from(["line:1", "line:2", ""]), parts))
    def claw_back_by_shares(self, pick: int, shares: dict[str, Fraction]) -> None:
        key = sorted(self.paper.earnings)[pick % len(self.paper.earnings)]
        earning = self.paper.earnings[key]
        service = partial(
            services.clawback_points,
            account_id=self.ids[earning.account],
            earned=self.entries[key],
            idempotency_key=f"cancel:{self.next_number()}",
            shares=shares,
            now=self.now,
        )
        entry = self.same(service, "claw_back", key=key, points=None, shares=shares)
        self.note_clawback(entry)
        other = partial(service, shares=shares | {"line:3": Fraction(1)})
        self.remember([earning.account], service, entry, other, follows=True)

    def note_clawback(self, entry: Any) -> None:
        if entry is not None:
            self.entries[list(self.paper.clawbacks)[-1]] = entry

    @precondition(lambda self: self.paper.clawbacks)
    @rule(pick=picks)
    def give_again(self, pick: int) -> None:
        """Also what was given again already, and what others were taken after."""
        key = list(self.paper.clawbacks)[-1 - pick % len(self.paper.clawbacks)]
        account = self.paper.earnings[self.paper.clawbacks[key].earning].account
        service = partial(
            services.undo_clawback,
            account_id=self.ids[account],
            clawback=self.entries[key],
            idempotency_key=f"undo:{self.next_number()}",
            grace_days=GRACE_DAYS,
            now=self.now,
        )
        entry = self.same(service, "give_again", key=key, grace_days=GRACE_DAYS)
        self.remember([account], service, entry, follows=True)

    # Spending

    @rule(who=picks, ref=baskets, wanted=st.integers(1, 500), wait=st.sampled_from([HOUR, DAY]))
    def hold(self, who: int, ref: str, wanted: int, wait: timedelta) -> None:
        name = self.name_of(who)
        until = self.now + wait
        service = partial(
            services.hold_points,
            account_id=self.ids[name],
            ref=ref,
            requested=wanted,
            currency="EUR",
            expires_at=until,
            now=self.now,
        )
        self.same(service, "hold", account=name, ref=ref, wanted=wanted, until=until)

    @rule(pick=picks)
    def renew(self, pick: int) -> None:
        """Of a reservation that may have ended long ago, as an old page does."""
        holds = list(Hold.objects.order_by("id"))
        if not holds:
            return
        hold = holds[pick % len(holds)]
        name = next(name for name, pk in self.ids.items() if pk == hold.account_id)
        until = self.now + HOUR
        service = partial(services.renew_hold, hold=hold, expires_at=until, now=self.now)
        self.same(service, "renew", account=name, number=self.hold_number(hold), until=until)

    @staticmethod
    def hold_number(hold: Hold) -> int:
        """Reservations are numbered on paper as they come; ids may have gaps."""
        return Hold.objects.filter(pk__lte=hold.pk).count()

    @precondition(lambda self: any(account.holds for account in self.paper.accounts.values()))
    @rule(ref=baskets, share=st.sampled_from([Decimal("0.01"), Decimal("0.5"), Decimal(1), Decimal("1.5")]))
    def capture(self, ref: str, share: Decimal) -> None:
        found = self.paper.last_hold(ref)
        points = max(1, int(found[1].points * share)) if found else 1
        order = f"spend-{self.next_number()}"
        service = partial(
            services.capture_hold,
            ref=ref,
            points=points,
            amount=Decimal(points) / 100,
            order_ref=order,
            now=self.now,
        )
        entry = self.same(service, "capture", ref=ref, points=points, order=order)
        self.entries[order] = entry

    @rule(ref=baskets, by_time=st.booleans())
    def release(self, ref: str, by_time: bool) -> None:
        state = Hold.State.EXPIRED if by_time else Hold.State.RELEASED
        service = partial(services.release_hold, ref=ref, state=state, now=self.now)
        self.same(service, "release", ref=ref, by_time=by_time)

    @precondition(lambda self: self.paper.redemptions)
    @rule(pick=picks, share=st.sampled_from([None, Decimal("0.3"), Decimal("0.5"), Decimal(2)]))
    def give_back(self, pick: int, share: Decimal | None) -> None:
        order = sorted(self.paper.redemptions)[pick % len(self.paper.redemptions)]
        spent = self.paper.redemptions[order]
        points = None if share is None else max(1, int(spent.points * share))
        service = partial(
            services.return_spend,
            account_id=self.ids[spent.account],
            spent=self.entries[order],
            idempotency_key=f"return:{self.next_number()}",
            grace_days=GRACE_DAYS,
            points=points,
            now=self.now,
        )
        entry = self.same(service, "return_spend", order=order, points=points, grace_days=GRACE_DAYS)
        if entry is not None:
            self.entries[list(self.paper.returns)[-1]] = entry
        other = partial(service, points=(points or 0) + 1)
        self.remember([spent.account], service, entry, other, follows=True)

    @precondition(lambda self: self.paper.returns)
    @rule(pick=picks)
    def spend_again(self, pick: int) -> None:
        key = list(self.paper.returns)[-1 - pick % len(self.paper.returns)]
        account = self.paper.redemptions[self.paper.returns[key].order].account
        service = partial(
            services.undo_spend_return,
            account_id=self.ids[account],
            returned=self.entries[key],
            idempotency_key=f"undo:{self.next_number()}",
            now=self.now,
        )
        entry = self.same(service, "spend_again", key=key)
        self.remember([account], service, entry, follows=True)

    # Staff

    @rule(who=picks, points=st.integers(-300, 300).filter(bool), months=months, money=currencies)
    def adjust(self, who: int, points: int, months: int | None, money: tuple[str, Decimal]) -> None:
        name = self.name_of(who)
        key = f"adjustment:{self.next_number()}"
        facts = {"points": points, "unit_value": money[1], "currency": money[0]}
        service = partial(
            services.adjust_points,
            account_id=self.ids[name],
            reason_code="GOODWILL",
            idempotency_key=key,
            expiry_months=months,
            actor_ref="user:1",
            now=self.now,
            **facts,
        )
        entry = self.same(service, "adjust", account=name, source=key, months=months, **facts)
        self.remember([name], service, entry, partial(service, reason_code="CORRECTION"))

    @rule(who=picks, status=st.sampled_from(["OPEN", "OPEN", "FROZEN"]))
    def freeze_or_unfreeze(self, who: int, status: str) -> None:
        name = self.name_of(who)
        if self.paper.accounts[name].status in ("OPEN", "FROZEN"):
            Account.objects.filter(pk=self.ids[name]).update(status=status)
            self.paper.set_status(account=name, status=status)

    @rule(who=picks, points=st.one_of(st.none(), st.integers(1, 200)))
    def write_off(self, who: int, points: int | None) -> None:
        name = self.name_of(who)
        service = partial(
            services.write_off_debt,
            account_id=self.ids[name],
            points=points,
            reason_code="GOODWILL",
            idempotency_key=f"write-off:{self.next_number()}",
            actor_ref="user:1",
            now=self.now,
        )
        entry = self.same(service, "write_off", account=name, points=points)
        self.remember([name], service, entry, partial(service, reason_code="CORRECTION"))

    @rule(who=picks)
    def close(self, who: int) -> None:
        name = self.name_of(who)
        service = partial(
            services.close_account,
            account_id=self.ids[name],
            idempotency_key=f"close:{self.next_number()}",
            actor_ref="user:1",
            now=self.now,
        )
        self.same(service, "close", account=name)

    @precondition(lambda self: any(account.status in ENDED for account in self.paper.accounts.values()))
    @rule()
    def somebody_joins(self) -> None:
        """So that a long history does not end with nobody left."""
        if len(self.ids) < 5:
            self.join(f"{NAMES[len(self.ids) % 3]} {len(self.ids)}")

    # Between accounts and currencies

    @rule(who=picks, whom=picks, points=st.integers(1, 200))
    def transfer(self, who: int, whom: int, points: int) -> None:
        giver, receiver = self.name_of(who), self.name_of(whom)
        service = partial(
            services.transfer_points,
            from_account_id=self.ids[giver],
            to_account_id=self.ids[receiver],
            points=points,
            idempotency_key=f"transfer:{self.next_number()}",
            actor_ref="user:1",
            now=self.now,
        )
        entries = self.same(service, "transfer", giver=giver, receiver=receiver, points=points)
        self.remember([giver, receiver], service, entries, partial(service, points=points + 1))

    @rule(who=picks, whom=picks)
    def merge(self, who: int, whom: int) -> None:
        source, target = self.name_of(who), self.name_of(whom)
        service = partial(
            services.merge_accounts,
            source_id=self.ids[source],
            target_id=self.ids[target],
            idempotency_key=f"merge:{self.next_number()}",
            actor_ref="user:1",
            now=self.now,
        )
        self.same(service, "merge", source=source, target=target)

    @rule(who=picks, back=st.booleans(), rate=st.sampled_from(RATES))
    def convert(self, who: int, back: bool, rate: Decimal) -> None:
        name = self.name_of(who)
        (old, _), (new, unit_value) = CURRENCIES[::-1] if back else CURRENCIES
        service = partial(
            services.convert_points,
            account_id=self.ids[name],
            from_currency=old,
            to_currency=new,
            rate=rate,
            unit_value=unit_value,
            idempotency_key=f"convert:{self.next_number()}",
            actor_ref="user:1",
            now=self.now,
        )
        entry = self.same(
            service, "convert", account=name, old=old, new=new, rate=rate, unit_value=unit_value
        )
        self.remember([name], service, entry, partial(service, rate=rate + 1))

    # Once

    @precondition(lambda self: self.done)
    @rule(pick=picks)
    def repeat(self, pick: int) -> None:
        """What was booked before comes again, perhaps much later, and changes nothing."""
        names, service, first, _other, follows = self.done[pick % len(self.done)]
        also = [self.paper.final(name).name for name in names] if follows else []
        repeated = self.same(partial(service, now=self.now), "nothing_new", accounts=[*names, *also])
        assert repeated == first

    @precondition(lambda self: self.done)
    @rule(pick=picks)
    def reuse_a_key(self, pick: int) -> None:
        _names, _service, _first, other, _follows = self.done[pick % len(self.done)]
        if other is not None:
            with pytest.raises(services.IdempotencyKeyReused), transaction.atomic():
                other(now=self.now)

    # The comparison

    @invariant()
    def ledger_and_paper_agree(self) -> None:
        """Every counter, lot and reservation of everybody; history is replayed where a row changed."""
        type(self).steps += 1
        rows = Account.objects.annotate(entry_count=Count("entries")).in_bulk(self.ids.values())
        recorded: dict[int, list[tuple[Any, ...]]] = {pk: [] for pk in rows}
        for lot in Lot.objects.filter(account__in=rows).order_by("id"):
            recorded[lot.account_id].append(on_record(lot))
        for name, pk in self.ids.items():
            account, paper = rows[pk], self.paper.accounts[name]
            counters = {counter: getattr(account, counter) for counter in COUNTERS}
            assert counters == paper.counters(), name
            assert account.status == paper.status, name
            assert account.merged_into_id == (paper.merged_into and self.ids[paper.merged_into.name]), name
            assert recorded[pk] == [on_paper(lot) for lot in paper.lots], name
            state = (counters, recorded[pk], account.entry_count, account.seq, account.head_hash)
            if self.replayed.get(pk) != state:
                assert_ledger_balanced(account)
                self.replayed[pk] = state
        holds = Hold.objects.order_by("id").values_list("account", "ref", "points", "state", "requested")
        assert list(holds) == sorted_holds(self.paper, self.ids)


def on_record(lot: Lot) -> tuple[Any, ...]:
    columns = (lot.amount, lot.pending, lot.remaining, lot.spent, lot.expired, lot.reversed, lot.moved)
    # The app ties transfers together by a random id.
    source = "transfer" if lot.source_ref.startswith("transfer:") else lot.source_ref
    frozen = (source, lot.unit_value, lot.currency)
    return (*columns, *frozen, lot.active_at, lot.expires_at, lot.parent_lot_id is not None)


def on_paper(lot: Any) -> tuple[Any, ...]:
    columns = (lot.amount, lot.pending, lot.left, lot.spent, lot.expired, lot.reversed, lot.moved)
    frozen = (lot.source, lot.unit_value, lot.currency)
    return (*columns, *frozen, lot.active_at, lot.expires_at, lot.parent is not None)


def sorted_holds(paper: Paper, ids: dict[str, int]) -> list[tuple[Any, ...]]:
    holds = [(hold, ids[name]) for name, account in paper.accounts.items() for hold in account.holds]
    holds.sort(key=lambda pair: pair[0].number)
    return [(pk, hold.ref, hold.points, hold.state, hold.wanted) for hold, pk in holds]


@pytest.mark.database
@pytest.mark.timeout(0)
@pytest.mark.django_db
def test_no_sequence_of_movements_makes_ledger_and_oracle_differ() -> None:
    examples = settings().max_examples if NIGHTLY else settings().max_examples // 4
    run_state_machine_as_test(
        LedgerMachine, settings=settings(stateful_step_count=50 if NIGHTLY else 30, max_examples=examples)
    )
